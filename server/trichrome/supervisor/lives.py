"""All sessions of a fleet: begun, watched, ended, and settled when they are over.

Guarantee: an attempt is ended after its session's processes are, and its work is put away before it is. Where that is
refused, it is tried again, and nothing that builds on the work begins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from trichrome.coordinator import Coordinator, supervision
from trichrome.coordinator.principals import may_bear
from trichrome.domain.events import Report
from trichrome.domain.ids import TaskId
from trichrome.domain.text import one_line
from trichrome.errors import TrichromeError
from trichrome.runners.port import Ending, Resume
from trichrome.supervisor import life, verdicts
from trichrome.supervisor.fleet import Cause, Fleet, Running, Slot
from trichrome.supervisor.journal import SUPERVISOR
from trichrome.supervisor.life import Life
from trichrome.supervisor.means import Means
from trichrome.supervisor.merging import builds_on
from trichrome.supervisor.verdicts import AttemptEnd, Over
from trichrome.supervisor.workspaces import PutAway, Workspace

_SAID_CHARS: Final = 400
_AGAIN_SECONDS: Final = 10.0
"""How soon a session is looked at again whose processes could not be ended."""
_REPORTED: Final = frozenset({"completed", "failed", "released"})
"""How an attempt stands that its own session ended."""


@dataclass(frozen=True, slots=True)
class _Unkept:
    """A workspace that could not be put away."""

    worker: str
    workspace: Workspace
    report: Report | None


class Lives:
    """The sessions of one fleet."""

    def __init__(self, c: Coordinator, means: Means, fleet: Fleet, publish: Callable[[], None]) -> None:
        """For a fleet without any.

        Args:
            c: the project.
            means: what sessions are started with.
            fleet: as it stands at first.
            publish: tells others how the fleet stands; called where a crash must find it told.
        """
        self._c = c
        self._means = means
        self._publish = publish
        self._lives: dict[str, Life] = {}
        self._paused: dict[str, Workspace] = {}
        self._unkept: dict[TaskId, _Unkept] = {}
        self._look_at: dict[str, float] = {}
        self.fleet = fleet

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._lives)

    def _now(self) -> Any:
        return self._c.clock.now()

    # --- beginning ----------------------------------------------------------------------------------------------------

    def begin(self, worker: str, task: TaskId, resume: Resume | None) -> None:
        """Start a session for a task, or go on with one; where it cannot be started, see to what follows from that."""
        slot = self.fleet.slots[worker]
        with self._c.store.reading() as view:
            state, base = view.task(task), builds_on(view, task)
            is_free = may_bear(self._c, view, worker)
        assert state is not None
        if not is_free:  # somebody was given the name since: this slot takes another
            self.forget(worker)
            self.fleet = self.fleet.without(worker)
            return
        self._means.at("before_start")
        now = self._now()
        running = Running(task, now)
        left = self.fleet.left_usd()
        self.fleet = self.fleet.put(replace(slot, running=running, pending=None, since=now.wall))
        self._publish()  # whoever comes after a crash looks for what is made from here on
        try:
            role = self._means.roles.read(slot.role)
        except TrichromeError as error:
            self._refuse(worker, Ending("unusable", error.message, scope="role"), self._paused.pop(worker, None))
            return
        workspace = self._paused.pop(worker, None)
        try:
            if workspace is None:
                reviews = state.reviews.task if state.reviews is not None else None
                workspace = self._means.workspaces.prepare(task, role, base_tasks=base, reviews=reviews)
        except TrichromeError as error:
            self._put_off(slot, task, error.message, passes=error.retryable)
            return
        try:
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
        except OSError as error:
            self._paused[worker] = workspace
            self._put_off(slot, task, f"no session can be started ({error.strerror}: {error.filename})", passes=True)
            return
        except TrichromeError as error:
            begun = Ending("unusable", error.message, scope="role")
        if isinstance(begun, Ending):
            self._refuse(worker, begun, workspace)
            return
        running = replace(running, pid=begun.process.pid, mark=begun.mark)
        self.fleet = self.fleet.put(replace(self.fleet.slots[worker], running=running))
        self._lives[worker] = begun
        self._means.tell(
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

    def _refuse(self, worker: str, ending: Ending, workspace: Workspace | None) -> None:
        """There is no session, for a reason that concerns more than its task."""
        verdict = verdicts.judge(self.fleet, worker, Over(ending, "unclaimed"), self._now())
        if workspace is not None:
            self._put_away(worker, workspace, None)
        self._accept(worker, verdict, task=None, attempt=None, outcome="unclaimed", cost_usd=0.0)

    def _put_off(self, slot: Slot, task: TaskId, reason: str, *, passes: bool) -> None:
        """There is no session, for a reason that concerns its task alone, and no worker's doing."""
        known = self.fleet.holds.get(task)
        self.fleet = verdicts.refused(self.fleet.put(slot), task, reason, self._now(), passes=passes)
        if known is None or known.reason != reason:
            self._means.tell(slot.name, "held", task=task, reason=reason)

    def forget(self, worker: str) -> None:
        """Give up the session that a worker was to go on with, and keep its work."""
        if (workspace := self._paused.pop(worker, None)) is not None:
            self._put_away(worker, workspace, None)
        self.fleet = self.fleet.put(replace(self.fleet.slots[worker], pending=None))

    # --- watching -----------------------------------------------------------------------------------------------------

    def look(self, *, has_news: bool) -> bool:
        """See what has become of each; answers whether one is over.

        Raises:
            TrichromeError: the log refused one, which is looked at again; the others were looked at all the same.
        """
        before, refused = len(self._lives), None
        for worker, each in list(self._lives.items()):
            try:
                self._look_at_one(worker, each, has_news=has_news)
            except (TrichromeError, OSError) as error:
                refused = error
        if refused is not None:
            raise refused
        return len(self._lives) < before

    def _look_at_one(self, worker: str, each: Life, *, has_news: bool) -> None:
        each.read()
        running = self._running(worker)
        if running.excess is None and (excess := each.process.over_limit()) is not None:
            running = replace(running, excess=excess)
        self._note(worker, replace(running, cost_usd=each.cost_usd()))
        is_watched = running.reported is None and running.lost is None
        if has_news and is_watched:
            self._watch(worker, each)
        if each.process.poll() is not None and self._now().monotonic >= self._look_at.get(worker, 0.0):
            self._over(worker, each)

    def _watch(self, worker: str, each: Life) -> None:
        """Note what the log says of a session's attempt."""
        held = supervision.attempt_of(self._c, worker)
        if held is not None:
            each.attempt = held
            self._has_claimed(worker, each)
        elif self._running(worker).claimed is not None:
            self._has_ended(worker, each, *life.attempt_end(self._c, each))

    def _has_claimed(self, worker: str, each: Life) -> None:
        slot, now = self.fleet.slots[worker], self._now()
        running = self._running(worker)
        if running.claimed is not None or each.attempt is None:
            return
        self.fleet = self.fleet.put(replace(slot, running=replace(running, claimed=now.monotonic), since=now.wall))
        self._means.tell(worker, "claimed", task=each.attempt.task, attempt=str(each.attempt))
        self._means.at("claimed")

    def _has_ended(self, worker: str, each: Life, end: AttemptEnd, why: str | None) -> None:
        running, now = self._running(worker), self._now()
        if running.reported is not None or running.lost is not None:
            return
        if end in _REPORTED:
            self._note(worker, replace(running, reported=now.monotonic))
            self._means.tell(worker, "reported", task=each.task, attempt=str(each.attempt), outcome=end)
            self._means.at("reported")
        elif end in {"lost", "cancelled"}:
            self._note(worker, replace(running, lost=now.monotonic))
            self._means.tell(worker, "lost", task=each.task, attempt=str(each.attempt), reason=why)

    def _running(self, worker: str) -> Running:
        running = self.fleet.slots[worker].running
        assert running is not None
        return running

    def _note(self, worker: str, running: Running) -> None:
        self.fleet = self.fleet.put(replace(self.fleet.slots[worker], running=running))

    # --- ending -------------------------------------------------------------------------------------------------------

    def end(self, worker: str, cause: Cause, *, kill: bool) -> None:
        """Ask a session to leave, or end it at once."""
        slot, each = self.fleet.slots[worker], self._lives[worker]
        running = self._running(worker)
        if running.asked is None:
            running = replace(running, asked=self._now().monotonic, cause=cause)
            self._means.tell(worker, "asked to leave" if not kill else "killed", task=each.task, why=cause)
        self.fleet = self.fleet.put(replace(slot, running=running, restart=False))
        if kill:
            each.process.kill()
        else:
            each.process.ask()

    def end_all(self) -> None:
        """End every session, give back what they held, and put away their work as far as that can be done."""
        for slot in self.fleet.running():
            if self._running(slot.name).cause is None:
                self._note(slot.name, replace(self._running(slot.name), cause="stopped"))
        for each in self._lives.values():
            each.process.kill()
        for worker, each in list(self._lives.items()):
            try:
                self._over(worker, each, is_last=True)
            except Exception as refusal:  # noqa: BLE001 - its processes are gone, and the others' have to go too
                self._means.tell(worker, "refused", reason=str(refusal))
        for worker in list(self._paused):
            self.forget(worker)
        self.put_away_again(is_last=True)

    def _over(self, worker: str, each: Life, *, is_last: bool = False) -> None:
        """A session's first process is gone: end the rest, and settle what it leaves."""
        told = each.left
        each.leave()
        if each.left and not is_last:  # its attempt is not given to others while something of it may go on
            self._look_at[worker] = self._now().monotonic + _AGAIN_SECONDS
            if told != each.left:
                numbers = ", ".join(map(str, each.left))
                self._means.tell(worker, "not ended", task=each.task, reason=f"a kill does not end process {numbers}")
            return
        self._look_at.pop(worker, None)
        self._means.at("ended")
        end, why = life.attempt_end(self._c, each)
        self._has_claimed(worker, each)
        self._has_ended(worker, each, end, why)
        session = each.transcript.session
        over = Over(each.ending(self._means.runner), end, session=session, cost_usd=each.cost_usd(), why=why)
        self._settle(worker, each, over)
        self._lives.pop(worker)
        self._publish()

    def _settle(self, worker: str, each: Life, over: Over) -> None:
        verdict = verdicts.judge(self.fleet, worker, over, self._now())
        if verdict.fleet.slots[worker].pending is not None:
            self._paused[worker] = each.workspace
        elif each.put is None:
            each.put = self._put_away(worker, each.workspace, self._report(each))
        if not each.is_recorded:
            supervision.session_ended(self._c, each.facts(self._means.runner.name, verdict.reason))
            each.is_recorded = True
        if verdict.attempt is not None:
            reason = life.note(verdict.reason, each.put)
            supervision.end_attempt(self._c, worker, outcome=verdict.attempt, reason=reason)
        if said := one_line(each.transcript.said, most=_SAID_CHARS):
            self._means.tell(worker, "said", text=said)
        self._accept(
            worker,
            verdict,
            task=each.task,
            attempt=str(each.attempt) if each.attempt is not None else None,
            outcome=over.attempt if verdict.attempt is None else verdict.attempt,
            cost_usd=over.cost_usd,
            transcript=each.transcript.transcript,
        )

    def _accept(
        self,
        worker: str,
        verdict: verdicts.Verdict,
        *,
        task: TaskId | None,
        attempt: str | None,
        outcome: str,
        cost_usd: float,
        transcript: str | None = None,
    ) -> None:
        """Let a verdict hold, and tell of it."""
        unkept, parks = self.fleet.unkept, self.fleet.parks
        slot = verdict.fleet.slots[worker]
        slot = replace(slot, transcript=transcript or slot.transcript)
        self.fleet = replace(verdict.fleet, unkept=unkept).put(slot)
        self._means.tell(
            worker,
            "failed" if verdict.is_failure else "ended",
            task=task,
            attempt=attempt,
            reason=verdict.reason,
            outcome=outcome,
            cost_usd=round(cost_usd, 6) or None,
            transcript=slot.transcript,
        )
        if verdict.held and task is not None:
            self._means.tell(SUPERVISOR, "held", task=task, reason=self.fleet.holds[task].reason)
        if verdict.parked is not None and verdict.parked not in parks:  # one park concerns many sessions
            self._tell_parked(worker, verdict.parked)

    def _tell_parked(self, worker: str, who: str) -> None:
        park = self.fleet.slots[worker].park if who == worker else self.fleet.parks[who]
        assert park is not None
        of = worker if who == worker else SUPERVISOR
        reason = park.reason if park.until is not None else f"{park.reason.rstrip('.')}. Then run `trichrome restart`."
        self._means.tell(of, "parked", who=who or "all workers", reason=reason, until=park.until)
        self._means.at("parked")

    # --- what they leave ----------------------------------------------------------------------------------------------

    def _put_away(self, worker: str, workspace: Workspace, report: Report | None) -> PutAway | None:
        """Keep the work of a session; where that is refused it stays where it is, and is tried again."""
        self._means.at("before_put_away")
        summary, artifacts = (None, ()) if report is None else (report.summary, report.artifacts)
        try:
            put = self._means.workspaces.put_away(workspace, summary=summary, artifacts=artifacts)
        except TrichromeError as error:
            self._unkept[workspace.task] = _Unkept(worker, workspace, report)
            known = self.fleet.unkept.get(workspace.task)
            hold = verdicts.put_off(self.fleet, known, error.message, self._now(), passes=error.retryable)
            self.fleet = replace(self.fleet, unkept={**self.fleet.unkept, workspace.task: hold})
            if known is None or known.reason != error.message:
                self._means.tell(
                    worker, "workspace kept", task=workspace.task, workspace=str(workspace.path), reason=error.message
                )
            return None
        self._unkept.pop(workspace.task, None)
        unkept = {task: hold for task, hold in self.fleet.unkept.items() if task != workspace.task}
        self.fleet = replace(self.fleet, unkept=unkept)
        self._means.at("after_put_away")
        if put.branch is not None or put.kept:
            self._means.tell(
                worker, "put away", task=workspace.task, branch=put.branch, changed=len(put.changed), reason=put.note
            )
        return put

    def put_away_again(self, *, is_last: bool = False) -> None:
        """Try once more to put away what was refused, where its time has come."""
        now = self._now().monotonic
        for task, each in list(self._unkept.items()):
            if is_last or now >= self.fleet.unkept[task].not_before:
                self._put_away(each.worker, each.workspace, each.report)

    def _report(self, each: Life) -> Report | None:
        """What a session reported: its summary is for the commit of what it did not commit itself."""
        if each.attempt is None:
            return None
        with self._c.store.reading() as view:
            mine = [report for report in view.reports(each.task) if report.attempt == each.attempt]
        return mine[-1].report if mine else None
