"""Whether the log may have lost its tail.

Nobody can see afterwards that the last commits of a file that is not synced at each are gone; but that the machine has
started anew since they were made, can be seen. So the file says in which boots it was written so, and the first to
open it in another one appends to the stream `log` that a tail may be lost.

Guarantee: both are synced before anything else is given out, whatever `durability` says. So a mark outlives all that
was given out under it, and each further cut adds a tail to be counted.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Final

import apsw

from trichrome.clock import Instant
from trichrome.domain import tails
from trichrome.domain.events import LogEvent, LogReopened, LogSalvaged
from trichrome.store import codec
from trichrome.store.sqlite.connection import Durability, row, rows, sync_as
from trichrome.store.sqlite.rows import INSERT_EVENT_AT, event

BYTES_AN_EVENT: Final = 120
"""Fewer than an event takes, with its place in the index."""
_UNKNOWN: Final = "streams that nobody knows of"
_NAMED: Final = 50
"""Streams that the log names as having lost events."""
_SYNCED: Final = "~"
"""Stands before a boot that is known, but in which each commit was synced, or of which the log tells already."""
_BOOTS: Final = 8
"""The boots that are known: more than anybody gives different names at once."""


def note_boot(connection: apsw.Connection, now: Instant, durability: Durability) -> None:
    """Note that a file is opened, where that may matter to whoever opens it after the next power cut.

    A boot that is noted stays so while it lasts, whoever opens the file: others may be writing without syncing. Those
    who give one boot different names, as a sandbox may, are told of once each.
    """
    if not _is_news(connection, now.boot, durability):
        return
    sync_as(connection, "full")
    try:
        connection.execute("begin immediate")
        if _is_news(connection, now.boot, durability):  # somebody may have been quicker
            _note(connection, now, durability)
        connection.execute("commit")
    finally:
        if connection.in_transaction:
            connection.execute("rollback")
        sync_as(connection, durability)


def stay_noted(connection: apsw.Connection, now: Instant, durability: Durability) -> None:
    """Begin a transaction that just began anew, if its boot has to be noted first.

    Whoever opened the file since, and took this boot for an earlier one, took its mark away; each does so once.
    """
    if durability == "fast" and not _noted(connection).get(now.boot, False):
        connection.execute("rollback")
        note_boot(connection, now, durability)
        connection.execute("begin immediate")


def _is_news(connection: apsw.Connection, boot: str, durability: Durability) -> bool:
    noted = _noted(connection)
    if durability == "fast" and not noted.get(boot, False):
        return True
    return boot not in noted and any(noted.values())


def _noted(connection: apsw.Connection) -> dict[str, bool]:
    """The boots that are known, oldest first, with whether somebody wrote in them without syncing each commit."""
    found = row(connection, "select boot from log where id = 1")
    words = (found[0] or "").split() if found is not None else []
    return {word.removeprefix(_SYNCED): not word.startswith(_SYNCED) for word in words}


def _note(connection: apsw.Connection, now: Instant, durability: Durability) -> None:
    noted = _noted(connection)
    if now.boot not in noted and (unsynced := [boot for boot, is_marked in noted.items() if is_marked]):
        append(connection, LogReopened(boot=unsynced[-1]), wall=now.wall)
        noted = dict.fromkeys(noted, False)
    noted.pop(now.boot, None)  # the newest come last
    noted[now.boot] = durability == "fast"
    words = [boot if is_marked else _SYNCED + boot for boot, is_marked in noted.items()]
    connection.execute("update log set boot = ? where id = 1", (" ".join(words[-_BOOTS:]),))


def append(connection: apsw.Connection, said: LogEvent, *, wall: float, above: int = 0) -> None:
    """Append to the stream of the log itself, at a position above all that the lost tail can have held.

    Positions that were given out there are readers' cursors; none of them may stand above what comes now.

    Args:
        connection: within a transaction.
        said: the event.
        wall: when, in seconds since 1970.
        above: a position that is known to have been given out there.
    """
    head = row(
        connection, "select version, digest from events where stream = ? order by version desc limit 1", tails.LOG
    )
    version, previous = head or (0, codec.NO_DIGEST)
    last = row(connection, "select max(position) from events")
    position = max(above, last[0] or 0 if last else 0) + tails.EVENTS + 1
    values = event(
        said,
        stream=tails.LOG,
        version=version + 1,
        previous=previous,
        recorded_at=wall,
        actor="trichrome",
        causation="open",
    )
    connection.execute(INSERT_EVENT_AT, (position, *values))


def append_losses(
    connection: apsw.Connection,
    holes: Mapping[str, int] | None,
    *,
    lost: int,
    wall: float,
    above: int = 0,
    backup: str | None = None,
) -> None:
    """Say which streams lost events, and let the numbers jump over as many as those may have given out.

    The first event names no holes where nothing is known to be lost, and those after it never do.

    Args:
        connection: within a transaction.
        holes: the streams, by the first version that is missing; None where nobody knows.
        lost: how many events there were at most in what is lost.
        wall: when, in seconds since 1970.
        above: the highest position that is known to have been given out.
        backup: the name of the one that was put in the log's place.
    """
    known = holes or {}
    named = [f"{stream} from {version}" for stream, version in itertools.islice(known.items(), _NAMED)]
    if holes is None or (lost and not holes):
        named.append(_UNKNOWN)
    if len(known) > _NAMED:
        named.append(f"{len(known) - _NAMED} more")
    append(connection, LogSalvaged(tuple(named), backup=backup), wall=wall, above=above)
    for _ in range(lost // tails.NUMBERS):
        append(connection, LogSalvaged((), backup=backup), wall=wall)


def positions(connection: apsw.Connection) -> tuple[int, ...]:
    """Where the log may have lost its tails.

    Whoever has the file open needs none that others add meanwhile: they take one boot for two, and nothing is lost. A
    tail goes with all who had the file open, and a repair puts another file there.
    """
    return tuple(each for (each,) in rows(connection, "select position from events where stream = ?", tails.LOG))
