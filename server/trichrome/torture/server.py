"""The product's own server on a clock that jumps and a disk that fails, for the torture bench alone.

Started as `python -m trichrome.torture.server DIALS WORKER`. The clock goes in through the server's own parameter. The
disk is the one that SQLite takes by default in this process, so everything that the store opens lies on it.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Final

import apsw

from trichrome.clock import Instant, SystemClock
from trichrome.mcp_server import main as serve
from trichrome.torture.dials import Dials, Disk

_SHARE_THAT_FAILS: Final = 0.5
"""How many of its reads and writes a failing disk refuses."""


class FaultyClock:
    """The machine's clock with a wall that the dials move; what deadlines rest on stays as it is."""

    def __init__(self, dials: Dials, worker: int) -> None:
        self._clock = SystemClock()
        self._dials = dials
        self._worker = worker

    def now(self) -> Instant:
        """This moment, as far as the wall is to be believed."""
        now = self._clock.now()
        return Instant(wall=self._dials.wall(self._worker, now.wall), monotonic=now.monotonic, boot=now.boot)


class FaultyDisk(apsw.VFS):
    """The file system of this machine, and what the dials make of it."""

    def __init__(self, dials: Dials, worker: int) -> None:
        self._below = apsw.vfs_names()[0]
        self._dials = dials
        self._worker = worker
        super().__init__("trichrome-torture", self._below, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file on it."""
        return _FaultyFile(self._below, name, flags, self)

    def excepthook(self, *_: object) -> bool:
        """Say nothing: each error that is raised here reaches SQLite, which is what it is for."""
        return True

    def state(self) -> Disk:
        """How it does now."""
        return self._dials.disk(self._worker)


class _FaultyFile(apsw.VFSFile):
    def __init__(self, below: str, name: str | apsw.URIFilename | None, flags: list[int], disk: FaultyDisk) -> None:
        self._disk = disk
        super().__init__(below, name, flags)

    def excepthook(self, *_: object) -> bool:
        """As for the disk."""
        return True

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
        if self._fails():
            raise apsw.IOError("torture: read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        match self._disk.state():
            case Disk.FULL:
                super().xWrite(data[: len(data) // 2], offset)  # a full disk takes what still fits
                raise apsw.FullError("torture: write")
            case Disk.READ_ONLY:
                raise apsw.ReadOnlyError("torture: write")
            case _:
                pass
        if self._fails():
            raise apsw.IOError("torture: write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._fails():
            raise apsw.IOError("torture: sync")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.state() is not Disk.WELL:
            raise apsw.IOError("torture: truncate")
        super().xTruncate(size)

    def _fails(self) -> bool:
        return self._disk.state() is Disk.FAILING and random.random() < _SHARE_THAT_FAILS


def main(arguments: list[str]) -> int:
    """Serve by the dials of one worker until the client leaves; answers the exit status."""
    dials, worker = Dials(Path(arguments[0])), int(arguments[1])
    disk = FaultyDisk(dials, worker)
    try:
        return serve([], clock=FaultyClock(dials, worker))
    finally:
        disk.unregister()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
