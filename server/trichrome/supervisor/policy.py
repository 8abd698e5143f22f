"""What the supervisor does next, and what the end of a session means. Pure: values in, values out.

Guarantees: no session without something to claim, and never more new ones than that; one session a task, and no task
while a session whose work it builds on is not put away; nothing is started while a park holds, a stop is wanted or the
money is spent; a limit, an outage, a stop or a task that failed on its own report is no failure of a worker.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, assert_never

from trichrome.clock import Instant
from trichrome.domain.ids import TaskId
from trichrome.runners.port import Ending, Resume
from trichrome.supervisor.fleet import FLEET, Cause, Fleet, Park, Pending, Running, Slot

_LATEST: Final = 4_000_000_000.0
"""No usage limit ends later than this, whatever a program says; seconds since 1970."""

# --- what to do -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that could be claimed now.

    Attributes:
        builds_on: what it depends on, or reviews: a session of theirs has to be put away first.
        author: the worker that may not take it, since it reviews that one's work.
    """

    task: TaskId
    builds_on: frozenset[TaskId] = frozenset()
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log says: the tasks that could be claimed now, by role, in the order of claims."""

    waiting: Mapping[str, Sequence[Waiting]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hire:
    """Take on one more worker of a role."""

    role: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Let a worker stay that was to go."""

    worker: str


@dataclass(frozen=True, slots=True)
class Retire:
    """Let a worker go, once it has no session."""

    worker: str


@dataclass(frozen=True, slots=True)
class Unpark:
    """The time of a park is over; `who` is a worker, a role, or `FLEET`."""

    who: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Do not go on with a worker's session: its task is somebody else's, or over."""

    worker: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a session for a task, or go on with one."""

    worker: str
    task: TaskId
    resume: Resume | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a session to leave."""

    worker: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Kill:
    """End a session at once."""

    worker: str
    cause: Cause


Action = Hire | Keep | Retire | Unpark | Forget | Start | Ask | Kill


def decide(fleet: Fleet, facts: Facts, now: Instant) -> list[Action]:
    """What is to be done now, in this order; with nothing changed by it, the same again."""
    actions: list[Action] = [*_unparked(fleet, now)]
    if fleet.stopping is None:
        actions += _scaled(fleet)
    actions += _ended(fleet, now)
    if fleet.stopping is None:
        actions += _started(fleet, facts, now)
    return actions


def _unparked(fleet: Fleet, now: Instant) -> Iterator[Unpark]:
    yield from (Unpark(who) for who, park in fleet.parks.items() if not park.holds(now))
    yield from (Unpark(slot.name) for slot in fleet.slots.values() if slot.park and not slot.park.holds(now))


def _scaled(fleet: Fleet) -> Iterator[Action]:
    """Take on and let go, until each role has as many as it shall: idle workers go first, the youngest of them."""
    for role in dict.fromkeys([*fleet.scale, *(slot.role for slot in fleet.slots.values())]):
        wanted = fleet.scale.get(role, 0)
        slots = fleet.of_role(role)
        staying = [slot for slot in slots if not slot.leaving]
        idle_last = sorted(staying, key=lambda slot: slot.running is None)
        surplus = idle_last[::-1][: max(0, len(staying) - wanted)]
        yield from (Retire(slot.name) for slot in surplus)
        lacking = max(0, wanted - len(staying))
        leaving = [slot for slot in slots if slot.leaving][:lacking]
        yield from (Keep(slot.name) for slot in leaving)
        yield from (Hire(role) for _ in range(lacking - len(leaving)))
        if not lacking:
            yield from (Retire(slot.name) for slot in slots if slot.leaving and slot.running is None)


def _ended(fleet: Fleet, now: Instant) -> Iterator[Action]:
    for slot in fleet.running():
        assert slot.running is not None
        cause = _cause(fleet, slot, slot.running, now)
        if cause is None:
            continue
        is_late = slot.running.asked is not None and now.monotonic >= slot.running.asked + fleet.rules.ask
        is_forced = fleet.stopping is not None and fleet.stopping.force
        if is_late or is_forced or cause == "oversized":
            yield Kill(slot.name, cause)
        elif slot.running.asked is None:
            yield Ask(slot.name, cause)


def _cause(fleet: Fleet, slot: Slot, running: Running, now: Instant) -> Cause | None:
    """Why a session is to end; None while it may go on."""
    rules, lived = fleet.rules, now.monotonic - running.began.monotonic
    if running.cause is not None:
        return running.cause
    if running.excess is not None:
        return "oversized"
    if fleet.stopping is not None and (fleet.stopping.force or now.monotonic >= fleet.stopping.deadline):
        return "stopped"
    if slot.restart:
        return "restarted"
    if running.claimed is None and lived >= rules.claim:
        return "unclaimed"
    if running.reported is not None and now.monotonic >= running.reported + rules.linger:
        return "lingering"
    return "slow" if lived >= running.limit_seconds + rules.slow_grace else None


def _started(fleet: Fleet, facts: Facts, now: Instant) -> Iterator[Action]:
    taken = {slot.running.task for slot in fleet.running() if slot.running is not None}
    unfinished = frozenset(taken)
    taken |= {slot.pending.task for slot in fleet.slots.values() if slot.pending is not None}
    room = _affordable(fleet)
    for slot in sorted(_free(fleet, now), key=lambda slot: slot.pending is None):
        waiting = facts.waiting.get(slot.role, ())
        if slot.pending is not None:
            if all(each.task != slot.pending.task for each in waiting):
                yield Forget(slot.name)
                continue
            choice: TaskId | None = slot.pending.task
        else:
            choice = next(
                (
                    each.task
                    for each in waiting
                    if each.task not in taken and each.author != slot.name and unfinished.isdisjoint(each.builds_on)
                ),
                None,
            )
        if choice is not None and room > 0:
            room -= 1
            taken.add(choice)
            yield Start(slot.name, choice, None if slot.pending is None else slot.pending.resume)


def _free(fleet: Fleet, now: Instant) -> Iterator[Slot]:
    """Workers that could begin a session now."""
    for slot in fleet.slots.values():
        is_held = slot.running is not None or slot.leaving or slot.role in fleet.paused
        if not is_held and now.monotonic >= slot.not_before and fleet.park_of(slot, now) is None:
            yield slot


def _affordable(fleet: Fleet) -> float:
    """How many more sessions the money is expected to be enough for."""
    if fleet.max_cost is None:
        return math.inf
    left, expected = fleet.max_cost - fleet.committed(), fleet.expected_cost()
    if left <= 0:
        return 0
    return math.ceil(left / expected) if expected > 0 else math.inf


# --- what an end means ------------------------------------------------------------------------------------------------

AttemptEnd = Literal["held", "completed", "failed", "released", "lost", "cancelled", "unclaimed", "gone"]
"""How the attempt of a session stood when its process was gone: it holds it still; it reported it completed (a verdict
too), failed, or released; others ended it; there is none, and its task waits on; there is none, for somebody else took
the task, or it is over."""


@dataclass(frozen=True, slots=True)
class Over:
    """A session whose processes are gone.

    Attributes:
        session: the id by which it can be gone on with; None where it cannot.
        cost_usd: what it cost.
    """

    ending: Ending
    attempt: AttemptEnd
    session: str | None = None
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the end of a session.

    Attributes:
        fleet: how it stands then.
        attempt: how the attempt that the worker still holds is to be ended; None where it holds none.
        reason: what happened, in a sentence.
        is_failure: whether it counts against the worker.
        parked: whom it parked: a worker, a role, or `FLEET`; None for nobody.
    """

    fleet: Fleet
    attempt: Literal["failed", "released"] | None
    reason: str
    is_failure: bool = False
    parked: str | None = None


