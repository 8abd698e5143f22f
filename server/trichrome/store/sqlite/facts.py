"""What `doctor` asks about the library and a file, without changing either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from trichrome.errors import StoreDamagedError, StoreUnavailableError
from trichrome.store.sqlite.alone import sharing
from trichrome.store.sqlite.chain import walk
from trichrome.store.sqlite.connection import file_name, library_version, row, rows, version_of
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.forms import lack
from trichrome.store.sqlite.looking import looking, undisturbed
from trichrome.store.sqlite.parts import has_bytes, wal_of
from trichrome.store.sqlite.version import OLDEST_SQLITE

_FAULTS: Final = 20


def library() -> tuple[str, bool]:
    """The SQLite that apsw carries, and whether it is free of the bug that can corrupt a log."""
    return apsw.sqlite_lib_version(), library_version() >= OLDEST_SQLITE


def form(path: Path) -> int:
    """How many migrations a file has had.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    with _reading(path) as connection:
        return version_of(connection)


def counts(path: Path) -> tuple[int, int]:
    """How many events and tasks a file holds.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    with _reading(path) as connection:
        found = row(connection, "select (select count(*) from events), (select count(*) from tasks)")
    assert found is not None
    return found[0], found[1]


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    with (
        sharing(path),
        translated(path),
        closing(apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection,
    ):
        yield connection


def is_begun(path: Path) -> bool:
    """Whether a log holds an event, or may: nobody knows of one that cannot be read."""
    try:
        with looking(path) as connection:
            return row(connection, "select 1 from events limit 1") is not None
    except (StoreUnavailableError, apsw.Error):
        return has_bytes(path)


def damage(path: Path) -> list[str]:
    """What is wrong with the log itself: its pages, its tables, or its chains of digests; none when it is whole.

    Nothing is made or changed.

    Raises:
        StoreUnavailableError: it cannot be read, though it may be whole.
    """

    def look() -> list[str]:
        with looking(path) as connection:
            return page_faults(connection) or lack(connection).lost or walk(connection).faults

    wal = wal_of(path)
    if not has_bytes(path) and has_bytes(wal):
        return [f"{path.name} is missing or empty, though {wal.name} is there"]
    try:
        return undisturbed(look)
    except StoreDamagedError as error:
        return [str(error.__cause__ or error)]
    except apsw.SQLError as error:
        return [str(error)]


def missing(path: Path) -> list[str]:
    """What a rebuild of the views makes again, since it is missing or changed.

    Raises:
        StoreUnavailableError: it cannot be read, or is damaged.
    """

    def look() -> list[str]:
        with looking(path) as connection:
            return lack(connection).made_again

    return undisturbed(look)


def page_faults(connection: apsw.Connection) -> list[str]:
    """What is wrong with the pages, rows and indexes of an open file, the first few faults."""
    found = [line for (told,) in rows(connection, f"pragma integrity_check({_FAULTS})") for line in told.splitlines()]
    return [] if found == ["ok"] else found
