"""Which of the events that are found anywhere make up the log.

Guarantee: every stream is whole from its first event to where it is cut, each event naming the digest of the one before
it; positions are those that were found, rise within a stream, and belong to one event. Where sources contradict each
other, the log's file is right before its WAL, that before the backups in their order, and those before what the WAL
holds beyond its commits. What is not chosen stays known, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import apsw

from trichrome.domain import tails
from trichrome.store import codec
from trichrome.store.sqlite.connection import file_name, row, rows
from trichrome.store.sqlite.pages import Part, Remains
from trichrome.store.sqlite.records import Columns
from trichrome.store.sqlite.rows import proves_itself

COLUMNS: Final = "stream, version, schema, kind, payload, recorded_at, actor, causation, previous, digest"
_SOURCES: Final[dict[Part, int]] = {"file": 0, "wal": 1, "uncommitted": 1_000_000}
"""The better ones have lower numbers; backups stand between."""
_NAMES: Final[dict[Part, str]] = {"file": "the log", "wal": "its WAL", "uncommitted": "its WAL, not committed"}

_OF_FOUND: Final = ", ".join(f"found.{column}" for column in COLUMNS.split(", "))

_TABLES: Final = f"""
    create table sources (source integer primary key, name text);
    create table found (
        id integer primary key, source integer, position integer, stream text, version integer, schema integer,
        kind text, payload text, recorded_at real, actor text, causation text, previous blob, digest blob,
        is_past integer default 0, unique (digest, position)
    );
    create index found_by_stream on found (stream, version, source);
    create table named (
        source integer, stream text, version integer, position integer, unique (stream, version, position)
    );
    create table chosen (id integer, source integer, position integer, stream text, version integer);
    create index chosen_by_position on chosen (position);
    create index chosen_by_stream on chosen (stream, version);
    insert into sources values {", ".join(f"({source}, '{_NAMES[part]}')" for part, source in _SOURCES.items())};
"""
_PUT: Final = (
    f"insert into found (source, position, {COLUMNS}) values ({', '.join('?' * 12)}) "
    "on conflict do update set source = min(source, excluded.source)"
)
_PUT_NAME: Final = (
    "insert into named values (?, ?, ?, ?) on conflict do update set source = min(source, excluded.source)"
)
_FORK: Final = """
    select min(position) from found as one where source = ?1 and exists (
        select 1 from found as other where other.stream = one.stream and other.version = one.version
        and other.digest <> one.digest and other.source < ?1 and not other.is_past
    )
"""
_IS_NAMED: Final = """
    exists (select 1 from named where named.stream = {0}.stream and named.version = {0}.version
    and named.position = {0}.position)
"""
_STREAMS: Final = f"""
    select stream, version, id, source, position, previous, digest from found
    where not is_past and (stream = ?1) = ?2 order by stream, version, {_IS_NAMED.format("found")} desc, source
"""
"""Of events in the same place, and of copies of one with different positions, first those that the index knows."""
_CONTESTED: Final = "select position from chosen group by position having count(*) > 1 order by position"
_CONTENDERS: Final = f"""
    select stream, version from chosen where position = ? order by {_IS_NAMED.format("chosen")} desc, source, stream
"""
_HOLES: Final = """
    select known.stream, coalesce(kept.version, 0) + 1 from (
        select stream, max(version) as version, min(position) as position from (
            select stream, version, position from found where not is_past
            union all select stream, version, position from named
        ) group by stream
    ) as known left join (select stream, max(version) as version from chosen group by stream) as kept
    on kept.stream = known.stream where known.version > coalesce(kept.version, 0) order by known.position
"""
_LEFT: Final = f"""
    select position, {COLUMNS}, (select name from sources where sources.source = found.source),
        case when is_past then 'it is of another past'
        when exists (select 1 from chosen where chosen.stream = found.stream and chosen.version = found.version)
        then 'another event stands in its place' else 'what came before it is lost' end
    from found where not exists (
        select 1 from chosen join found as kept on kept.id = chosen.id where chosen.stream = found.stream
        and chosen.version = found.version and kept.digest = found.digest
    ) order by position
