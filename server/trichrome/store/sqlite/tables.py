"""The views as tables, for the projector; what a transaction has read once it knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import apsw

from trichrome.clock import Clock
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.reservations import Hold, holds
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, Task
from trichrome.store.sqlite import claim_index
from trichrome.store.sqlite.connection import row, rows
from trichrome.store.sqlite.rows import (
    INSERT_PAST_ATTEMPT,
    INSERT_TASK,
    MUTABLE,
    PAST_ATTEMPTS,
    SELECT_TASK,
    TASK,
    mutable,
    past_attempt,
    past_attempt_from,
    static,
    task_from,
)
from trichrome.store.views import Views

VIEWS: Final = (
    "tasks", "past_attempts", "edges", "task_paths", "holds", "keys", "runs", "messages", "inbox", "notes",
)  # fmt: skip
"""The tables that a rebuild empties; `dues` and `leases` go with them, since both hang on tasks."""


@cache
def _update_task(columns: tuple[str, ...]) -> str:
    """Only what changed is written: a column that is named costs the upkeep of every index it stands in."""
    return f"update tasks set {', '.join(f'{column} = ?' for column in columns)} where number = ?"


class SqliteTables:
    """The projector's tables on one connection, inside its transaction."""

    def __init__(self, connection: apsw.Connection, clock: Clock) -> None:
        self.connection = connection
        self.clock = clock
        self._tasks: dict[TaskId, Task] = {}
        self._runs: dict[RunId, Run | None] = {}

    # --- reading ------------------------------------------------------------------------------------------------------

    def task(self, task: TaskId) -> Task | None:
        known = self._tasks.get(task)
        if known is None:
            found = row(self.connection, TASK, number(task))
            if found is None:
                return None
            known = self._tasks[task] = task_from(found)
        return known

    def run(self, run: RunId) -> Run | None:
        if run not in self._runs:
            found = row(self.connection, "select lead, paused, on_lead_gone from runs where number = ?", number(run))
            self._runs[run] = None if found is None else Run(run, found[0], bool(found[1]), found[2])
        return self._runs[run]

    def message(self, message: MessageId) -> Message | None:
        found = row(self.connection, "select sender, text from messages where number = ?", number(message))
        if found is None:
            return None
        waiting = rows(self.connection, "select worker from inbox where message = ? order by worker", number(message))
        return Message(message, found[0], found[1], tuple(worker for (worker,) in waiting))

    def holder(self, wanted: Iterable[Hold], *, besides: TaskId) -> tuple[TaskId, str] | None:
        return claim_index.holder(self.connection, wanted, besides=besides)

    # --- writing ------------------------------------------------------------------------------------------------------

    def insert_task(self, task: Task, depends_on: Sequence[TaskId]) -> None:
        mine = number(task.id)
        self._tasks[task.id] = task
        for hold in holds(task.files):
            self.connection.execute("insert into task_paths (path, task) values (?, ?)", (hold.path, mine))
        self.connection.execute(INSERT_TASK, (*static(task), *mutable(task), claim_index.is_free_when_due(self, task)))
        for dependency in depends_on:
            self.connection.execute("insert into edges (dependency, task) values (?, ?)", (number(dependency), mine))

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        self._tasks[after.id] = after
        last, now = before.attempt, after.attempt
        if last is not None and now is not None and now.number != last.number:
            self.connection.execute(INSERT_PAST_ATTEMPT, past_attempt(after.id, last))
        changed = {
            name: new for name, old, new in zip(MUTABLE, mutable(before), mutable(after), strict=True) if new != old
        }
        if after.is_final != before.is_final:
            changed["ended"] = position if after.is_final else None
        if "ready" in {before.state, after.state}:
            changed["claimable"] = claim_index.is_free(self, after)
        if changed:
            self.connection.execute(_update_task(tuple(changed)), (*changed.values(), number(after.id)))
        claim_index.update_holds(self, after.id, last.holds if last else (), now.holds if now else ())

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        self.connection.execute(
            "insert or replace into keys (key, task, digest) values (?, ?, ?)", (key, number(task), digest)
        )

    def put_run(self, run: Run) -> None:
        mine = number(run.id)
        self._runs[run.id] = run
        self.connection.execute(
            "insert into runs (number, lead, paused, on_lead_gone) values (?, ?, ?, ?) "
            "on conflict (number) do update set paused = excluded.paused",
            (mine, run.lead, run.paused, run.on_lead_gone),
        )
        claim_index.refresh_run(self, run)

    def put_message(self, message: Message) -> None:
        mine = number(message.id)
        self.connection.execute(
            "insert into messages (number, sender, text) values (?, ?, ?) on conflict (number) do nothing",
            (mine, message.sender, message.text),
        )
        self.connection.execute("delete from inbox where message = ?", (mine,))
        for worker in message.undelivered:
            self.connection.execute("insert into inbox (worker, message) values (?, ?)", (worker, mine))
        self.connection.execute(
            "delete from offers where message = ?1 and worker not in (select worker from inbox where message = ?1)",
            (mine,),
        )

    def put_note(self, note: Note) -> None:
        self.connection.execute(
            "insert or replace into notes (name, text, version, by) values (?, ?, ?, ?)",
            (note.name, note.text, note.version, note.by),
        )

    # --- deadlines, which are soft ------------------------------------------------------------------------------------

    def delay(self, task: TaskId, seconds: float, *, since: float) -> None:
        mine, now = number(task), self.clock.now()
        left = min(seconds, since + seconds - now.wall)
        self.connection.execute("delete from dues where task = ?", (mine,))
        if left > 0:
            self.connection.execute(
                "insert into dues (task, boot, due, wall, seconds) values (?, ?, ?, ?, ?)",
                (mine, now.boot, now.monotonic + left, now.wall + left, seconds),
            )
            self.connection.execute("update tasks set claimable = 0 where number = ? and claimable = 1", (mine,))

    def end_lease(self, task: TaskId) -> None:
        self.connection.execute("delete from leases where task = ?", (number(task),))


