"""The files that a log consists of: its own, and those that SQLite keeps beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_ENDINGS: Final = ("", "-wal", "-shm", "-journal")


def parts_of(path: Path) -> tuple[Path, Path, Path, Path]:
    """A log's file, its WAL, that one's shared memory and a journal; none of them needs to be there.

    One of them beside another log's file would ruin that.
    """
    file, wal, shared, journal = (path.with_name(path.name + ending) for ending in _ENDINGS)
    return file, wal, shared, journal


def wal_of(path: Path) -> Path:
    """A log's WAL."""
    return parts_of(path)[1]


def has_bytes(file: Path) -> bool:
    """Whether a file is there, and not empty."""
    return file.exists() and file.stat().st_size > 0


def size(path: Path) -> int:
    """How many bytes a log takes, its WAL included; 0 where nothing is there."""
    return sum(file.stat().st_size for file in (path, wal_of(path)) if file.exists())


def remove(path: Path) -> None:
    """Remove a log, as far as it is there."""
    for file in parts_of(path):
        file.unlink(missing_ok=True)
