"""The edit gate: whether an agent may write a path now, by what tasks and reservations hold.

It keeps those apart who mean well. It is no sandbox: what a program writes by itself is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.turns import worker_of
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.reservations import Hold, ancestors
from trichrome.store.port import Reading

_NOBODY: Final = TaskId("t0")
"""Numbers begin at 1: no task that could hold anything is left out."""
_OUTSIDE: Final = (
    "{path} is not among the files of {attempt}, so it was not written. If the task needs it, call "
    'reserve_files(attempt="{attempt}", paths=["{path}"]) first; else work around it, or report what is missing.'
)
_TAKEN: Final = (
    "{path} is held by {worker} for {task}, so it was not written. Work on something else until that is over (get_task "
    "tells), ask {worker} with send_message, or report what is missing."
)


def refusal(c: Coordinator, caller: Caller, paths: Sequence[str]) -> str | None:
    """Why an agent may not write these paths, and what to do instead; None where it may.

    A worker whose task names files, or that reserved some, may write those. Whoever works on a task without any, and
    whoever works on none, may write what no other running task holds.

    Args:
        c: the project.
        caller: who is about to write.
        paths: relative to the project folder, with slashes; the empty one is the whole of it.
    """
    with c.store.reading() as view:
        worker = worker_of(c, view, caller)
        attempt = view.live_attempt_of(worker.name) if worker is not None else None
        mine = _held(view, attempt)
        for path in paths:
            if attempt is not None and mine:
                if not mine & set(ancestors(path)):
                    return _OUTSIDE.format(path=path or ".", attempt=attempt)
            elif holder := view.holder([Hold(path)], besides=attempt.task if attempt is not None else _NOBODY):
                return _TAKEN.format(path=path or ".", task=holder[0], worker=holder[1])
    return None


def _held(view: Reading, attempt: AttemptId | None) -> set[str]:
    task = view.task(attempt.task) if attempt is not None else None
    return {hold.path for hold in task.attempt.holds} if task is not None and task.attempt is not None else set()
