"""Appending a task's events together with what they cause in other tasks, in the same transaction.

A completed task frees its dependents; a report that asks for review opens one; a verdict moves the task it judges; a
task that is over closes its open review. So no crash can leave one without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trichrome.coordinator.context import Coordinator
from trichrome.domain import decisions
from trichrome.domain.events import (
    ChangesRequested,
    ReviewRequested,
    TaskCancelled,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
    TaskFailed,
)
from trichrome.domain.ids import AttemptId
from trichrome.domain.tasks import Task
from trichrome.store.port import Writing

_REVIEW: Final = (
    "Review the result of {attempt} against what was asked for ({asked}). Check what it claims against the files. "
    "Report approved, or changes with each finding as file:line and what to do about it."
)


def append(c: Coordinator, tx: Writing, task: Task, events: Sequence[TaskEvent]) -> Task:
    """Append events to a task's stream, and whatever follows from them; answers the task's new state."""
    if not events:
        return task
    tx.append(task.id, events)
    for event in events:
        _follow(c, tx, task, event)
    after = tx.task(task.id)
    assert after is not None
    return after


def decide(c: Coordinator, tx: Writing, task: Task, command: decisions.Command) -> Task:
    """Decide a command on a task and append what it brings."""
    return append(c, tx, task, decisions.decide(task, command))


def _follow(c: Coordinator, tx: Writing, task: Task, event: TaskEvent) -> None:
    match event:
        case ReviewRequested():
            open_review(c, tx, task, event)
        case TaskCompleted():
            _free_dependents(c, tx, task)
            _close_review(c, tx, task, why=f"{task.id} was approved by {event.approved_by}")
            judge(c, tx, task, event)
        case TaskFailed() | TaskCancelled():
            _close_review(c, tx, task, why=f"{task.id} is over")
        case ChangesRequested():
            _close_review(c, tx, task, why=f"{task.id} was sent back")
        case _:
            pass


def open_review(c: Coordinator, tx: Writing, task: Task, event: ReviewRequested) -> None:
    """Open the review that a report asked for."""
    reported = tx.task(task.id)
    assert task.review is not None
    assert reported is not None
    assert reported.attempt is not None
    attempt, author = AttemptId(task.id, event.attempt), reported.attempt.worker
    tx.append(
        event.review,
        [
            TaskCreated(
                task=event.review,
                run=task.run,
                kind="review",
                role=task.review,
                instructions=_REVIEW.format(attempt=attempt, asked=task.kind),
                created_by=author,
                priority=task.priority,
                max_attempts=c.settings.max_attempts,
                time_limit_seconds=c.settings.time_limit_seconds,
                reviews=attempt,
                author=author,
            )
        ],
    )


def _free_dependents(c: Coordinator, tx: Writing, task: Task) -> None:
    for waiting in tx.dependents(task.id):
        dependent = tx.task(waiting)
        assert dependent is not None
        decide(c, tx, dependent, decisions.CompleteDependency(task.id))


def _close_review(c: Coordinator, tx: Writing, task: Task, *, why: str) -> None:
    review = tx.task(task.review_task) if task.review_task is not None else None
    if review is not None and not review.is_final:
        decide(c, tx, review, decisions.Cancel(reason=why, by="trichrome"))


def judge(c: Coordinator, tx: Writing, review: Task, event: TaskCompleted) -> None:
    """Let the verdict that a review ended with move the task it judges; the end of another task judges nothing."""
    original = tx.task(review.reviews.task) if review.reviews is not None else None
    if review.reviews is None or original is None or event.report is None:
        return
    by = review.attempt.worker if review.attempt is not None else "reviewer"
    verdict: decisions.Approve | decisions.SendBack
    if event.outcome == "approved":
        verdict = decisions.Approve(attempt=review.reviews.number, by=by)
    else:
        verdict = decisions.SendBack(
            attempt=review.reviews.number,
            by=by,
            summary=event.report.summary,
            data=event.report.data,
            review=review.id,
        )
    decide(c, tx, original, verdict)
