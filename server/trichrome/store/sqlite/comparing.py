"""Two logs beside each other: what one holds that the other does not, and whether one goes on from the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from trichrome.domain import tails
from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite.connection import row, rows
from trichrome.store.sqlite.looking import looking

_SAME: Final = (
    "select 1 from {there}.events as same "
    "where same.stream = event.stream and same.version = event.version and same.digest = event.digest"
)
_LACKING: Final = f"from {{here}}.events as event where not exists ({_SAME})"
_BEYOND: Final = f"select stream, min(version), count(*) {_LACKING} group by stream order by min(position)"
_CONTINUES: Final = (
    f"select not exists (select 1 {_LACKING.format(here='other', there='main')}) or ("
    f"exists (select 1 {_LACKING.format(here='main', there='other')} and stream = ? and kind = 'LogSalvaged') and "
    f"exists (select 1 from other.events as event where exists ({_SAME.format(there='main')})))"
)
"""A log that was salvaged or put back says so itself, and what it lost is aside."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a log holds beyond a backup.

    Attributes:
        streams: those that the log has more events in, by the first version that the backup lacks.
        events: how many those are.
        returning: how many events the backup holds that the log does not.
        positions: how much farther the log goes.
    """

    streams: dict[str, int]
    events: int
    returning: int
    positions: int


def compare(path: Path, backup: Path) -> Difference | None:
    """What a log holds beyond a backup; None where either cannot be read."""
    try:
        with _beside(path, backup) as both:
            missing = rows(both, _BEYOND.format(here="main", there="other"))
            returning = rows(both, _BEYOND.format(here="other", there="main"))
            here = row(both, "select coalesce(max(position), 0) from main.events")
            there = row(both, "select coalesce(max(position), 0) from other.events")
    except (StoreUnavailableError, apsw.Error):
        return None
    assert here is not None
    assert there is not None
    return Difference(
        {stream: version for stream, version, _ in missing},
        sum(count for *_, count in missing),
        sum(count for *_, count in returning),
        max(0, here[0] - there[0]),
    )


def continues(path: Path, backup: Path) -> bool | None:
    """Whether a log holds all that a backup does, or says itself that it lost some of it; None where nobody can tell.

    One that was begun anew after the log was removed, or an older one that was put there by hand, does not.
    """
    try:
        with _beside(path, backup) as both:
            found = row(both, _CONTINUES, tails.LOG)
    except (StoreUnavailableError, apsw.Error):
        return None
    return found is not None and bool(found[0])


@contextmanager
def _beside(path: Path, other: Path) -> Iterator[apsw.Connection]:
    """A log, and another one attached to it as `other`."""
    with looking(path) as both:
        both.execute("attach ? as other", (f"{other.resolve().as_uri()}?mode=ro",))
        yield both
