"""Questions: one task, a page of tasks, everything on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from trichrome.coordinator import briefing, history, runs, stuck
from trichrome.coordinator.answers import (
    AttemptLine,
    FeedbackText,
    Result,
    Status,
    SupersededResult,
    TaskDetail,
    TaskPage,
    TaskSummary,
    WorkerDetail,
    WorkerLine,
)
from trichrome.coordinator.context import OPERATOR_NAME, Coordinator
from trichrome.coordinator.evidence import Witness
from trichrome.coordinator.principals import is_reachable
from trichrome.coordinator.tasks import existing, existing_run
from trichrome.domain import ids
from trichrome.domain.events import Report
from trichrome.domain.tasks import STATES, Attempt, State, Task
from trichrome.errors import InvalidError, NotFoundError
from trichrome.store.port import LiveAttempt, Reading, Recorded, Reported, TaskFilter, TaskLine, Worker

ANY_ROLE: Final = "any"
"""The role of a worker that may serve several and holds nothing now."""
HISTORY_LINES: Final = 60
"""The newest lines of a task's history that get_task shows."""
PAGE: Final = 50
"""Tasks on a page when the caller does not say."""
LARGEST_PAGE: Final = 500
_LISTED_SUMMARY_CHARS: Final = 200
_HELP_LINES: Final = 50


def task_detail(c: Coordinator, task: str) -> TaskDetail:
    """One task with its attempts, result and history in words, within the size of an answer.

    Raises:
        TrichromeError: `not_found`, `invalid`.
    """
    with c.store.reading() as view:
        state = existing(view, task)
        content = view.brief(state.id)
        reports = view.reports(state.id)
        log = view.newest_events(state.id, limit=HISTORY_LINES)
        detail: TaskDetail = {
            "id": state.id,
            "run": state.run,
            "kind": state.kind,
            "role": state.role,
            "state": state.state,
            "priority": state.priority,
            "instructions": content.instructions,
            "depends_on": list(content.depends_on),
            "attempts": [_attempt(state.id, each, reports) for each in view.attempts(state.id)],
            "history": [history.line(each) for each in log],
        }
        report, branch = briefing.result(view, state), briefing.result_branch(view, state)
    if content.acceptance is not None:
        detail["acceptance"] = content.acceptance
    if state.files:
        detail["files"] = list(state.files)
    if state.reviews is not None:
        detail["reviews"] = str(state.reviews)
    if content.feedback is not None:
        feedback: FeedbackText = {"by": content.feedback.by, "summary": content.feedback.summary}
        if content.feedback.data is not None:
            feedback["data"] = content.feedback.data
        detail["feedback"] = feedback
    if report is not None:
        detail["result"] = _result(report)
        if branch is not None:
            detail["result"]["branch"] = branch
    if late := [each for each in reports if each.superseded]:
        detail["superseded"] = [_superseded(each) for each in late[-10:]]
    return detail


def _attempt(task: ids.TaskId, attempt: Attempt, reports: list[Reported]) -> AttemptLine:
    line: AttemptLine = {
        "attempt": f"{task}.{attempt.number}",
        "worker": attempt.worker,
        "state": attempt.state,
    }
    said = [each.report.summary for each in reports if each.attempt.number == attempt.number and not each.superseded]
    if said:
        line["summary"] = said[0]
    return line


def _result(report: Report) -> Result:
    result: Result = {"summary": report.summary}
    if report.data is not None:
        result["data"] = report.data
    if report.artifacts:
        result["artifacts"] = list(report.artifacts)
    if report.files:
        result["files"] = list(report.files)
    if report.follow_ups:
        result["follow_ups"] = list(report.follow_ups)
    return result


def _superseded(reported: Reported) -> SupersededResult:
    return {**_result(reported.report), "attempt": str(reported.attempt), "worker": reported.worker}


