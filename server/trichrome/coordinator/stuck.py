"""What cannot move without somebody: each with why, and what would help."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trichrome.coordinator.answers import NeedsHelp
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import is_reachable
from trichrome.domain.tasks import Task
from trichrome.store.port import Reading, Worker

SUBAGENT_START_SECONDS: Final = 15.0
"""How long a Claude Code lead's own subagents may take to ask for work; they do after about one second."""


def takers(c: Coordinator, view: Reading) -> list[Worker]:
    """The connected workers: those that asked for work, or serve one role, and whose client can still call."""
    return [
        worker
        for worker in view.workers()
        if worker.is_taker
        and (principal := view.principal(worker.principal)) is not None
        and is_reachable(c, view, principal)
    ]


def stuck(c: Coordinator, view: Reading, chosen: Iterable[Task]) -> list[NeedsHelp]:
    """Which of these tasks cannot move without somebody."""
    connected = takers(c, view)
    return [help_ for task in chosen if (help_ := _help(c, view, task, connected)) is not None]


def _help(c: Coordinator, view: Reading, task: Task, connected: list[Worker]) -> NeedsHelp | None:
    match task.state:
        case "blocked":
            return _blocked(view, task)
        case "ready":
            return _ready(c, view, task, connected)
        case "in_review":
            return _in_review(view, task)
        case _:
            return None


def _blocked(view: Reading, task: Task) -> NeedsHelp | None:
    for on in view.brief(task.id).depends_on:
        dependency = view.task(on)
        if dependency is not None and dependency.state in {"failed", "cancelled"}:
            return {
                "id": task.id,
                "why": f"{on}, which it waits for, {_was(dependency)}",
                "help": f"`trichrome retry {on}`, or cancel {task.id}",
            }
    return None


def _was(task: Task) -> str:
    return "failed" if task.state == "failed" else "was cancelled"


def _ready(c: Coordinator, view: Reading, task: Task, connected: list[Worker]) -> NeedsHelp | None:
    run = view.run(task.run)
    if run is not None and run.paused:
        return {"id": task.id, "why": f"{task.run} is paused", "help": f"`trichrome resume {task.run}`"}
    serving = [worker for worker in connected if worker.role in {None, task.role}]
    if not serving:
        return None if _may_still_come(c, view, task) else _nobody(task)
    if task.author is not None and all(worker.name == task.author for worker in serving):
        return {
            "id": task.id,
            "why": f"nobody but its author, {task.author}, could review {task.reviews}",
            "help": f"start another {task.role} worker, or `trichrome approve {task.reviews.task}`"
            if task.reviews is not None
            else f"start another {task.role} worker",
        }
    return None


def _nobody(task: Task) -> NeedsHelp:
    return {
        "id": task.id,
        "why": f"no {task.role} worker is connected",
        "help": f"start a Claude that calls claim_task(role={task.role!r}), with TRICHROME_ROLE={task.role}",
    }


def _may_still_come(c: Coordinator, view: Reading, task: Task) -> bool:
    """Whether the task's lead is a Claude Code session that may just be starting subagents for it."""
    run = view.run(task.run)
    lead = view.worker(run.lead) if run is not None else None
    principal = view.principal(lead.principal) if lead is not None else None
    if principal is None or principal.session is None or not is_reachable(c, view, principal):
        return False
    newest = view.events(stream=task.id, limit=10**9)[-1]
    return c.clock.now().wall - newest.recorded_at < SUBAGENT_START_SECONDS


def _in_review(view: Reading, task: Task) -> NeedsHelp | None:
    review = view.task(task.review_task) if task.review_task is not None else None
    if review is not None and not review.is_final:
        return None
    how = "is missing" if review is None else _was(review) if review.state != "completed" else "gave no verdict on it"
    return {
        "id": task.id,
        "why": f"its review {task.review_task} {how}",
        "help": f"`trichrome approve {task.id}` or `trichrome reject {task.id} --reason ...`",
    }
