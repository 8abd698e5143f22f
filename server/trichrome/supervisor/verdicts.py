"""What the end of a session means for its attempt, its worker, its task, and the others. Pure: values in, values out.

Guarantees: a limit, an outage, a stop, or a task that failed on its own report is no failure of a worker; and one bad
task parks no worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, assert_never

from trichrome.clock import Instant
from trichrome.domain.ids import TaskId
from trichrome.runners.port import Ending, Resume
from trichrome.supervisor.fleet import FLEET, Fleet, Hold, Park, Pending, Running, Slot

_LATEST: Final = 4_000_000_000.0
"""No usage limit ends later than this, whatever a program says; seconds since 1970."""
_DOUBLINGS: Final = 6
"""A pause doubles from failure to failure this often."""

AttemptEnd = Literal["held", "completed", "failed", "released", "lost", "cancelled", "unclaimed", "gone"]
"""How the attempt of a session stood when its process was gone: it holds it still; it reported it completed (a verdict
too), failed, or released; others ended it; there is none, and its task waits on; there is none, for the task is not to
be had any more."""


@dataclass(frozen=True, slots=True)
class Over:
    """A session whose processes are gone.

    Attributes:
        session: the id by which it can be gone on with; None where it cannot.
        cost_usd: what it cost.
        why: how others ended its attempt, in words; None where they did not say.
    """

    ending: Ending
    attempt: AttemptEnd
    session: str | None = None
    cost_usd: float = 0.0
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the end of a session.

    Attributes:
        fleet: how it stands then.
        attempt: how the attempt that the worker still holds is to be ended; None where it holds none.
        reason: what happened, in a sentence.
        is_failure: whether it counts against the worker.
        parked: whom it parked: a worker, a role, or `FLEET`; None for nobody.
        held: whether its task is held until a person acts.
    """

    fleet: Fleet
    attempt: Literal["failed", "released"] | None
    reason: str
    is_failure: bool = False
    parked: str | None = None
    held: bool = False


def judge(fleet: Fleet, worker: str, over: Over, now: Instant) -> Verdict:
    """What the end of a worker's session means for it, its attempt, and the others."""
    slot = fleet.slots[worker]
    running = slot.running
    assert running is not None
    cost = slot.cost_usd + over.cost_usd
    freed = replace(slot, running=None, pending=None, restart=False, since=now.wall, cost_usd=cost)
    counted = replace(fleet, sessions=fleet.sessions + (over.cost_usd > 0), spent=fleet.spent + over.cost_usd)
    if over.attempt != "unclaimed":
        counted = replace(counted, holds={task: hold for task, hold in fleet.holds.items() if task != running.task})
    released: Literal["released"] | None = "released" if over.attempt == "held" else None
    match over.ending.kind:
        case _ if running.cause in {"stopped", "restarted"}:
            return Verdict(counted.put(freed), released, f"it was {running.cause} before it was done")
        case "limit" if over.attempt != "completed":
            return _limited(counted, freed, running, over, released, now)
        case "unusable":
            who = FLEET if over.ending.scope == "fleet" else slot.role
            parked = replace(counted, parks={**counted.parks, who: Park(over.ending.reason)}).put(freed)
            return Verdict(parked, released, over.ending.reason, parked=who)
        case "failed" if over.ending.is_forgotten and over.attempt in {"held", "unclaimed"}:
            return Verdict(counted.put(freed), released, over.ending.reason)  # a fresh one begins at once
        case "limit" | "ended" | "failed":
            return _weighed(counted, freed, running, over, now)
        case _:
            assert_never(over.ending.kind)


def _limited(
    fleet: Fleet, slot: Slot, running: Running, over: Over, released: Literal["released"] | None, now: Instant
) -> Verdict:
    """A usage limit, or an outage: whom it concerns starts nothing until it is over, and the session goes on then."""
    who = FLEET if over.ending.scope == "fleet" else slot.role
    known = fleet.parks.get(who)
    is_known = known is not None and known.holds(now)
    until, times = over.ending.until, fleet.limits.get(who, 0)
    if until is None or not now.wall < until < _LATEST:
        until = now.wall + (0.0 if is_known else min(fleet.rules.limit * 2.0**times, fleet.rules.limit_cap))
        times += not is_known
    if known is not None and is_known:
        until = None if known.until is None else max(until, known.until)
    if over.session is not None and over.attempt in {"held", "unclaimed"}:
        slot = replace(slot, pending=Pending(running.task, Resume(over.session, over.ending.reason)))
    parked = replace(
        fleet, parks={**fleet.parks, who: Park(over.ending.reason, until)}, limits={**fleet.limits, who: times}
    )
    return Verdict(parked.put(slot), released, over.ending.reason, parked=who)


