"""Noticing that the log has changed: SQLite's own change counter, and a bell that says when to look at it.

Guarantee: every commit of another connection after the mark ends a sleep, whoever made it. This program rings after
each commit, which ends it at once; where nobody rang (the one who should was killed, or is another program), half a
second does. Without a sleeper nothing polls, and a ring is one call to the kernel, which refuses it.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw

from trichrome.store.sqlite.alone import sharing
from trichrome.store.sqlite.connection import file_name
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.succession import identity

UNRUNG_SECONDS: Final = 0.5
"""How long a sleeper trusts in the bell before it looks all the same."""
POLL_SECONDS: Final = 0.01
"""How often a sleeper looks where no bell can hang; a look takes some microseconds."""

_RING: Final = os.O_WRONLY | os.O_NONBLOCK


class Bell:
    """A named pipe that carries nothing: opening it to write, and closing it, wakes all who hold it open to read.

    The kernel knows who listens and forgets who died, so nothing is registered and nothing is left to tidy up. The
    name begins with a dot because a shell's `*` would name it otherwise, and whoever reads a pipe waits.
    """

    def __init__(self, log: Path) -> None:
        self._path = os.fspath(log.with_name(f".{log.name}.bell"))

    def ring(self) -> None:
        """Wake whoever listens."""
        try:  # noqa: SIM105 - once a transaction, at half the time of `suppress`
            os.close(os.open(self._path, _RING))
        except OSError:
            pass  # nobody listens

    def listen(self) -> int | None:
        """A file descriptor that is hung up by every ring from here on; None where no bell can hang."""
        try:
            with suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            return os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return None


class SqliteWatch:
    """`data_version` on a connection of its own, which shows every other connection's commits.

    It follows a log that a repair has put another file in the place of; that is a change too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bell = Bell(path)
        self._name = os.fspath(path)
        self._ear: int | None = None
        self._open()

    def _open(self) -> None:
        with sharing(self._path), translated(self._path):
            self._connection = apsw.Connection(file_name(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(1000)
            self._connection.pragma("data_version")  # opens the WAL too, while it is the one of this file
            self._identity = identity(self._name)

    def mark(self) -> object:
        found = identity(self._name)
        if found is not None and found != self._identity:
            former = self._connection
            self._open()
            former.close()
        with translated(self._path):
            return found, self._connection.pragma("data_version")

    def sleep(self, mark: object, *, at_most_seconds: float) -> None:
        deadline = time.monotonic() + at_most_seconds
        while True:
            self._listen()  # before the look, so that no ring falls between
            if self.mark() != mark or (left := deadline - time.monotonic()) <= 0:
                return
            if self._hears(min(left, UNRUNG_SECONDS)) and self.mark() == mark:
                time.sleep(min(left, POLL_SECONDS))  # it rang for nothing: let that not keep a processor busy

    def _listen(self) -> None:
        """Listen anew: a pipe that was hung up once stays so."""
        before, self._ear = self._ear, self._bell.listen()
        if before is not None:
            os.close(before)

    def _hears(self, seconds: float) -> bool:
        """Wait for a ring; answers whether there was one, or there may have been."""
        if self._ear is None:
            return True
        poll = select.poll()
        poll.register(self._ear)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        if self._ear is not None:
            os.close(self._ear)
            self._ear = None
        self._connection.close()
