# SPDX-License-Identifier: Apache-2.0
"""Single SystemVerilog units for tests: Verilated with given parameters, between streams that wait at random.

unit = RtlUnit("zeile_fifo", {"WIDTH": 9, "DEPTH": 4}, {"in": 9}, {"out": 9})
got, report = unit.run({"in": [1, 2, 3]}, stalls=(300, 500), seed=7)
assert got["out"] == [1, 2, 3]
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from zeile.errors import DeviceError
from zeile.hw import verilate

RTL = Path(__file__).resolve().parents[2] / "hw_src" / "rtl"
DRIVER = Path(__file__).with_suffix(".cpp")

_VERILATE = ("--assert", "--x-assign", "unique", "--x-initial", "unique", "--output-split", "0")
_COMPILE = ("-O1",)

Widths = Mapping[str, int]
Values = Mapping[str, Sequence[int]]


def reason() -> str:
    """Why units cannot be simulated here; empty where they can."""
    try:
        verilate.find_verilator()
        verilate.find_compiler()
    except DeviceError as error:
        return str(error)
    return ""


needs_verilator = pytest.mark.skipif(bool(reason()), reason=reason() or "there is a Verilator")


class RtlUnit:
    """One module with its parameters, built where the cache has none of these sources.

    Args:
        module: has ports ``clk``, ``rst``, for each stream ``<name>_valid``, ``_ready``, ``_data``, and those of
            ``drive`` and ``watch``.
        parameters: of the module.
        inputs: stream to bits of its data.
        outputs: likewise.
        folder: for the build; default the cache.
        drive: input ports without valid and ready, to their bits: a value a cycle, then 0.
        watch: output ports without valid and ready: a value every cycle.
        sources: SystemVerilog; another folder for broken copies.
        extra: further files, as one with a module of the test's own.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, int],
        inputs: Widths,
        outputs: Widths,
        folder: Path | None = None,
        *,
        drive: Widths | None = None,
        watch: Widths | None = None,
        sources: Path = RTL,
        extra: Sequence[Path] = (),
    ) -> None:
        if why := reason():
            pytest.skip(why)
        self.inputs, self.outputs = dict(inputs), dict(outputs)
        self.drive, self.watch = dict(drive or {}), dict(watch or {})
        self.program = self._build(module, parameters, folder or verilate.cache_folder() / "units", sources, extra)

    def run(
        self,
        *phases: Values,
        stalls: tuple[int, int] = (0, 0),
        seed: int = 0,
        cycles: int = 1_000_000,
        patience: int = 400,
        rest: bool = False,
    ) -> tuple[dict[str, list[int]], dict[str, Any]]:
        """Reset, feed elements, collect those that come out.

        Args:
            phases: elements of each input stream, values of driven ports; each phase begins when all before it is
                taken and nothing moved for ``patience`` cycles.
            stalls: how often in a thousand an input has no element, an output is not ready.
            seed: of the stalls and of what is without a reset.
            cycles: most cycles.
            patience: of the end of a phase.
            rest: the unit may leave elements of its inputs untaken.

        Returns:
            Elements of each output stream, values of watched ports, each cycle one; and a report: ``cycles``,
            ``at``, the cycles in which each stream's elements moved, ``first`` and ``last`` of these.

        Raises:
            AssertionError: valid was withdrawn or data changed before it was taken, or elements are left over.
        """
        given = b"".join(self._phase(phase) for phase in phases)
        command = [str(self.program), *(str(n) for n in (seed, *stalls, cycles, patience))]
        done = subprocess.run(command, input=given, capture_output=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        got, report = self._parse(done.stdout)
        for name in self.inputs:
            asked, taken = sum(len(phase.get(name, ())) for phase in phases), len(report["at"][name])
            assert rest or asked == taken, f"{name}: {taken} of {asked} elements taken in {report['cycles']} cycles"
        return got, report

    def _phase(self, phase: Values) -> bytes:
        ports = self.inputs | self.drive
        assert set(phase) <= set(ports), f"no input {set(phase) - set(ports)}"
        parts = []
        for name, bits in ports.items():
            values, size = phase.get(name, ()), 4 * -(-bits // 32)
            parts.append(struct.pack("<q", len(values)))
            parts += [(int(value) & (1 << bits) - 1).to_bytes(size, "little") for value in values]
        return b"".join(parts)

    def _parse(self, data: bytes) -> tuple[dict[str, list[int]], dict[str, Any]]:
        got: dict[str, list[int]] = {}
        at: dict[str, list[int]] = {}
        place = 0

        def number(size: int) -> int:
            nonlocal place
            place += size
            return int.from_bytes(data[place - size : place], "little")

        for name, bits in self.outputs.items():
            pairs = [(number(8), number(4 * -(-bits // 32))) for _ in range(number(8))]
            at[name], got[name] = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        for name in self.inputs:
            at[name] = [number(8) for _ in range(number(8))]
        for name, bits in self.watch.items():
            got[name] = [number(4 * -(-bits // 32)) for _ in range(number(8))]
        ends = {key: {name: each[i] for name, each in at.items() if each} for key, i in (("first", 0), ("last", -1))}
        return got, {"cycles": number(8), "at": at, **ends}

    def _build(
        self, module: str, parameters: Mapping[str, int], cache: Path, sources: Path, extra: Sequence[Path]
    ) -> Path:
        tool = verilate.find_verilator()
        files = verilate.sources_of(module, [sources], extra)
        ports = self._ports()
        key = verilate.fingerprint(
            [
                tool.version,
                verilate.find_compiler(),
                module,
                repr(sorted(parameters.items())),
                ports,
                *_VERILATE,
                *_COMPILE,
            ],
            [*files, *sources.glob("*.svh"), DRIVER],
        )
        cache.mkdir(parents=True, exist_ok=True)
        program = cache / f"{module}-{key}"
        if not program.is_file():
            with tempfile.TemporaryDirectory(dir=cache) as temporary:
                folder = Path(temporary)
                (folder / "ports.h").write_text(ports, "utf-8")
                found = verilate.generate(tool, module, files, [sources], folder, parameters, _VERILATE)
                self._check(module, found)
                verilate.compile_generated(tool, folder, DRIVER, folder / "unit", _COMPILE)
                (folder / "unit").replace(program)
        return program

    def _ports(self) -> str:
        """The lists that the driver includes."""
        lists = [("Input", "inputs"), ("Output", "outputs"), ("Driven", "drive"), ("Watched", "watch")]
        text = ""
        for kind, name in lists:
            entries = ", ".join(f"{kind.upper()}({port}, {bits})" for port, bits in getattr(self, name).items())
            variable = {"drive": "driven", "watch": "watched"}.get(name, name)
            text += f"static std::vector<{kind}> {variable} = {{{entries}}};\n"
        return text

    def _check(self, module: str, found: Mapping[str, tuple[str, int]]) -> None:
        wanted = {"clk": ("in", 1), "rst": ("in", 1)}
        for streams, way, back in ((self.inputs, "in", "out"), (self.outputs, "out", "in")):
            for name, bits in streams.items():
                wanted |= {f"{name}_valid": (way, 1), f"{name}_ready": (back, 1), f"{name}_data": (way, bits)}
        wanted |= {name: ("in", bits) for name, bits in self.drive.items()}
        wanted |= {name: ("out", bits) for name, bits in self.watch.items()}
        wrong = {
            name: (wanted.get(name), found.get(name))
            for name in {**wanted, **found}
            if wanted.get(name) != found.get(name)
        }
        assert not wrong, f"ports of {module}, (the test's, the module's): {wrong}"


def broken(folder: Path, file: str, right: str, wrong: str) -> Path:
    """A copy of the sources with one passage of a file replaced, for ``sources``."""
    copy = folder / "rtl"
    shutil.copytree(RTL, copy)
    text = (copy / file).read_text("utf-8")
    assert text.count(right) == 1, f"{file} has {text.count(right)} times: {right}"
    (copy / file).write_text(text.replace(right, wrong), "utf-8")
    return copy
