"""What a claim hands over: the task, and what came before it. What other agents wrote comes in labelled fields."""

from __future__ import annotations

from typing import Final

from trichrome.coordinator.answers import DependencyResult, EarlierText, FeedbackText, ReviewedText, Work
from trichrome.domain.events import AttemptFailed, AttemptReleased, Report
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import Task
from trichrome.store.port import Reading

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


def earlier(view: Reading, task: Task) -> EarlierText | None:
    """Why the task is to be done again, where its last attempt but the live one was given back or failed."""
    for each in reversed(view.newest_events(task.id, limit=_NEWEST_EVENTS)):
        match each.event:
            case AttemptReleased(attempt=number, reason=said):
                return {"attempt": f"{task.id}.{number}", "ended": "released", "by": each.actor, "summary": said}
            case AttemptFailed(attempt=number, report=report):
                return {
                    "attempt": f"{task.id}.{number}",
                    "ended": "failed",
                    "by": each.actor,
                    "summary": report.summary,
                }
            case _:
                pass
    return None


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
    return reviewed


def _result(view: Reading, dependency: TaskId) -> DependencyResult:
    task = view.task(dependency)
    report = result(view, task) if task is not None else None
    line: DependencyResult = {"id": dependency, "summary": report.summary if report is not None else ""}
    if report is not None and report.data is not None:
        line["data"] = report.data
    if report is not None and report.artifacts:
        line["artifacts"] = list(report.artifacts)
    return line
