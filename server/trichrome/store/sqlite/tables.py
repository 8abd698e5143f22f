"""The views as tables: rows in, domain values out, and the claim index kept right.

`tasks.claimable` is 1 exactly when the task is ready, due, in a run that is not paused, and no live attempt holds a
path that conflicts with its files. It is kept at each change, so a claim walks one partial index and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, cast

import apsw

from trichrome.clock import Clock
from trichrome.domain import ids
from trichrome.domain.events import Report
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.reservations import Hold, ancestors, holds
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, AttemptState, Brief, Feedback, State, Task
from trichrome.store.port import Reported
from trichrome.store.sqlite.connection import row, rows
from trichrome.store.views import Views

_STATIC: Final = (
    "number, run, kind, role, created_by, files, review, reviews, author, max_attempts, max_review_rounds, "
    "not_before_seconds, time_limit_seconds"
)
_MUTABLE: Final = (
    "state, priority, waiting_on, tries, rescues, rounds, last_number, review_task, result, attempt, worker, "
    "principal, attempt_state, attempt_digest, holds, claimable"
)
_COLUMNS: Final = f"{_STATIC}, {_MUTABLE}"
_INSERT_TASK: Final = f"insert into tasks ({_COLUMNS}) values ({', '.join('?' * len(_COLUMNS.split(',')))})"
_UPDATE_TASK: Final = (
    f"update tasks set {', '.join(f'{name.strip()} = ?' for name in _MUTABLE.split(','))}, "
    "ended = case when ? then coalesce(ended, ?) end where number = ?"
)
SELECT_TASK: Final = f"select {_COLUMNS}, ended from tasks"
_NEITHER: Final = "\x00"
"""A path that no path equals."""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def task_from(columns: tuple[Any, ...]) -> Task:
    """A task from a row of `SELECT_TASK`."""
    attempt = None
    if columns[22] is not None:
        held = tuple(Hold(path, mode) for path, mode in json.loads(columns[27])) if columns[27] else ()
        attempt = Attempt(columns[22], columns[23], columns[24], columns[25], columns[26], held)
    return Task(
        id=TaskId(f"t{columns[0]}"),
        run=RunId(f"r{columns[1]}"),
        kind=columns[2],
        role=columns[3],
        created_by=columns[4],
        files=tuple(json.loads(columns[5])) if columns[5] else (),
        review=columns[6],
        reviews=ids.attempt_id(columns[7]) if columns[7] else None,
        author=columns[8],
        max_attempts=columns[9],
        max_review_rounds=columns[10],
        not_before_seconds=columns[11],
        time_limit_seconds=columns[12],
        state=columns[13],
        priority=columns[14],
        waiting_on=columns[15],
        tries=columns[16],
        rescues=columns[17],
        rounds=columns[18],
        last_number=columns[19],
        review_task=columns[20],
        result=columns[21],
        attempt=attempt,
    )


class SqliteTables:
    """The projector's tables on one connection, inside its transaction."""

    def __init__(self, connection: apsw.Connection, clock: Clock) -> None:
        self.connection = connection
        self.clock = clock
        self._known: dict[TaskId, Task] = {}

    # --- reading ------------------------------------------------------------------------------------------------------

    def task(self, task: TaskId) -> Task | None:
        known = self._known.get(task)
        if known is None:
            found = row(self.connection, f"{SELECT_TASK} where number = ?", number(task))
            if found is None:
                return None
            known = self._known[task] = task_from(found)
        return known

    def brief(self, task: TaskId) -> Brief:
        found = row(
            self.connection,
            "select instructions, acceptance, depends_on, feedback from briefs where task = ?",
            number(task),
        )
        assert found is not None
        return Brief(
            instructions=found[0],
            acceptance=found[1],
            depends_on=tuple(json.loads(found[2])),
            feedback=Feedback(**json.loads(found[3])) if found[3] else None,
        )

    def run(self, run: RunId) -> Run | None:
        found = row(self.connection, "select lead, paused, on_lead_gone from runs where number = ?", number(run))
        return None if found is None else Run(run, found[0], bool(found[1]), found[2])

    def message(self, message: MessageId) -> Message | None:
        found = row(self.connection, "select sender, text from messages where number = ?", number(message))
        if found is None:
            return None
        waiting = rows(self.connection, "select worker from inbox where message = ? order by worker", number(message))
        return Message(message, found[0], found[1], tuple(worker for (worker,) in waiting))

    # --- writing ------------------------------------------------------------------------------------------------------

    def insert_task(self, task: Task, brief: Brief) -> None:
        mine = number(task.id)
        self._known[task.id] = task
        for hold in holds(task.files):
            self.connection.execute("insert into task_paths (path, task) values (?, ?)", (hold.path, mine))
        static = (
            mine,
            number(task.run),
            task.kind,
            task.role,
            task.created_by,
            _json(task.files) if task.files else None,
            task.review,
            str(task.reviews) if task.reviews else None,
            task.author,
            task.max_attempts,
            task.max_review_rounds,
            task.not_before_seconds,
            task.time_limit_seconds,
        )
        self.connection.execute(_INSERT_TASK, (*static, *self._mutable(task)))
        self.connection.execute(
            "insert into briefs (task, instructions, acceptance, depends_on) values (?, ?, ?, ?)",
            (mine, brief.instructions, brief.acceptance, _json(brief.depends_on)),
        )
        for dependency in brief.depends_on:
            self.connection.execute("insert into edges (dependency, task) values (?, ?)", (number(dependency), mine))

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        self._known[after.id] = after
        last = before.attempt
        if last is not None and after.attempt is not None and after.attempt.number != last.number:
            self.connection.execute(
                "insert into past_attempts (task, number, worker, principal, state, digest) values (?, ?, ?, ?, ?, ?)",
                (number(after.id), last.number, last.worker, last.principal, last.state, last.digest),
            )
        self.connection.execute(_UPDATE_TASK, (*self._mutable(after), after.is_final, position, number(after.id)))
        self._update_holds(after.id, last.holds if last else (), after.attempt.holds if after.attempt else ())

    def _mutable(self, task: Task) -> tuple[Any, ...]:
        last = task.attempt
        attempt: tuple[Any, ...] = (None,) * 6
        if last is not None:
            held = _json([(hold.path, hold.mode) for hold in last.holds]) if last.holds else None
            attempt = (last.number, last.worker, last.principal, last.state, last.digest, held)
        return (
            task.state,
            task.priority,
            task.waiting_on,
            task.tries,
            task.rescues,
            task.rounds,
            task.last_number,
            task.review_task,
            task.result,
            *attempt,
            self.is_free(task),
        )

    def is_free(self, task: Task) -> bool:
        """Whether a task may be claimed now."""
        if task.state != "ready":
            return False
        mine = number(task.id)
        if row(self.connection, "select 1 from dues where task = ?", mine):
            return False
        if row(self.connection, "select 1 from runs where number = ? and paused = 1", number(task.run)):
            return False
        return not task.files or self.holder(holds(task.files), besides=task.id) is None

    def holder(self, wanted: Iterable[Hold], *, besides: TaskId) -> tuple[TaskId, str] | None:
        found = [each for hold in wanted if (each := self._holder(hold, besides)) is not None]
        oldest = min(found, default=None)
        return None if oldest is None else (TaskId(f"t{oldest[0]}"), oldest[1])

    def _holder(self, hold: Hold, besides: TaskId) -> tuple[int, str] | None:
        above = ancestors(hold.path)
        modes = ("exclusive",) if hold.mode == "shared" else ("exclusive", "shared")
        found = row(
            self.connection,
            f"select holds.task, tasks.worker from holds join tasks on tasks.number = holds.task "
            f"where holds.task <> ? and holds.mode in ({_marks(modes)}) "
            f"and (holds.path in ({_marks(above)}) or {_BELOW.format(column='holds.path')}) "
            "order by holds.task limit 1",
            number(besides),
            *modes,
            *above,
            *_below(hold.path),
        )
        return None if found is None else (found[0], found[1])

    def _update_holds(self, task: TaskId, before: tuple[Hold, ...], after: tuple[Hold, ...]) -> None:
        if before == after:
            return
        mine = number(task)
        self.connection.execute("delete from holds where task = ?", (mine,))
        for hold in after:
            self.connection.execute(
                "insert into holds (path, task, mode) values (?, ?, ?)", (hold.path, mine, hold.mode)
            )
        touched: set[int] = set()
        for hold in set(before) ^ set(after):
            above = ancestors(hold.path)
            found = rows(
                self.connection,
                "select task from task_paths join tasks on tasks.number = task_paths.task "
                f"where tasks.state = 'ready' and (path in ({_marks(above)}) or {_BELOW.format(column='path')})",
                *above,
                *_below(hold.path),
            )
            touched.update(other for (other,) in found)
        for other in touched - {mine}:
            self.refresh(TaskId(f"t{other}"))

    def refresh(self, task: TaskId) -> None:
        """Judge anew whether a task may be claimed."""
        state = self.task(task)
        assert state is not None
        self.connection.execute("update tasks set claimable = ? where number = ?", (self.is_free(state), number(task)))

    def update_brief(self, task: TaskId, brief: Brief) -> None:
        feedback = brief.feedback
        text = _json({"by": feedback.by, "summary": feedback.summary, "data": feedback.data}) if feedback else None
        self.connection.execute(
            "update briefs set instructions = ?, feedback = ? where task = ?",
            (brief.instructions, text, number(task)),
        )

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        self.connection.execute(
            "insert or replace into keys (key, task, digest) values (?, ?, ?)", (key, number(task), digest)
        )

    def put_report(self, reported: Reported) -> None:
        report = reported.report
        content = {
            "summary": report.summary,
            "data": report.data,
            "artifacts": report.artifacts,
            "files": report.files,
            "follow_ups": report.follow_ups,
        }
        self.connection.execute(
            "insert into reports (task, attempt, worker, outcome, superseded, digest, report) "
            "values (?, ?, ?, ?, ?, ?, ?)",
            (
                number(reported.attempt.task),
                reported.attempt.number,
                reported.worker,
                reported.outcome,
                reported.superseded,
                reported.digest,
                _json({name: value for name, value in content.items() if value is not None and value != ()}),
            ),
        )

    def put_run(self, run: Run) -> None:
        mine = number(run.id)
        self.connection.execute(
            "insert into runs (number, lead, paused, on_lead_gone) values (?, ?, ?, ?) "
            "on conflict (number) do update set paused = excluded.paused",
            (mine, run.lead, run.paused, run.on_lead_gone),
        )
        for (task,) in rows(self.connection, "select number from tasks where run = ? and state = 'ready'", mine):
            self.refresh(TaskId(f"t{task}"))

    def put_message(self, message: Message) -> None:
        mine = number(message.id)
        self.connection.execute(
            "insert into messages (number, sender, text) values (?, ?, ?) on conflict (number) do nothing",
            (mine, message.sender, message.text),
        )
        self.connection.execute("delete from inbox where message = ?", (mine,))
        for worker in message.undelivered:
            self.connection.execute("insert into inbox (worker, message) values (?, ?)", (worker, mine))

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


