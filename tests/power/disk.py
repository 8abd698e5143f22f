"""A disk that loses power: what was written and not synced may be there afterwards, in part, or not at all.

It lies under SQLite as a layer over the system's own (a VFS), so everything above it is as in production. Files are
real; what is written, truncated, synced, made and removed is noted in order, and each moment of that can be made into
the disk as it may be found after a cut. Locks and shared memory pass through: they do not outlive a cut.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import apsw

SECTOR: Final = 512
"""Bytes that a disk writes as a whole. What lies beside them stays as it was: SQLite relies on that too (PSOW)."""

_names = count(1)


@dataclass(frozen=True, slots=True)
class Made:
    """A name was given to a new file."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Removed:
    """A name was taken away."""

    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """Bytes were handed over."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncated:
    """A file was cut to a size."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """A file is on the disk as it is now; with `names` its folder too."""

    file: int
    names: bool


Step = Made | Removed | Written | Truncated | Synced


class Disk(apsw.VFS):
    """The layer, and what passed through it.

    Attributes:
        name: what SQLite calls it.
        steps: what happened, in order.
        found: what lay there before.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"power-{next(_names)}"
        super().__init__(self.name, "")
        self.steps: list[Step] = []
        self.found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        self.files = {name: number for number, name in enumerate(self.found)}
        self._numbers = count(len(self.found))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return apsw.VFSFile("", name, flags) if name is None else _File(self, name, flags)

    def xDelete(self, path: str, sync_names: bool) -> None:  # noqa: N802 - SQLite's
        super().xDelete(path, False)
        name = os.path.basename(path)  # noqa: PTH119 - once a step
        self.steps.append(Removed(name))
        if sync_names:
            self.steps.append(Synced(self.files[name], names=True))

    def number(self, path: str) -> int:
        """The number of a file that is about to be opened, and made if it is not there."""
        name = os.path.basename(path)  # noqa: PTH119 - once a step
        if not os.path.exists(path):  # noqa: PTH110 - likewise
            self.files[name] = next(self._numbers)
            self.steps.append(Made(name, self.files[name]))
        return self.files[name]


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename, flags: list[int]) -> None:
        self._steps = disk.steps
        self._number = disk.number(name if isinstance(name, str) else name.filename())
        # The system's layer syncs the folder with the first sync of what it may have made, but for the database itself.
        is_beside = flags[0] & (apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL)
        self._syncs_names = bool(is_beside and flags[0] & apsw.SQLITE_OPEN_CREATE)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's
        self._steps.append(Written(self._number, offset, data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's
        self._steps.append(Truncated(self._number, size))
        super().xTruncate(size)

    def xSync(self, _flags: int) -> None:  # noqa: N802 - SQLite's; nobody cuts the real power
        self._steps.append(Synced(self._number, names=self._syncs_names))
        self._syncs_names = False


Keeps = Callable[[int, int], bool]
"""Whether a piece of a write that was not synced is there after the cut; by the write's turn and the piece's offset."""


class Platter:
    """What is certain and what is not, at one moment of a disk's history."""

    def __init__(self, disk: Disk) -> None:
        self._synced = {disk.files[name]: bytearray(content) for name, content in disk.found.items()}
        self._names = {name: disk.files[name] for name in disk.found}
        self._names_now = dict(self._names)
        self._unsynced: dict[int, list[Written | Truncated]] = {}

    def go_on(self, step: Step) -> None:
        """Let a step happen."""
        match step:
            case Made(name, file):
                self._names_now[name] = file
                self._synced[file] = bytearray()
            case Removed(name):
                del self._names_now[name]
            case Written(file) | Truncated(file):
                self._unsynced.setdefault(file, []).append(step)
            case Synced(file, names):
                for each in self._unsynced.pop(file, ()):
                    _happen(self._synced[file], each)
                if names:
                    self._names = dict(self._names_now)

    def after_cut(self, draw: random.Random) -> dict[str, bytes]:
        """The files as they may be found after a cut at this moment."""
        if draw.random() < 0.1:
            names = self._names_now
        else:
            either = [(name, draw.choice((self._names, self._names_now))) for name in self._names | self._names_now]
            names = {name: which[name] for name, which in either if name in which}
        return {name: self._content(file, draw) for name, file in names.items()}

    def _content(self, file: int, draw: random.Random) -> bytes:
        content = bytearray(self._synced[file])
        unsynced = self._unsynced.get(file, ())
        keeps = draw.choice(_FATES)(draw, len(unsynced))
        for place, step in enumerate(unsynced):
            if isinstance(step, Truncated):
                if keeps(place, 0):
                    _happen(content, step)
                continue
            for sector in _sectors(step):
                if keeps(place, sector.offset):
                    _happen(content, sector)
        return bytes(content)


def _happen(content: bytearray, step: Written | Truncated) -> None:
    if isinstance(step, Truncated):
        _resize(content, step.size)
        return
    if len(content) < step.offset:
        _resize(content, step.offset)
    content[step.offset : step.offset + len(step.data)] = step.data


def _sectors(write: Written) -> Iterator[Written]:
    """A write in the pieces that a disk makes of it."""
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        then = min(end, begin - begin % SECTOR + SECTOR)
        yield Written(write.file, begin, write.data[begin - write.offset : then - write.offset])
        begin = then


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


# --- what becomes of what was not synced ------------------------------------------------------------------------------


def _all(_draw: random.Random, _writes: int) -> Keeps:
    return lambda _place, _sector: True


def _none(_draw: random.Random, _writes: int) -> Keeps:
    return lambda _place, _sector: False


def _first_ones(draw: random.Random, writes: int) -> Keeps:
    """All up to one write, which is torn."""
    torn = draw.randint(0, writes)
    return lambda place, _sector: place < torn or (place == torn and draw.random() < 0.5)


def _some(draw: random.Random, _writes: int) -> Keeps:
    """Later ones without earlier ones."""
    often = draw.choice((0.1, 0.5, 0.9))
    fates: dict[int, bool] = {}
    return lambda place, _sector: fates.setdefault(place, draw.random() < often)


def _pieces(draw: random.Random, _writes: int) -> Keeps:
    """Sectors, each for itself."""
    often = draw.choice((0.1, 0.5, 0.9))
    return lambda _place, _sector: draw.random() < often


_FATES: Final = (_all, _none, _first_ones, _some, _pieces)