def page(
    c: Coordinator,
    *,
    run: str | None = None,
    state: str | None = None,
    role: str | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> TaskPage:
    """Tasks in order of age, at most `limit` (50; up to 500) after the task `after`.

    Raises:
        TrichromeError: `not_found`, `invalid`, `unknown_role`.
    """
    size = PAGE if limit is None else limit
    if not 1 <= size <= LARGEST_PAGE:
        raise InvalidError(f"limit is {size}; it goes from 1 to {LARGEST_PAGE}.", field="limit")
    if role is not None and role not in c.roles:
        raise InvalidError(
            f"There is no role {role[:40]!r}. Choose one of: {', '.join(c.roles)}.", code="unknown_role", field="role"
        )
    with c.store.reading() as view:
        chosen = TaskFilter(
            run=None if run is None else existing_run(view, run),
            state=None if state is None else _state(state),
            role=role,
            after=None if after is None else ids.task_id(after, field="after"),
            limit=size + 1,
        )
        lines = view.list_tasks(chosen)
    answer: TaskPage = {"tasks": [_summary(line) for line in lines[:size]]}
    if len(lines) > size:
        answer["after"] = lines[size - 1].task.id
    return answer


def _state(state: str) -> State:
    for each in STATES:
        if each == state:
            return each
    raise InvalidError(f"There is no state {state[:40]!r}. Choose one of: {', '.join(STATES)}.", field="state")


def _summary(line: TaskLine) -> TaskSummary:
    task = line.task
    summary: TaskSummary = {"id": task.id, "run": task.run, "kind": task.kind, "role": task.role, "state": task.state}
    if line.summary:
        short = line.summary[:_LISTED_SUMMARY_CHARS]
        summary["summary"] = short if short == line.summary else f"{short} ..."
    return summary


def status(c: Coordinator) -> Status:
    """Tasks by state, workers, and what needs a human."""
    with c.store.reading() as view:
        live = view.live_attempts()
        answer: Status = {
            "tasks": view.count_tasks(),
            "workers": _workers(c, view, live),
            "needs_you": list(islice(stuck.by_themselves(c, view, _open(view)), _HELP_LINES)),
        }
        if leaderless := runs.leaderless(c, view):
            answer["leaderless"] = [str(run.id) for run in leaderless]
        if spent := view.spent():
            answer["spend_usd"] = round(spent, 4)
    return answer


def workers(c: Coordinator) -> list[WorkerLine]:
    """Every worker that is connected or holds an attempt, and what it is doing."""
    with c.store.reading() as view:
        return _workers(c, view, view.live_attempts())


def _open(view: Reading) -> Iterator[Task]:
    """Every task that may wait for something, page by page: whoever has seen enough stops."""
    states: tuple[State, ...] = ("running", "blocked", "ready", "in_review")
    for state in states:
        chosen: TaskFilter | None = TaskFilter(state=state, limit=LARGEST_PAGE)
        while chosen is not None:
            lines = view.list_tasks(chosen)
            yield from (line.task for line in lines)
            chosen = replace(chosen, after=lines[-1].task.id) if len(lines) == LARGEST_PAGE else None


def _workers(c: Coordinator, view: Reading, live: list[LiveAttempt]) -> list[WorkerLine]:
    witness = Witness(c, view, live)
    lines: list[WorkerLine] = []
    for worker in view.workers():
        if worker.name == OPERATOR_NAME:
            continue
        attempt = witness.held.get(worker.name)
        if attempt is None and not _is_connected(c, view, worker.principal):
            continue
        said = witness.judgement(worker)
        line: WorkerLine = {"worker": worker.name, "role": _role_of(view, worker, attempt), "state": said.state}
        if attempt is not None:
            line["attempt"] = str(attempt.attempt)
        if attempt is not None or said.state != "idle":
            line["why"] = said.why
        if said.since is not None:
            line["since_seconds"] = round(said.since)
        lines.append(line)
    return lines


def _role_of(view: Reading, worker: Worker, live: LiveAttempt | None) -> str:
    task = view.task(live.attempt.task) if live is not None else None
    return worker.role or (task.role if task is not None else ANY_ROLE)


def _is_connected(c: Coordinator, view: Reading, principal: str) -> bool:
    known = view.principal(principal)
    return known is not None and is_reachable(c, view, known)


def events(c: Coordinator, *, after: int = 0, limit: int = 1000) -> list[Recorded]:
    """The log above a position, in order."""
    with c.store.reading() as view:
        return view.events(after=after, limit=limit)


def explain(c: Coordinator, task: str) -> list[str]:
    """Why a task stands where it stands, in sentences: its history, then what it waits for, or who works on it."""
    detail = task_detail(c, task)
    with c.store.reading() as view:
        state = existing(view, task)
        found = stuck.stuck(c, view, [state])
        waits = [on for on in detail["depends_on"] if (each := view.task(ids.TaskId(on))) and each.state != "completed"]
        claimable = view.is_claimable(state.id)
        holders = [] if state.state != "running" else _holders(c, view, state)
    lines = list(detail["history"])
    if waits:
        lines.append(f"It waits for {', '.join(waits)}.")
    lines += [f"It is stuck: {each.told['why']}. What helps: {each.told['help']}." for each in found]
    if state.state == "ready" and not found:
        lines.append(
            "It can be claimed now." if claimable else "It is held back: its time, or its files, are not free."
        )
    return [*lines, *holders]


def _holders(c: Coordinator, view: Reading, task: Task) -> list[str]:
    worker = view.worker(task.attempt.worker) if task.attempt is not None else None
    return [] if worker is None else Witness(c, view).told(worker)


def explain_worker(c: Coordinator, name: str) -> WorkerDetail:
    """What a worker does, in sentences: its state, what shows it, what it holds and how that may end.

    Raises:
        NotFoundError: nobody bears the name.
    """
    with c.store.reading() as view:
        worker = view.worker(name)
        if worker is None or name == OPERATOR_NAME:
            raise NotFoundError(
                f"There is no task or worker {name[:80]!r}. `trichrome list` shows tasks, `trichrome status` workers.",
                field="task",
            )
        witness = Witness(c, view)
        return {"worker": name, "state": witness.judgement(worker).state, "explanation": witness.told(worker)}
