"""The store over one SQLite file.

Guarantee: with `durability="full"` a transaction that returned survives the death of every process and a power cut;
with `"fast"` it survives the death of every process. One connection serves all threads of this process, one at a time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw

from trichrome.clock import Clock
from trichrome.domain import tails
from trichrome.domain.events import Event, MessageSent, OnLeadGone, RunCreated, TaskCreated
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, Brief, State, Task
from trichrome.errors import StoreUnavailableError
from trichrome.store import codec, task_log
from trichrome.store.port import Recorded, Reported, TaskFilter, TaskLine
from trichrome.store.projector import fold_in
from trichrome.store.sqlite import chain, claim_index, tail
from trichrome.store.sqlite.alone import Share, sharing
from trichrome.store.sqlite.connection import Durability, check_version, open_file, row, rows
from trichrome.store.sqlite.errors import FAULTS, raise_translated, translated
from trichrome.store.sqlite.gate import Gate
from trichrome.store.sqlite.rows import INSERT_EVENT, SELECT_TASK, task_from
from trichrome.store.sqlite.rows import event as event_row
from trichrome.store.sqlite.soft import SoftState
from trichrome.store.sqlite.succession import identity, was_put_aside
from trichrome.store.sqlite.tables import load, past_attempts
from trichrome.store.sqlite.watch import Bell, SqliteWatch
from trichrome.store.views import compare, fold

if TYPE_CHECKING:
    from trichrome.store.sqlite.schedule import Schedule

_EVENTS: Final = (
    "select position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest from events"
)

_BEGINNINGS: Final = (TaskCreated, RunCreated, MessageSent)
"""Events that open their stream, so that nobody need look for its head; a second one the log's index refuses."""
_BEGIN: Final = tuple(kind.__name__ for kind in _BEGINNINGS)
_HEAD: Final = "select version, digest from events where stream = ? order by version desc limit 1"
_CLAIMABLE: Final = (
    "select priority, number from tasks indexed by tasks_claimable "
    "where claimable = 1 and role = ? and author is not ? order by priority, number limit ?"
)
_NUMBERS_CLAIMABLE: Final = (
    "select number from (select number from tasks indexed by tasks_claimable where claimable = 1 and role = ? "
    "order by priority, number limit ?)"
)
_ALL_CLAIMABLE: Final = f"{SELECT_TASK} where number in ({{}}) order by priority, number"
_SPENT: Final = (
    "select sum(payload ->> '$.cost_usd') from events indexed by events_of_sessions "
    "where kind = 'SessionEnded' and position > ?"
)
_ENDED_SESSIONS: Final = (
    f"{_EVENTS} indexed by events_of_sessions where kind = 'SessionEnded' order by position desc limit ?"
)
_SAID: Final = "select kind, schema, payload from events where stream = ? and kind in ({}) order by version"
_SAID_IN_BRIEF: Final = _SAID.format(", ".join(map(repr, task_log.BRIEF_KINDS)))
_SAID_IN_REPORTS: Final = _SAID.format(", ".join(map(repr, task_log.REPORT_KINDS)))
_SUMMARY: Final = (
    "select payload ->> '$.report.summary' as summary from events where stream = ? "
    f"and kind in ({', '.join(map(repr, task_log.ENDINGS))}) and summary is not null order by version desc limit 1"
)


def _recorded(columns: tuple[Any, ...]) -> Recorded:
    position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest = columns
    event = codec.decode(kind, schema, payload)
    return Recorded(position, stream, version, event, recorded_at, actor, causation, schema, digest)


