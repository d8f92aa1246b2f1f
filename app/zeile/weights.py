# SPDX-License-Identifier: Apache-2.0
"""The weights file: an npz of integer tensors, read as if by an enemy and written the same way every time.

``numpy.load`` believes a member's header before it has seen the data; here every size is known and bounded
before memory is taken, no member is unpickled, and members that do not belong are refused.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from zeile.errors import BadManifest
from zeile.network import Tensors
from zeile.zips import DAMAGE

MAX_BYTES = 64 << 20
"""Most bytes of all tensors together, and of the file."""

MAX_MEMBERS = 512

_DTYPES = {np.dtype(name) for name in ("<i1", "<u1", "<i2", "<i4")}
_HEADER_BYTES = 4096  # of one member, far more than NumPy writes
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment: the same tensors give the same bytes


def pack(tensors: Tensors) -> bytes:
    """The weights file of these tensors, sorted by name; stored, as zlib's output varies by version.

    Args:
        tensors: ``"<layer index>.<name>"`` to int8, uint8, int16 or int32 array.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(tensors):
            tensor = np.ascontiguousarray(tensors[name])
            tensor = tensor.astype(tensor.dtype.newbyteorder("<"))
            member = io.BytesIO()
            np.lib.format.write_array(member, tensor, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, member.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The tensors of a weights file.

    Raises:
        BadManifest: not an npz of plain integer tensors, damaged, or larger than MAX_BYTES.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _members(archive)
    except DAMAGE as error:
        raise BadManifest(f"weights.npz cannot be read: {error}; copy the model folder again") from None


def _members(archive: zipfile.ZipFile) -> dict[str, npt.NDArray[Any]]:
    entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_MEMBERS or total > MAX_BYTES:
        raise BadManifest(
            f"weights.npz holds {len(entries)} tensors of {total} bytes; "
            f"at most {MAX_MEMBERS} of {MAX_BYTES} bytes together are allowed"
        )
    tensors: dict[str, npt.NDArray[Any]] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in tensors:
            raise BadManifest(f"weights.npz: member {entry.filename!r} is not a tensor or occurs twice")
        with archive.open(entry) as member:
            content = member.read(entry.file_size + 1)  # longer than it says: refused below
        tensors[name] = _tensor(content, name)
    return tensors


def _tensor(content: bytes, name: str) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise BadManifest(f"weights.npz: {name} is in a foreign .npy version, only 1.0 is read")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_HEADER_BYTES)
    if dtype not in _DTYPES or fortran:
        raise BadManifest(f"weights.npz: {name} is {dtype}; allowed are int8, uint8, int16, int32 in C order")
    start, size = stream.tell(), math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 1 or size != len(content) - start:
        raise BadManifest(f"weights.npz: {name} says shape {shape} but holds {len(content) - start} bytes")
    tensor = np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
    tensor.flags.writeable = False
    return tensor