def load(connection: apsw.Connection, clock: Clock) -> Views:
    """Every view, for comparison with the fold of the log."""
    tables = SqliteTables(connection, clock)
    views = Views()
    for found in rows(connection, SELECT_TASK):
        task = task_from(found)
        views.tasks[task.id] = task
        if found[-1] is not None:
            views.ended[task.id] = found[-1]
        if task.attempt is not None:
            views.attempts[AttemptId(task.id, task.attempt.number)] = task.attempt
    for task_number, attempt in past_attempts(connection):
        views.attempts[AttemptId(TaskId(f"t{task_number}"), attempt.number)] = attempt
    edges = rows(connection, "select task, dependency from edges")
    views.edges = {(TaskId(f"t{waiting}"), TaskId(f"t{on}")) for waiting, on in edges}
    for key, task_number, digest in rows(connection, "select key, task, digest from keys"):
        views.keys[key] = (TaskId(f"t{task_number}"), digest)
    for (run_number,) in rows(connection, "select number from runs"):
        run = tables.run(RunId(f"r{run_number}"))
        assert run is not None
        views.runs[run.id] = run
    for (message_number,) in rows(connection, "select number from messages"):
        message = tables.message(MessageId(f"m{message_number}"))
        assert message is not None
        views.messages[message.id] = message
    for name, text, version, by in rows(connection, "select name, text, version, by from notes"):
        views.notes[name] = Note(name, text, version, by)
    return views


def past_attempts(connection: apsw.Connection, task: TaskId | None = None) -> list[tuple[int, Attempt]]:
    """Attempts that a newer one followed, with their task's number, oldest first."""
    of: tuple[Any, ...] = () if task is None else (number(task),)
    where = "" if task is None else " where task = ?"
    found = rows(connection, f"{PAST_ATTEMPTS}{where} order by task, number", *of)
    return [past_attempt_from(each) for each in found]