"""


class Gathering:
    """Everything found so far, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = apsw.Connection(file_name(path))
        self._db.pragma("journal_mode", "off")
        self._db.pragma("synchronous", 0)
        self._db.execute(_TABLES)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # --- finding ------------------------------------------------------------------------------------------------------

    def take_log(self, remains: Remains) -> None:
        """Take what is left of the log itself."""
        with self._db:
            for trace in remains.traces():
                source = _SOURCES[trace.part]
                if not self._take(source, trace.position, trace.readings):
                    self._db.execute(_PUT_NAME, (source, trace.stream, trace.version, trace.position))

    def take_backup(self, remains: Remains, name: str) -> None:
        """Take what is left of a backup; of what it only names, nobody knows whether it was ever lost."""
        with self._db:
            last = row(self._db, "select max(source) from sources where source < ?", _SOURCES["uncommitted"])
            source = last[0] + 1 if last else 0
            self._db.execute("insert into sources values (?, ?)", (source, name))
            for trace in remains.traces():
                self._take(source, trace.position, trace.readings)

    def _take(self, source: int, position: int, readings: Iterator[Columns]) -> bool:
        event = next((each for each in readings if proves_itself(each)), None)
        if event is not None:
            self._db.execute(_PUT, (source, position, *event))
        return event is not None

    # --- choosing -----------------------------------------------------------------------------------------------------

    def choose(self) -> None:
        """Decide what makes up the log."""
        with self._db:
            self._leave_forks()
            self._choose_streams(is_log=True)
            for (jump,) in rows(self._db, "select position from chosen"):
                # Nothing was ever put there, so what bears such a position is of a past that a restore did away with.
                self._db.execute(
                    "update found set is_past = 1 where position between ? and ? and stream <> ?",
                    (jump - tails.EVENTS, jump - 1, tails.LOG),
                )
            self._choose_streams(is_log=False)
            self._give_positions()

    def _leave_forks(self) -> None:
        """From where on a WAL or a backup tells another story than the log does, it is of another log or past."""
        others = "select source from sources where source > 0 and source < ? order by source"
        for (source,) in rows(self._db, others, _SOURCES["uncommitted"]):
            fork = row(self._db, _FORK, source)
            if fork is not None and fork[0] is not None:
                self._db.execute("update found set is_past = 1 where source = ? and position >= ?", (source, fork[0]))
                self._db.execute("delete from named where source = ? and position >= ?", (source, fork[0]))

    def _choose_streams(self, *, is_log: bool) -> None:
        found = self._db.execute(_STREAMS, (tails.LOG, is_log))
        for _, events in groupby(found, lambda each: each[0]):
            version, position, head = 0, 0, codec.NO_DIGEST
            for at, same in groupby(events, lambda each: each[1]):
                fitting = (each for each in same if at == version + 1 and each[5] == head and each[4] > position)
                if (event := next(fitting, None)) is None:
                    break
                stream, version, mine, source, position, _, head = event
                self._db.execute("insert into chosen values (?, ?, ?, ?, ?)", (mine, source, position, stream, version))

    def _give_positions(self) -> None:
        """Let one event have each position: the one that the index knows there, else the best source's."""
        for (position,) in rows(self._db, _CONTESTED):
            for stream, version in rows(self._db, _CONTENDERS, position)[1:]:
                self._db.execute("delete from chosen where stream = ? and version >= ?", (stream, version))

    def put_into(self, log: apsw.Connection) -> None:
        """Put what makes up the log into an empty one."""
        log.execute("attach ? as gathering", (file_name(self.path),))
        log.execute(
            f"insert into events (position, {COLUMNS}) select chosen.position, {_OF_FOUND} "
            "from gathering.chosen join gathering.found on found.id = chosen.id order by chosen.position"
        )
        log.execute("detach gathering")

    # --- telling ------------------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, int]:
        """How many events of the log came from which source."""
        return dict(
            rows(
                self._db,
                "select name, count(chosen.id) from sources left join chosen on chosen.source = sources.source "
                "group by sources.source order by sources.source",
            )
        )

    def kinds(self) -> list[tuple[str, int]]:
        """Every kind and schema in the log."""
        found = rows(self._db, "select distinct kind, schema from chosen join found on found.id = chosen.id")
        return [(kind, schema) for kind, schema in found]

    def holes(self) -> dict[str, int]:
        """The streams that are known to have gone on, by the first version that is not in the log."""
        return dict(rows(self._db, _HOLES))

    def last_position(self) -> int:
        """The highest position that anything is known of."""
        found = row(
            self._db,
            "select max(coalesce((select max(position) from found where not is_past), 0), "
            "coalesce((select max(position) from named), 0))",
        )
        return int(found[0]) if found else 0

    def lost(self) -> int:
        """How many positions up to there have no event in the log."""
        found = row(self._db, "select count(*), coalesce(sum(stream = ?), 0) from chosen", tails.LOG)
        count, jumps = found or (0, 0)
        return max(0, self.last_position() - int(count) - int(jumps) * tails.EVENTS)

    def left(self) -> Iterator[tuple[Any, ...]]:
        """What is not in the log though its digest holds: position, `COLUMNS`, where it was found, and why."""
        return iter(self._db.execute(_LEFT))

    def workers(self) -> list[str]:
        """Every worker that had a name."""
        found = rows(
            self._db,
            "select distinct actor from found union select distinct payload ->> '$.worker' from found "
            "where kind in ('TaskClaimed', 'AttemptAdopted', 'AttemptResumed')",
        )
        return [name for (name,) in found]
