"""What a file of some form consists of: its tables, indexes and triggers, and what of it is missing or changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import apsw

from trichrome.store.sqlite.connection import rows, version_of
from trichrome.store.sqlite.tables import VIEWS
from trichrome.store.sqlite.version import LATEST

_MADE_AGAIN: Final = (*VIEWS, "dues", "leases")
"""Tables that a rebuild fills."""
_SCHEMA: Final = "select type, name, sql from sqlite_schema where sql is not null"
_SPELLING: Final = re.compile(r'[\s"`\[\]]+')
"""What libraries of different versions write differently, and means the same."""


@dataclass(frozen=True, slots=True)
class Lack:
    """What is missing in a file, or is not what it should be, a line each.

    Attributes:
        lost: tables whose rows nothing else tells.
        made_again: what a rebuild of the views makes again.
    """

    lost: list[str]
    made_again: list[str]


def lack(connection: apsw.Connection) -> Lack:
    """What a file lacks of its form; of one that a newer program made nothing is known."""
    wrong = _wrong(connection)
    told = {(kind, name): f"{kind} {name} is {how}" for (kind, name), how in wrong.items()}
    lost = [line for (kind, name), line in told.items() if kind == "table" and name not in _MADE_AGAIN]
    return Lack(lost, [line for line in told.values() if line not in lost])


def make_again(connection: apsw.Connection) -> None:
    """Make what a file lacks, in the caller's transaction; the rows of such tables are left to a rebuild."""
    for (kind, name), how in _wrong(connection).items():
        if how == "changed":
            connection.execute(f"drop {kind} {name}")
    missing = _wrong(connection)  # with a table its indexes went
    for named, sql in _right(version_of(connection)).items():
        if named in missing:
            connection.execute(sql)


def _wrong(connection: apsw.Connection) -> dict[tuple[str, str], str]:
    """How what is not as it should be differs, by sort and name."""
    version = version_of(connection)
    if version > LATEST:
        return {}
    here = {(kind, name): sql for kind, name, sql in rows(connection, _SCHEMA)}
    return {
        named: "changed" if named in here else "missing"
        for named, sql in _right(version).items()
        if named not in here or _spelled(here[named]) != _spelled(sql)
    }


def _right(version: int) -> dict[tuple[str, str], str]:
    """What a file of a form consists of, each after what it hangs on."""
    import sqlite_utils

    from trichrome.store.sqlite.migrations import MIGRATIONS

    fresh = sqlite_utils.Database(memory=True)
    try:
        for step in list(MIGRATIONS.pending(fresh))[:version]:
            step.fn(fresh)
        return {(kind, name): sql for kind, name, sql in fresh.execute(_SCHEMA)}
    finally:
        fresh.close()


def _spelled(sql: str) -> str:
    return _SPELLING.sub("", sql).lower()
