# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all, once, and are on the disk when they do.

A file is written under another name, synchronised, and linked to its own: a link is made by one only, whatever the
number of hosts, and never replaces. Then the folder is synchronised. Only after that anybody is told.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from zeile.bulk.rows import first_difference
from zeile.errors import BadJob, ReadingsDiffer

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def path_of(folder: Path, number: int) -> Path:
    """Where a shard's file is published."""
    return folder / "shards" / f"shard-{number:06}.ndjson"


def publish(folder: Path, number: int, data: bytes, worker: str) -> bool:
    """Publish a shard's file, or compare with the one that is there.

    Args:
        folder: of the job.
        number: of the shard.
        data: of the file.
        worker: who publishes it.

    Returns:
        Whether the file is this one; False if another one that says the same was there first.

    Raises:
        ReadingsDiffer: another one was there and says something else; both are kept.
        BadJob: it cannot be written.
    """
    path = path_of(folder, number)
    draft = path.with_name(f".{path.name}.{worker}.tmp")
    try:
        while True:
            _write(draft, data)
            # Another worker that has published the shard meanwhile takes drafts of it away.
            with contextlib.suppress(FileNotFoundError):
                if link_first(draft, path):
                    sync_folder(path.parent)
                    return True
                break
        theirs = path.read_bytes()
        if difference := first_difference(data, theirs):
            kept = path.with_name(f"{path.name}.differs-{worker}")
            os.rename(draft, kept)
            sync_folder(path.parent)
            raise ReadingsDiffer(_alarm(path, kept, difference))
        return False
    except OSError as error:
        raise BadJob(
            f"{path}: cannot be written: {error.strerror}; nothing of it was published, so make room or mend the disk, "
            "and start again"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def link_first(draft: Path, path: Path) -> bool:
    """Give a file its name; returns whether it has it, and not another one.

    Raises:
        BadJob: the file system has no links.
        OSError: it cannot be done.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        # Over NFS a link may have been made although the answer to that was lost.
        return os.path.samefile(draft, path)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise BadJob(f"{path.parent}: its file system has no hard links; put the job on ext4, XFS or NFS") from None
        raise
    return True


def set_aside(path: Path) -> Path:
    """Take a damaged file out of the way; returns its new name."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    os.rename(path, aside)
    sync_folder(path.parent)
    return aside


def differing(folder: Path, number: int) -> list[Path]:
    """Readings of a shard that were kept because they differ from its file."""
    path = path_of(folder, number)
    return sorted(path.parent.glob(f"{path.name}.differs-*"))


def remove_drafts(folder: Path, number: int | None = None) -> None:
    """Take away what dead workers left of a shard that is done; without a number, of all, once they all are."""
    name = "*" if number is None else path_of(folder, number).name
    for draft in (folder / "shards").glob(f".{name}.*.tmp"):
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _write(draft: Path, data: bytes) -> None:
    with open(draft, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _alarm(path: Path, kept: Path, difference: str) -> str:
    return (
        f"{path} was read again, and not alike: {difference}. Both readings are kept, the other as {kept.name}. Find "
        "out which machine or image file is at fault (zeile doctor, zeile models verify), take the wrong file away, "
        "and if that is the shard's, rename the other one to it; then start again"
    )
