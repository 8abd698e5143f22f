"""Ends and puts away what a supervisor left that died.

Guarantee: what it started is found by the mark that it wrote down, and ended before its attempts are; what was done is
committed to its task's branch.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.coordinator import Coordinator, briefing, liveness, supervision
from trichrome.coordinator.principals import disconnect_gone
from trichrome.domain.ids import TaskId
from trichrome.errors import TrichromeError
from trichrome.supervisor import life, limits, marks
from trichrome.supervisor.workspaces import Workspaces

_GRACE_SECONDS: Final = 3.0
_SWEEP_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Healed:
    """What a supervisor that died had left.

    Attributes:
        processes: how many processes of it still ran.
        attempts: those that were ended, since their workers are gone.
        kept: workspaces that stay, a line each.
    """

    processes: int = 0
    attempts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def told(self) -> str:
        """It in a sentence."""
        parts = [f"ended {self.processes} of its processes"] if self.processes else []
        parts += [f"gave back {', '.join(self.attempts)}"] if self.attempts else []
        parts += [f"kept {each}" for each in self.kept]
        return f"A supervisor had died here: {'; '.join(parts) or 'nothing of it was left'}."


def heal(c: Coordinator, project: Path, data: Path) -> Healed | None:
    """End and put away what a supervisor left that died; for whoever holds the lock. None when none died.

    Work that was not committed is committed to its task's branch.
    """
    left = supervision.fleet(c)
    shutil.rmtree(data / life.SCRATCH, ignore_errors=True)
    if left is None:
        return None
    mark = left["supervisor"]["supervision"]
    swept = marks.sweep(
        lambda: marks.carrying(marks.SUPERVISION, mark), grace_seconds=_GRACE_SECONDS, bound_seconds=_SWEEP_SECONDS
    )
    limits.remove_left()
    workspaces = Workspaces(project, data)
    tasks = [TaskId(worker["task"]) for worker in left["workers"] if "task" in worker]
    kept = [line for task in tasks for line in _put_away(c, workspaces, task)]
    kept += _tidied(workspaces)
    kept += [f"process {pid}, which could not be ended" for pid in swept.left]
    attempts = [str(attempt) for attempt in liveness.sweep(c)]
    disconnect_gone(c)
    supervision.put_fleet(c, None)
    return Healed(swept.ended, tuple(attempts), tuple(kept))


def _put_away(c: Coordinator, workspaces: Workspaces, task: TaskId) -> list[str]:
    with c.store.reading() as view:
        state = view.task(task)
        report = None if state is None else briefing.result(view, state)
    summary, artifacts = (None, ()) if report is None else (report.summary, report.artifacts)
    try:
        left = workspaces.put_away_all(task, summary=summary, artifacts=artifacts)
    except TrichromeError as error:
        return [f"the workspace of {task} ({error.message})"]
    return [f"{each.path} ({each.note})" for each in left]


def _tidied(workspaces: Workspaces) -> list[str]:
    """Take away what was half made, or half removed."""
    try:
        workspaces.sweep(keep=())
    except TrichromeError as error:
        return [f"what was half made of workspaces ({error.message})"]
    return []
