# SPDX-License-Identifier: Apache-2.0
"""Zip files: what is read, and that nothing a name, a size or an offset claims is believed."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from zeile.errors import BadImage, ImageTooLarge, ZeileError
from zeile.service.archives import MAX_NAME_BYTES, Archive, ArchiveLimits
from zeile.service.problems import ArchiveTooLarge, BadArchive

LIMITS = ArchiveLimits(files=50, bytes=40 << 20, member_bytes=1 << 20, ratio=20)
FILES = {"a.png": b"first", "page 2/ſb.png": bytes(1000), "c.png": b""}


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.comment = comment
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def zipped_infos(*members: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for info, data in members:
            file.writestr(info, data)
    return buffer.getvalue()


def opened(data: bytes, limits: ArchiveLimits = LIMITS) -> Archive:
    return Archive(io.BytesIO(data), limits)


def read(data: bytes) -> dict[str, bytes]:
    archive = opened(data)
    return {member.name: archive.read(member) for member in archive.members}


def changed(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """The archive with some bytes of the last structure of a kind replaced."""
    place = data.rindex(signature) + offset
    return data[:place] + value + data[place + len(value) :]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_out_as_they_went_in(method: int) -> None:
    assert read(zipped(FILES, method, comment=b"scanned in May" * 1000)) == FILES


def test_a_spooled_file_is_read_as_well() -> None:
    with tempfile.SpooledTemporaryFile(max_size=10) as file:
        file.write(zipped(FILES))
        archive = Archive(file, LIMITS)  # type: ignore[arg-type]
        assert [archive.read(member) for member in archive.members] == list(FILES.values())


def test_an_archive_that_was_written_as_a_stream() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("a.png", "w", force_zip64=True) as member:
            member.write(b"first")
        file.writestr("b.png", b"second")
    assert read(pipe.data) == {"a.png": b"first", "b.png": b"second"}


def test_folders_and_what_file_managers_add_are_left_out() -> None:
    litter = ("scans/", "__MACOSX/scans/._a.png", "scans/.DS_Store", "scans/Thumbs.db", "._a.png")
    assert set(read(zipped(dict.fromkeys(litter, b"") | {"scans/a.png": b"x"}))) == {"scans/a.png"}


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "a/../../b.png", "/etc/passwd", "C:\\a.png", "c:a.png", "..\\a.png", "a\nb.png", "a\x1b.png",
        "a" * (MAX_NAME_BYTES + 1), "inner.zip", "lines.TAR", "x/y.7z",
    ],
)  # fmt: skip
def test_names_that_do_not_belong_into_an_archive(name: str) -> None:
    with pytest.raises(BadArchive):
        opened(zipped({"good.png": b"x", name: b"x"}))


def test_a_name_that_occurs_twice() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zipped_infos((zipfile.ZipInfo("a.png"), b"1"), (zipfile.ZipInfo("a.png"), b"2"))
    with pytest.raises(BadArchive, match=r"'a.png' occurs twice"):
        opened(data)


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o010644, 0o140777])
def test_links_and_special_files(kind: int) -> None:
    info = zipfile.ZipInfo("link.png")
    info.external_attr = kind << 16
    with pytest.raises(BadArchive, match="link or a special file"):
        opened(zipped_infos((info, b"/etc/passwd")))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: b"", "no zip file"),
        (lambda d: b"PK\3\4 and nothing else", "no zip file"),
        (lambda d: d[:-30], "no zip file"),
        (lambda d: d[: len(d) // 3] + d[-60:], "outside"),
        (lambda d: changed(d, b"PK\1\2", 8, b"\1\0"), "encrypted"),
        (lambda d: changed(d, b"PK\1\2", 9, b"\x20"), "encrypted"),
        (lambda d: changed(d, b"PK\5\6", 4, b"\1\0"), "several"),
        (lambda d: changed(d, b"PK\5\6", 8, b"\2\0\2\0"), "does not end"),
        (lambda d: changed(d, b"PK\5\6", 8, b"\4\0\4\0"), "damaged"),
        (lambda d: changed(d, b"PK\5\6", 10, b"\xff\xff"), "zip64"),
        (lambda d: changed(d, b"PK\5\6", 16, b"\xff\xff\xff\xff"), "zip64"),
        (lambda d: changed(d, b"PK\5\6", 16, b"\0\0\0\x7f"), "outside"),
        (lambda d: changed(d, b"PK\1\2", 0, b"PK\7\7"), "damaged"),
        (lambda d: changed(d, b"PK\1\2", 42, b"\0\0\0\0"), "overlaps"),
        (lambda d: changed(d, b"PK\1\2", 42, b"\0\0\xff\0"), "outside"),
        (lambda d: changed(d, b"PK\1\2", 20, b"\0\0\xff\0"), "outside"),
        (lambda d: changed(d, b"PK\1\2", 46, b"\xff"), "not UTF-8"),
    ],
)
def test_damage_is_found_before_anything_is_unpacked(change: Callable[[bytes], bytes], told: str) -> None:
    with pytest.raises(BadArchive, match=told):
        opened(change(zipped({"a.png": b"first", "b.png": b"second", "ſ.png": b"third"})))


def test_an_archive_without_files() -> None:
    for members in ({}, {"scans/": b""}, {"scans/.DS_Store": b"x"}):
        with pytest.raises(BadArchive, match="no files"):
            opened(zipped(members))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: changed(d, b"PK\3\4", 0, b"PK\7\7"), "nothing where"),
        (lambda d: changed(d, b"PK\3\4", 30, b"x"), "another name"),
        (lambda d: changed(d, b"PK\1\2", 16, b"\0\0\0\0"), "checksum"),
        (lambda d: changed(d, b"PK\1\2", 24, b"\5\0\0\0"), "length"),
        (lambda d: changed(d, b"PK\1\2", 10, b"\x0e\0"), "method 14"),
        (lambda d: changed(d, b"PK\3\4", 30 + len("c.png"), b"\xff\xff\xff"), "damaged"),
    ],
)
def test_a_damaged_member_does_not_spoil_the_others(change: Callable[[bytes], bytes], told: str) -> None:
    archive = opened(change(zipped({"a.png": b"first", "c.png": b"third, at some length"})))
    good, bad = archive.members
    with pytest.raises(BadImage, match=told):
        archive.read(bad)
    assert archive.read(good) == b"first"


def test_a_member_that_is_too_long_is_refused_alone() -> None:
    archive = opened(zipped({"a.png": os.urandom(LIMITS.member_bytes + 1), "b.png": b"x"}))
    with pytest.raises(ImageTooLarge, match=f"{LIMITS.member_bytes + 1} bytes unpacked, at most {LIMITS.member_bytes}"):
        archive.read(archive.members[0])
    assert archive.read(archive.members[1]) == b"x"


def test_a_member_that_unpacks_to_more_than_it_says_is_cut_off() -> None:
    data = changed(zipped({"bomb.png": bytes(100 << 20)}), b"PK\1\2", 24, struct.pack("<L", 100_000))
    archive = opened(data)
    tracemalloc.start()
    try:
        with pytest.raises(BadImage, match="length"):
            archive.read(archive.members[0])
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_more_files_than_allowed() -> None:
    names = [f"{i}.png" for i in range(LIMITS.files + 1)]
    assert len(opened(zipped(dict.fromkeys(names[1:], b"x"))).members) == LIMITS.files
    with pytest.raises(ArchiveTooLarge, match=r"51 entries, at most 50 .* ZEILE_ARCHIVE_FILES"):
        opened(zipped(dict.fromkeys(names, b"x")))


def test_more_bytes_than_allowed() -> None:
    scan = os.urandom(1 << 20)
    assert opened(zipped({f"{i}.png": scan for i in range(40)}))
    with pytest.raises(ArchiveTooLarge, match=f"{41 << 20} bytes unpacked, at most {40 << 20}"):
        opened(zipped({f"{i}.png": scan for i in range(41)}))


def test_more_than_the_ratio_is_a_bomb_and_a_few_blank_scans_are_none() -> None:
    assert opened(zipped({f"{i}.png": bytes(1 << 20) for i in range(16)}))
    with pytest.raises(ArchiveTooLarge, match="20 times its size"):
        opened(zipped({f"{i}.png": bytes(1 << 20) for i in range(18)}))


def test_files_that_share_their_bytes_are_a_bomb() -> None:
    """Fifield's zip bomb: every entry of the directory points to the same data."""
    deflate = zlib.compressobj(wbits=-15)
    kernel = deflate.compress(bytes(1 << 20)) + deflate.flush()
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(kernel), 1 << 20, 1, 0) + b"0" + kernel
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(kernel), 1 << 20, 1, 0, 0, 0, 0, 0, 0)
        + bytes([48 + i])
        for i in range(10)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 10, 10, len(entries), len(local), 0)
    with pytest.raises(BadArchive, match="overlaps"):
        opened(local + entries + end)


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_ends_in_an_error_of_ours_or_in_the_right_bytes(data: st.DataObject) -> None:
    whole = bytearray(zipped({"a.png": b"first" * 20, "b/c.png": bytes(300)}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else bytes(whole)
    try:
        archive = opened(cut)
    except ZeileError:
        return
    for member in archive.members:
        try:
            content = archive.read(member)
        except BadImage:
            continue
        assert zlib.crc32(content) == member.crc
        assert len(content) == member.size <= LIMITS.member_bytes


def test_nothing_is_unpacked_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read(zipped(FILES))
    assert list(tmp_path.iterdir()) == []
