"""Handles that the log does not know: whether they never were, or went with a tail that it lost, and what to do."""

from __future__ import annotations

from typing import Final, cast

from trichrome.domain import tails
from trichrome.domain.events import LogEvent, LogReopened, LogSalvaged
from trichrome.domain.ids import AttemptId
from trichrome.domain.tasks import Task
from trichrome.domain.text import one_line
from trichrome.errors import NotFoundError
from trichrome.store.port import Reading

_ALL: Final = 10**9
_CUT: Final = (
    "The machine went down before the log's last moments were on its disk (durability is fast): they are lost, and "
    "all before them is kept."
)
_DAMAGED: Final = "The log was damaged and has been repaired: what could not be read is lost, and all else is kept."


def unknown(view: Reading, handle: str, *, shown: str, field: str) -> NotFoundError:
    """The refusal of a task or run that is not there.

    Args:
        view: where it is not.
        handle: what was asked for, with its kind: `task t17`.
        shown: what shows those there are.
        field: the argument that named it.
    """
    lost = _losses(view)
    told = f"{_how(lost[-1])} If you know that it was there, it is lost: make it again. " if lost else ""
    return NotFoundError(f"There is no {handle}. {told}{shown}", field=field)


def unknown_attempt(view: Reading, task: Task, attempt: AttemptId) -> NotFoundError:
    """The refusal of an attempt that its task does not know."""
    lost = view.lost_tails(task.id, since=tails.NUMBERING)
    if attempt.number > task.last_number + lost * tails.NUMBERS:
        return NotFoundError(f"There is no attempt {attempt}. claim_task answers yours.", field="attempt")
    return NotFoundError(
        f"{attempt} is not in the log any more. {_what_happened(view)} {_go_on(task)}", field="attempt"
    )


def _losses(view: Reading) -> list[LogEvent]:
    """What the log says of itself where something may have been lost; some repairs lose nothing."""
    if not view.lost_tails(tails.LOG, since=()):
        return []
    said = [cast("LogEvent", each.event) for each in view.newest_events(tails.LOG, limit=_ALL)]
    return [each for each in said if isinstance(each, LogReopened) or each.holes]


def _what_happened(view: Reading) -> str:
    """How the log lost its last tail, for whoever holds something that was in it."""
    lost = _losses(view)
    return _how(lost[-1]) if lost else _DAMAGED


def _how(lost: LogEvent) -> str:
    match lost:
        case LogReopened():
            return _CUT
        case LogSalvaged(backup=str() as backup):
            return (
                f"The operator put the log back to an older state ({one_line(backup)}): all that came after it is lost."
            )
        case _:
            return _DAMAGED


def _go_on(task: Task) -> str:
    if task.state == "ready":
        return (
            f"Your files are as you left them. Claim {task.id} again with claim_task(task={task.id!r}), and report "
            "with the attempt that it answers."
        )
    if task.state == "running" and task.attempt is not None:
        return (
            f"{task.attempt.worker} works on it as {task.id}.{task.attempt.number} now. Unless that is you, stop, and "
            "leave its files as they are; claim_task gives you something else."
        )
    return f"{task.id} is {task.state} now: stop working on it; claim_task gives you something else."