class Transaction(SoftState):
    """Everything the port asks of a transaction, on the store's connection."""

    def __init__(
        self, connection: apsw.Connection, clock: Clock, actor: str, causation: str, lost_at: Sequence[int]
    ) -> None:
        super().__init__(connection, clock, lost_at)
        self._actor = actor
        self._causation = causation

    # --- the log ------------------------------------------------------------------------------------------------------

    def position(self) -> int:
        found = row(self.connection, "select max(position) from events")
        return (found[0] or 0) if found else 0

    def append(self, stream: str, events: Sequence[Event]) -> int:
        if not events:
            return self.position()
        version, previous = (0, codec.NO_DIGEST) if isinstance(events[0], _BEGINNINGS) else self._head(stream)
        wall = self.clock.now().wall
        position = 0
        for event in events:
            version += 1
            values = event_row(
                event,
                stream=stream,
                version=version,
                previous=previous,
                recorded_at=wall,
                actor=self._actor,
                causation=self._causation,
            )
            self.connection.execute(INSERT_EVENT, values)
            position = self.connection.last_insert_rowid()
            fold_in(self, stream, event, position=position, recorded_at=wall)
            previous = values[-1]
        if stream == tails.LOG:
            self.lost_at = (*self.lost_at, position)
        return position

    def _head(self, stream: str) -> tuple[int, bytes]:
        found = row(self.connection, _HEAD, stream)
        return (0, codec.NO_DIGEST) if found is None else (found[0], found[1])

    def events(self, *, after: int = 0, limit: int = 1000, stream: str | None = None) -> list[Recorded]:
        if stream is None:
            found = rows(self.connection, f"{_EVENTS} where position > ? order by position limit ?", after, limit)
        else:
            found = rows(
                self.connection,
                f"{_EVENTS} where stream = ? and position > ? order by version limit ?",
                stream,
                after,
                limit,
            )
        return [_recorded(each) for each in found]

    def newest_events(self, stream: str, *, limit: int) -> list[Recorded]:
        found = rows(self.connection, f"{_EVENTS} where stream = ? order by version desc limit ?", stream, limit)
        return [_recorded(each) for each in reversed(found)]

    def lost_tails(self, stream: str, *, since: Collection[str]) -> int:
        if not self.lost_at:
            return 0
        found = row(
            self.connection,
            f"select max(position) from events where stream = ? and kind in ({', '.join('?' * len(since))})",
            stream,
            *since,
        )
        known = (found[0] or 0) if found else 0
        return sum(position > known for position in self.lost_at)

    def _next(self, table: str, *, most: int) -> str:
        """The next id of a table whose streams are called by its first letter; a lost tail gave out so many at most."""
        found = row(self.connection, f"select max(number) from {table}")
        newest = (found[0] or 0) if found else 0
        lost = self.lost_tails(f"{table[0]}{newest}", since=_BEGIN)
        return f"{table[0]}{newest + lost * most + 1}"

    def act_as(self, actor: str) -> None:
        self._actor = actor

    def new_task(self) -> TaskId:
        return TaskId(self._next("tasks", most=tails.EVENTS))

    def new_run(self) -> RunId:
        return RunId(self._next("runs", most=tails.NUMBERS))

    def new_message(self) -> MessageId:
        return MessageId(self._next("messages", most=tails.NUMBERS))

    def spent(self, *, after: int = 0) -> float:
        found = row(self.connection, _SPENT, after)
        return (found[0] or 0.0) if found else 0.0

    def ended_sessions(self, *, limit: int) -> list[Recorded]:
        return [_recorded(each) for each in rows(self.connection, _ENDED_SESSIONS, limit)]

    # --- views --------------------------------------------------------------------------------------------------------

    def open_runs(self, *, on_lead_gone: OnLeadGone | None = None) -> list[Run]:
        found = rows(
            self.connection,
            "select number from runs where on_lead_gone = coalesce(?, on_lead_gone) and exists "
            "(select 1 from tasks indexed by tasks_by_run where run = runs.number and ended is null) order by number",
            on_lead_gone,
        )
        runs = [self.run(RunId(f"r{run}")) for (run,) in found]
        return [run for run in runs if run is not None]

    def newest_run(self, lead: str) -> RunId | None:
        found = row(self.connection, "select max(number) from runs where lead = ?", lead)
        return RunId(f"r{found[0]}") if found and found[0] else None

    def task_by_key(self, key: str) -> tuple[TaskId, str] | None:
        found = row(self.connection, "select task, digest from keys where key = ?", key)
        return (TaskId(f"t{found[0]}"), found[1]) if found else None

    def dependents(self, task: TaskId) -> list[TaskId]:
        found = rows(self.connection, "select task from edges where dependency = ? order by task", number(task))
        return [TaskId(f"t{waiting}") for (waiting,) in found]

    def attempts(self, task: TaskId) -> list[Attempt]:
        past = [attempt for _, attempt in past_attempts(self.connection, task)]
        state = self.task(task)
        return [*past, state.attempt] if state is not None and state.attempt is not None else past

    def reports(self, task: TaskId) -> list[Reported]:
        return task_log.reports(task, self._said(task, _SAID_IN_REPORTS))

    def brief(self, task: TaskId) -> Brief:
        return task_log.brief(self._said(task, _SAID_IN_BRIEF))

    def _said(self, task: TaskId, sql: str) -> list[Event]:
        return [codec.decode(*each) for each in rows(self.connection, sql, task)]

    def list_tasks(self, chosen: TaskFilter) -> list[TaskLine]:
        conditions, parameters = ["1 = 1"], list[Any]()
        if chosen.run is not None:
            conditions.append("run = ?")
            parameters.append(number(chosen.run))
        if chosen.tasks is not None:
            conditions.append(f"number in ({', '.join('?' for _ in chosen.tasks)})")
            parameters += [number(task) for task in chosen.tasks]
        if chosen.state is not None:
            conditions.append("state = ?")
            parameters.append(chosen.state)
        if chosen.role is not None:
            conditions.append("role = ?")
            parameters.append(chosen.role)
        if chosen.after is not None:
            conditions.append("number > ?")
            parameters.append(number(chosen.after))
        if chosen.is_open:
            conditions.append("ended is null")
        if chosen.ended_after is not None:
            conditions.append("ended > ?")
            parameters.append(chosen.ended_after)
        found = rows(
            self.connection,
            f"{SELECT_TASK} where {' and '.join(conditions)} order by number limit ?",
            *parameters,
            chosen.limit,
        )
        return [TaskLine(task_from(each), self._summary(f"t{each[0]}"), each[-1]) for each in found]

    def _summary(self, task: str) -> str | None:
        found = row(self.connection, _SUMMARY, task)
        return found[0] if found else None

    def count_tasks(self, run: RunId | None = None) -> dict[State, int]:
        if run is None:
            return dict(rows(self.connection, "select state, count(*) from tasks group by state"))
        found = rows(self.connection, "select state, count(*) from tasks where run = ? group by state", number(run))
        return dict(found)

    def claimable(self, roles: Sequence[str], *, worker: str) -> TaskId | None:
        best: tuple[int, int] | None = None
        for role in roles:
            found = row(self.connection, _CLAIMABLE, role, worker, 1)
            if found is not None and (best is None or found < best):
                best = (found[0], found[1])
        return None if best is None else TaskId(f"t{best[1]}")

    def all_claimable(self, roles: Sequence[str], *, limit: int) -> list[Task]:
        each = " union all ".join([_NUMBERS_CLAIMABLE] * len(roles))
        asked = [value for role in roles for value in (role, limit)]
        return [task_from(found) for found in rows(self.connection, _ALL_CLAIMABLE.format(each or "null"), *asked)]

    def is_claimable(self, task: TaskId) -> bool:
        found = row(self.connection, "select claimable from tasks where number = ?", number(task))
        return found is not None and bool(found[0])

    def live_attempt_of(self, worker: str) -> AttemptId | None:
        found = row(
            self.connection,
            "select number, attempt from tasks where state = 'running' and worker = ? order by number limit 1",
            worker,
        )
        return AttemptId(TaskId(f"t{found[0]}"), found[1]) if found else None

    def note(self, name: str) -> Note | None:
        found = row(self.connection, "select name, text, version, by from notes where name = ?", name)
        return Note(*found) if found else None

    def notes(self) -> list[Note]:
        return [
            Note(*each) for each in rows(self.connection, "select name, text, version, by from notes order by name")
        ]

    def undelivered(self, worker: str) -> list[tuple[Message, bool]]:
        found = rows(
            self.connection,
            "select inbox.message, offers.worker is not null from inbox "
            "left join offers on offers.message = inbox.message and offers.worker = inbox.worker "
            "where inbox.worker = ? order by inbox.message",
            worker,
        )
        messages = [(self.message(MessageId(f"m{message}")), bool(was_offered)) for message, was_offered in found]
        return [(message, was_offered) for message, was_offered in messages if message is not None]


