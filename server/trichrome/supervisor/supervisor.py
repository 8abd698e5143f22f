"""The supervisor: one loop that looks at the log, lets the policy decide, acts, and sleeps until something happens.

Guarantees: it runs in one thread, and nothing that it starts outlives `run`. Whatever ends it, the next one finds
nothing that cannot be gone on with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from trichrome.coordinator import Coordinator, liveness, queries, supervision
from trichrome.coordinator.principals import keep_name
from trichrome.coordinator.supervision import Claimable
from trichrome.errors import TrichromeError
from trichrome.store.port import Reading, TaskFilter
from trichrome.supervisor import policy
from trichrome.supervisor.fleet import FLEET, Fleet, Rules, Slot, Stopping, document
from trichrome.supervisor.journal import SUPERVISOR
from trichrome.supervisor.lives import Lives
from trichrome.supervisor.means import Means
from trichrome.supervisor.policy import Ask, Facts, Forget, Hire, Keep, Kill, Retire, Start, Unpark, Waiting

_BUSY_SECONDS: Final = 0.1
"""How often it looks at sessions: nothing else tells of their end."""
_IDLE_SECONDS: Final = 0.5
"""How often it looks without any; a signal is noticed then."""
_REFUSED_SECONDS: Final = 1.0
"""How long it waits when the log refuses it."""
_MOST_TOLD: Final = 20
"""The most stuck tasks that an end without progress names."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a supervisor ended.

    Attributes:
        code: 0 when all is well, 1 when something cannot move without somebody.
        reason: why it ended, in a sentence.
        stuck: what cannot move, a line each.
    """

    code: int
    reason: str
    stuck: tuple[str, ...] = ()


class Supervisor:
    """Keeps the workers of one project."""

    def __init__(
        self,
        c: Coordinator,
        means: Means,
        *,
        scale: Mapping[str, int],
        rules: Rules | None = None,
        max_cost: float | None = None,
        guess: float = 0.0,
        until_idle: bool = False,
    ) -> None:
        """With so many workers of each role, which hire themselves at the first turn.

        Args:
            c: the project.
            means: what it works with.
            scale: how many workers each role shall have.
            rules: the numbers that the policy goes by.
            max_cost: what all sessions may cost, in US dollars.
            guess: what a session is taken to cost before the first has ended.
            until_idle: end once nothing is claimable, running or due.
        """
        self._means = means
        self._lookout = liveness.Lookout(c)
        self._c = self._lookout.coordinator
        self._until_idle = until_idle
        fleet = Fleet(rules=rules or Rules(), scale=dict(scale), max_cost=max_cost, guess=guess)
        self._lives = Lives(self._c, means, fleet, self._publish)
        self._facts = Facts()
        self._is_stale = True
        self._restarts: Mapping[str, float] = {}
        self._resumes: Mapping[str, float] = {}
        self._interrupts = 0
        self._stops = 0
        self._refusal: str | None = None
        self._is_spent_told = False
        self._published: Mapping[str, Any] | None = None
        began = c.clock.now()
        with c.store.reading() as view:
            self._begun_at = view.position()
        self._who: dict[str, Any] = {
            "pid": means.place.supervisor.pid,
            "start": means.place.supervisor.start,
            "since": began.wall,
            "supervision": means.place.supervision,
            "machine": list(c.machine or ("", "", "")),
        }

    @property
    def fleet(self) -> Fleet:
        """The fleet as it is now."""
        return self._lives.fleet

    @fleet.setter
    def fleet(self, fleet: Fleet) -> None:
        self._lives.fleet = fleet

    def interrupt(self) -> None:
        """Somebody wants it to stop; the second time at once. A signal handler may call it."""
        self._interrupts += 1

    def run(self) -> Done:
        """Keep the workers until a stop is wanted, or nothing is left to do; nothing of them runs afterwards."""
        try:
            done = None
            while done is None:
                done = self._turned()
            return done
        finally:
            self._lives.end_all()
            self._lookout.close()

    def _turned(self) -> Done | None:
        """Take a turn; what refuses it for now, the log or the machine, is told once and waited out."""
        try:
            done = self.turn()
        except (TrichromeError, OSError) as refusal:
            if isinstance(refusal, TrichromeError) and not refusal.retryable:
                raise
            reason = refusal.message if isinstance(refusal, TrichromeError) else str(refusal)
            if self._refusal != reason:
                self._refusal = reason
                self._tell_all("refused", reason=reason)
            if self._interrupts:
                return Done(1, f"it was stopped while this refused it: {reason}")
            time.sleep(_REFUSED_SECONDS)
            return None
        self._refusal = None
        if done is None:
            self._lookout.sleep(at_most_seconds=_BUSY_SECONDS if self._lives else _IDLE_SECONDS)
        return done

    def turn(self) -> Done | None:
        """Look, decide, act; answers how it ended once it did."""
        if (reason := self._means.check()) is not None:
            return Done(1, reason)
        if has_news := self._lookout.has_news():
            self._lookout.begin()
            self._lookout.sweep()
            self._obey(supervision.orders(self._c))
        self._hear_signals()
        self._lives.put_away_again()
        if self._lives.look(has_news=has_news) or has_news or self._is_stale:
            self._facts, self._is_stale = self._read_facts(), False
        acted = [action for action in policy.decide(self.fleet, self._facts, self._now()) if self._act(action)]
        self._publish()
        if self._lives or acted:
            return None
        if self.fleet.stopping is not None:
            return Done(0, "it was stopped")
        if self._until_idle:
            return self._rest()
        self._tell_spent()
        return None

    def _now(self) -> Any:
        return self._c.clock.now()

    # --- what is wanted -----------------------------------------------------------------------------------------------

    def _hear_signals(self) -> None:
        if self._interrupts > self._stops:
            self._stop(force=self._interrupts > 1, grace=self.fleet.rules.stop_grace)
            self._stops = self._interrupts

    def _stop(self, *, force: bool, grace: float) -> None:
        """Stop; of several wishes the one counts that ends it soonest."""
        known = self.fleet.stopping
        deadline = self._now().monotonic + (0.0 if force else grace)
        if known is not None and (known.force or (not force and known.deadline <= deadline)):
            return
        self.fleet = replace(self.fleet, stopping=Stopping(deadline, force=force))
        running = [slot.name for slot in self.fleet.running()]
        self._tell_all("stopping", force=force, running=running, grace_seconds=None if force else grace)

    def _obey(self, orders: Mapping[str, Any]) -> None:
        if scale := orders.get("scale"):
            self.fleet = replace(self.fleet, scale={**self.fleet.scale, **scale})
        self.fleet = replace(self.fleet, paused=frozenset(orders.get("paused", ())))
        restarts, resumes = orders.get("restart", {}), orders.get("resume", {})
        restarted = {name for name, at in restarts.items() if at != self._restarts.get(name)}
        resumed = {name for name, at in resumes.items() if at != self._resumes.get(name)}
        self._restarts, self._resumes = restarts, resumes
        if restarted or resumed:
            self._lift(restarted, resumed)
        if (stop := orders.get("stop")) is not None:
            grace = stop.get("grace_seconds")
            self._stop(force=stop["force"], grace=self.fleet.rules.stop_grace if grace is None else grace)

    def _lift(self, restarted: set[str], resumed: set[str]) -> None:
        """A person lets workers go on: what waits for a person holds them no longer.

        A usage limit holds until its time, but for who was resumed by name, or with `FLEET` all.
        """
        named = resumed | {slot.role for slot in self.fleet.slots.values() if slot.name in restarted}
        kept = {
            who: park
            for who, park in self.fleet.parks.items()
            if who not in resumed and (park.until is not None or who not in {*named, FLEET})
        }
        self.fleet = replace(self.fleet, parks=kept, holds={})
        for slot in list(self.fleet.slots.values()):
            is_restarted = slot.name in restarted
            if is_restarted or slot.role in resumed:
                freed = replace(slot, park=None, failures=0, failed=frozenset(), not_before=0.0)
                self.fleet = self.fleet.put(replace(freed, restart=is_restarted and slot.running is not None))
                self._means.tell(slot.name, "restarted" if is_restarted else "resumed")

    # --- what is ------------------------------------------------------------------------------------------------------

    def _read_facts(self) -> Facts:
        roles = list({slot.role: None for slot in self.fleet.slots.values()})
        waiting: dict[str, list[Waiting]] = {role: [] for role in roles}
        found = supervision.claimable(self._c, roles)
        with self._c.store.reading() as view:
            for each in found:
                waiting[each.task.role].append(_waiting(view, each))
        return Facts(waiting)

    def _rest(self) -> Done | None:
        """With nobody at work: whether anything can come of waiting. It ends well only if every task is over."""
        with self._c.store.reading() as view:
            failed = [line.task.id for line in view.list_tasks(TaskFilter(state="failed", ended_after=self._begun_at))]
            is_over = not view.list_tasks(TaskFilter(is_open=True, limit=1))
            is_under_way = bool(view.live_attempts()) or view.next_moment() is not None
        lost = [
            f"{task} failed: `trichrome explain {task}` says why, `trichrome retry {task}` tries again"
            for task in failed
        ]
        is_kept = all(hold.is_stuck for hold in self.fleet.unkept.values())
        if is_over and is_kept:
            reason = f"every task is over, but {_number(failed)} failed" if failed else "every task is over"
            stuck = [*lost, *self._unkept()]
            return Done(1 if stuck else 0, reason, tuple(stuck[:_MOST_TOLD]))
        if self.fleet.is_spent():
            return Done(1, self._spent(), tuple(lost[:_MOST_TOLD]))
        if is_under_way or not is_kept or policy.has_prospects(self.fleet, self._facts, self._now()):
            return None
        held = [f"{task}: {hold.reason}" for task, hold in self.fleet.holds.items() if hold.is_stuck]
        reasons = [park.reason for park in self.fleet.parks.values()]
        others = [
            f"{each['id']}: {each['why']}; {each['help']}"
            for each in queries.status(self._c)["needs_you"]
            if each["id"] not in self.fleet.holds and not any(why in each["why"] for why in reasons)
        ]
        stuck = [*self._parked(), *held, *self._unkept(), *lost, *others]
        return Done(1, "what is left cannot move without you", tuple(dict.fromkeys(stuck))[:_MOST_TOLD])

    def _parked(self) -> Iterator[str]:
        """What keeps workers from starting, once for all whom it concerns."""
        roles = {slot.role for slot in self.fleet.slots.values()}
        for who, park in self.fleet.parks.items():
            if who == FLEET or who in roles:
                yield f"{who or 'every worker'} is parked: {park.reason}"
        for slot in self.fleet.slots.values():
            if slot.park is not None:
                yield f"{slot.name} is parked: {slot.park.reason}"

    def _unkept(self) -> list[str]:
        return [f"the work of {task} is not put away: {hold.reason}" for task, hold in self.fleet.unkept.items()]

    def _tell_spent(self) -> None:
        """Say once that the money is spent, when work waits that it keeps from being done."""
        is_spent = self.fleet.is_spent() and any(self._facts.waiting.values())
        if is_spent and not self._is_spent_told:
            self._tell_all("spent", reason=self._spent())
        self._is_spent_told = is_spent

    def _spent(self) -> str:
        fleet = self.fleet
        return (
            f"the sessions cost ${fleet.spent:.2f} of the ${fleet.max_cost or 0:.2f} that they may, and another is "
            f"expected to cost ${fleet.expected_cost():.2f}, so no other is begun"
        )

    # --- what is done -------------------------------------------------------------------------------------------------

    def _act(self, action: policy.Action) -> bool:
        """Do what was decided; answers whether another turn is due at once."""
        fleet = self.fleet
        match action:
            case Hire(role):
                return self._hire(role)
            case Keep(worker):
                self.fleet = fleet.put(replace(fleet.slots[worker], leaving=False))
            case Retire(worker):
                self._retire(fleet.slots[worker])
            case Unpark(who):
                parks = {known: park for known, park in fleet.parks.items() if known != who}
                self.fleet = replace(fleet, parks=parks)
                self._tell_all("unparked", who=who or "all workers")
            case Forget(worker):
                self._lives.forget(worker)
            case Start(worker, task, resume):
                self._lives.begin(worker, task, resume)
                self._is_stale = True
            case Ask(worker, cause) | Kill(worker, cause):
                self._lives.end(worker, cause, kill=isinstance(action, Kill))
                return False
        return True

    def _hire(self, role: str) -> bool:
        number = 1
        while f"{role}-{number}" in self.fleet.slots or not keep_name(self._c, f"{role}-{number}", role=role):
            number += 1
        self.fleet = self.fleet.put(Slot(f"{role}-{number}", role, self._now().wall))
        self._is_stale = True
        self._means.tell(f"{role}-{number}", "hired", role=role)
        return True

    def _retire(self, slot: Slot) -> None:
        if slot.running is not None:
            self.fleet = self.fleet.put(replace(slot, leaving=True))
            return
        self._lives.forget(slot.name)
        self.fleet = self.fleet.without(slot.name)
        self._means.tell(slot.name, "retired")

    # --- telling ------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell other processes how the fleet stands, where that is new."""
        place = self._means.place
        told = document(
            self.fleet,
            self._now(),
            supervisor=self._who,
            runner=self._means.runner.name,
            logs=place.logs.relative_to(place.project).as_posix(),
        )
        if told != self._published:
            supervision.put_fleet(self._c, told)
            self._published = told

    def _tell_all(self, event: str, **facts: Any) -> None:
        self._means.tell(SUPERVISOR, event, **facts)


def _number(tasks: Sequence[str]) -> str:
    return f"{len(tasks)} of them" if len(tasks) > 1 else tasks[0]


def _waiting(view: Reading, found: Claimable) -> Waiting:
    task = found.task
    reviewed = () if task.reviews is None else (task.reviews.task,)
    builds_on = frozenset((*view.brief(task.id).depends_on, *reviewed))
    return Waiting(task.id, builds_on, author=task.author, conflicts=found.conflicts)
