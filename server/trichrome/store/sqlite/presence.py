"""Who is there, taken over into a new log: it is true of now, and stands in no event."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw

from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite.connection import rows
from trichrome.store.sqlite.looking import looking

PRESENT: Final = ("principals", "workers", "worker_names", "signs", "fleet")
"""Tables of who is there."""
CALLED: Final = {
    "principals": "servers",
    "workers": "their workers",
    "worker_names": "names that are taken",
    "signs": "signs of life",
    "fleet": "what a supervisor noted",
    "leases": "deadlines of attempts",
}
"""What people call what is in a table that may be taken over."""


def take_over(log: apsw.Connection, path: Path, tables: Sequence[str]) -> tuple[str, ...]:
    """Take over tables from another log as far as they can be read; a table of which nothing can be read stays.

    Args:
        log: the new one, within a transaction.
        path: the other one, of this form or an older one; it may be damaged, or missing.
        tables: which.

    Returns:
        Those of which something may be missing.
    """
    absent = list(tables)
    with suppress(StoreUnavailableError), looking(path) as old:
        for table in tables:
            if _is_taken(log, old, table):
                absent.remove(table)
    return tuple(absent)


def _is_taken(log: apsw.Connection, old: apsw.Connection, table: str) -> bool:
    """Whether a table was taken over as a whole."""
    names, is_whole = "", False
    found: list[tuple[Any, ...]] = []
    with suppress(apsw.Error, UnicodeDecodeError):
        theirs = _columns(old, table)
        names = ", ".join(name for name in _columns(log, table) if name in theirs)
        found.extend(old.execute(f"select {names} from {table}"))  # up to where it is damaged
        is_whole = True
    if found or is_whole:
        log.execute(f"delete from {table}")
    for row in found:
        with suppress(apsw.ConstraintError):  # a value that is none of its column was hit
            log.execute(f"insert or ignore into {table} ({names}) values ({', '.join('?' * len(row))})", row)
    return is_whole


def _columns(log: apsw.Connection, table: str) -> list[str]:
    return [str(name) for _, name, *_ in rows(log, f"pragma table_info({table})")]
