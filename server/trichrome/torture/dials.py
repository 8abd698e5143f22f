"""What the clock and the disk of a server do, set from outside while it runs.

One small file holds a record for each worker's servers; it is mapped by whoever turns the dials and by each server, so
that a turn takes effect at the next look at the clock, or the next write to the disk, without a message.
"""

from __future__ import annotations

import mmap
import struct
from enum import IntEnum
from pathlib import Path
from typing import Final

_RECORD: Final = struct.Struct("<B7xddd")


class Disk(IntEnum):
    """How the disk under the log does."""

    WELL = 0
    FULL = 1
    READ_ONLY = 2
    FAILING = 3


class Dials:
    """The dials of every worker, or one worker's servers' look at them.

    Args:
        path: the file.
        writable: whether this process turns them.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        with path.open("r+b" if writable else "rb") as file:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), 0, access=access)

    @classmethod
    def make(cls, path: Path, workers: int) -> Dials:
        """Make the file with every dial at rest."""
        path.write_bytes(_RECORD.pack(Disk.WELL, 0.0, 1.0, 0.0) * workers)
        return cls(path, writable=True)

    def disk(self, worker: int) -> Disk:
        """How a worker's disk does."""
        return Disk(self._map[worker * _RECORD.size])

    def set_disk(self, worker: int, disk: Disk) -> None:
        """Let a worker's disk do so from now on."""
        self._map[worker * _RECORD.size] = disk

    def wall(self, worker: int, wall: float) -> float:
        """What a worker's clock on the wall says when it is `wall`, in seconds since 1970."""
        _, ahead, rate, since = _RECORD.unpack_from(self._map, worker * _RECORD.size)
        return float(since + (wall - since) * rate + ahead)

    def set_clock(self, worker: int, *, ahead_seconds: float, rate: float, since: float) -> None:
        """Set a worker's clock ahead or back, and let it run slower or faster than time from `since` on."""
        _RECORD.pack_into(
            self._map, worker * _RECORD.size, self._map[worker * _RECORD.size], ahead_seconds, rate, since
        )

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
