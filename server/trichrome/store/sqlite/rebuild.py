"""The views anew from the log.

Guarantee: the same tables as if each event had been folded at its commit, row for row; all of it in the caller's
transaction, so that a crash leaves the views as they were.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw

from trichrome.clock import Clock
from trichrome.store.sqlite import claim_index
from trichrome.store.sqlite.alone import alone
from trichrome.store.sqlite.connection import open_file, row, rows
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.folding import fold, fold_apart
from trichrome.store.sqlite.forms import make_again
from trichrome.store.sqlite.rows import SELECT_TASK, task_from
from trichrome.store.sqlite.soft import SoftState
from trichrome.store.sqlite.tables import VIEWS, SqliteTables

LONG: Final = 100_000
"""Events from which on it pays to start processes for the fold."""
CACHE_KIBIBYTES: Final = 64 * 1024
"""Memory for pages while it lasts: with SQLite's usual 2 MiB, pages are written several times."""

_NOT_YET: Final = (
    f"update tasks indexed by tasks_claimable set claimable = 0 where claimable = 1 and {claim_index.HELD_BACK}"
)


def rebuild_alone(path: Path, clock: Clock) -> None:
    """Make the views of a log anew that others have open, while they wait; open attempts get one full period.

    Raises:
        StoreUnavailableError: others did not let go of it, or it cannot be written; the views are as they were.
        StoreTooNewError: a newer program made it.
    """
    with alone(path), translated(path), closing(open_file(path, "full")) as connection:
        connection.execute("begin immediate")
        rebuild_within(SoftState(connection, clock))
        connection.execute("commit")


def rebuild_within(transaction: SoftState) -> None:
    """Rebuild in a transaction, with tables and indexes that are missing, and give open attempts one full period."""
    make_again(transaction.connection)
    leases = rows(transaction.connection, "select task, attempt, ceiling_seconds from leases")
    rebuild(transaction.connection, transaction.clock)
    transaction.restart_leases({task: (attempt, ceiling) for task, attempt, ceiling in leases})


def rebuild(connection: apsw.Connection, clock: Clock) -> None:
    """Empty the views and fold the log into them; the leases of attempts are left to the caller."""
    now = clock.now()
    with _roomy(connection), _without_indexes(connection):
        _empty(connection)
        if not (_pays_apart(connection) and fold_apart(Path(connection.filename), now, connection.executemany)):
            _empty(connection)
            fold(connection, now, connection.executemany)
    _settle(SqliteTables(connection, clock))


def _pays_apart(connection: apsw.Connection) -> bool:
    """Whether there is enough to fold, and somebody to fold it."""
    last = row(connection, "select max(position) from events")
    return last is not None and (last[0] or 0) >= LONG and (os.cpu_count() or 1) > 1 and bool(sys.executable)


def _empty(connection: apsw.Connection) -> None:
    for table in (*VIEWS, "dues", "leases"):
        connection.execute(f"delete from {table}")


@contextmanager
def _roomy(connection: apsw.Connection) -> Iterator[None]:
    usual = connection.pragma("cache_size")
    connection.pragma("cache_size", -CACHE_KIBIBYTES)
    try:
        yield
    finally:
        connection.pragma("cache_size", usual)


@contextmanager
def _without_indexes(connection: apsw.Connection) -> Iterator[None]:
    """Drop the views' indexes, and make them again: sorting once is cheaper than keeping order at each row."""
    found = rows(connection, "select name, sql, tbl_name from sqlite_schema where type = 'index' and sql is not null")
    indexes = [(name, sql) for name, sql, table in found if table in VIEWS]
    for name, _ in indexes:
        connection.execute(f"drop index {name}")
    yield
    for _, sql in indexes:
        connection.execute(sql)


def _settle(tables: SqliteTables) -> None:
    """Take out of the claim index what is not due, paused, or in conflict with a running task."""
    tables.connection.execute(_NOT_YET)
    for columns in rows(tables.connection, f"{SELECT_TASK} where holds is not null"):
        task = task_from(columns)
        assert task.attempt is not None
        claim_index.update_holds(tables, task.id, (), task.attempt.holds)
