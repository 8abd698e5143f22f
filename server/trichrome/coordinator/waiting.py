"""Blocking calls that cost nothing while they block, and miss nothing.

A waiter reads the change mark, then the state, then sleeps until the mark changes, the next due time, or its time is
over; a change between the two reads only makes it look again. Only a new event position makes it answer.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from trichrome.coordinator import attempts, evidence, liveness, runs, stuck
from trichrome.coordinator.answers import ChangedTask, Claimed, NeedsHelp, Waited
from trichrome.coordinator.attempts import Nothing
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import former_worker
from trichrome.coordinator.tasks import existing, existing_run
from trichrome.domain.evidence import WorkerState
from trichrome.domain.ids import RunId, TaskId
from trichrome.domain.tasks import State
from trichrome.errors import InvalidError, NotFoundError
from trichrome.store.port import Reading, TaskFilter

LONGEST_SECONDS: Final = 90.0
"""The longest a tool call may block: beyond 120 s Claude Code moves a call to the background and may lose it."""
SLICE_SECONDS: Final = 0.5
"""How often a sleeping waiter checks which processes live, and whether it is still wanted."""
_REST: Final = 9.0
"""How much longer a waiter rests than it looked: a look at thousands of tasks takes a while, and every event wakes."""
_CHANGES: Final = 100
"""The most changed tasks in one answer; the cursor fetches the rest."""

Answer = TypeVar("Answer")
Stop = threading.Event
"""Set by whoever no longer wants the answer."""


def _until(
    c: Coordinator, look: Callable[[Coordinator], Answer | None], *, seconds: float, stop: Stop | None
) -> Answer | None:
    """Look, and look again whenever there may be something new, until there is an answer or the time is over.

    The time is real, whatever the clock says: a clock that stands still must not keep a caller.
    """
    if seconds <= 0:
        return look(c)
    deadline = time.monotonic() + seconds
    with liveness.Lookout(c) as lookout:
        while True:
            rest = 0.0
            if lookout.has_news():
                begin = time.thread_time()
                lookout.begin()
                found = look(lookout.coordinator)
                if found is not None:
                    return found
                lookout.sweep()
                rest = (time.thread_time() - begin) * _REST
            left = deadline - time.monotonic()
            if left <= 0 or (stop is not None and stop.is_set()):
                return None
            time.sleep(min(left, rest, SLICE_SECONDS))
            lookout.sleep(at_most_seconds=min(left - rest, SLICE_SECONDS))


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
    nothing = Nothing()

    def look(c: Coordinator) -> Claimed | None:
        nonlocal nothing
        if stop is not None and stop.is_set():
            return Nothing().answer()
        found = attempts.seek(c, caller, role=role, task=task)
        if not isinstance(found, Nothing):
            return found
        nothing = found
        return None if found.may_come else found.answer()

    return _until(c, look, seconds=wait_seconds, stop=stop) or nothing.answer()


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
    with c.store.reading() as view:
        wanted = _wanted(c, view, caller, run, tasks, cursor)
    last: list[Waited] = []
    known: set[tuple[str, str]] | None = None

    def look(c: Coordinator) -> Waited | None:
        nonlocal known
        with c.store.reading() as view:
            answer, stops = _look(c, view, wanted)
            # What moved since the cursor is news; who comes and goes leaves no event, so that shows from look to look.
            is_news = bool(answer["changed"]) or answer["done"] or _has_moved(view, wanted, stops)
        now = {(stop.told["id"], stop.told["why"]) for stop in stops}
        is_news = is_news or (known is not None and not now <= known)
        known = now
        last[:] = [answer]
        return answer if is_news else None

    liveness.sweep(c)
    found = _until(c, look, seconds=wait_seconds, stop=stop)
    answer = found if found is not None else last[0]
    if not answer["done"] and (held_up := list(_held_up(c, wanted).values())):
        answer["held_up"] = held_up[:_CHANGES]
    return answer


@dataclass(frozen=True, slots=True)
class Over:
    """How what was waited for stands at the end of `until_over`.

    Attributes:
        done: all of it is over.
        ended: each task that is over, by its id, in the order they ended.
        failed: those that did not complete, with how they ended. A review that was closed is none, unless the caller
            named it: what it judged tells how it went.
        stuck: what cannot move, why, and what would help.
        held_up: what somebody holds who is not at work on it, likewise; it may go on by itself.
    """

    cursor: int
    done: bool
    ended: Mapping[str, ChangedTask]
    failed: Mapping[str, State]
    stuck: Sequence[NeedsHelp]
    held_up: Sequence[NeedsHelp]


def meant(c: Coordinator, lead: str, handles: Sequence[str], *, field: str) -> tuple[str | None, Sequence[str] | None]:
    """The run, or the tasks, that handles name; without any, the run that `lead` created last, if there is one.

    Raises:
        InvalidError: several runs, or a run together with tasks.
    """
    runs = [each for each in handles if each.startswith("r")]
    if runs and len(handles) > 1:
        raise InvalidError("Name one run, or tasks; not several runs, and not both.", field=field)
    if runs:
        return runs[0], None
    if handles:
        return None, handles
    with c.store.reading() as view:
        return view.newest_run(lead), None


def until_over(
    c: Coordinator,
    caller: Caller,
    *,
    run: str | None = None,
    tasks: Sequence[str] | None = None,
    seconds: float = math.inf,
    tell: Callable[[ChangedTask], object] = lambda _: None,
    tell_held_up: Callable[[NeedsHelp], object] = lambda _: None,
) -> Over:
    """Wait until all is over, or something is stuck, for as long as the caller likes: no model waits for it.

    Args:
        c: the project.
        caller: whose newest run is meant when neither run nor tasks are given.
        run: wait for its tasks.
        tasks: or for these.
        seconds: give up after so long.
        tell: is told each task once as it ends, and again if it was retried.
        tell_held_up: is told each task once that is held up, and again if for another reason.

    Raises:
        TrichromeError: `not_found`, `invalid`.
    """
    with c.store.reading() as view:
        wanted = _wanted(c, view, caller, run, tasks, None)
    ended: dict[str, ChangedTask] = {}
    answer: Waited = {"cursor": 0, "done": False, "changed": []}
    held_up: evidence.HeldUp = {}
    told: set[tuple[TaskId, WorkerState]] = set()

    def look(c: Coordinator) -> Waited | None:
        nonlocal answer, held_up
        is_whole = False
        while not is_whole:
            with c.store.reading() as view:
                answer, stops = _look(c, view, replace(wanted, cursor=answer["cursor"]))
            for task in answer["changed"]:
                ended[task["id"]] = task
                tell(task)
            is_whole = len(answer["changed"]) < _CHANGES
        held_up = _held_up(c, wanted)
        for key in held_up.keys() - told:
            told.add(key)
            tell_held_up(held_up[key])
        return answer if answer["done"] or stops else None

    liveness.sweep(c)
    _until(c, look, seconds=seconds, stop=None)
    return Over(
        answer["cursor"],
        answer["done"],
        ended,
        _failed(c, wanted, ended),
        answer.get("stuck", []),
        list(held_up.values()),
    )


def _held_up(c: Coordinator, wanted: Wanted) -> evidence.HeldUp:
    """What of the wanted somebody holds who is not at work on it."""
    with c.store.reading() as view:
        chosen = TaskFilter(run=wanted.run, tasks=wanted.tasks, state="running", limit=10**9)
        return evidence.held_up(c, view, {line.task.id for line in view.list_tasks(chosen)})


def _failed(c: Coordinator, wanted: Wanted, ended: Iterable[str]) -> dict[str, State]:
    with c.store.reading() as view:
        found = [task for name in ended if (task := view.task(TaskId(name))) is not None]
    return {
        task.id: task.state
        for task in found
        if task.state in {"failed", "cancelled"} and (task.reviews is None or task.id in (wanted.tasks or ()))
    }


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
    if tasks is not None and run is not None:
        raise InvalidError("Wait for a run, or for tasks; leave the other one out.", field="run")
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
        others = runs.named(view.open_runs())
        known = f"Runs that are not over: {others}." if others else "list_tasks shows the runs of all tasks."
        raise NotFoundError(f"You have created no run yet. Say which run, or which tasks. {known}", field="run")
    return Wanted(newest, None, cursor or 0)


def _has_moved(view: Reading, wanted: Wanted, stops: Iterable[stuck.Stop]) -> bool:
    """Whether something is stuck that the cursor's answer could not say yet: it, or what stops it, moved since."""
    streams = {stream for stop in stops for stream in (stop.told["id"], stop.at)}
    return any(view.events(stream=stream, after=wanted.cursor, limit=1) for stream in streams)


def _look(c: Coordinator, view: Reading, wanted: Wanted) -> tuple[Waited, list[stuck.Stop]]:
    chosen = TaskFilter(run=wanted.run, tasks=wanted.tasks, limit=10**9)
    not_over = [line.task for line in view.list_tasks(replace(chosen, is_open=True))]
    ended = sorted(view.list_tasks(replace(chosen, ended_after=wanted.cursor)), key=lambda line: line.ended or 0)
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
    stops = stuck.stuck(c, view, not_over)
    if stops:
        answer["stuck"] = [stop.told for stop in stops[:_CHANGES]]
    if not answer["done"]:
        answer["next"] = f"Call wait again with cursor={answer['cursor']} for what comes next."
    return answer, stops
