"""What the simulator knows and the product can only conclude: who lives, who is who, who was told what.

Every transaction and every answer is held against it: nobody healthy is shot, who is dead is rescued by the next sweep,
nobody but its owner goes on with an attempt, what was acknowledged happened, and what was refused did not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.promises import Judge, KnownTask
from tests.simulation.world import Actor, Process, World

from trichrome.coordinator import Coordinator
from trichrome.domain import events as facts
from trichrome.store.port import Principal, Recorded

HEALTHY: Final = "a healthy worker keeps its attempt"
RESCUED: Final = "what a dead worker held is back at the next sweep"
OWNER: Final = "nobody but its owner goes on with an attempt"
NOT_BEFORE: Final = "nothing is claimed before it is due"
ORDER: Final = "the most urgent task is claimed first, then the oldest"
OWN_WORK: Final = "nobody reviews its own work, through whichever server it speaks"
UNHEARD: Final = "a message counts as delivered when its receiver has it"

CAUSES: Final = {
    "claim": "claim_task",
    "report": "report_result",
    "progress": "report_progress",
    "reserve": "reserve_files",
    "create": "create_task",
    "send": "send_message",
    "share": "share_context",
    "cancel": "cancel_task",
}
"""What the log calls a call."""
ENDS: Final = (
    facts.TaskCompleted,
    facts.ReviewRequested,
    facts.AttemptFailed,
    facts.TaskFailed,
    facts.AttemptReleased,
)


@dataclass(eq=False)
class Call:
    """What somebody asked, and what came of it.

    Attributes:
        length: of the log when it began.
        committed: when its last transaction was.
        events: what its own transactions wrote.
    """

    tool: str
    principal: Principal | None
    agent: str | None
    handle: str | None
    asked: dict[str, Any]
    length: int
    at: tuple[str, float]
    committed: tuple[str, float] | None = None
    events: list[Recorded] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Known:
    """A server as it really is."""

    principal: Principal
    identity: str
    server: Process
    client: Process
    is_twin: bool


@dataclass(frozen=True)
class Due:
    """An attempt that a sweep has to end.

    Attributes:
        is_final: nothing that its worker says since can change that.
    """

    task: str
    number: int
    principal: str
    is_final: bool
    at: tuple[str, float]


class Truth:
    """All that is known. A moment is a boot, and the time in it.

    Attributes:
        judge: of the log alone.
        servers: every server there was, by its principal.
        owners: by attempt, whose it really is: which client, and which agent of it.
        begun: by task, when its last attempt began.
        dues: by task, when it may be claimed.
        heard: by attempt, when its worker was last told that a call of its own counted: since then it has a lease.
        spoke: by principal, when it last wrote anything: whether or not anybody was told.
        newest_server: when others may have been given time, because a server came that cannot see their processes.
        reports: those that counted: (attempt, summary).
        has: the messages that were read: (message, worker).
        calls: by actor, the one that it is at.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.judge = Judge(world.breaks)
        self.servers: dict[str, Known] = {}
        self.owners: dict[str, tuple[str, str | None]] = {}
        self.begun: dict[str, tuple[str, float]] = {}
        self.dues: dict[str, tuple[str, float]] = {}
        self.heard: dict[str, tuple[str, float]] = {}
        self.spoke: dict[str, tuple[str, float]] = {}
        self.newest_server = ("", 0.0)
        self.reports: set[tuple[str, str]] = set()
        self.has: set[tuple[str, str]] = set()
        self.calls: dict[Actor, Call] = {}

    @property
    def now(self) -> tuple[str, float]:
        """The boot, and the time in it."""
        return self.world.clock.boot, self.world.clock.monotonic

    def check(self, holds: bool, promise: str, about: str, why: str) -> None:
        """Hold a promise against what is."""
        if not holds:
            self.world.breaks(promise, about, why)

    # --- servers ------------------------------------------------------------------------------------------------------

    def meet(
        self, principal: Principal, identity: str, server: Process, client: Process, *, is_twin: bool = False
    ) -> None:
        """Know a server, before the log does."""
        self.servers[principal.id] = Known(principal, identity, server, client, is_twin)

    def introduced(self, principal: Principal) -> None:
        """A server is known to the log; others may have been given time for it."""
        self.newest_server = self.spoke[principal.id] = self.now

    def _is_over(self, since: tuple[str, float], seconds: float) -> bool:
        boot, moment = self.now
        return since[0] != boot or moment - since[1] >= seconds

    def _is_seen(self, known: Known, machine: tuple[str, str, str] | None) -> bool:
        """Whether its client's process can be seen from a machine, and decides."""
        principal = known.principal
        is_here = machine is not None and machine[1:] == principal.machine[1:]
        return is_here and principal.client is not None and principal.name is None

    def due(self, c: Coordinator) -> list[Due]:
        """Attempts that a sweep which begins now, and here, has to end."""
        found = []
        for task in self.judge.tasks.values():
            if task.live:
                known = self.servers[task.principal]
                is_seen = self._is_seen(known, c.machine)
                heard = max(self.spoke[task.principal], self.newest_server)
                is_gone = not known.client.is_alive if is_seen else self._is_over(heard, known.principal.lease_seconds)
                begun = self.begun[task.id]
                is_late = begun[0] == self.now[0] and self._is_over(begun, task.made.time_limit_seconds)
                if is_gone or is_late:
                    found.append(Due(task.id, task.number, task.principal, is_final=is_seen or is_late, at=self.now))
        return found

    def swept(self, due: Iterable[Due]) -> None:
        """A whole sweep is over that began when these were due; who was heard of in between goes on rightly."""
        for each in due:
            task = self.judge.tasks[each.task]
            is_still = task.live and (task.number, task.principal) == (each.number, each.principal)
            is_back = self.begun[each.task] >= each.at
            is_heard = not each.is_final and self.spoke[each.principal] >= each.at
            is_freed = is_back or is_heard or not is_still
            self.check(is_freed, RESCUED, each.task, f"{each.task}.{each.number} is still {each.principal}'s")

    # --- transactions -------------------------------------------------------------------------------------------------

    def committed(self, events: Sequence[Recorded], actor: str, causation: str) -> None:
        """Judge a transaction."""
        call = self.calls.get(self.world.current)
        if call is not None and call.principal is not None:
            self.spoke[call.principal.id] = self.now
            if causation == CAUSES.get(call.tool):
                call.committed = self.now
                call.events += events
        elif causation == "renew":
            self.spoke[actor] = self.now
            for task in self.judge.tasks.values():
                if task.live and task.principal == actor:
                    self.heard[f"{task.id}.{task.number}"] = self.now
        self.judge.follows(events)

    def recorded(self, recorded: Recorded) -> None:
        """Judge one event of a transaction."""
        self._see(recorded, self.calls.get(self.world.current))
        self.judge.see(recorded)

    def _see(self, recorded: Recorded, call: Call | None) -> None:
        stream, event = recorded.stream, recorded.event
        match event:
            case facts.TaskCreated(not_before_seconds=seconds):
                self._delay(stream, seconds)
            case facts.TaskClaimed():
                self._claimed(self.judge.tasks[stream], event, call)
            case facts.AttemptAdopted() | facts.AttemptResumed():
                self._goes_on(self.judge.tasks[stream], event, call)
            case facts.AttemptRescued() | facts.TaskFailed(ended_as="rescued"):
                self._rescued(self.judge.tasks[stream])
            case facts.AttemptExpired() | facts.TaskFailed(ended_as="expired"):
                task = self.judge.tasks[stream]
                is_over = self._is_over(self.begun[stream], task.made.time_limit_seconds)
                self.check(is_over, HEALTHY, stream, "its time was not over")
            case facts.TaskRetried():
                self.dues.pop(stream, None)
            case facts.MessageDelivered(worker=worker):
                self.check((stream, worker) in self.has, UNHEARD, stream, f"{worker} never read it")
            case _:
                pass
        if isinstance(event, facts.AttemptRescued | facts.AttemptExpired | facts.AttemptFailed):
            self._delay(stream, event.delay_seconds)
        if isinstance(event, ENDS) and recorded.causation == "report_result":
            self._reported(self.judge.tasks.get(stream), event, call)

    def _delay(self, task: str, seconds: float) -> None:
        self.dues.pop(task, None)
        if seconds:
            boot, moment = self.now
            self.dues[task] = boot, moment + seconds

    def _me(self, principal: str, agent: str | None) -> tuple[str, str | None]:
        known = self.servers[principal]
        return known.identity, f"{agent} by {principal}" if known.is_twin else agent

    def _claimed(self, task: KnownTask, event: facts.TaskClaimed, call: Call | None) -> None:
        assert call is not None
        me = self._me(event.principal, call.agent)
        self.owners[f"{task.id}.{event.attempt}"] = me
        self.begun[task.id] = self.heard[f"{task.id}.{event.attempt}"] = self.now
        if task.made.reviews is not None:
            self.check(self.owners[str(task.made.reviews)] != me, OWN_WORK, task.id, f"{me} did {task.made.reviews}")
        boot, moment = self.dues.pop(task.id, ("", 0.0))
        self.check(boot != self.now[0] or moment <= self.now[1], NOT_BEFORE, task.id, f"due in {moment - self.now[1]}")
        if call.asked.get("task") is None:
            before = [each.id for each in self.surely(call.asked.get("roles"), event.worker, self.now)]
            first = before[0] if before else task.id
            chosen = (task.priority, int(task.id[1:]))
            other = self.judge.tasks[first]
            is_first = chosen <= (other.priority, int(other.id[1:]))
            self.check(is_first, ORDER, task.id, f"{first} was to be claimed before")

    def surely(self, roles: Sequence[str] | None, worker: str, at: tuple[str, float]) -> list[KnownTask]:
        """What a worker can claim, and nothing about the time speaks against it."""
        return [
            task
            for task in self.judge.claimable(roles, worker)
            if (due := self.dues.get(task.id)) is None or (due[0] == at[0] and due[1] <= at[1])
        ]

    def _goes_on(self, task: KnownTask, event: facts.AttemptAdopted | facts.AttemptResumed, call: Call | None) -> None:
        handle = f"{task.id}.{event.attempt}"
        mine, owner = self.servers[event.principal].identity, self.owners[handle][0]
        self.check(mine == owner, OWNER, task.id, f"{mine} goes on with {owner}'s {handle}")
        self.owners[handle] = self._me(event.principal, call.agent if call is not None else None)
        if isinstance(event, facts.AttemptAdopted):
            former = self.servers[task.principal]
            is_silent = self._is_over(self.heard[handle], former.principal.lease_seconds)
            can_call = former.server.is_alive and former.client.is_alive and not is_silent
            self.check(not can_call, OWNER, task.id, f"{task.principal} still serves {handle}")
        else:
            self.begun[task.id] = self.now
            self.dues.pop(task.id, None)
        self.heard[handle] = self.now

    def _rescued(self, task: KnownTask) -> None:
        known = self.servers[task.principal]
        call = self.calls.get(self.world.current)
        keeper = self.world.current.process
        machine = self.world.machines[0].name if keeper is None else keeper.machine.name
        handle = f"{task.id}.{task.number}"
        if self._is_seen(known, machine):
            self.check(not known.client.is_alive, HEALTHY, task.id, f"the client of {handle} lives ({call})")
        else:
            is_lapsed = self._is_over(self.heard[handle], known.principal.lease_seconds)
            self.check(is_lapsed, HEALTHY, task.id, f"{known.principal.id} of {handle} was heard of")

    def _reported(self, task: KnownTask | None, event: Any, call: Call | None) -> None:
        if task is None or call is None or call.principal is None:
            return
        handle = f"{task.id}.{event.attempt}"
        if handle == call.handle:
            mine, owner = self.servers[call.principal.id].identity, self.owners[handle][0]
            self.check(mine == owner, OWNER, task.id, f"{mine} ends {owner}'s {handle}")
            said = event.reason if isinstance(event, facts.AttemptReleased) else event.report and event.report.summary
            self.reports.add((handle, str(said)))
