"""The store over one SQLite file.

Guarantee: with `durability="full"` a transaction that returned survives the death of every process and a power cut;
with `"fast"` it survives the death of every process. One connection serves all threads of this process, one at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from trichrome.clock import Clock
from trichrome.domain.events import Event, OnLeadGone
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, State
from trichrome.errors import StoreUnavailableError
from trichrome.store import codec
from trichrome.store.port import Recorded, Reported, TaskFilter, TaskLine
from trichrome.store.projector import project
from trichrome.store.sqlite.connection import Durability, Gate, check_version, file_name, open_file, row, rows
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.soft import SoftState
from trichrome.store.sqlite.tables import (
    REPORTS,
    SELECT_TASK,
    VIEWS,
    index_differences,
    load,
    past_attempts,
    report_from,
    task_from,
)
from trichrome.store.views import compare, fold

POLL_SECONDS: Final = 0.01
"""How often a waiter looks at the change mark; a look takes some microseconds. Without a waiter nothing polls."""

_EVENTS: Final = (
    "select position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest from events"
)


def _recorded(columns: tuple[Any, ...]) -> Recorded:
    position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest = columns
    event = codec.decode(kind, schema, payload)
    return Recorded(position, stream, version, event, recorded_at, actor, causation, schema, digest)


class _Transaction(SoftState):
    """Everything the port asks of a transaction, on the store's connection."""

    def __init__(self, connection: apsw.Connection, clock: Clock, actor: str, causation: str) -> None:
        super().__init__(connection, clock)
        self._actor = actor
        self._causation = causation

    # --- the log ------------------------------------------------------------------------------------------------------

    def position(self) -> int:
        found = row(self.connection, "select max(position) from events")
        return (found[0] or 0) if found else 0

    def append(self, stream: str, events: Sequence[Event]) -> int:
        head = row(
            self.connection,
            "select version, digest from events where stream = ? order by version desc limit 1",
            stream,
        )
        version, previous = head or (0, codec.NO_DIGEST)
        wall = self.clock.now().wall
        position = 0
        for event in events:
            version += 1
            kind, schema, payload = codec.encode(event)
            digest = codec.digest(
                previous,
                stream=stream,
                version=version,
                schema=schema,
                kind=kind,
                payload=payload,
                recorded_at=wall,
                actor=self._actor,
                causation=self._causation,
            )
            self.connection.execute(
                "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, previous, "
                "digest) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (stream, version, schema, kind, payload, wall, self._actor, self._causation, previous, digest),
            )
            position = self.connection.last_insert_rowid()
            project(
                self, Recorded(position, stream, version, event, wall, self._actor, self._causation, schema, digest)
            )
            previous = digest
        return position or self.position()

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

    def _next(self, table: str) -> int:
        found = row(self.connection, f"select max(number) from {table}")
        return 1 + ((found[0] or 0) if found else 0)

    def act_as(self, actor: str) -> None:
        self._actor = actor

    def new_task(self) -> TaskId:
        return TaskId(f"t{self._next('tasks')}")

    def new_run(self) -> RunId:
        return RunId(f"r{self._next('runs')}")

    def new_message(self) -> MessageId:
        return MessageId(f"m{self._next('messages')}")

    # --- views --------------------------------------------------------------------------------------------------------

    def open_runs(self, *, on_lead_gone: OnLeadGone | None = None) -> list[Run]:
        found = rows(
            self.connection,
            "select number from runs where on_lead_gone = coalesce(?, on_lead_gone) and exists "
            "(select 1 from tasks indexed by tasks_open where run = runs.number and ended is null) order by number",
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
        return [
            report_from(each) for each in rows(self.connection, f"{REPORTS} where task = ? order by id", number(task))
        ]

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
        if chosen.ended_after is not None:
            conditions.append("ended > ?")
            parameters.append(chosen.ended_after)
        found = rows(
            self.connection,
            f"{SELECT_TASK} where {' and '.join(conditions)} order by number limit ?",
            *parameters,
            chosen.limit,
        )
        return [TaskLine(task_from(each), self._summary(each[0]), each[-1]) for each in found]

    def _summary(self, task: int) -> str | None:
        found = row(
            self.connection,
            "select report ->> '$.summary' from reports where task = ? and superseded = 0 order by id desc limit 1",
            task,
        )
        return found[0] if found else None

    def count_tasks(self, run: RunId | None = None) -> dict[State, int]:
        if run is None:
            return dict(rows(self.connection, "select state, count(*) from tasks group by state"))
        found = rows(self.connection, "select state, count(*) from tasks where run = ? group by state", number(run))
        return dict(found)

    def claimable(self, roles: Sequence[str], *, worker: str) -> TaskId | None:
        best: tuple[int, int] | None = None
        for role in roles:
            found = row(
                self.connection,
                "select priority, number from tasks indexed by tasks_claimable "
                "where claimable = 1 and role = ? and author is not ? order by priority, number limit 1",
                role,
                worker,
            )
            if found is not None and (best is None or found < best):
                best = (found[0], found[1])
        return None if best is None else TaskId(f"t{best[1]}")

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


class _Watch:
    """One waiter's eye: `data_version` on a connection of its own, which shows every other connection's commits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with translated(path):
            self._connection = apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(1000)

    def mark(self) -> object:
        with translated(self._path):
            return self._connection.pragma("data_version")

    def sleep(self, mark: object, *, at_most_seconds: float) -> None:
        deadline = time.monotonic() + at_most_seconds
        while self.mark() == mark and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(POLL_SECONDS, left))

    def close(self) -> None:
        self._connection.close()


class SqliteStore:
    """The port over `events.db`."""

    def __init__(self, path: Path, clock: Clock, *, durability: Durability = "full") -> None:
        self._path = path
        self._clock = clock
        self._connection = open_file(path, durability)
        self._gate = Gate(path.with_name(path.name + ".gate"))
        self._identity = self._seen()
        self._turn = threading.RLock()  # a transaction within another is SQLite's to refuse, not ours to hang at

    @contextmanager
    def reading(self) -> Iterator[_Transaction]:
        """One consistent look."""
        with self._turn, translated(self._path):
            self._check_identity()
            self._connection.execute("begin")
            try:
                check_version(self._connection)
                yield _Transaction(self._connection, self._clock, "", "")
            finally:
                self._end_transaction()

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[_Transaction]:
        """All of it on return, nothing of it on an exception."""
        with self._turn, translated(self._path), self._gate.turn():
            self._check_identity()
            self._connection.execute("begin immediate")
            try:
                check_version(self._connection)
                yield _Transaction(self._connection, self._clock, actor, causation)
                self._connection.execute("commit")
            except BaseException:
                self._end_transaction()
                raise

    def _seen(self) -> tuple[int, int] | None:
        """Which file bears the log's name now."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _check_identity(self) -> None:
        """Refuse to go on with a file that was removed or replaced: what is written to it reaches nobody."""
        if self._seen() != self._identity:
            raise StoreUnavailableError(
                f"{self._path} was removed or replaced while this program had it open, so nothing was done. Restart "
                "this session; if it was removed by mistake, put it back first."
            )

    def _end_transaction(self) -> None:
        if self._connection.in_transaction:  # some errors of the disk have ended it already
            self._connection.execute("rollback")

    def watch(self) -> _Watch:
        """Begin to watch for changes."""
        return _Watch(self._path)

    def rebuild(self) -> None:
        """Make the views anew from the log; open attempts get one full period."""
        with self.writing(actor="operator", causation="rebuild") as transaction:
            leases = rows(self._connection, "select task, attempt, ceiling_seconds from leases")
            for table in (*VIEWS, "dues", "leases"):
                self._connection.execute(f"delete from {table}")
            for recorded in self._log():
                project(transaction, recorded)
            transaction.restart_leases({task: (attempt, ceiling) for task, attempt, ceiling in leases})

    def differences(self) -> list[str]:
        """Where views and log disagree. A log whose own chain of digests is broken is not folded."""
        with self.reading() as view:
            if broken := self._broken():
                return broken
            return [*compare(load(self._connection, self._clock), fold(self._log())), *index_differences(view)]

    def _log(self) -> Iterator[Recorded]:
        for each in self._connection.execute(f"{_EVENTS} order by position"):
            yield _recorded(each)

    def _broken(self) -> list[str]:
        found: list[str] = []
        heads: dict[str, tuple[int, bytes]] = {}
        for columns in self._connection.execute(
            f"{_EVENTS.replace('digest from', 'digest, previous from')} order by stream, version"
        ):
            position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest, previous = columns
            before, head = heads.get(stream, (0, codec.NO_DIGEST))
            right = codec.digest(
                previous,
                stream=stream,
                version=version,
                schema=schema,
                kind=kind,
                payload=payload,
                recorded_at=recorded_at,
                actor=actor,
                causation=causation,
            )
            if right != digest or previous != head or version != before + 1:
                found.append(f"events: {stream} version {version} (position {position}) breaks its chain")
            heads[stream] = (version, digest)
        return found

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._gate.close()
            self._connection.close()