def judge(fleet: Fleet, worker: str, over: Over, now: Instant) -> Verdict:
    """What the end of a worker's session means for it, its attempt, and the others."""
    slot = fleet.slots[worker]
    running = slot.running
    assert running is not None
    cost = slot.cost_usd + over.cost_usd
    freed = replace(slot, running=None, pending=None, restart=False, since=now.wall, cost_usd=cost)
    counted = replace(fleet, sessions=fleet.sessions + 1, spent=fleet.spent + over.cost_usd)
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
            return Verdict(fleet.put(replace(slot, failures=0)), None, _REPORTED[over.attempt])
        case "held" | "released" | "lost" | "unclaimed":
            reason = _failure(running, over)
        case _:
            assert_never(over.attempt)
    failures = slot.failures + 1
    failed = replace(slot, failures=failures, not_before=now.monotonic + fleet.rules.backoff * 2.0 ** (failures - 1))
    parked = failures >= fleet.rules.failures
    if parked:
        failed = replace(failed, park=Park(f"{failures} sessions in a row failed; the last: {reason}"))
    return Verdict(
        fleet.put(failed),
        "failed" if over.attempt == "held" else None,
        reason,
        is_failure=True,
        parked=slot.name if parked else None,
    )


_REPORTED: Final = {
    "completed": "it reported its result",
    "failed": "it reported that the task failed",
    "cancelled": "its task was cancelled",
    "gone": "somebody else had taken the task",
}


def _failure(running: Running, over: Over) -> str:
    """What went wrong with a session, in a sentence."""
    match running.cause:
        case "unclaimed":
            return f"it did not claim {running.task} in time"
        case "slow":
            return f"it took longer than the {running.limit_seconds:g} s that {running.task} allows"
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
            return f"its attempt at {running.task} was ended by others, being over time or out of sight"
        case _:
            return "it ended without a report"
