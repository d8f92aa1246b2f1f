# SPDX-License-Identifier: Apache-2.0
"""Facts of a build out of the tools' reports: Vivado's timing and utilisation, Vitis HLS' csynth.xml.

Formats: UG906 (report_timing_summary, report_utilization) and UG1399 (csynth.xml). No build has been run by us yet:
the parsers are tested on excerpts made by hand in the documented formats. What they do not find they refuse.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from zeile.errors import BadManifest
from zeile.hw.design import load_design

CHECKS = (
    "no_clock",
    "constant_clock",
    "unconstrained_internal_endpoints",
    "multiple_clock",
    "generated_clocks",
    "loops",
    "latch_loops",
)
"""Checks of the timing summary that must find nothing."""

TIMING, UTILISATION, HLS = "reports/timing_summary.rpt", "reports/utilization.rpt", "hls/zeile_core_csynth.xml"
MET = "All user specified timing constraints are met."

_SITES = {
    "lut": ("CLB LUTs",),
    "ff": ("CLB Registers",),
    "dsp": ("DSPs",),
    "bram36": ("Block RAM Tile",),
    "uram": ("URAM",),
}
_HLS_SITES = {"lut": "LUT", "ff": "FF", "dsp": "DSP", "bram18": "BRAM_18K", "uram": "URAM"}
_SLACKS = re.compile(r"^\s*WNS\(ns\).*\n[\s-]*\n\s*(-?\d.*)$", re.MULTILINE)
_CLOCK = re.compile(r"^\s*(\S+)\s+\{[-\d. ]+\}\s+([\d.]+)\s+([\d.]+)\s*$", re.MULTILINE)
_TOOL = re.compile(r"^\| Tool Version\s*:\s*Vivado v\.(\S+)", re.MULTILINE)
_FIELD = r"^\| {}\s*:\s*(.+?)\s*\|?$"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A timing summary.

    Attributes:
        wns_ns: worst slack of setup; negative where a path is too slow.
        whs_ns: worst slack of hold.
        wpws_ns: worst slack of pulse width.
        clocks_ns: period of each clock.
        problems: sentences; empty where every path is constrained and met.
        vivado: version of the tool.
        device: as the report names it.
        state: ``Routed``, of a design that can be believed.
    """

    wns_ns: float
    whs_ns: float
    wpws_ns: float
    clocks_ns: Mapping[str, float]
    problems: tuple[str, ...]
    vivado: str
    device: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Use:
    """Sites of one kind: used and available; block RAM may count halves."""

    used: float
    available: float


def parse_timing(text: str) -> Timing:
    """Read the text of Vivado's report_timing_summary.

    Raises:
        BadManifest: it has no line of slacks or no header.
    """
    found = _SLACKS.search(text)
    columns = found[1].split() if found else []
    if len(columns) < 12:
        raise BadManifest("the timing summary has no line of slacks, so no path is timed; build again")
    wns, whs, wpws = (float(columns[index]) for index in (0, 4, 8))
    problems = [f"{name} is {slack} ns" for name, slack in (("WNS", wns), ("WHS", whs), ("WPWS", wpws)) if slack < 0]
    for check in CHECKS:
        count = re.search(rf"checking {check} \((\d+)\)", text)
        if count is None:
            problems.append(f"the report does not say whether there are {check}")
        elif int(count[1]):
            problems.append(f"{count[1]} found by the check {check}")
    if MET not in text:
        problems.append("the report does not say that all constraints are met")
    _, _, summary = text.partition("| Clock Summary")
    clocks = {name: float(period) for name, period, _ in _CLOCK.findall(summary.partition("| Intra Clock")[0])}
    return Timing(
        wns_ns=wns,
        whs_ns=whs,
        wpws_ns=wpws,
        clocks_ns=clocks,
        problems=tuple(problems),
        vivado=_vivado(text),
        device=_header(text, "Device"),
        state=_header(text, "Design State"),
    )


def parse_utilisation(text: str) -> dict[str, Use]:
    """Read the text of Vivado's report_utilization of an UltraScale+ part: lut, ff, dsp, bram36, uram.

    Columns are found by the table's head, because Vivado 2021.1 put one more between them.

    Raises:
        BadManifest: a table is not there.
    """
    found: dict[str, Use] = {}
    head: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|") or len(cells) < 3:
            continue
        if cells[0] == "Site Type":
            head = cells
            continue
        for key, names in _SITES.items():
            if cells[0].rstrip("*") in names and key not in found and {"Used", "Available"} <= set(head):
                used, available = (cells[head.index(name)].replace(",", "") for name in ("Used", "Available"))
                found[key] = Use(used=_number(used, key), available=_number(available, key))
    if missing := sorted(set(_SITES) - set(found)):
        raise BadManifest(f"the utilisation report lacks {', '.join(missing)}; is it of an UltraScale+ part?")
    return {key: found[key] for key in _SITES}