def _weighed(fleet: Fleet, slot: Slot, running: Running, over: Over, now: Instant) -> Verdict:
    """A session that ended for no reason outside it: it did what it was for, or it failed."""
    fleet = replace(fleet, limits={})
    match over.attempt:
        case "completed" | "failed" | "cancelled" | "gone":
            return Verdict(fleet.put(replace(slot, failures=0, failed=frozenset())), None, _REPORTED[over.attempt])
        case "held" | "released" | "lost" | "unclaimed":
            reason = _failure(running, over)
        case _:
            assert_never(over.attempt)
    if over.attempt == "unclaimed":
        fleet = _unclaimed(fleet, running.task, reason, now)
    failures, failed = slot.failures + 1, slot.failed | {running.task}
    pause = fleet.rules.backoff * 2.0 ** min(failures - 1, _DOUBLINGS)
    slot = replace(slot, failures=failures, failed=failed, not_before=now.monotonic + pause)
    is_parked = len(failed) >= fleet.rules.failures
    if is_parked:
        slot = replace(slot, park=Park(f"{failures} sessions in a row failed; the last: {reason}"))
    return Verdict(
        fleet.put(slot),
        "failed" if over.attempt == "held" else None,
        reason,
        is_failure=True,
        parked=slot.name if is_parked else None,
        held=over.attempt == "unclaimed" and fleet.is_stuck(running.task),
    )


def _unclaimed(fleet: Fleet, task: TaskId, reason: str, now: Instant) -> Fleet:
    """A session that did not claim its task: others come first now, and after some of these it is held."""
    times = _times(fleet, task)
    if times >= fleet.rules.failures:
        said = f"{times} sessions in a row were started for {task} and none claimed it; the last: {reason}"
        return _held(fleet, task, Hold(said, times))
    pause = fleet.rules.backoff * 2.0 ** (times - 1)
    return _held(fleet, task, Hold(reason, times, now.monotonic + pause, is_stuck=False))


def refused(fleet: Fleet, task: TaskId, reason: str, now: Instant, *, passes: bool) -> Fleet:
    """No session could be started for a task, through no fault of a worker: it is tried again later.

    Args:
        fleet: as it stands.
        task: which.
        reason: why, in a sentence.
        now: the moment.
        passes: whether that is over by itself, as a lock is that another holds; else it is looked at now and then.
    """
    return _held(fleet, task, put_off(fleet, fleet.holds.get(task), reason, now, passes=passes))


def put_off(fleet: Fleet, known: Hold | None, reason: str, now: Instant, *, passes: bool) -> Hold:
    """When to try again what was refused: after a pause that doubles, or the longest where waiting changes nothing."""
    times = 1 if known is None else known.times + 1
    pause = min(fleet.rules.backoff * 2.0 ** min(times - 1, _DOUBLINGS), fleet.rules.retry)
    return Hold(reason, times, now.monotonic + (pause if passes else fleet.rules.retry), is_stuck=not passes)


def _times(fleet: Fleet, task: TaskId) -> int:
    known = fleet.holds.get(task)
    return 1 if known is None else known.times + 1


def _held(fleet: Fleet, task: TaskId, hold: Hold) -> Fleet:
    return replace(fleet, holds={**fleet.holds, task: hold})


_REPORTED: Final = {
    "completed": "it reported its result",
    "failed": "it reported that the task failed",
    "cancelled": "its task was cancelled",
    "gone": "its task was not to be had any more",
}


def _failure(running: Running, over: Over) -> str:
    """What went wrong with a session, in a sentence."""
    match running.cause:
        case "unclaimed":
            return f"it did not claim {running.task} in time"
        case "oversized":
            return running.excess or "it took more of the machine than it may"
        case _:
            pass
    if over.ending.kind == "failed":
        return over.ending.reason
    match over.attempt:
        case "unclaimed":
            return f"it ended without claiming {running.task}"
        case "released":
            return f"it gave {running.task} back"
        case "lost":
            return f"its attempt at {running.task} was ended: {over.why or 'it was over time, or out of sight'}"
        case _:
            return "it ended without a report"
