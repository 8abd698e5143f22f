"""The one fold of the log into views; live transactions and rebuilds both go through it.

An adapter offers `Tables`; the projector decides what belongs in them. So views written with their events equal views
rebuilt from nothing, always.
"""

from __future__ import annotations

from typing import Protocol, assert_never

from trichrome.domain import messages, notes, runs, tasks
from trichrome.domain.events import (
    AttemptAdopted,
    AttemptExpired,
    AttemptFailed,
    AttemptNumbersRaised,
    AttemptReleased,
    AttemptRescued,
    AttemptResumed,
    ChangesRequested,
    ContextShared,
    DependencyCompleted,
    FilesReserved,
    LogSalvaged,
    MessageDelivered,
    MessageSent,
    Outcome,
    ProgressReported,
    Report,
    ResultSuperseded,
    ReviewRequested,
    RunCreated,
    RunPaused,
    RunResumed,
    TaskAmended,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
    TaskFailed,
    TaskRetried,
)
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Brief, Task
from trichrome.store.port import Recorded, Reported


class Tables(Protocol):
    """What the projector reads and writes."""

    def task(self, task: TaskId) -> Task | None:
        """A task's state."""
        ...

    def brief(self, task: TaskId) -> Brief:
        """What a task's worker reads."""
        ...

    def run(self, run: RunId) -> Run | None:
        """A run's state."""
        ...

    def message(self, message: MessageId) -> Message | None:
        """A message's state."""
        ...

    def insert_task(self, task: Task, brief: Brief) -> None:
        """A new task, with an edge to each of its dependencies."""
        ...

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        """A task's new state and its last attempt; `position` is kept as its end when it just became final."""
        ...

    def update_brief(self, task: TaskId, brief: Brief) -> None:
        """What a task's worker reads now."""
        ...

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        """A key, and the task that it made."""
        ...

    def put_report(self, reported: Reported) -> None:
        """One more report."""
        ...

    def put_run(self, run: Run) -> None:
        """A run's state."""
        ...

    def put_message(self, message: Message) -> None:
        """A message's state."""
        ...

    def put_note(self, note: Note) -> None:
        """A note's newest version."""
        ...

    def delay(self, task: TaskId, seconds: float, *, since: float) -> None:
        """Soft: keep a task from being claimed for so long after `since` (seconds since 1970); 0 lets it be claimed."""
        ...

    def end_lease(self, task: TaskId) -> None:
        """Soft: the lease of the task's attempt is over."""
        ...


def project(tables: Tables, recorded: Recorded) -> None:
    """Fold one event into the views."""
    event = recorded.event
    match event:
        case RunCreated() | RunPaused() | RunResumed():
            tables.put_run(runs.evolve(tables.run(RunId(recorded.stream)), event))
        case MessageSent() | MessageDelivered():
            tables.put_message(messages.evolve(tables.message(MessageId(recorded.stream)), event))
        case ContextShared():
            tables.put_note(notes.evolve(event))
        case LogSalvaged():
            pass
        case TaskCreated():
            tables.insert_task(tasks.created(event), tasks.brief(event))
            if event.key is not None:
                tables.put_key(event.key, event.key_digest or "", event.task)
            if event.not_before_seconds:
                tables.delay(event.task, event.not_before_seconds, since=recorded.recorded_at)
        case _:
            _project_task(tables, TaskId(recorded.stream), event, recorded)


def _project_task(tables: Tables, task_id: TaskId, event: TaskEvent, recorded: Recorded) -> None:
    before = tables.task(task_id)
    assert before is not None, f"{task_id}: {type(event).__name__} before TaskCreated"
    after = tasks.evolve(before, event)
    _project_soft(tables, task_id, event, since=recorded.recorded_at)
    _project_report(tables, after, event)
    if after is not before:
        tables.update_task(before, after, position=recorded.position)
    if isinstance(event, TaskAmended | ChangesRequested):
        brief = tables.brief(task_id)
        tables.update_brief(task_id, tasks.evolve_brief(brief, event))


def _project_soft(tables: Tables, task: TaskId, event: TaskEvent, *, since: float) -> None:
    match event:
        case AttemptFailed() | AttemptRescued() | AttemptExpired():
            tables.end_lease(task)
            if event.delay_seconds:
                tables.delay(task, event.delay_seconds, since=since)
        case AttemptReleased() | ReviewRequested() | TaskCompleted() | TaskFailed() | TaskCancelled():
            tables.end_lease(task)
        case AttemptResumed() | TaskRetried():
            tables.delay(task, 0, since=since)
        case (
            TaskCreated()
            | DependencyCompleted()
            | TaskClaimed()
            | AttemptAdopted()
            | ProgressReported()
            | FilesReserved()
            | ResultSuperseded()
            | ChangesRequested()
            | TaskAmended()
            | AttemptNumbersRaised()
        ):
            pass
        case _:
            assert_never(event)


def _project_report(tables: Tables, task: Task, event: TaskEvent) -> None:
    outcome: Outcome
    superseded = False
    report: Report | None
    match event:
        case TaskCompleted():
            report, digest, outcome = event.report, event.digest, event.outcome
            worker = task.attempt.worker if task.attempt else ""
        case ReviewRequested():
            report, digest, outcome = event.report, event.digest, "completed"
            worker = task.attempt.worker if task.attempt else ""
        case AttemptFailed() | TaskFailed():
            report, digest, outcome = event.report, event.digest, "failed"
            worker = task.attempt.worker if task.attempt else ""
        case ResultSuperseded():
            report, digest, outcome, worker, superseded = event.report, event.digest, event.outcome, event.worker, True
        case _:
            return
    if report is not None and event.attempt is not None:
        attempt = AttemptId(task.id, event.attempt)
        tables.put_report(Reported(attempt, worker, outcome, report, digest or "", superseded))