def parse_hls(data: bytes) -> dict[str, Any]:
    """Read Vitis HLS' csynth.xml: version, clocks and estimated resources.

    Returns:
        ``version``, ``part``, ``target_clock_ns``, ``estimated_clock_ns`` and ``utilisation`` (lut, ff, dsp, bram18,
        uram: sites used).

    Raises:
        BadManifest: it is no such file.
    """
    root = parse_xml(data, "csynth.xml")

    def text(path: str) -> str:
        found = root.findtext(path)
        if found is None or not found.strip():
            raise BadManifest(f"csynth.xml has no {path}; run make ip again")
        return found.strip()

    resources = "AreaEstimates/Resources"
    return {
        "version": text("ReportVersion/Version"),
        "part": text("UserAssignments/Part"),
        "target_clock_ns": _number(text("UserAssignments/TargetClockPeriod"), "TargetClockPeriod"),
        "estimated_clock_ns": _number(
            text("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"), "EstimatedClockPeriod"
        ),
        "utilisation": {key: _number(text(f"{resources}/{name}"), name) for key, name in _HLS_SITES.items()},
    }


def parse_xml(data: bytes, what: str) -> ElementTree.Element:
    """The root element; document types are refused, because entities could grow without bound.

    Raises:
        BadManifest: it is no XML, or declares a document type.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise BadManifest(f"{what} declares a document type, which AMD's tools never do")
    try:
        return ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise BadManifest(f"{what} is no XML: {error}; build again") from None


def read_build(build: Path) -> dict[str, Any]:
    """Facts of a finished build, as the overlay manifest's ``built`` holds them.

    Args:
        build: folder of the build, as make leaves it; its design.json says for which part and clock.

    Raises:
        BadManifest: a report is missing or foreign, or timing is not met.
    """
    design = load_design(_file(build, "design.json"))
    timing = parse_timing(_text(build, TIMING))
    utilisation = parse_utilisation(_text(build, UTILISATION))
    if timing.problems:
        raise BadManifest(f"{build}: timing is not met: {'; '.join(timing.problems)}; this build cannot be an overlay")
    if not timing.state.endswith(("Routed", "postRoute")):
        raise BadManifest(f"{build}: the timing report is of a design in the state {timing.state!r}, not routed")
    if not _same_device(timing.device, design.part):
        raise BadManifest(f"{build}: built for {timing.device}, the design says {design.part}")
    period = _period(timing, 1000 / design.clock_mhz, build)
    routed = datetime.fromtimestamp(_file(build, TIMING).stat().st_mtime, timezone.utc)
    facts: dict[str, Any] = {
        "date": routed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _text(build, "commit.txt").strip(),
        "tools": {"vivado": timing.vivado},
        "wns_ns": timing.wns_ns,
        "whs_ns": timing.whs_ns,
        "clock_period_ns": period,
        "utilisation": {key: asdict(use) for key, use in utilisation.items()},
        "hls": None,
    }
    if (build / HLS).exists():  # a kernel in RTL has none
        hls = parse_hls(_file(build, HLS).read_bytes())
        facts["tools"]["vitis_hls"] = hls.pop("version")
        if not _same_device(hls.pop("part"), design.part):
            raise BadManifest(f"{build}: the IP was made for another part than {design.part}; run make ip again")
        facts["hls"] = hls
    return facts


def describe(facts: Mapping[str, Any]) -> str:
    """A build's facts for people, a line each."""
    tools = ", ".join(f"{name} {version}" for name, version in facts["tools"].items())
    lines = [
        f"built {facts['date']} from {facts['commit']} with {tools}",
        f"period {facts['clock_period_ns']} ns, WNS {facts['wns_ns']} ns, WHS {facts['whs_ns']} ns",
    ]
    for name, use in facts["utilisation"].items():
        lines.append(f"{name:7} {use['used']:>9g} of {use['available']:g} ({use['used'] / use['available']:.1%})")
    return "\n".join(lines)


def _period(timing: Timing, wanted_ns: float, build: Path) -> float:
    """The timed period of PL0: the slowest that is as fast as the design asks, to Vivado's three decimals."""
    fast_enough = [period for period in timing.clocks_ns.values() if period <= wanted_ns + 0.001]
    if not fast_enough:
        clocks = json.dumps(dict(timing.clocks_ns)) if timing.clocks_ns else "none"
        raise BadManifest(f"{build}: no clock was timed at {wanted_ns:.3f} ns or faster (clocks: {clocks})")
    return max(fast_enough)


def _same_device(found: str, part: str) -> bool:
    """Reports write xczu7ev-ffvc1156-2-e, xczu7ev-ffvc1156 or xczu7evffvc1156-2 for one part."""
    return found.replace("-", "").startswith("".join(part.split("-")[:2]))


def _number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadManifest(f"{what} is {text!r} in the report, not a number") from None
    return int(number) if number.is_integer() else number


def _header(text: str, name: str) -> str:
    found = re.search(_FIELD.format(name), text, re.MULTILINE)
    if found is None:
        raise BadManifest(f"the report's head has no {name}; is it Vivado's?")
    return found[1]


def _vivado(text: str) -> str:
    found = _TOOL.search(text)
    if found is None:
        raise BadManifest("the report does not name the version of Vivado")
    return found[1]


def _file(build: Path, name: str) -> Path:
    path = build / name
    if not path.is_file():
        raise BadManifest(f"{path} is missing; run make bit first")
    return path


def _text(build: Path, name: str) -> str:
    return _file(build, name).read_text("utf-8", errors="replace")