def _abandon(connection: apsw.Connection) -> None:
    """Close a file, and leave what lies beside it alone."""
    with suppress(apsw.ConnectionClosedError):  # closing twice is no fault
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.close()


class SqliteStore:
    """The port over `events.db`."""

    _connection: apsw.Connection
    _lost_at: Sequence[int]

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        durability: Durability = "full",
        vfs: str | None = None,
        backup_every_hours: float = 0.0,
        backups_kept: int = 8,
    ) -> None:
        self._path = path
        self._name = os.fspath(path)
        self._clock = clock
        self._durability = durability
        self._vfs = vfs
        self._open()
        self._gate = Gate(path.with_name(path.name + ".gate"))
        self._share = Share(path)
        self._bell = Bell(path)
        self._backups = backup_every_hours, backups_kept
        self._schedule: Schedule | None = None
        self._turn = threading.RLock()  # a transaction within another is SQLite's to refuse, not ours to hang at

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent look."""
        with self._turn:
            self._follow()
            try:
                self._connection.execute("begin")
                try:
                    check_version(self._connection)
                    yield Transaction(self._connection, self._clock, "", "", self._lost_at)
                finally:
                    self._end_transaction()
            except FAULTS as error:
                raise_translated(self._path, error)

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[Transaction]:
        """All of it on return, nothing of it on an exception."""
        with self._turn, self._gate:
            self._take_share()
            try:
                self._connection.execute("begin immediate")
                try:
                    check_version(self._connection)
                    tail.stay_noted(self._connection, self._clock.now(), self._durability)
                    transaction = Transaction(self._connection, self._clock, actor, causation, self._lost_at)
                    yield transaction
                    self._connection.execute("commit")
                    self._lost_at = transaction.lost_at
                finally:
                    self._end_transaction()
            except FAULTS as error:
                raise_translated(self._path, error)
            finally:
                self._share.release()
        self._bell.ring()

    def _open(self) -> None:
        """Open the file that bears the log's name now, and know it again."""
        with sharing(self._path):
            connection = open_file(self._path, self._durability, vfs=self._vfs)
            try:
                with translated(self._path):
                    tail.note_boot(connection, self._clock.now(), self._durability)
                    self._lost_at = tail.positions(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self._identity = identity(self._name)

    def _take_share(self) -> None:
        """Keep repairs out until the share is released, and go on with what the last one left."""
        self._share.take()
        while identity(self._name) != self._identity:
            self._share.release()
            self._follow()
            self._share.take()

    def _follow(self) -> None:
        """Go on with the file that a repair has put in the place of ours.

        Raises:
            StoreUnavailableError: it was removed or replaced otherwise; what is written to it would reach nobody.
        """
        if identity(self._name) == self._identity:
            return
        if self._identity is None or not was_put_aside(self._path, self._identity) or self._is_missing():
            raise StoreUnavailableError(
                f"{self._path} was removed or replaced while this program had it open, so nothing was done. Restart "
                "this session; if it was removed by mistake, put it back first (`trichrome restore --latest`)."
            )
        former = self._connection
        self._open()
        _abandon(former)

    def _is_missing(self) -> bool:
        with sharing(self._path):  # no repair is between taking one file away and putting the other there
            return identity(self._name) is None

    def _end_transaction(self) -> None:
        if self._connection.in_transaction:  # some errors of the disk have ended it already
            self._connection.execute("rollback")

    def has_claimable(self, roles: Sequence[str]) -> bool:
        """Whether a claim is worth trying, by one look at the claim index."""
        return any(self._finds(_CLAIMABLE, role, "", 1) for role in roles)

    def has_undelivered(self) -> bool:
        """Whether anybody has a message waiting."""
        return self._finds("select 1 from inbox limit 1")

    def _finds(self, sql: str, *parameters: Any) -> bool:
        with self._turn, translated(self._path):
            self._follow()
            try:
                return row(self._connection, sql, *parameters) is not None
            except apsw.SQLError:
                check_version(self._connection)  # a newer program may have changed the tables
                raise

    def watch(self) -> SqliteWatch:
        """Begin to watch for changes."""
        return SqliteWatch(self._path)

    def rebuild(self) -> None:
        """Make the views anew from the log; open attempts get one full period."""
        from trichrome.store.sqlite.rebuild import rebuild_within

        with self.writing(actor="operator", causation="rebuild") as transaction:
            rebuild_within(transaction)

    def differences(self) -> list[str]:
        """Where views and log disagree. A log whose own chain of digests is broken is not folded."""
        with self.reading() as view:
            if broken := chain.walk(self._connection).faults:
                return broken
            return [*compare(load(self._connection, self._clock), fold(self._log())), *claim_index.differences(view)]

    def _log(self) -> Iterator[Recorded]:
        for each in self._connection.execute(f"{_EVENTS} order by position"):
            yield _recorded(each)

    def back_up_if_due(self) -> None:
        """Begin an automatic backup in a process of its own, where it is time for one."""
        if self._schedule is None:
            from trichrome.store.sqlite.schedule import Schedule

            every_hours, kept = self._backups
            self._schedule = Schedule(self._path, self._clock, every_hours=every_hours, kept=kept)
        with self.reading():
            self._schedule.begin_if_due(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._gate.close()
            try:
                self._share.take(seconds=0)
                if identity(self._name) != self._identity:
                    _abandon(self._connection)  # somebody moved the file: what was written last lies in the WAL alone
                else:
                    self._connection.close()  # the last one removes the WAL, by its name: no repair may come between
            except StoreUnavailableError:
                _abandon(self._connection)
            finally:
                self._share.close()
