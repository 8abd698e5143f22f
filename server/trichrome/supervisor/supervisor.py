"""The supervisor: one loop that looks at the log, lets the policy decide, acts, and sleeps until something happens.

Guarantees: it runs in one thread, and nothing that it starts outlives `run`. Whatever ends it, the next one finds
nothing that cannot be gone on with: an attempt is ended after its session's processes are, and its work is kept before
it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from trichrome.coordinator import Coordinator, liveness, queries, supervision
from trichrome.coordinator.principals import keep_name, may_bear
from trichrome.domain.ids import TaskId
from trichrome.domain.text import one_line
from trichrome.errors import TrichromeError
from trichrome.roles import Roles
from trichrome.runners.port import Ending, Runner
from trichrome.store.port import TaskFilter
from trichrome.supervisor import life, policy
from trichrome.supervisor.fleet import FLEET, Fleet, Rules, Running, Slot, Stopping, document
from trichrome.supervisor.journal import SUPERVISOR
from trichrome.supervisor.life import At, Life, Place, StartSession
from trichrome.supervisor.merging import builds_on
from trichrome.supervisor.policy import Ask, Facts, Forget, Hire, Keep, Kill, Over, Retire, Start, Unpark, Waiting
from trichrome.supervisor.workspaces import PutAway, Workspace, Workspaces

_BUSY_SECONDS: Final = 0.1
"""How often it looks at sessions: nothing else tells of their end."""
_IDLE_SECONDS: Final = 0.5
"""How often it looks without any; a signal is noticed then."""
_REFUSED_SECONDS: Final = 1.0
"""How long it waits when the log refuses it."""
_MOST_TOLD: Final = 20
"""The most stuck tasks that an end without progress names."""
_SAID_CHARS: Final = 400

Tell = Callable[..., None]
"""Told what happens: `tell(worker, event, **facts)`, with the worker `supervisor` for what concerns no single one."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a supervisor works with.

    Attributes:
        roles: the project's roles.
        runner: what starts sessions.
        place: where they live.
        workspaces: where they work.
        start: starts the process of one.
        tell: is told what happens.
        at: is told each named moment of a worker's life.
        check: is called at each turn, to look after what the supervisor relies on.
    """

    roles: Roles
    runner: Runner
    place: Place
    workspaces: Workspaces
    start: StartSession
    tell: Tell
    at: At = lambda _moment: None
    check: Callable[[], None] = lambda: None


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
    stuck: Sequence[str] = ()


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
        self._fleet = Fleet(rules=rules or Rules(), scale=dict(scale), max_cost=max_cost, guess=guess)
        self._lives: dict[str, Life] = {}
        self._kept: dict[str, Workspace] = {}
        self._facts = Facts()
        self._is_stale = True
        self._restarts: Mapping[str, float] = {}
        self._resumes: Mapping[str, float] = {}
        self._interrupts = 0
        self._stops = 0
        self._refusal: str | None = None
        self._is_spent_told = False
        began = c.clock.now()
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
        return self._fleet

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
            self._end_all()
            self._lookout.close()

    def _turned(self) -> Done | None:
        """Take a turn; a refusal of the log is told once and waited out."""
        try:
            done = self.turn()
        except TrichromeError as refusal:
            if not refusal.retryable:
                raise
            if self._refusal != refusal.message:
                self._refusal = refusal.message
                self._tell_all("refused", reason=refusal.message)
            if self._interrupts:
                return Done(1, f"it was stopped while the log refused it: {refusal.message}")
            time.sleep(_REFUSED_SECONDS)
            return None
        self._refusal = None
        if done is None:
            self._lookout.sleep(at_most_seconds=_BUSY_SECONDS if self._lives else _IDLE_SECONDS)
        return done

    def turn(self) -> Done | None:
        """Look, decide, act; answers how it ended once it did."""
        self._means.check()
        if has_news := self._lookout.has_news():
            self._lookout.begin()
            self._lookout.sweep()
            self._obey(supervision.orders(self._c))
        self._hear_signals()
        self._look(has_news=has_news)
        if has_news or self._is_stale:
            self._facts, self._is_stale = self._read_facts(), False
        acted = [action for action in policy.decide(self._fleet, self._facts, self._now()) if self._act(action)]
        self._publish()
        if self._lives or acted:
            return None
        if self._fleet.stopping is not None:
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
            self._stop(force=self._interrupts > 1, grace=self._fleet.rules.stop_grace)
            self._stops = self._interrupts

    def _stop(self, *, force: bool, grace: float) -> None:
        known = self._fleet.stopping
        if known is not None and (known.force or not force):
            return
        deadline = self._now().monotonic + (0.0 if force else grace)
        self._fleet = replace(self._fleet, stopping=Stopping(deadline, force=force))
        running = [slot.name for slot in self._fleet.running()]
        self._tell_all("stopping", force=force, running=running, grace_seconds=None if force else grace)

    def _obey(self, orders: Mapping[str, Any]) -> None:
        if scale := orders.get("scale"):
            self._fleet = replace(self._fleet, scale={**self._fleet.scale, **scale})
        self._fleet = replace(self._fleet, paused=frozenset(orders.get("paused", ())))
        restarts, resumes = orders.get("restart", {}), orders.get("resume", {})
        for slot in list(self._fleet.slots.values()):
            is_restarted = restarts.get(slot.name) != self._restarts.get(slot.name)
            if is_restarted or resumes.get(slot.role) != self._resumes.get(slot.role):
                self._lift(slot, restart=is_restarted)
        self._restarts, self._resumes = restarts, resumes
        if (stop := orders.get("stop")) is not None:
            grace = stop.get("grace_seconds")
            self._stop(force=stop["force"], grace=self._fleet.rules.stop_grace if grace is None else grace)

    def _lift(self, slot: Slot, *, restart: bool) -> None:
        """An operator lets a worker go on: nothing that parks it holds any longer."""
        freed = replace(slot, park=None, failures=0, not_before=0.0, restart=restart and slot.running is not None)
        parks = {who: park for who, park in self._fleet.parks.items() if who not in {slot.role, FLEET}}
        self._fleet = replace(self._fleet.put(freed), parks=parks)
        self._tell(slot.name, "restarted" if restart else "resumed")

    # --- what is ------------------------------------------------------------------------------------------------------

    def _look(self, *, has_news: bool) -> None:
        for worker, each in list(self._lives.items()):
            each.read()
            self._watch(worker, each, has_news=has_news)
            if each.process.poll() is not None:
                self._over(worker, each)

    def _watch(self, worker: str, each: Life, *, has_news: bool) -> None:
        """Note what a session that runs has come to."""
        slot = self._fleet.slots[worker]
        assert slot.running is not None
        running = slot.running
        if running.excess is None and (excess := each.process.over_limit()) is not None:
            running = replace(running, excess=excess)
        if has_news and running.reported is None:
            held = supervision.attempt_of(self._c, worker)
            if held is not None and running.claimed is None:
                each.attempt = held
                running = replace(running, claimed=self._now().monotonic)
                self._fleet = self._fleet.put(replace(slot, running=running, since=self._now().wall))
                self._tell(worker, "claimed", task=held.task, attempt=str(held))
                self._means.at("claimed")
            elif held is None and running.claimed is not None:
                running = replace(running, reported=self._now().monotonic)
                self._tell(worker, "reported", task=each.task, attempt=str(each.attempt))
                self._means.at("reported")
        self._fleet = self._fleet.put(replace(self._fleet.slots[worker], running=running))

    def _read_facts(self) -> Facts:
        roles = {slot.role: slot for slot in self._fleet.slots.values()}
        waiting = {role: supervision.claimable(self._c, role) for role in roles}
        with self._c.store.reading() as view:
            return Facts({role: [_waiting(view, task) for task in tasks] for role, tasks in waiting.items()})

    def _rest(self) -> Done | None:
        """With nobody at work: whether anything can come of waiting. It ends well only if every task is over."""
        now = self._now()
        with self._c.store.reading() as view:
            if not view.list_tasks(TaskFilter(is_open=True, limit=1)):
                return Done(0, "every task is over")
            is_under_way = bool(view.live_attempts()) or view.next_moment() is not None
        if self._fleet.is_spent():
            return Done(1, self._spent())
        able = {slot.role for slot in self._fleet.slots.values() if _can_still_work(self._fleet, slot, now)}
        if is_under_way or any(tasks and role in able for role, tasks in self._facts.waiting.items()):
            return None
        parked = [
            f"{slot.name} is parked: {park.reason}"
            for slot in self._fleet.slots.values()
            if (park := self._fleet.park_of(slot, now)) is not None
        ]
        stuck = [f"{each['id']}: {each['why']}; {each['help']}" for each in queries.status(self._c)["needs_you"]]
        return Done(1, "what is left cannot move without you", [*parked, *stuck][:_MOST_TOLD])

    def _tell_spent(self) -> None:
        """Say once that the money is spent, when work waits that it keeps from being done."""
        is_spent = self._fleet.is_spent() and any(self._facts.waiting.values())
        if is_spent and not self._is_spent_told:
            self._tell_all("spent", reason=self._spent())
        self._is_spent_told = is_spent

    def _spent(self) -> str:
        return (
            f"the sessions cost ${self._fleet.spent:.2f} of the ${self._fleet.max_cost or 0:.2f} that they may, so no "
            "other is begun"
        )

    # --- what is done -------------------------------------------------------------------------------------------------

    def _act(self, action: policy.Action) -> bool:
        """Do what was decided; answers whether another turn is due at once."""
        fleet = self._fleet
        match action:
            case Hire(role):
                return self._hire(role)
            case Keep(worker):
                self._fleet = fleet.put(replace(fleet.slots[worker], leaving=False))
            case Retire(worker):
                self._retire(fleet.slots[worker])
            case Unpark(who):
                self._unpark(who)
            case Forget(worker):
                self._forget(worker)
            case Start(worker, task, resume):
                self._start(worker, task, resume)
            case Ask(worker, cause) | Kill(worker, cause):
                self._end(worker, cause, kill=isinstance(action, Kill))
                return False
        return True

    def _hire(self, role: str) -> bool:
        number = 1
        while f"{role}-{number}" in self._fleet.slots or not keep_name(self._c, f"{role}-{number}", role=role):
            number += 1
        self._fleet = self._fleet.put(Slot(f"{role}-{number}", role, self._now().wall))
        self._is_stale = True
        self._tell(f"{role}-{number}", "hired", role=role)
        return True

    def _retire(self, slot: Slot) -> None:
        if slot.running is not None:
            self._fleet = self._fleet.put(replace(slot, leaving=True))
            return
        self._forget(slot.name)
        self._fleet = self._fleet.without(slot.name)
        self._tell(slot.name, "retired")

    def _unpark(self, who: str) -> None:
        if who in self._fleet.slots:
            self._fleet = self._fleet.put(replace(self._fleet.slots[who], park=None, failures=0))
        parks = {known: park for known, park in self._fleet.parks.items() if known != who}
        self._fleet = replace(self._fleet, parks=parks)
        self._tell_all("unparked", who=who or "all workers")

    def _forget(self, worker: str) -> None:
        """Give up the session that a worker was to go on with, and keep its work."""
        if (kept := self._kept.pop(worker, None)) is not None:
            self._put_away(worker, kept, None)
        self._fleet = self._fleet.put(replace(self._fleet.slots[worker], pending=None))

    def _start(self, worker: str, task: TaskId, resume: Any) -> None:
        slot = self._fleet.slots[worker]
        with self._c.store.reading() as view:
            state, base = view.task(task), builds_on(view, task)
            is_free = may_bear(self._c, view, worker)
        assert state is not None
        if not is_free:  # somebody was given the name since: this slot takes another
            self._forget(worker)
            self._fleet = self._fleet.without(worker)
            return
        self._means.at("before_start")
        now = self._now()
        running = Running(task, now, state.time_limit_seconds)
        left = None if self._fleet.max_cost is None else max(0.0, self._fleet.max_cost - self._fleet.committed())
        workspace = self._kept.pop(worker, None)
        begun: Life | Ending
        try:
            role = self._means.roles.read(slot.role)
            reviews = state.reviews.task if state.reviews is not None else None
            workspace = workspace or self._means.workspaces.prepare(task, role, base_tasks=base, reviews=reviews)
            begun = life.begin(
                self._means.place,
                self._means.runner,
                self._means.start,
                workspace,
                worker=worker,
                role=role,
                task=task,
                after=state.last_number,
                resume=resume,
                max_cost_usd=left,
            )
        except TrichromeError as error:
            begun = Ending("failed" if error.retryable else "unusable", error.message, scope="role")
        if workspace is None or isinstance(begun, Ending):
            assert isinstance(begun, Ending)
            self._fleet = self._fleet.put(replace(slot, running=running, pending=None))
            self._settle(worker, Over(begun, "unclaimed"), workspace=workspace)
            return
        running = replace(running, pid=begun.process.pid, session=begun.mark)
        self._fleet = self._fleet.put(replace(slot, running=running, pending=None, since=now.wall))
        self._lives[worker] = begun
        self._tell(
            worker,
            "started" if resume is None else "resumed",
            task=task,
            pid=begun.process.pid,
            workspace=str(workspace.path),
            branch=workspace.branch,
            note=workspace.note,
        )
        self._publish()
        self._means.at("started")

    def _end(self, worker: str, cause: Any, *, kill: bool) -> None:
        slot, each = self._fleet.slots[worker], self._lives[worker]
        assert slot.running is not None
        running = slot.running
        if running.asked is None:
            running = replace(running, asked=self._now().monotonic, cause=cause)
            self._tell(worker, "asked to leave" if not kill else "killed", task=each.task, why=cause)
        self._fleet = self._fleet.put(replace(slot, running=running, restart=False))
        if kill:
            each.process.kill()
        else:
            each.process.ask()

    # --- the end of a session -----------------------------------------------------------------------------------------

    def _over(self, worker: str, each: Life) -> None:
        """A session's first process is gone: end the rest, and settle what it leaves."""
        each.leave()
        self._means.at("ended")
        ending = each.ending(self._means.runner)
        end = life.attempt_end(self._c, each)
        over = Over(ending, end, session=each.transcript.session, cost_usd=each.cost_usd())
        self._settle(worker, over, each=each, workspace=each.workspace)
        self._lives.pop(worker)
        self._is_stale = True
        self._publish()

    def _settle(self, worker: str, over: Over, *, each: Life | None = None, workspace: Workspace | None = None) -> None:
        verdict = policy.judge(self._fleet, worker, over, self._now())
        if each is not None and not each.is_recorded:
            supervision.session_ended(self._c, each.facts(self._means.runner.name, verdict.reason))
            each.is_recorded = True
        slot = verdict.fleet.slots[worker]
        put = None
        if slot.pending is not None and workspace is not None:
            self._kept[worker] = workspace
        elif workspace is not None:
            put = self._put_away(worker, workspace, each)
        if verdict.attempt is not None and each is not None:
            reason = life.note(verdict.reason, each.transcript, put)
            supervision.end_attempt(self._c, worker, outcome=verdict.attempt, reason=reason)
        self._fleet = verdict.fleet
        if each is not None:
            self._fleet = self._fleet.put(replace(slot, transcript=each.transcript.transcript or slot.transcript))
            said = one_line(each.transcript.said, most=_SAID_CHARS)
            self._tell(worker, "said", text=said) if said else None
        self._tell(
            worker,
            "failed" if verdict.is_failure else "ended",
            task=each.task if each is not None else None,
            attempt=str(each.attempt) if each is not None and each.attempt is not None else None,
            reason=verdict.reason,
            outcome=over.attempt if verdict.attempt is None else verdict.attempt,
            cost_usd=round(over.cost_usd, 6) or None,
            transcript=slot.transcript if each is None else each.transcript.transcript,
        )
        if verdict.parked is not None:
            self._tell_parked(worker, verdict.parked)

    def _tell_parked(self, worker: str, who: str) -> None:
        park = self._fleet.slots[worker].park if who == worker else self._fleet.parks[who]
        assert park is not None
        of = worker if who == worker else SUPERVISOR
        self._tell(of, "parked", who=who or "all workers", reason=park.reason, until=park.until)
        self._means.at("parked")

    def _put_away(self, worker: str, workspace: Workspace, each: Life | None) -> PutAway | None:
        """Keep the work of a session; what cannot be kept now stays where it is, and is told."""
        self._means.at("before_put_away")
        try:
            put = self._means.workspaces.put_away(workspace, summary=self._summary(each))
        except TrichromeError as error:
            self._tell(worker, "workspace kept", workspace=str(workspace.path), reason=error.message)
            return None
        self._means.at("after_put_away")
        if put.branch is not None or put.kept:
            self._tell(
                worker, "put away", task=workspace.task, branch=put.branch, changed=len(put.changed), reason=put.note
            )
        return put

    def _summary(self, each: Life | None) -> str | None:
        """What a session reported, for the commit of what it did not commit itself."""
        if each is None or each.attempt is None:
            return None
        with self._c.store.reading() as view:
            mine = [report for report in view.reports(each.task) if report.attempt == each.attempt]
        return mine[-1].report.summary if mine else None

    def _end_all(self) -> None:
        """Whatever `run` ended by: end every session, and give back what they held."""
        for slot in self._fleet.slots.values():
            if slot.running is not None and slot.running.cause is None:
                self._fleet = self._fleet.put(replace(slot, running=replace(slot.running, cause="stopped")))
        for each in self._lives.values():
            each.process.kill()
        for worker, each in list(self._lives.items()):
            try:
                self._over(worker, each)
            except TrichromeError as refusal:  # its processes are gone; whoever comes next ends its attempt
                self._tell(worker, "refused", reason=refusal.message)
        for worker in list(self._kept):
            self._forget(worker)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        told = document(
            self._fleet,
            self._now(),
            supervisor=self._who,
            runner=self._means.runner.name,
            logs=self._means.place.logs.relative_to(self._means.place.project).as_posix(),
        )
        supervision.put_fleet(self._c, told)

    def _tell(self, worker: str, event: str, **facts: Any) -> None:
        self._means.tell(worker, event, **facts)

    def _tell_all(self, event: str, **facts: Any) -> None:
        self._means.tell(SUPERVISOR, event, **facts)


def _waiting(view: Any, task: TaskId) -> Waiting:
    state = view.task(task)
    below: Iterable[TaskId] = view.brief(task).depends_on
    reviewed = () if state.reviews is None else (state.reviews.task,)
    return Waiting(task, frozenset((*below, *reviewed)), state.author)


def _can_still_work(fleet: Fleet, slot: Slot, now: Any) -> bool:
    """Whether a worker will start something by itself, or once a pause that an operator made is over."""
    park = fleet.park_of(slot, now)
    return park is None or park.until is not None
