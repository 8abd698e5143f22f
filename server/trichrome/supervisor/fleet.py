"""The fleet as its supervisor knows it: the workers, what each is at, and what keeps them from starting.

Values alone: `policy` says what happens next, `supervisor` does it. `document` is the form in which other processes
read the fleet in the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from trichrome.clock import Instant
from trichrome.domain.ids import TaskId
from trichrome.runners.port import Resume

State = Literal["idle", "starting", "working", "parked", "paused", "stopping"]
Cause = Literal["stopped", "restarted", "unclaimed", "lingering", "lost", "oversized"]
"""Why the supervisor ends a session: a stop or a restart was wanted, it claimed nothing, it did not leave after its
report, others ended its attempt, or it took more of the machine than it may."""

FLEET: Final = ""
"""What stands for every role where a park names whom it concerns."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers that the policy goes by; seconds, but for `failures`.

    Attributes:
        stop_grace: how long sessions may go on once a stop is wanted.
        claim: how long a session may take to claim its task.
        linger: how long it may live on after its report.
        lost: how long it may live on after others ended its attempt, for being over time or cancelled.
        ask: how long it may take to leave when it was asked to.
        backoff: the pause after a worker's first failure; it doubles from failure to failure.
        failures: sessions that fail in a row for so many tasks park a worker; so many that do not claim a task, one
            after the other, and none is started for it.
        retry: the longest pause before what was refused is tried again.
        limit: how long a usage limit parks when nobody says until when; it doubles from time to time.
        limit_cap: the longest.
    """

    stop_grace: float = 30.0
    claim: float = 120.0
    linger: float = 60.0
    lost: float = 30.0
    ask: float = 5.0
    backoff: float = 1.0
    failures: int = 3
    retry: float = 60.0
    limit: float = 60.0
    limit_cap: float = 900.0


@dataclass(frozen=True, slots=True)
class Park:
    """Nothing is started until a time, in seconds since 1970, or until a person says so (None)."""

    reason: str
    until: float | None = None

    def holds(self, now: Instant) -> bool:
        """Whether it still keeps anything from starting."""
        return self.until is None or now.wall < self.until


@dataclass(frozen=True, slots=True)
class Hold:
    """What keeps a task from being gone on with, for its own sake.

    Attributes:
        reason: what happened, in a sentence.
        times: how often in a row it did.
        not_before: when it is tried again; monotonic. Infinity: once a person says so.
        is_stuck: whether nothing will come of waiting alone.
    """

    reason: str
    times: int = 1
    not_before: float = math.inf
    is_stuck: bool = True


@dataclass(frozen=True, slots=True)
class Running:
    """The session that a worker has.

    Attributes:
        task: what it was started for.
        began: when.
        pid: its process; 0 until there is one.
        mark: what its processes bear.
        claimed: when it was first seen to hold an attempt; monotonic, like the others.
        reported: when it was first seen to have reported that attempt.
        lost: when others were first seen to have ended it.
        asked: when it was asked to leave.
        cause: why it was.
        excess: how it takes more of the machine than it may; None while it does not.
        cost_usd: what it has cost so far, as far as it tells.
    """

    task: TaskId
    began: Instant
    pid: int = 0
    mark: str = ""
    claimed: float | None = None
    reported: float | None = None
    lost: float | None = None
    asked: float | None = None
    cause: Cause | None = None
    excess: str | None = None
    cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A session to be gone on with, for the same task, once nothing parks its worker."""

    task: TaskId
    resume: Resume


@dataclass(frozen=True, slots=True)
class Slot:
    """A worker of the fleet: a stable name with at most one session at a time.

    Attributes:
        since: when it got into the state that it is in; seconds since 1970.
        failures: sessions in a row that failed.
        failed: the tasks that those were for.
        not_before: no session before this moment; monotonic.
        park: what keeps this worker alone from starting.
        leaving: whether it goes away once it has no session.
        restart: whether its session is to be ended for a fresh one.
        cost_usd: what its sessions cost under this supervisor.
        transcript: where its last session can be read.
    """

    name: str
    role: str
    since: float
    running: Running | None = None
    failures: int = 0
    failed: frozenset[TaskId] = frozenset()
    not_before: float = 0.0
    park: Park | None = None
    pending: Pending | None = None
    leaving: bool = False
    restart: bool = False
    cost_usd: float = 0.0
    transcript: str | None = None


