"""Blocking calls that cost nothing while they block, and miss nothing.

A waiter reads the change mark, then the state, then sleeps until the mark changes, the next due time, or its time is
over; a change between the two reads only makes it look again. Only a new event position makes it answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from trichrome.coordinator import attempts, liveness, stuck
from trichrome.coordinator.answers import ChangedTask, Claimed, Waited
from trichrome.coordinator.attempts import NOTHING
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import former_worker
from trichrome.coordinator.tasks import existing, existing_run
from trichrome.domain.ids import RunId, TaskId
from trichrome.errors import InvalidError, NotFoundError
from trichrome.store.port import Reading, TaskFilter

LONGEST_SECONDS: Final = 90.0
"""The longest a tool call may block: beyond 120 s Claude Code moves a call to the background and may lose it."""
SLICE_SECONDS: Final = 0.5
"""How often a sleeping waiter checks for rescues and for its own end."""
_CHANGES: Final = 100
"""The most changed tasks in one answer; the cursor fetches the rest."""

Answer = TypeVar("Answer")
Stop = threading.Event
"""Set by whoever no longer wants the answer."""


def _until(c: Coordinator, look: Callable[[], Answer | None], *, seconds: float, stop: Stop | None) -> Answer | None:
    """Look, and look again after each change, until there is an answer or the time is over."""
    first = look()
    if first is not None or seconds <= 0:
        return first
    deadline = time.monotonic() + seconds
    watch = c.store.watch()
    try:
        while True:
            mark = watch.mark()
            found = look()
            left = deadline - time.monotonic()
            if found is not None or left <= 0 or (stop is not None and stop.is_set()):
                return found
            watch.sleep(mark, at_most_seconds=min(left, SLICE_SECONDS, _next_moment(c)))
            liveness.sweep(c)
    finally:
        watch.close()


def _next_moment(c: Coordinator) -> float:
    with c.store.reading() as view:
        moment = view.next_moment()
    return SLICE_SECONDS if moment is None else max(moment, 0.001)


def claim(
    c: Coordinator,
    caller: Caller,
    *,
    role: str | None = None,
    task: str | None = None,
    wait_seconds: float = 0.0,
    stop: Stop | None = None,
) -> Claimed:
    """Like `attempts.claim`, but waits for a task to come, at most 90 seconds.

    Raises:
        TrichromeError: as `attempts.claim`; `invalid` for another wait.
    """
    _check_seconds(wait_seconds)
    last: list[Claimed] = []

    def look() -> Claimed | None:
        if stop is not None and stop.is_set():
            return {"attempt": None, "next": NOTHING}
        answer = attempts.claim(c, caller, role=role, task=task)
        last[:] = [answer]
        return None if answer["attempt"] is None and answer["next"].endswith(NOTHING) else answer

    found = _until(c, look, seconds=wait_seconds, stop=stop)
    return found if found is not None else last[0]


def _check_seconds(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise InvalidError(
            f"wait_seconds is {seconds:g}; it goes from 0 to {LONGEST_SECONDS:g}. Call again to wait longer.",
            field="wait_seconds",
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for: a run, or some tasks, and from which position on."""

    run: RunId | None
    tasks: tuple[TaskId, ...] | None
    cursor: int


def wait(
    c: Coordinator,
    caller: Caller,
    *,
    run: str | None = None,
    tasks: Sequence[str] | None = None,
    cursor: int | None = None,
    wait_seconds: float = 60.0,
    stop: Stop | None = None,
) -> Waited:
    """Wait until a task ends, or something is stuck: many events, one wake.

    Args:
        c: the project.
        caller: whose newest run is meant when neither run nor tasks are given.
        run: wait for its tasks.
        tasks: or for these.
        cursor: the answer's cursor of the call before; None counts from the beginning.
        wait_seconds: 0 to 90.
        stop: set to give up early.

    Raises:
        TrichromeError: `not_found`, `invalid`.
    """
    _check_seconds(wait_seconds)
    return until_changed(c, caller, run=run, tasks=tasks, cursor=cursor, seconds=wait_seconds, stop=stop)


def until_changed(
    c: Coordinator,
    caller: Caller,
    *,
    run: str | None = None,
    tasks: Sequence[str] | None = None,
    cursor: int | None = None,
    seconds: float,
    stop: Stop | None = None,
) -> Waited:
    """Like `wait`, for as long as the caller likes: a program at a shell has no model waiting for it."""
    with c.store.reading() as view:
        wanted = _wanted(c, view, caller, run, tasks, cursor)
    last: list[Waited] = []

    def look() -> Waited | None:
        with c.store.reading() as view:
            answer = _look(c, view, wanted)
            is_news = answer["changed"] or answer["done"] or _is_newly_stuck(view, wanted, answer)
        last[:] = [answer]
        return answer if is_news else None

    liveness.sweep(c)
    found = _until(c, look, seconds=seconds, stop=stop)
    return found if found is not None else last[0]


def _wanted(
    c: Coordinator,
    view: Reading,
    caller: Caller,
    run: str | None,
    tasks: Iterable[str] | None,
    cursor: int | None,
) -> Wanted:
    if cursor is not None and cursor < 0:
        raise InvalidError("cursor is what the wait before answered; leave it out at first.", field="cursor")
    if tasks is not None:
        chosen = tuple(existing(view, task, field="tasks").id for task in tasks)
        if not chosen or len(chosen) > _CHANGES * 2:
            raise InvalidError(f"tasks names {len(chosen)}; it takes 1 to {_CHANGES * 2}.", field="tasks")
        return Wanted(None, chosen, cursor or 0)
    if run is not None:
        return Wanted(existing_run(view, run), None, cursor or 0)
    worker = view.worker_of(caller.principal, caller.agent) or former_worker(c, view, caller)
    newest = view.newest_run(worker.name) if worker is not None else None
    if newest is None:
        raise NotFoundError("You have created no run yet. Say which run, or which tasks.", field="run")
    return Wanted(newest, None, cursor or 0)


def _is_newly_stuck(view: Reading, wanted: Wanted, answer: Waited) -> bool:
    """Whether something is stuck that the cursor's answer could not say yet: it moved since. Old news wakes nobody."""
    return any(view.events(stream=each["id"], after=wanted.cursor, limit=1) for each in answer.get("stuck", ()))


def _look(c: Coordinator, view: Reading, wanted: Wanted) -> Waited:
    whole = view.list_tasks(TaskFilter(run=wanted.run, tasks=wanted.tasks, limit=10**9))
    not_over = [line.task for line in whole if not line.task.is_final]
    ended = sorted(
        (line for line in whole if line.ended is not None and line.ended > wanted.cursor),
        key=lambda line: line.ended or 0,
    )
    shown = ended[:_CHANGES]
    is_whole = len(shown) == len(ended)
    answer: Waited = {
        "cursor": view.position() if is_whole else max(line.ended or 0 for line in shown),
        "done": not not_over and is_whole,
        "changed": [],
    }
    for line in shown:
        changed: ChangedTask = {"id": line.task.id, "state": line.task.state}
        if line.summary:
            changed["summary"] = line.summary
        answer["changed"].append(changed)
    found = stuck.stuck(c, view, not_over)
    if found:
        answer["stuck"] = found[:_CHANGES]
    if not answer["done"]:
        answer["next"] = f"Call wait again with cursor={answer['cursor']} for what comes next."
    return answer