_BELOW: Final = "({column} > ? and {column} < ?)"


def _below(path: str) -> tuple[str, str]:
    """The open range of paths inside a folder: after `path/` and before `path0`, since 0 follows / in order."""
    return (f"{path}/", f"{path}0") if path else ("", "\U0010ffff")


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)


def report_from(reports_row: tuple[Any, ...]) -> Reported:
    """A report from (task, attempt, worker, outcome, superseded, digest, report)."""
    content = json.loads(reports_row[6])
    return Reported(
        AttemptId(TaskId(f"t{reports_row[0]}"), reports_row[1]),
        reports_row[2],
        reports_row[3],
        Report(
            content.get("summary", ""),
            content.get("data"),
            tuple(content.get("artifacts", ())),
            tuple(content.get("files", ())),
            tuple(content.get("follow_ups", ())),
        ),
        reports_row[5],
        bool(reports_row[4]),
    )


REPORTS: Final = "select task, attempt, worker, outcome, superseded, digest, report from reports"


def load(connection: apsw.Connection, clock: Clock) -> Views:
    """Every view, for comparison with the fold of the log."""
    tables = SqliteTables(connection, clock)
    views = Views()
    for found in rows(connection, SELECT_TASK):
        task = task_from(found)
        views.tasks[task.id] = task
        views.briefs[task.id] = tables.brief(task.id)
        if found[-1] is not None:
            views.ended[task.id] = found[-1]
        if task.attempt is not None:
            views.attempts[AttemptId(task.id, task.attempt.number)] = task.attempt
    for task_number, attempt in past_attempts(connection):
        views.attempts[AttemptId(TaskId(f"t{task_number}"), attempt.number)] = attempt
    views.reports = [report_from(found) for found in rows(connection, f"{REPORTS} order by id")]
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


