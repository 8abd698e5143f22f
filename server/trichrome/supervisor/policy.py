"""What the supervisor does next. Pure: values in, values out.

Guarantees: no session without something to claim, and never more new ones than that; one session a task, and no task
while work that it builds on is not put away; nothing is started while a park holds, a stop is wanted or the money is
spent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trichrome.clock import Instant
from trichrome.domain.ids import TaskId
from trichrome.runners.port import Resume
from trichrome.supervisor.fleet import Cause, Fleet, Running, Slot


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that could be claimed now.

    Attributes:
        builds_on: what it depends on, or reviews: a session of theirs has to be put away first.
        author: the worker that may not take it, since it reviews that one's work.
        conflicts: other waiting tasks that change the same files: one of them at a time.
    """

    task: TaskId
    builds_on: frozenset[TaskId] = frozenset()
    author: str | None = None
    conflicts: frozenset[TaskId] = frozenset()

    def suits(self, slot: Slot) -> bool:
        """Whether a worker of its role may take it."""
        return self.author != slot.name


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
    """The time of a park is over; `who` is a role, or `FLEET`."""

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
    actions: list[Action] = [Unpark(who) for who, park in fleet.parks.items() if not park.holds(now)]
    if fleet.stopping is None:
        actions += _scaled(fleet)
    actions += _ended(fleet, now)
    if fleet.stopping is None:
        actions += _started(fleet, facts, now)
    return actions


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
    return "lost" if running.lost is not None and now.monotonic >= running.lost + rules.lost else None


def _started(fleet: Fleet, facts: Facts, now: Instant) -> Iterator[Action]:
    taken = {slot.running.task for slot in fleet.running() if slot.running is not None}
    unfinished = taken.union(fleet.unkept)
    taken |= {slot.pending.task for slot in fleet.slots.values() if slot.pending is not None}
    room = fleet.affordable()
    for slot in sorted(_free(fleet, now), key=lambda slot: slot.pending is None):
        waiting = facts.waiting.get(slot.role, ())
        if slot.pending is not None:
            if all(each.task != slot.pending.task for each in waiting):
                yield Forget(slot.name)
                continue
            able = [slot.pending.task]
        else:
            able = [
                each.task
                for each in waiting
                if each.task not in taken
                and each.suits(slot)
                and unfinished.isdisjoint(each.builds_on)
                and taken.isdisjoint(each.conflicts)
            ]
        free = [task for task in able if not fleet.is_held(task, now)]
        choice = min(free, key=fleet.refusals, default=None)  # what went wrong already comes after all others
        if choice is not None and room >= 1:
            room -= 1
            taken.add(choice)
            yield Start(slot.name, choice, None if slot.pending is None else slot.pending.resume)


def _free(fleet: Fleet, now: Instant) -> Iterator[Slot]:
    """Workers that could begin a session now."""
    for slot in fleet.slots.values():
        is_held = slot.running is not None or slot.leaving or slot.role in fleet.paused
        if not is_held and now.monotonic >= slot.not_before and fleet.park_of(slot, now) is None:
            yield slot


def has_prospects(fleet: Fleet, facts: Facts, now: Instant) -> bool:
    """Whether a session may begin once time has passed, or an operator's pause is over, and no person does more."""
    able = [
        slot for slot in fleet.slots.values() if (park := fleet.park_of(slot, now)) is None or park.until is not None
    ]
    stuck = {task for task, hold in fleet.unkept.items() if hold.is_stuck}
    return any(
        each.suits(slot) and not fleet.is_stuck(each.task) and stuck.isdisjoint(each.builds_on)
        for slot in able
        for each in facts.waiting.get(slot.role, ())
    )
