"""What a claim hands over: the task, and what came before it. What other agents wrote comes in labelled fields."""

from __future__ import annotations

from typing import Final

from trichrome.coordinator.answers import (
    DependencyResult,
    EarlierText,
    FeedbackText,
    ReviewedText,
    SaidText,
    Work,
)
from trichrome.domain.events import AttemptExpired, AttemptFailed, AttemptReleased, Report, SessionEnded
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.tasks import Task
from trichrome.store.port import Reading, Recorded

_NEWEST_EVENTS: Final = 20
"""How many of a task's events are looked through for how it ended before."""


def brief(view: Reading, task: Task) -> tuple[Work, list[DependencyResult]]:
    """The task as its worker reads it, and the results of what it depended on."""
    content = view.brief(task.id)
    work: Work = {"id": task.id, "kind": task.kind, "role": task.role, "instructions": content.instructions}
    if content.acceptance is not None:
        work["acceptance"] = content.acceptance
    if task.files:
        work["files"] = list(task.files)
    if content.feedback is not None:
        feedback: FeedbackText = {"by": content.feedback.by, "summary": content.feedback.summary}
        if content.feedback.data is not None:
            feedback["data"] = content.feedback.data
        work["feedback"] = feedback
    if task.reviews is not None:
        work["reviews"] = _reviewed(view, task)
    dependencies = [_result(view, dependency) for dependency in content.depends_on]
    return work, dependencies


def result(view: Reading, task: Task) -> Report | None:
    """The report that is a task's result, or is under review."""
    if task.result is None:
        return None
    reports = (each for each in view.reports(task.id) if each.attempt.number == task.result and not each.superseded)
    return next((each.report for each in reports), None)


def result_branch(view: Reading, task: Task | None) -> str | None:
    """The branch with the work of a task's result."""
    return None if task is None or task.result is None else branch(view, AttemptId(task.id, task.result))


def branch(view: Reading, attempt: AttemptId) -> str | None:
    """The branch with the work of an attempt that a supervised worker made."""
    return next(
        (ended.branch for ended in _sessions(_newest(view, attempt.task), attempt.number) if ended.branch), None
    )


def earlier(view: Reading, task: Task) -> EarlierText | None:
    """Why the task is to be done again, where its last attempt but the live one was given back, failed or was cut."""
    log = _newest(view, task.id)
    for each in log:
        match each.event:
            case AttemptReleased(attempt=number, reason=why):
                ended = "released"
            case AttemptFailed(attempt=number, report=report):
                ended, why = "failed", report.summary
            case AttemptExpired(attempt=number, limit_seconds=limit):
                ended, why = "expired", f"It ran over the {limit:g} s that it may take."
            case _:
                continue
        told: EarlierText = {"attempt": f"{task.id}.{number}", "ended": ended, "by": each.actor, "summary": why}
        if (said := _said(log, number)) is not None and said["by"] != each.actor:
            told["said"] = said
        return told
    return None


def _newest(view: Reading, task: TaskId) -> list[Recorded]:
    """A task's newest events, the last one first."""
    return view.newest_events(task, limit=_NEWEST_EVENTS)[::-1]


def _sessions(log: list[Recorded], attempt: int) -> list[SessionEnded]:
    """How the sessions of an attempt ended, the last one first."""
    return [event for each in log if isinstance(event := each.event, SessionEnded) and event.attempt == attempt]


def _said(log: list[Recorded], attempt: int) -> SaidText | None:
    """The last words of an attempt's worker."""
    said = (SaidText(by=ended.worker, words=ended.said) for ended in _sessions(log, attempt) if ended.said is not None)
    return next(said, None)


def _reviewed(view: Reading, review: Task) -> ReviewedText:
    assert review.reviews is not None
    original = view.task(review.reviews.task)
    if original is None:
        gone = "It was lost with a part of the log: there is nothing to review. Release this task."
        return {"task": review.reviews.task, "attempt": str(review.reviews), "instructions": gone, "summary": ""}
    content = view.brief(original.id)
    reports = [each.report for each in view.reports(original.id) if each.attempt == review.reviews]
    report = reports[0] if reports else Report(summary="")
    reviewed: ReviewedText = {
        "task": original.id,
        "attempt": str(review.reviews),
        "instructions": content.instructions,
        "summary": report.summary,
    }
    if content.acceptance is not None:
        reviewed["acceptance"] = content.acceptance
    if report.data is not None:
        reviewed["data"] = report.data
    if report.artifacts:
        reviewed["artifacts"] = list(report.artifacts)
    if report.files:
        reviewed["files"] = list(report.files)
    if (holds := branch(view, review.reviews)) is not None:
        reviewed["branch"] = holds
    return reviewed


def _result(view: Reading, dependency: TaskId) -> DependencyResult:
    task = view.task(dependency)
    report = result(view, task) if task is not None else None
    line: DependencyResult = {"id": dependency, "summary": report.summary if report is not None else ""}
    if report is not None and report.data is not None:
        line["data"] = report.data
    if report is not None and report.artifacts:
        line["artifacts"] = list(report.artifacts)
    if (holds := result_branch(view, task)) is not None:
        line["branch"] = holds
    return line
