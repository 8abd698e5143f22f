"""The one fold of the log into views; live transactions and rebuilds both go through it.

An adapter offers `Tables`; the projector decides what belongs in them. So views written with their events equal views
rebuilt from nothing, always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol, assert_never

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
    DependencyLost,
    Event,
    FilesReserved,
    LogReopened,
    LogSalvaged,
    MessageDelivered,
    MessageSent,
    ProgressReported,
    ResultSuperseded,
    ReviewRequested,
    RunCreated,
    RunPaused,
    RunResumed,
    SessionEnded,
    TaskAmended,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
    TaskFailed,
    TaskRetried,
)
from trichrome.domain.ids import MessageId, RunId, TaskId
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Task
from trichrome.store.port import Recorded

UNSEEN: Final = ("LogReopened", "LogSalvaged", "ProgressReported", "ResultSuperseded", "SessionEnded")
"""Kinds of events that no view shows."""


class Tables(Protocol):
    """What the projector reads and writes."""

    def task(self, task: TaskId) -> Task | None:
        """A task's state."""
        ...

    def run(self, run: RunId) -> Run | None:
        """A run's state."""
        ...

    def message(self, message: MessageId) -> Message | None:
        """A message's state."""
        ...

    def insert_task(self, task: Task, depends_on: Sequence[TaskId]) -> None:
        """A new task, with an edge to each of its dependencies."""
        ...

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        """A task's new state and its last attempt; `position` is kept as its end when it just became final."""
        ...

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        """A key, and the task that it made."""
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
    fold_in(tables, recorded.stream, recorded.event, position=recorded.position, recorded_at=recorded.recorded_at)


def fold_in(tables: Tables, stream: Any, event: Event, *, position: int, recorded_at: float) -> None:
    """Fold one event into the views.

    Args:
        tables: the views.
        stream: the task, run, message or note that the event belongs to.
        event: what happened.
        position: its place in the log.
        recorded_at: when, in seconds since 1970.
    """
    match event:  # cases are tried in order, so the commonest come first
        case TaskClaimed():
            _move(tables, stream, event, position)
        case TaskCompleted() | ReviewRequested() | TaskFailed() | AttemptReleased() | TaskCancelled():
            tables.end_lease(stream)
            _move(tables, stream, event, position)
        case TaskCreated():
            tables.insert_task(tasks.created(event), event.depends_on)
            if event.key is not None:
                tables.put_key(event.key, event.key_digest or "", event.task)
            if event.not_before_seconds:
                tables.delay(event.task, event.not_before_seconds, since=recorded_at)
        case ProgressReported() | LogReopened() | LogSalvaged() | ResultSuperseded() | SessionEnded():
            pass
        case (
            DependencyCompleted()
            | DependencyLost()
            | AttemptAdopted()
            | FilesReserved()
            | AttemptNumbersRaised()
            | ChangesRequested()
            | TaskAmended()
        ):
            _move(tables, stream, event, position)
        case AttemptFailed() | AttemptRescued() | AttemptExpired():
            tables.end_lease(stream)
            if event.delay_seconds:
                tables.delay(stream, event.delay_seconds, since=recorded_at)
            _move(tables, stream, event, position)
        case AttemptResumed() | TaskRetried():
            tables.delay(stream, 0, since=recorded_at)
            _move(tables, stream, event, position)
        case RunCreated():
            tables.put_run(runs.evolve(None, event))
        case RunPaused() | RunResumed():
            tables.put_run(runs.evolve(tables.run(stream), event))
        case MessageSent():
            tables.put_message(messages.evolve(None, event))
        case MessageDelivered():
            tables.put_message(messages.evolve(tables.message(stream), event))
        case ContextShared():
            tables.put_note(notes.evolve(event))
        case _:
            assert_never(event)


def _move(tables: Tables, task: TaskId, event: TaskEvent, position: int) -> None:
    before = tables.task(task)
    assert before is not None, f"{task}: {type(event).__name__} before TaskCreated"
    after = tasks.evolve(before, event)
    if after is not before:
        tables.update_task(before, after, position=position)
