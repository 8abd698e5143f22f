"""What a claim hands over: the task, what came before it, and never more than a model can read.

What other agents wrote comes in labelled fields. Dependency data is cut first, then summaries; artifacts stay as
pointers.
"""

from __future__ import annotations

import json
from typing import Final

from trichrome.coordinator.answers import DependencyResult, FeedbackText, ReviewedText, Work
from trichrome.domain.events import Report
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import Task
from trichrome.store.port import Reading

ANSWER_TOKENS: Final = 10_000
"""The most an answer may cost its reader."""
BYTES_A_TOKEN: Final = 4
_OVERHEAD_BYTES: Final = 2_000
_CUT_SUMMARY_CHARS: Final = 200


def size(value: object) -> int:
    """Bytes of a value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def brief(view: Reading, task: Task) -> tuple[Work, list[DependencyResult]]:
    """The task as its worker reads it, and the results of what it depended on, within the size of an answer."""
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
    _cut(dependencies, ANSWER_TOKENS * BYTES_A_TOKEN - _OVERHEAD_BYTES - size(work))
    return work, dependencies


def result(view: Reading, task: Task) -> Report | None:
    """The report that is a task's result, or is under review."""
    if task.result is None:
        return None
    reports = (each for each in view.reports(task.id) if each.attempt.number == task.result and not each.superseded)
    return next((each.report for each in reports), None)


def _reviewed(view: Reading, review: Task) -> ReviewedText:
    assert review.reviews is not None
    original = view.task(review.reviews.task)
    assert original is not None
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


def _cut(dependencies: list[DependencyResult], budget: int) -> None:
    """Cut in place until the list fits: the largest data first, then summaries."""
    for line in sorted((each for each in dependencies if "data" in each), key=lambda each: -size(each["data"])):
        if size(dependencies) <= budget:
            return
        line["data"] = f"left out for length; get_task({line['id']!r}) shows it"
    for line in sorted(dependencies, key=lambda each: -len(each["summary"])):
        if size(dependencies) <= budget:
            return
        line["summary"] = line["summary"][:_CUT_SUMMARY_CHARS] + " ..."
