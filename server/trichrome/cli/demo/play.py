"""The demo: create the tasks, start the workers, watch until the report is approved or something is in the way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trichrome.cli.demo.board import Board, Snapshot, open_board
from trichrome.cli.demo.fleet import Fleet, fleet
from trichrome.cli.demo.supervised import supervised
from trichrome.coordinator import OPERATOR, liveness, queries, supervision, tasks
from trichrome.domain.drafts import Draft
from trichrome.domain.ids import RunId, TaskId
from trichrome.domain.tasks import State
from trichrome.store.port import Recorded, TaskFilter, TaskLine

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.coordinator import Coordinator
    from trichrome.runners.port import Runner

REPORT: Final = "trichrome-report.md"
"""The report that a worker with a model writes, in the folder that is worked on."""
_FLEET: Final = ("blue", "blue", "green", "red")
_LIMIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1
_SWEEP_EVERY: Final = 5
_MOST_TASKS: Final = 200
_EVENTS_A_LOOK: Final = 500


@dataclass(frozen=True, slots=True)
class Played:
    """How a demo went.

    Attributes:
        document: the task that writes the report; `state` is how it stands.
        report: the report's file, where one was written.
        found: what each search brought, in a sentence.
        seconds: until the report was approved, or it was given up; ending the workers comes on top.
        reviews: how often the report was reviewed.
        sent_back: how often a review asked for changes.
        trouble: what was in the way; None when nothing was.
        interrupted_by: the signal that ended it; None when it ended by itself.
        cost_usd: what the model cost.
    """

    run: RunId
    document: TaskId
    state: State
    report: Path | None
    found: list[str]
    seconds: float
    tasks: int
    attempts: int
    reviews: int
    sent_back: int
    approved_by: str | None
    trouble: str | None
    interrupted_by: int | None
    cost_usd: float

    @property
    def is_approved(self) -> bool:
        """Whether the report was written and stood its review."""
        return self.state == "completed" and self.report is not None


def play(project: Project, themes: list[str], runner: Runner | None, *, quiet: bool) -> Played:
    """Play the demo once. What is not over at its end is cancelled, and every process it started is gone.

    Args:
        project: where.
        themes: what to look for, a search each.
        runner: what starts the sessions of supervised workers; None for workers without a model.
        quiet: show nothing of it.
    """
    c = project.coordinator
    began = time.monotonic()
    created = tasks.create(c, OPERATOR, _drafts(themes, report=None if runner is None else REPORT))
    run, document = RunId(created["run"]), TaskId(created["tasks"][-1]["id"])
    trouble: str | None = "it was stopped"
    try:
        if runner is None:
            with fleet() as workers, open_board(run, "without a model", quiet=quiet) as board:
                for role in _FLEET:
                    workers.start(role, project.folder, project.data)
                trouble = _watch(c, run, document, workers, board, began)
                seconds = time.monotonic() - began
            interrupted_by = workers.interrupted_by
        else:
            with open_board(run, f"with {runner.name}", quiet=quiet) as board:
                done, interrupted_by = supervised(project, runner, _FLEET, _Looks(c, run, board, began).look)
                trouble = "it was stopped" if interrupted_by is not None else _ended(c, document)
                if trouble is not None and done.stuck:
                    trouble = done.stuck[0]
                seconds = time.monotonic() - began
    finally:
        if trouble is not None:
            tasks.cancel(c, OPERATOR, run=run, reason="the demo ended")
    return _played(project, run, document, seconds, trouble, interrupted_by)


def _drafts(themes: list[str], *, report: str | None) -> list[Draft]:
    """The searches, and a report of them; `report` names its file, where the worker does not choose one."""
    searches = [
        Draft(kind="search", instructions=theme, ref=f"search-{number}") for number, theme in enumerate(themes, start=1)
    ]
    where = "" if report is None else f". Write it to {report}, change nothing else, and list it in artifacts"
    document = Draft(
        kind="document",
        instructions=f"Write a report of what the searches found, with file and line{where}",
        acceptance="Every cited line reads in its file as it is cited.",
        depends_on=tuple(search.ref for search in searches if search.ref is not None),
        files=() if report is None else (report,),
        review="red",
        ref="report",
    )
    return [*searches, document]


class _Looks:
    """Shows the board, with what happened since the look before."""

    def __init__(self, c: Coordinator, run: RunId, board: Board, began: float) -> None:
        self._c = c
        self._run = run
        self._board = board
        self._began = began
        self._position = 0

    def look(self) -> Snapshot:
        """Look at the log once, and show it."""
        seconds = time.monotonic() - self._began
        snapshot, self._position = _look(self._c, self._run, self._position, seconds)
        self._board.show(snapshot)
        return snapshot


def _watch(c: Coordinator, run: RunId, document: TaskId, workers: Fleet, board: Board, began: float) -> str | None:
    """Look at the log until the report's task is over; answers what was in the way, if anything was."""
    watch = c.store.watch()
    looks = _Looks(c, run, board, began)
    look = 0
    try:
        while True:
            mark = watch.mark()
            snapshot = looks.look()
            if snapshot.is_over:
                return _ended(c, document)
            if workers.interrupted_by is not None:
                return "it was stopped"
            if snapshot.seconds > _LIMIT_SECONDS:
                return f"it was not over after {_LIMIT_SECONDS:g} s"
            if (trouble := workers.trouble()) is not None:
                return trouble
            look += 1
            if look % _SWEEP_EVERY == 0:
                liveness.sweep(c)
            watch.sleep(mark, at_most_seconds=_LOOK_SECONDS)
    finally:
        watch.close()


