"""Opening the file: made and migrated as needed, with a SQLite that cannot corrupt it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from trichrome.errors import StoreDamagedError, StoreTooNewError, StoreUnavailableError
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.parts import has_bytes, wal_of
from trichrome.store.sqlite.version import LATEST, OLDEST_SQLITE
from trichrome.version import VERSION

Durability = Literal["full", "fast"]

BUSY_MILLISECONDS: Final = 5_000
"""How long SQLite itself waits for another connection's lock."""
_HERE: Final = Path(__file__).resolve().parents[3]
"""Where this program is installed."""


def open_file(path: Path, durability: Durability, *, vfs: str | None = None) -> apsw.Connection:
    """Open the log's file, making and migrating it as needed.

    Args:
        path: the file.
        durability: whether each commit is synced.
        vfs: the layer of SQLite through which the disk is reached, by its name; None for the usual one.

    Raises:
        StoreUnavailableError: it cannot be opened, or this apsw carries a SQLite that can corrupt it.
        StoreDamagedError: it is missing or empty, and what is left beside it shows that it was not always.
        StoreTooNewError: a newer program made it.
    """
    if library_version() < OLDEST_SQLITE:
        raise StoreUnavailableError(
            f"apsw here carries SQLite {apsw.sqlite_lib_version()}, which can corrupt a log that several programs "
            "write. Install apsw 3.51.3 or newer."
        )
    with translated(path):
        if not has_bytes(path):
            _check_is_first(path)
        connection = apsw.Connection(file_name(path), vfs=vfs)
        try:
            _prepare(path, connection, durability)
        except BaseException:
            connection.close()
            raise
    return connection


def _check_is_first(path: Path) -> None:
    """Refuse to begin a new log where one is missing: it would give the old one's numbers out again.

    Raises:
        StoreDamagedError: a WAL or backups of it are there.
    """
    wal = wal_of(path)
    if has_bytes(wal):
        raise StoreDamagedError(
            f"{path} is missing or empty, though {wal.name} beside it holds what was written last; nothing was "
            "changed. If the file was moved away, put it back. Else `trichrome repair --log` makes a new one of what "
            "is left and of the backups, and `trichrome restore --latest` takes the newest backup alone."
        )
    if not any(path.parent.glob("*/*.db")):
        return  # as nearly always: the first call in a project is not to pay for what follows
    from trichrome.store.sqlite.backups import folder_of, found

    if any(backup.events for backup in found(folder_of(path))):
        raise StoreDamagedError(
            f"{path} is missing or empty, though there are backups of it in {folder_of(path)}; nothing was changed. "
            "If the file was moved away, put it back. Else run `trichrome restore --latest`. To begin a new log, move "
            f"{path.parent} away."
        )


def file_name(path: Path) -> str:
    """A path as SQLite takes it, in UTF-8, whatever alphabet the environment speaks.

    Raises:
        StoreUnavailableError: the path is not UTF-8.
    """
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise StoreUnavailableError(
            f"{path} cannot be opened, so nothing was changed: its name is not UTF-8. Rename the folder, or name "
            "another with TRICHROME_HOME; `trichrome doctor` says which one is meant."
        ) from error


def _prepare(path: Path, connection: apsw.Connection, durability: Durability) -> None:
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    # Without it a library built with STAT4, as apsw's is, plans a query with ORDER BY anew for each bound value: two
    # thirds of such a statement's time (docs/decisions/0011).
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    if version_of(connection) < LATEST:
        _migrate(path, connection)
    connection.pragma("journal_mode", "wal")
    sync_as(connection, durability)
    connection.pragma("journal_size_limit", 64 * 1024 * 1024)
    try:
        check_version(connection)
    except apsw.SQLError as error:
        raise StoreDamagedError(
            f"{path} holds no trichrome log ({error}), so nothing was changed. `trichrome repair --log` says what it "
            "would save of it; the file is kept."
        ) from error


def sync_as(connection: apsw.Connection, durability: Durability) -> None:
    """Have each commit synced from here on, or only what a checkpoint relies on.

    The pragmas about `fullfsync` matter on macOS, where a plain sync leaves data in the drive's own memory.
    """
    connection.pragma("synchronous", {"full": 2, "fast": 1}[durability])
    connection.pragma("fullfsync", durability == "full")
    connection.pragma("checkpoint_fullfsync", True)


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
            f"A newer trichrome has changed this log: it has form {row[0]}, and this one, {VERSION} in {_HERE}, knows "
            f"{LATEST}. Nothing was changed, and attempts are kept. Upgrade that one as you installed it "
            f"(README), even if both call themselves {VERSION}, and restart this session; `trichrome doctor` checks it."
        )


def _migrate(path: Path, connection: apsw.Connection) -> None:
    from filelock import FileLock, Timeout

    try:
        with FileLock(f"{path}.migrate", timeout=60):
            _back_up(path, connection)
            connection.pragma("journal_mode", "wal")  # two that switch at once are refused at once, so behind the lock
            migrate(connection)
    except Timeout as error:
        raise StoreUnavailableError(
            f"Another program has been bringing {path} to a newer form for a minute, so nothing was changed here. Try "
            "again when it is done; `trichrome doctor` says whether it is."
        ) from error


def migrate(connection: apsw.Connection) -> None:
    """Bring a file to the newest form, in one transaction."""
    from trichrome.store.sqlite.migrations import pending

    connection.execute("begin immediate")
    with connection:
        version = version_of(connection)
        for sql, parameters in pending(version) if version < LATEST else ():
            connection.execute(sql, parameters)
        connection.pragma("user_version", max(version, LATEST))
    connection.execute("commit")


def _back_up(path: Path, connection: apsw.Connection) -> None:
    """Keep a log as it is before its form changes, and say so; one without events is not worth it.

    Raises:
        StoreUnavailableError: no backup can be made; then nothing else is done either.
    """
    version = version_of(connection)
    if not 0 < version < LATEST or row(connection, "select 1 from events limit 1") is None:
        return
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite.backups import back_up, folder_of

    made = back_up(path, folder_of(path), reason="migration", clock=SystemClock())
    sys.stderr.write(
        f"trichrome: {path} is brought from form {version} to {LATEST}, for this version. As it was, it is kept in "
        f"{made.path}\n"
    )


def rows(connection: apsw.Connection, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Every row of a query."""
    return list(connection.execute(sql, parameters))


def row(connection: apsw.Connection, sql: str, *parameters: Any) -> tuple[Any, ...] | None:
    """The first row of a query."""
    found: tuple[Any, ...] | None = connection.execute(sql, parameters).fetchone()
    return found