@dataclass(frozen=True, slots=True)
class Stopping:
    """A stop is wanted; at `deadline`, monotonic, sessions are asked to leave, and with `force` killed at once."""

    deadline: float
    force: bool = False


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers, and what concerns more than one of them.

    Attributes:
        scale: how many workers each role shall have.
        paused: roles that start nothing.
        parks: what keeps roles, or with the key `FLEET` all of them, from starting.
        holds: tasks that no session is started for.
        unkept: tasks whose work could not be put away yet: nothing that builds on them begins.
        limits: how often in a row a usage limit without a known end was met, by the same keys.
        spent: what sessions cost since the supervisor began.
        sessions: how many sessions ended since that cost something.
        max_cost: what all sessions may cost; None for no limit.
        guess: what a session is taken to cost before the first has ended.
    """

    rules: Rules = field(default_factory=Rules)
    slots: Mapping[str, Slot] = field(default_factory=dict)
    scale: Mapping[str, int] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
    parks: Mapping[str, Park] = field(default_factory=dict)
    holds: Mapping[TaskId, Hold] = field(default_factory=dict)
    unkept: Mapping[TaskId, Hold] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    stopping: Stopping | None = None
    spent: float = 0.0
    sessions: int = 0
    max_cost: float | None = None
    guess: float = 0.0

    def of_role(self, role: str) -> list[Slot]:
        """The workers of a role, in the order they were taken on."""
        return [slot for slot in self.slots.values() if slot.role == role]

    def running(self) -> list[Slot]:
        """The workers that have a session."""
        return [slot for slot in self.slots.values() if slot.running is not None]

    def put(self, slot: Slot) -> Fleet:
        """The fleet with a worker as it is now."""
        return replace(self, slots={**self.slots, slot.name: slot})

    def without(self, name: str) -> Fleet:
        """The fleet without a worker."""
        return replace(self, slots={known: slot for known, slot in self.slots.items() if known != name})

    def park_of(self, slot: Slot, now: Instant) -> Park | None:
        """What keeps a worker from starting: its own park, its role's, or everybody's."""
        parks = (slot.park, self.parks.get(slot.role), self.parks.get(FLEET))
        return next((park for park in parks if park is not None and park.holds(now)), None)

    def state(self, slot: Slot, now: Instant) -> State:
        """What a worker is at, in a word."""
        if (running := slot.running) is not None:
            if running.asked is not None or self.stopping is not None:
                return "stopping"
            return "starting" if running.claimed is None else "working"
        if self.stopping is not None or slot.leaving:
            return "stopping"
        if self.park_of(slot, now) is not None:
            return "parked"
        return "paused" if slot.role in self.paused else "idle"

    def is_held(self, task: TaskId, now: Instant) -> bool:
        """Whether no session is started for a task now."""
        hold = self.holds.get(task)
        return hold is not None and now.monotonic < hold.not_before

    def refusals(self, task: TaskId) -> int:
        """How often in a row no session came to claim a task."""
        hold = self.holds.get(task)
        return 0 if hold is None else hold.times

    def is_stuck(self, task: TaskId) -> bool:
        """Whether a task is held until a person acts."""
        hold = self.holds.get(task)
        return hold is not None and hold.is_stuck

    def expected_cost(self) -> float:
        """What a session is expected to cost: the mean of those that cost something, before them the guess."""
        return self.spent / self.sessions if self.sessions else self.guess

    def affordable(self) -> float:
        """How many more sessions the money is expected to be enough for.

        What runs counts with what it is expected to cost, or has cost already. While nothing has told yet what a
        session costs, one may always find out.
        """
        if self.max_cost is None:
            return math.inf
        expected = self.expected_cost()
        running = self.running()
        left = (
            self.max_cost - self.spent - sum(max(expected, slot.running.cost_usd) for slot in running if slot.running)
        )
        if left <= 0:
            return 0
        enough = math.floor(left / expected + _ROUNDING) if expected > 0 else math.inf
        return enough if self.sessions or running else max(1, enough)

    def left_usd(self) -> float | None:
        """What is left to spend; None without a limit."""
        if self.max_cost is None:
            return None
        running = sum(slot.running.cost_usd for slot in self.running() if slot.running)
        return max(0.0, self.max_cost - self.spent - running)

    def is_spent(self) -> bool:
        """Whether another session could take the fleet over what it may cost."""
        return self.affordable() < 1


def document(fleet: Fleet, now: Instant, *, supervisor: Mapping[str, Any], runner: str, logs: str) -> dict[str, Any]:
    """The fleet as other processes read it.

    Args:
        fleet: what is told.
        now: the moment that states are told for.
        supervisor: who keeps it: pid, start, since, supervision, machine.
        runner: what its sessions are started by.
        logs: the folder of the workers' logs.
    """
    held = {task: hold.reason for task, hold in {**fleet.holds, **fleet.unkept}.items() if hold.is_stuck}
    return {
        "supervisor": dict(supervisor),
        "runner": runner,
        "workers": [_line(fleet, slot, now, logs) for slot in fleet.slots.values()],
        "held": [{"task": task, "reason": reason} for task, reason in held.items()],
        "stopping": fleet.stopping is not None,
        "cost_usd": round(fleet.spent, 6),
    }


def _line(fleet: Fleet, slot: Slot, now: Instant, logs: str) -> dict[str, Any]:
    park = fleet.park_of(slot, now)
    running = slot.running
    line = {
        "name": slot.name,
        "role": slot.role,
        "state": fleet.state(slot, now),
        "task": running.task if running is not None else slot.pending.task if slot.pending is not None else None,
        "mark": running.mark or None if running is not None else None,
        "pid": running.pid or None if running is not None else None,
        "since": slot.since,
        "until": park.until if park is not None else None,
        "reason": park.reason if park is not None else None,
        "failures": slot.failures,
        "cost_usd": round(slot.cost_usd, 6),
        "log": f"{logs}/{slot.name}.log",
        "transcript": slot.transcript,
    }
    return {name: value for name, value in line.items() if value is not None}