def index_differences(tables: SqliteTables) -> list[str]:
    """Where the tables that only serve the search for work disagree with the tasks."""
    found: list[str] = []
    held: set[tuple[str, int, str]] = set()
    paths: set[tuple[str, int]] = set()
    for columns in rows(tables.connection, SELECT_TASK):
        task = task_from(columns)
        paths.update((hold.path, columns[0]) for hold in holds(task.files))
        held.update((hold.path, columns[0], hold.mode) for hold in (task.attempt.holds if task.attempt else ()))
        if tables.is_free(task) != bool(columns[28]):
            found.append(f"tasks: {task.id} is {'' if columns[28] else 'not '}in the claim index, against its state")
    if held != set(rows(tables.connection, "select path, task, mode from holds")):
        found.append("holds: not those of the live attempts")
    if paths != set(rows(tables.connection, "select path, task from task_paths")):
        found.append("task_paths: not those of the tasks")
    return found


def past_attempts(connection: apsw.Connection, task: TaskId | None = None) -> list[tuple[int, Attempt]]:
    """Attempts that a newer one followed, with their task's number, oldest first."""
    where, parameters = ("", ()) if task is None else (" where task = ?", (number(task),))
    found = rows(
        connection,
        f"select task, number, worker, principal, state, digest from past_attempts{where} order by task, number",
        *parameters,
    )
    return [
        (of, Attempt(n, worker, principal, cast("AttemptState", state), digest))
        for of, n, worker, principal, state, digest in found
    ]


VIEWS: Final = (
    "tasks", "past_attempts", "briefs", "edges", "task_paths", "holds", "keys", "reports", "runs", "messages", "inbox",
    "notes",
)  # fmt: skip
"""The tables that a rebuild empties; `dues` and `leases` go with them, since both hang on tasks."""

__all__ = [
    "REPORTS",
    "VIEWS",
    "SqliteTables",
    "State",
    "index_differences",
    "load",
    "past_attempts",
    "report_from",
    "task_from",
]
