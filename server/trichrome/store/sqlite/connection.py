"""Opening the file, and taking turns at writing it.

Writers queue at a lock file that the kernel frees when its holder dies, then begin; SQLite's own busy handler alone
lets one writer starve the others. The wait at the lock has a deadline, so a stopped holder delays others by no more
than that: they go on without the lock and SQLite decides.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from trichrome.errors import StoreTooNewError, StoreUnavailableError
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.version import LATEST, OLDEST_SQLITE

Durability = Literal["full", "fast"]

BUSY_MILLISECONDS: Final = 5_000
"""How long SQLite itself waits for another connection's lock."""
GATE_SECONDS: Final = 2.0
"""How long a writer queues at the gate before it tries without."""
_SPIN_SECONDS: Final = (0.000_2, 0.002)
"""A constant jitter between tries; it held fairness 0.99 with 64 writers, where backing off did not."""


def open_file(path: Path, durability: Durability) -> apsw.Connection:
    """Open the log's file, making and migrating it as needed.

    Raises:
        StoreUnavailableError: it cannot be opened, or this apsw carries a SQLite that can corrupt it.
        StoreTooNewError: a newer program made it.
    """
    if apsw.sqlite_lib_version() and library_version() < OLDEST_SQLITE:
        raise StoreUnavailableError(
            f"apsw here carries SQLite {apsw.sqlite_lib_version()}, which can corrupt a log that several programs "
            "write. Install apsw 3.51.3 or newer."
        )
    with translated(path):
        connection = apsw.Connection(file_name(path))
        try:
            _prepare(path, connection, durability)
        except BaseException:
            connection.close()
            raise
    return connection


def file_name(path: Path) -> str:
    """A path as SQLite takes it, in UTF-8, whatever alphabet the environment speaks.

    Raises:
        StoreUnavailableError: the path is not UTF-8.
    """
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise StoreUnavailableError(
            f"{path} cannot be opened: its name is not UTF-8. Rename the folder, or name another with TRICHROME_HOME."
        ) from error


def _prepare(path: Path, connection: apsw.Connection, durability: Durability) -> None:
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    if version_of(connection) < LATEST:
        _migrate(path, connection)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", {"full": 2, "fast": 1}[durability])
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    try:
        check_version(connection)
    except apsw.SQLError as error:
        raise StoreUnavailableError(
            f"{path} is no trichrome log: {error}. Move it away; the next call makes a new one."
        ) from error


def library_version() -> int:
    """The SQLite that apsw carries, as one number: 3051003 for 3.51.3."""
    major, minor, patch = (int(part) for part in apsw.sqlite_lib_version().split(".")[:3])
    return major * 1_000_000 + minor * 1_000 + patch


def version_of(connection: apsw.Connection) -> int:
    """The form of the file: how many migrations it has had."""
    return int(connection.pragma("user_version"))


def check_version(connection: apsw.Connection) -> None:
    """Refuse a log whose minimum program version is above ours.

    Raises:
        StoreTooNewError: this program is too old for the file.
    """
    row = connection.execute("select minimum_version from log where id = 1").fetchone()
    if row is not None and row[0] > LATEST:
        raise StoreTooNewError(
            f"This log needs a newer trichrome (form {row[0]}; this one knows {LATEST}). Upgrade it and restart this "
            "session. Attempts are kept."
        )


def _migrate(path: Path, connection: apsw.Connection) -> None:
    from filelock import FileLock, Timeout

    from trichrome.store.sqlite.migrations import pending

    try:
        with FileLock(f"{path}.migrate", timeout=60):
            connection.pragma("journal_mode", "wal")  # two that switch at once are refused at once, so behind the lock
            connection.execute("begin immediate")
            with connection:
                version = version_of(connection)
                for sql, parameters in pending(version) if version < LATEST else ():
                    connection.execute(sql, parameters)
                connection.pragma("user_version", max(version, LATEST))
            connection.execute("commit")
    except Timeout as error:
        raise StoreUnavailableError(
            f"Another program has been migrating {path} for a minute. Try again when it is done."
        ) from error


class Gate:
    """Taking turns: a lock on a file beside the log, freed by the kernel when its holder dies."""

    def __init__(self, path: Path, *, seconds: float = GATE_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._file: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for our turn, or for the deadline, and hold it."""
        file = self._opened()
        held = self._take(file)
        try:
            yield
        finally:
            if held:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _opened(self) -> int:
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreUnavailableError(
                    f"{self._path} cannot be written ({error.strerror}), so nothing was changed. "
                    "Make the folder writable for this user, and see that its disk is not full."
                ) from error
        return self._file

    def _take(self, file: int) -> bool:
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(random.uniform(*_SPIN_SECONDS))
            else:
                return True

    def close(self) -> None:
        """Let go of the lock file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def rows(connection: apsw.Connection, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Every row of a query."""
    return list(connection.execute(sql, parameters))


def row(connection: apsw.Connection, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
    """The first row of a query."""
    found: tuple[Any, ...] | None = connection.execute(sql, parameters).fetchone()
    return found
