"""Opening the file: made and migrated as needed, with a SQLite that cannot corrupt it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from trichrome.errors import StoreTooNewError, StoreUnavailableError
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.version import LATEST, OLDEST_SQLITE

Durability = Literal["full", "fast"]

BUSY_MILLISECONDS: Final = 5_000
"""How long SQLite itself waits for another connection's lock."""


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
    # Without it a library built with STAT4, as apsw's is, plans a query with ORDER BY anew for each bound value: two
    # thirds of such a statement's time (docs/decisions/0011).
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
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


def rows(connection: apsw.Connection, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Every row of a query."""
    return list(connection.execute(sql, parameters))


def row(connection: apsw.Connection, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
    """The first row of a query."""
    found: tuple[Any, ...] | None = connection.execute(sql, parameters).fetchone()
    return found
