"""What `doctor` asks about the library and a file, without changing either."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from trichrome.store.sqlite.connection import file_name, library_version, row, rows, version_of
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.version import OLDEST_SQLITE

_FAULTS: Final = 5


def library() -> tuple[str, bool]:
    """The SQLite that apsw carries, and whether it is free of the bug that can corrupt a log."""
    return apsw.sqlite_lib_version(), library_version() >= OLDEST_SQLITE


def form(path: Path) -> int:
    """How many migrations a file has had.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    with translated(path):
        connection = apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return version_of(connection)
        finally:
            connection.close()


def counts(path: Path) -> tuple[int, int]:
    """How many events and tasks a file holds.

    Raises:
        StoreUnavailableError: it cannot be read.
    """
    with translated(path):
        connection = apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = row(connection, "select (select count(*) from events), (select count(*) from tasks)")
        finally:
            connection.close()
    assert found is not None
    return found[0], found[1]


def damage(path: Path) -> list[str]:
    """What is wrong with a file's pages and indexes, the first few faults; none when all is well.

    Raises:
        StoreUnavailableError: it is too damaged to be looked through, or cannot be read.
    """
    with translated(path):
        connection = apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            found = [text for (text,) in rows(connection, f"pragma quick_check({_FAULTS})")]
        finally:
            connection.close()
    return [] if found == ["ok"] else found
