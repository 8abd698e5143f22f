"""The files that a session writes to, and how they are read.

Guarantee: they are this user's alone, and reading them takes bounded memory and keeps up, however much is written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

_LINE_BYTES: Final = 8 * 1024 * 1024
"""The longest line that is read whole, and how much one call reads."""
_BEHIND_BYTES: Final = 64 * 1024 * 1024
"""How far reading may fall behind; what is older is passed over. No program that says something writes so fast."""
_CHUNK_BYTES: Final = 1024 * 1024
_TAIL_BYTES: Final = 4096


def opened(path: Path) -> IO[bytes]:
    """A new file for this user alone; an earlier one is kept as `.1`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.1"))
    # Appending, so that all that write to it add to it.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "wb")


def tail(path: Path) -> str:
    """The end of a file, as text."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        return file.read(_TAIL_BYTES).decode("utf-8", "replace").strip()
    return ""


class Output:
    """A file that grows, read line by line.

    It is opened for each call, so that a session that is forgotten holds nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self._begun = bytearray()

    def lines(self, *, is_over: bool) -> list[bytes]:
        """Complete lines since the last call, without their ends; none when there are no more for now.

        Args:
            is_over: whether nothing more will be written, so that a line begun is a line.
        """
        found: list[bytes] = []
        read = 0
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) - self._place > _BEHIND_BYTES:
                self._pass_over(file)
            file.seek(self._place)
            while read < _LINE_BYTES or not found:
                chunk = file.read(_CHUNK_BYTES)
                if not chunk:
                    return found + (self._taken() if is_over and self._begun else [])
                read += len(chunk)
                self._place += len(chunk)
                *ends, begun = chunk.split(b"\n")
                for end in ends:
                    self._begin(end)
                    found += self._taken()
                self._begin(begun)
        return found

    def _pass_over(self, file: IO[bytes]) -> None:
        """Go on at the first whole line of the last stretch."""
        self._place = file.seek(-_LINE_BYTES, os.SEEK_END)
        self._place += len(file.readline(_LINE_BYTES))
        self._begun.clear()

    def _begin(self, part: bytes) -> None:
        self._begun += part[: _LINE_BYTES - len(self._begun)]

    def _taken(self) -> list[bytes]:
        line = bytes(self._begun)
        self._begun.clear()
        return [line]
