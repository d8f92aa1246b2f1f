# SPDX-License-Identifier: Apache-2.0
"""Labelled lines from folders and zip files, good and hostile."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import pytest

from zeile import samples
from zeile.errors import BadData
from zeile.samples import count_lines, open_lines

HEADER = "id\tsplit\tdoc\twidth\theight\tnorm\ttranscription\trepo\tpath\n"


def _zip(path: Path, members: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def _row(number: str, split: str, doc: str, text: str) -> str:
    return f"{number}\t{split}\t{doc}\t9\t9\t{text}\traw\trepo\tpath\n"


def test_reads_a_folder_of_pairs(tmp_path: Path) -> None:
    for name, text in (("book-a_0001", "erſte"), ("book-a_0002", "zweite"), ("lone", "\ufeffdritte")):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
        (tmp_path / f"{name}.gt.txt").write_text(text + "\r\n", encoding="utf-8")
    (tmp_path / "unlabelled.png").write_bytes(b"")
    lines = list(open_lines(tmp_path))
    assert [(line.id, line.doc, line.text) for line in lines] == [
        ("book-a_0001", "book-a", "erſte"),
        ("book-a_0002", "book-a", "zweite"),
        ("lone", None, "dritte"),
    ]
    assert lines[0].data == b"book-a_0001"
    assert count_lines(tmp_path) == 3


def test_reads_a_zip_of_pairs_in_any_folder(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.zip", {"x/p1-2.jpg": b"j", "x/p1-2.gt.txt": "Text ", "x/readme.md": "no"})
    (line,) = open_lines(path)
    assert (line.id, line.data, line.text) == ("x/p1-2", b"j", "Text ")
    assert line.doc == "x/p1"
    assert count_lines(path) == 1


def test_reads_a_manifest_without_taking_quotes_for_quoting(tmp_path: Path) -> None:
    rows = _row("00000", "train", "a", "one") + _row("00001", "val", "b", '"two') + _row("00002", "val", "", 'th"ree"')
    path = _zip(tmp_path / "m.zip", {"manifest.tsv": HEADER + rows} | {f"0000{i}.png": bytes([i]) for i in range(3)})
    assert [(s.id, s.doc, s.text, s.data) for s in open_lines(path, "val")] == [
        ("00001", "b", '"two', b"\x01"),
        ("00002", None, 'th"ree"', b"\x02"),
    ]
    assert len(list(open_lines(path))) == count_lines(path) == 3
    assert count_lines(path, "val") == 2


@pytest.mark.parametrize(
    ("members", "split", "message"),
    [
        ({"../a.png": b"", "../a.gt.txt": "x"}, None, "leads out"),
        ({"/etc/a.gt.txt": "x"}, None, "leads out"),
        ({"C:\\a.gt.txt": "x"}, None, "leads out"),
        ({"a.gt.txt": "x"}, None, "no image"),
        ({"a.png": b"", "a.gt.txt": b"\xff\xfe"}, None, "not UTF-8"),
        ({"a.png": b"", "a.gt.txt": "x\ny"}, None, "several lines"),
        ({"a.png": b"", "a.gt.txt": "x"}, "val", "no split"),
        ({"readme": "x"}, None, "no labelled lines"),
        ({"manifest.tsv": "id\tname\n"}, None, "lacks the columns"),
        ({"manifest.tsv": "id\tnorm\n0\tx\n"}, "val", "lacks the columns"),
        ({"manifest.tsv": "id\tnorm\n0\n"}, None, "does not have the 2 columns"),
        ({"manifest.tsv": "id\tnorm\n0\tx\ty\n"}, None, "does not have the 2 columns"),
        ({"manifest.tsv": "id\tnorm\n0\tx\n"}, None, "not in the zip"),
        ({"manifest.tsv": "id\tnorm\n../0\tx\n"}, None, "not in the zip"),
        ({"manifest.tsv": "id\tnorm\n0\tx\n0\ty\n", "0.png": b""}, None, "occurs twice"),
        ({"manifest.tsv": HEADER + _row("0", "train", "a", "x"), "0.png": b""}, "val", "of split 'val'"),
        ({"a/manifest.tsv": "id\tnorm\n", "b/manifest.tsv": "id\tnorm\n"}, None, "one is wanted"),
    ],
)
def test_says_what_is_wrong_with_a_zip(
    tmp_path: Path, members: dict[str, bytes | str], split: str | None, message: str
) -> None:
    with pytest.raises(BadData, match=message):
        list(open_lines(_zip(tmp_path / "z.zip", members), split))


def test_refuses_links(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as file:
        link = zipfile.ZipInfo("a.png")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    with pytest.raises(BadData, match="is a link"):
        list(open_lines(tmp_path / "l.zip"))


def test_refuses_a_bomb_before_unpacking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_IMAGE_BYTES", 1000)
    path = _zip(tmp_path / "b.zip", {"a.png": bytes(1_000_000), "a.gt.txt": "x"})
    with pytest.raises(BadData, match="at most 1000"):
        list(open_lines(path))


def test_does_not_believe_the_size_in_a_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_IMAGE_BYTES", 1000)
    path = _zip(tmp_path / "b.zip", {"a.png": bytes(5000), "a.gt.txt": "x"})
    data = path.read_bytes().replace(struct.pack("<I", 5000), struct.pack("<I", 10))
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"a\.png"):
        list(open_lines(path))


@pytest.mark.parametrize("cut", [10, 60])
def test_damaged_and_foreign_files_are_named(tmp_path: Path, cut: int) -> None:
    whole = _zip(tmp_path / "z.zip", {"a.png": bytes(300), "a.gt.txt": "x"}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-cut])
    with pytest.raises(BadData, match=r"cut\.zip"):
        list(open_lines(tmp_path / "cut.zip"))
    with pytest.raises(BadData, match="no such folder"):
        list(open_lines(tmp_path / "absent"))


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", b"the pixels")
        file.writestr("a.gt.txt", "x")
    path.write_bytes(path.read_bytes().replace(b"the pixels", b"the pixelz"))
    with pytest.raises(BadData, match=r"a\.png cannot be read"):
        list(open_lines(path))


@pytest.mark.parametrize("broken", [b"\x07", b"\xff\xff\xff\xff"])
def test_a_member_whose_compression_is_damaged_is_named(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(range(256)) * 9)
        file.writestr("a.gt.txt", "x")
    data = bytearray(path.read_bytes())
    data[35 : 35 + len(broken)] = broken  # behind the header of 30 bytes and the name
    path.write_bytes(data)
    with pytest.raises(BadData, match=r"a\.png cannot be read"):
        list(open_lines(path))


def test_a_member_stored_in_another_way_is_named(tmp_path: Path) -> None:
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.png", b"the pixels")
        file.writestr("a.gt.txt", "x")
    with pytest.raises(BadData, match=r"a\..* is stored by method 12; build it with deflate"):
        list(open_lines(path))
