"""What cannot move without somebody: each with why, and what would help.

A task is stopped by itself (nobody serves its role, what it waits for failed), or from below: what it waits for, or the
review of it, is stopped. Each task is looked at once, however many ways lead to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trichrome.coordinator import supervision
from trichrome.coordinator.answers import NeedsHelp
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.evidence import Witness
from trichrome.coordinator.principals import is_reachable
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import Task
from trichrome.store.port import Reading, Worker

SUBAGENT_START_SECONDS: Final = 15.0
"""How long a Claude Code lead's own subagents may take to ask for work; they do after about one second."""
ANSWER_SECONDS: Final = 30.0
"""How long a person may take to answer a permission prompt before others are told of it."""


def takers(c: Coordinator, view: Reading) -> list[Worker]:
    """The connected workers: those that asked for work, or serve one role, and whose client can still call."""
    return [
        worker
        for worker in view.workers()
        if worker.is_taker
        and (principal := view.principal(worker.principal)) is not None
        and is_reachable(c, view, principal)
    ]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a task cannot move; `at` is the stream whose event brought that about, if one did."""

    told: NeedsHelp
    at: str


def stuck(c: Coordinator, view: Reading, chosen: Sequence[Task]) -> list[Stop]:
    """Which of these tasks cannot move without somebody; one that another of them stops is told there only."""
    return _Search(c, view, among={task.id for task in chosen}).stops(chosen)


def by_themselves(c: Coordinator, view: Reading, chosen: Iterable[Task]) -> Iterator[NeedsHelp]:
    """Which of these tasks are themselves what cannot move, one after the other as they are asked for."""
    search = _Search(c, view, among=set())
    return (stop.told for task in chosen if (stop := search.own(task)) is not None)


class _Search:
    """One look at what stops tasks, in one state of the views."""

    def __init__(self, c: Coordinator, view: Reading, *, among: set[TaskId]) -> None:
        self._c = c
        self._view = view
        self._among = among
        self._connected = takers(c, view)
        self._asking = {sign.principal for sign in view.signs() if sign.kind == "prompt_opened"}
        self._known: dict[TaskId, Stop | None] = {}
        self._dependencies: dict[TaskId, Sequence[TaskId]] = {}
        self._staff: dict[str, list[supervision.Document]] = {}
        self._held = supervision.held(c, view)

    def stops(self, chosen: Iterable[Task]) -> list[Stop]:
        """What stops each of the tasks, by itself or from below."""
        found = []
        for task in chosen:
            stop = self.own(task)
            if stop is None and (cause := self._below(task)) is not None:
                stop = _from_below(task, cause)
            if stop is not None:
                found.append(stop)
        return found

    def own(self, task: Task) -> Stop | None:
        """What stops a task by itself."""
        match task.state:
            case "blocked":
                return self._blocked(task)
            case "ready":
                return self._ready(task)
            case "in_review":
                return self._in_review(task)
            case "running":
                return self._running(task)
            case _:
                return None

    def _below(self, start: Task) -> Stop | None:
        """The first stop under a task; without recursion, as chains may be long."""
        ways = self._ways(start)
        pending = list(reversed(ways))
        while pending:
            task = pending[-1]
            stop = None if task.id in self._known else self.own(task)
            below = [] if task.id in self._known or stop is not None else self._ways(task)
            if unknown := [each for each in below if each.id not in self._known]:
                pending += reversed(unknown)
            else:
                pending.pop()
                self._known.setdefault(task.id, stop or self._first(below))
        return self._first(ways)

    def _first(self, ways: Iterable[Task]) -> Stop | None:
        return next((stop for each in ways if (stop := self._known[each.id]) is not None), None)

    def _ways(self, task: Task) -> list[Task]:
        """What a task waits for and that is not told of by itself."""
        names: Sequence[TaskId] = ()
        if task.state == "blocked":
            names = self._depends_on(task.id)
        elif task.state == "in_review" and task.review_task is not None:
            names = (task.review_task,)
        found = (self._view.task(name) for name in names if name not in self._among)
        return [each for each in found if each is not None and not each.is_final]

    def _depends_on(self, task: TaskId) -> Sequence[TaskId]:
        if task not in self._dependencies:
            self._dependencies[task] = self._view.brief(task).depends_on
        return self._dependencies[task]

    def _blocked(self, task: Task) -> Stop | None:
        known = {on: self._view.task(on) for on in self._depends_on(task.id)}
        for on, dependency in known.items():
            if dependency is not None and dependency.state in {"failed", "cancelled"}:
                why = f"{on}, which it waits for, {_was(dependency)}"
                return _stop(task, why, f"`trichrome retry {on}`, or cancel {task.id}", at=on)
        is_open = sum(each is not None and each.state != "completed" for each in known.values())
        return _lost(task, [on for on, each in known.items() if each is None]) if task.waiting_on > is_open else None

    def _ready(self, task: Task) -> Stop | None:
        run = self._view.run(task.run)
        if run is not None and run.paused:
            return _stop(task, f"{task.run} is paused", f"`trichrome resume {task.run}`", at=task.run)
        staff = self._staff_of(task.role)
        serving = {worker.name for worker in self._connected if worker.role in {None, task.role}}
        if task.id in self._held and serving <= {worker["name"] for worker in staff}:
            return _stop(task, self._held[task.id], f"`trichrome resume {task.role}`, once that is mended")
        serving.update(worker["name"] for worker in staff if _comes(worker))
        if not serving:
            if staff:
                return _kept(task, staff[0])
            return None if _may_still_come(self._c, self._view, task) else self._nobody(task)
        if serving == {task.author}:
            another = f"start another {task.role} worker"
            return _stop(
                task,
                f"nobody but its author, {task.author}, could review {task.reviews}",
                f"{another}, or `trichrome approve {task.reviews.task}`" if task.reviews is not None else another,
            )
        return None

    def _running(self, task: Task) -> Stop | None:
        """A permission prompt that nobody answers; whoever sits before it is given a moment."""
        if task.attempt is None or task.attempt.principal not in self._asking:
            return None
        worker = self._view.worker(task.attempt.worker)
        said = Witness(self._c, self._view).judgement(worker) if worker is not None else None
        if said is None or said.state != "waiting_for_human" or (said.since or 0.0) < ANSWER_SECONDS:
            return None
        return _stop(task, f"{task.attempt.worker} waits for a person at a permission prompt", said.help)

    def _nobody(self, task: Task) -> Stop:
        is_kept = supervision.is_seen(self._c, self._view)
        start = f"`trichrome {'scale' if is_kept else 'start --role'} {task.role}=1`"
        claude = f"a Claude that calls claim_task(role={task.role!r}), with TRICHROME_ROLE={task.role}"
        return _stop(task, f"no {task.role} worker is connected", f"{start}, or start {claude}")

    def _staff_of(self, role: str) -> list[supervision.Document]:
        if role not in self._staff:
            self._staff[role] = supervision.staff(self._c, self._view, role)
        return self._staff[role]

    def _in_review(self, task: Task) -> Stop | None:
        review = self._view.task(task.review_task) if task.review_task is not None else None
        if review is not None and not review.is_final:
            return None
        how = (
            "is missing" if review is None else _was(review) if review.state != "completed" else "gave no verdict on it"
        )
        return _stop(
            task,
            f"its review {task.review_task} {how}",
            f"`trichrome approve {task.id}` or `trichrome reject {task.id} --reason ...`",
            at=task.review_task,
        )


def _stop(task: Task, why: str, help_: str, *, at: str | None = None) -> Stop:
    return Stop({"id": task.id, "why": why, "help": help_}, at or task.id)


def _from_below(task: Task, cause: Stop) -> Stop:
    told = cause.told
    return _stop(task, f"{told['id']}, which it waits for, is stuck: {told['why']}", told["help"], at=cause.at)


def _lost(task: Task, gone: Sequence[TaskId]) -> Stop:
    """A task that waits for what a hole in the log swallowed."""
    if gone:
        why = f"{', '.join(gone)}, which it waits for, was lost with a part of the log"
        return _stop(task, why, f"`trichrome cancel {task.id}`, and create it anew without that")
    return _stop(task, "that what it waits for completed was lost with a part of the log", "`trichrome repair --log`")


def _was(task: Task) -> str:
    return "failed" if task.state == "failed" else "was cancelled"


def _comes(worker: supervision.Document) -> bool:
    """Whether a supervised worker takes up work by itself, now or once a usage limit is over."""
    return worker["state"] in {"idle", "starting", "working"} or (worker["state"] == "parked" and "until" in worker)


def _kept(task: Task, worker: supervision.Document) -> Stop:
    """A task whose supervised workers are all kept from working."""
    why = f"{worker['name']} is {worker['state']}"
    why += f": {worker['reason']}" if "reason" in worker else ""
    return _stop(task, why, f"`trichrome resume {task.role}`, once that is mended")


def _may_still_come(c: Coordinator, view: Reading, task: Task) -> bool:
    """Whether the task's lead is a Claude Code session that may just be starting subagents for it."""
    run = view.run(task.run)
    lead = view.worker(run.lead) if run is not None else None
    principal = view.principal(lead.principal) if lead is not None else None
    if principal is None or principal.session is None or not is_reachable(c, view, principal):
        return False
    (newest,) = view.newest_events(task.id, limit=1)
    return c.clock.now().wall - newest.recorded_at < SUBAGENT_START_SECONDS