def _ended(c: Coordinator, document: TaskId) -> str | None:
    with c.store.reading() as view:
        task = view.task(document)
        assert task is not None
        if task.state == "completed":
            return None
        failed = [line for line in view.list_tasks(TaskFilter(run=task.run, state="failed")) if line.summary]
    return failed[0].summary if failed else f"{document} is {task.state}"


def _look(c: Coordinator, run: RunId, position: int, seconds: float) -> tuple[Snapshot, int]:
    """What the board shows now, with the events since a position."""
    with c.store.reading() as view:
        lines = view.list_tasks(TaskFilter(run=run, limit=_MOST_TASKS))
        asked = {line.task.id: view.brief(line.task.id).instructions for line in lines}
        recorded = view.events(after=position, limit=_EVENTS_A_LOOK)
    mine: list[Recorded] = [each for each in recorded if each.stream in asked]
    workers = queries.status(c)["workers"]
    snapshot = Snapshot(
        seconds=seconds, lines=lines, asked=asked, workers=workers, events=mine, is_over=_is_over(lines)
    )
    return snapshot, recorded[-1].position if recorded else position


def _is_over(lines: list[TaskLine]) -> bool:
    """Whether everything ended, or what is left waits for something that failed."""
    return not any(line.task.state in {"ready", "running"} for line in lines)


def _played(
    project: Project, run: RunId, document: TaskId, seconds: float, trouble: str | None, interrupted_by: int | None
) -> Played:
    c = project.coordinator
    detail = queries.task_detail(c, document)
    with c.store.reading() as view:
        lines = view.list_tasks(TaskFilter(run=run, limit=_MOST_TASKS))
        attempts = sum(len(view.attempts(line.task.id)) for line in lines)
        reviews = [line.task for line in lines if line.task.reviews is not None]
        sent_back = sum(any(each.outcome == "changes" for each in view.reports(review.id)) for review in reviews)
    artifacts = [*detail.get("result", {}).get("artifacts", []), REPORT]
    report = next((path for each in artifacts if (path := project.folder / each).is_file()), None)
    judge = reviews[-1].attempt if reviews else None
    return Played(
        run=run,
        document=document,
        state=detail["state"],
        report=report,
        found=[
            f"{line.task.id}: {_sentence(line.summary)}"
            for line in lines
            if line.task.kind == "search" and line.summary is not None
        ],
        seconds=seconds,
        tasks=len(lines),
        attempts=attempts,
        reviews=len(reviews),
        sent_back=sent_back,
        approved_by=judge.worker if judge is not None else None,
        trouble=trouble,
        interrupted_by=interrupted_by,
        cost_usd=supervision.cost_since(c, 0),
    )


def _sentence(summary: str) -> str:
    """The first sentence of what a worker said."""
    return summary.partition("\n")[0].partition(". ")[0].removesuffix(".")
