# SPDX-License-Identifier: Apache-2.0
"""Overlay folders: what is missing, damaged or foreign is said in a sentence, before a board sees any of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.device.overlays import design_of, network_of, write_overlay

from zeile.errors import BadManifest, OverlayMismatch, OverlayMissing
from zeile.hw.overlay import find_overlay, list_overlays, load_overlay, part_of


def test_a_built_overlay(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=True)
    assert overlay.bitstream() == tmp_path / "tiny" / "tiny.bit"
    assert overlay.design == design_of("tiny")
    assert part_of(overlay.path("bit")) == "xczu7ev-ffvc1156-2-e"
    assert (overlay.dma_length_bits, overlay.images) == (26, ("3.1", "4.0"))


def test_without_a_bitstream_it_says_how_one_is_built_and_where_it_goes(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=False)
    with pytest.raises(OverlayMissing) as caught:
        overlay.bitstream()
    for part in ("make -C hw_src pack DESIGN=tiny", str(tmp_path / "tiny" / "tiny.bit"), "Vivado", "'cpu'"):
        assert part in str(caught.value)


def test_a_bitstream_that_was_not_copied(tmp_path: Path) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=True)
    overlay.path("hwh").unlink()
    with pytest.raises(OverlayMissing, match=r"tiny\.hwh"):
        overlay.bitstream()
    overlay.path("bit").unlink()
    with pytest.raises(OverlayMissing, match="make -C hw_src pack"):
        overlay.bitstream()


@pytest.mark.parametrize("role", ["bit", "hwh"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:-1] + b"\1"])
def test_another_build_s_file_is_refused(tmp_path: Path, role: str, change: Any) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=True)
    path = overlay.path(role)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(OverlayMismatch, match=f"tiny.{role} is not the file"):
        overlay.bitstream()


def test_a_bitstream_for_another_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlay = write_overlay(tmp_path, "tiny", built=True)
    monkeypatch.setattr("zeile.hw.overlay.part_of", lambda path: "xc7z020clg400-1")
    with pytest.raises(OverlayMismatch, match="for the part xc7z020clg400-1, its manifest says xczu7ev"):
        overlay.bitstream()


@pytest.mark.parametrize("data", [b"", b"\0\x09", b"\xff" * 300, b"\0\x00\0\1a\xff\xff"])
def test_a_file_without_a_header_has_no_part(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.bit").write_bytes(data)
    assert part_of(tmp_path / "x.bit") == ""


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": "zeile-model"}, "this is no overlay"),
        ({"format_version": 2}, "format_version is 2"),
        ({"design_id": "0" * 16}, "design_id is '0000000000000000'"),
        ({"name": "other"}, "name is 'other'"),
        ({"part": "xc7z020"}, "part is 'xc7z020'"),
        ({"clock_mhz": 300.0}, "clock_mhz is 300.0"),
        ({"state": "built"}, "state is 'built'"),
        ({"built": {}}, "state is 'no bitstream built yet'"),
        ({"images": [4.0]}, "images is"),
        ({"dma_length_bits": 14.0}, "dma_length_bits is a float"),
        ({"dma_length_bits": 40}, "allowed are 8 to 26"),
        ({"files": {"exe": {"sha256": "", "bytes": 1}}}, "unknown roles"),
        ({"files": {"bit": {"sha256": "", "bytes": 1}}}, "if, and only if"),
        ({"surprise": 1}, "unknown key"),
    ],
)
def test_manifests_that_contradict_themselves(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadManifest, match=complaint):
        write_overlay(tmp_path, "tiny", built=False, changes=changes)


def test_manifests_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "tiny" / "manifest.json"
    with pytest.raises(OverlayMissing, match="No such file"):
        load_overlay(path.parent)
    path.parent.mkdir()
    for data in (b"", b"[]", b'{"format": 1, "format": 1}', b"\xff", b" " * (1 << 21)):
        path.write_bytes(data)
        with pytest.raises(BadManifest):
            load_overlay(path.parent)


def test_an_overlay_is_found_by_its_name_or_by_the_model(tmp_path: Path) -> None:
    networks = {name: network_of(design_of(name)) for name in ("tiny", "tiny-uni")}
    with pytest.raises(OverlayMissing, match="set ZEILE_OVERLAYS"):
        find_overlay("", tmp_path, networks["tiny"])
    for name in networks:
        write_overlay(tmp_path, name, built=False)
    assert [path.name for path in list_overlays(tmp_path)] == ["tiny", "tiny-uni"]
    for name, network in networks.items():
        assert find_overlay("", tmp_path, network).name == find_overlay(name, tmp_path, network).name == name
    with pytest.raises(OverlayMismatch, match="does not fit"):
        find_overlay("tiny", tmp_path, networks["tiny-uni"])
    with pytest.raises(OverlayMissing, match="there: tiny, tiny-uni"):
        find_overlay("finn", tmp_path, networks["tiny"])
    (tmp_path / "tiny" / "manifest.json").write_text(json.dumps({}))
    with pytest.raises(OverlayMismatch, match=r"fits no overlay.*this is no overlay.*tiny-uni"):
        find_overlay("", tmp_path, networks["tiny"])
