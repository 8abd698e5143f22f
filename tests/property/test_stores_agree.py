"""Random commands against SQLite and the reference store side by side: they answer alike, and no promise breaks.

The reference answers each question in the most obvious way, so what is indexed in SQLite is held against brute force;
the log of both is folded anew and held against the views.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.clocks import ManualClock
from tests.support.histories import view_rows
from tests.support.projects import ROLES, Project, Worker, open_store

from trichrome.coordinator import liveness, principals, queries, reviews, runs, tasks
from trichrome.domain import events as facts
from trichrome.domain.drafts import Draft
from trichrome.domain.ids import TaskId
from trichrome.errors import TrichromeError
from trichrome.store.port import Recorded, TaskFilter
from trichrome.store.sqlite import SqliteStore

INDEX = st.integers(0, 200)
FILES = st.sampled_from([(), (), (), ("src",), ("src/a.py",), ("docs/*",), ("**",), ("src/a.py", "docs/x.md")])
PATHS = st.sampled_from([("src",), ("src/b.py",), ("docs/x.md",), ("elsewhere",)])
SECONDS = st.sampled_from([1.0, 15.0, 100.0, 601.0, 1800.0])
OUTCOMES = st.sampled_from(["completed", "completed", "completed", "failed", "released", "approved", "changes"])
ENDS = (
    facts.AttemptReleased,
    facts.AttemptRescued,
    facts.AttemptExpired,
    facts.AttemptFailed,
    facts.ReviewRequested,
    facts.TaskCompleted,
    facts.TaskFailed,
    facts.TaskCancelled,
)
Call = Callable[[Project], Any]


class Stores(RuleBasedStateMachine):
    """Two projects that are told the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trichrome-"))
        self.clock = ManualClock()
        self.memory = Project(open_store("memory", self.folder, self.clock), self.clock)
        # `full`: with `fast` the file notes each new boot, which is the one thing that the memory store cannot know.
        self.sqlite = Project(SqliteStore(self.folder / "events.db", self.clock), self.clock)
        self.workers: list[Worker] = []
        self.names = 0
        self.log: list[Recorded] = []
        self.live: dict[str, int] = {}
        self.given_out: dict[str, int] = {}
        self.completed: set[str] = set()
        self.depends_on: dict[str, tuple[TaskId, ...]] = {}

    # --- telling both ---------------------------------------------------------------------------------------------

    def both(self, call: Call) -> Any:
        """Make a call on both; they answer or refuse alike, and log the same."""
        answers = []
        for project in (self.memory, self.sqlite):
            try:
                answers.append(call(project))
            except TrichromeError as error:
                answers.append(error.facts())
        assert answers[0] == answers[1]
        self.check_log()
        return answers[0]

    def called(self, worker: Worker, call: Callable[[Worker], Any]) -> Any:
        return self.both(lambda project: call(Worker(project, worker.caller)))

    def check_log(self) -> None:
        after = len(self.log)
        with self.memory.store.reading() as view:
            fresh = view.events(after=after, limit=10_000)
        with self.sqlite.store.reading() as view:
            assert view.events(after=after, limit=10_000) == fresh
        for recorded in fresh:
            self.check(recorded.stream, recorded.event)
        self.log += fresh

    def check(self, stream: str, event: facts.Event) -> None:
        """What must hold of every log."""
        if isinstance(event, facts.TaskCreated):
            self.depends_on[stream] = event.depends_on
        elif isinstance(event, facts.TaskClaimed):
            assert stream not in self.live, "two live attempts at once"
            assert event.attempt > self.given_out.get(stream, 0), "an attempt number was used again"
            assert self.completed.issuperset(self.depends_on[stream]), "ran before its dependencies were done"
            self.given_out[stream] = self.live[stream] = event.attempt
        elif isinstance(event, facts.AttemptResumed):
            assert stream not in self.live
            assert event.attempt == self.given_out[stream], "came back after a newer one began"
            self.live[stream] = event.attempt
        elif isinstance(event, ENDS):
            self.live.pop(stream, None)
        if isinstance(event, facts.TaskCompleted):
            assert stream not in self.completed, "completed twice"
            self.completed.add(stream)

    # --- picking --------------------------------------------------------------------------------------------------

    def worker(self, index: int) -> Worker:
        return self.workers[index % len(self.workers)]

    def task(self, index: int) -> str:
        return f"t{index % (len(self.depends_on) or 1) + 1}"

    def task_in(self, index: int, *states: str) -> str:
        """A task in one of these states, where there is one; sometimes any."""
        with self.memory.store.reading() as view:
            fitting = [line.task.id for line in view.list_tasks(TaskFilter()) if line.task.state in states]
        return fitting[index % len(fitting)] if fitting and index % 8 else self.task(index)

    def attempt(self, index: int) -> str:
        """An attempt that was given out, mostly a newest one."""
        task = sorted(self.given_out)[index % len(self.given_out)]
        number = self.given_out[task]
        return f"{task}.{max(1, number - 1) if index % 3 == 0 else number}"

    # --- rules ----------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for client, role in (("new", None), ("unseen", None), ("new", "green"), ("new", "red")):
            self.join(client, role, 0)

    @rule(
        client=st.sampled_from(["new", "new", "unseen", "same", "same", "named"]),
        role=st.sampled_from([None, None, "blue", "green", "red"]),
        index=INDEX,
    )
    def join(self, client: str, role: str | None, index: int) -> None:
        if len(self.workers) > 12:
            return
        shared = self.memory.principal(self.worker(index)).client if client == "same" and self.workers else "new"
        where: Any = {"unseen": "unseen", "same": shared or "unseen"}.get(client, "new")
        name = f"ann-{index % 2}" if client == "named" else None
        joined = self.both(lambda project: project.join(role, client=where, name=name).caller)
        if not isinstance(joined, dict):
            self.workers.append(Worker(self.memory, joined))

    @rule(
        kind=st.sampled_from(["search", "implement", "fix"]),
        depends_on=st.lists(INDEX, max_size=2),
        files=FILES,
        review=st.sampled_from([None, None, "red", "blue"]),
        priority=st.integers(3, 6),
        key=st.sampled_from([None, None, None, "k1", "k2"]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 20.0]),
        max_attempts=st.sampled_from([None, 1, 5]),
        index=INDEX,
        more=st.integers(0, 2),
    )
    def create(self, *, index: int, depends_on: list[int], delay: float, more: int, **content: Any) -> None:
        on = tuple(self.task(each) for each in depends_on) if self.depends_on else ()
        wanted = [Draft(instructions="do it", depends_on=on, not_before_seconds=delay, ref="0", **content)]
        for number in range(more):
            after = Draft(kind="search", instructions=f"after {number}", depends_on=(str(number),), ref=str(number + 1))
            wanted.append(after)
        run = "r1" if index % 2 and self.depends_on else None
        self.called(self.worker(index), lambda worker: worker.create_all(*wanted, run=run))

    @rule(index=INDEX)
    def claim(self, index: int) -> None:
        self.called(self.worker(index), lambda worker: worker.claim())

    @rule(index=INDEX, again=INDEX)
    def claim_with_others(self, index: int, again: int) -> None:
        for each in (index, again, index + again):
            self.claim(each)

    @precondition(lambda self: self.depends_on)
    @rule(index=INDEX, task=INDEX)
    def claim_named(self, index: int, task: int) -> None:
        named = self.task_in(task, "ready", "running")
        self.called(self.worker(index), lambda worker: worker.claim(task=named))

    @precondition(lambda self: self.depends_on)
    @rule(index=INDEX, outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
    def work(self, index: int, outcomes: list[Any]) -> None:
        """Somebody does a few tasks, one after another."""
        for number, outcome in enumerate(outcomes):
            worker = self.worker(index + number)
            claimed = self.called(worker, lambda each: each.claim())
            if claimed.get("attempt"):
                self.report(worker, claimed["attempt"], outcome, "a", retry=True, claim_next=False)

    def report(self, worker: Worker, attempt: str, outcome: Any, summary: str, **arguments: bool) -> None:
        """Report what makes sense for a review, or for a task that is none."""
        is_review = self.memory.task(attempt.partition(".")[0]).reviews is not None
        if outcome in {"completed", "approved", "changes"} and is_review == (outcome == "completed"):
            outcome = "approved" if is_review else "completed"
        self.called(worker, lambda each: each.report(attempt, outcome, summary, **arguments))

    @precondition(lambda self: self.live)
    @rule(index=INDEX, outcome=OUTCOMES, retry=st.booleans(), claim_next=st.booleans(), summary=st.sampled_from("ab"))
    def report_own(self, index: int, outcome: Any, retry: bool, claim_next: bool, summary: str) -> None:
        """A live attempt is reported by whoever holds it."""
        task = sorted(self.live)[index % len(self.live)]
        holder = self.memory.task(task).attempt
        assert holder is not None
        owner = next(each for each in self.workers if each.caller.principal == holder.principal)
        handle = f"{task}.{holder.number}"
        self.report(owner, handle, outcome, summary, retry=retry, claim_next=claim_next)

    @precondition(lambda self: self.given_out)
    @rule(index=INDEX, attempt=INDEX, outcome=OUTCOMES)
    def report_any(self, index: int, attempt: int, outcome: Any) -> None:
        handle = self.attempt(attempt)
        self.stale(handle, index, lambda worker: worker.report(handle, outcome, "late"))

    @precondition(lambda self: self.given_out)
    @rule(index=INDEX, attempt=INDEX)
    def progress(self, index: int, attempt: int) -> None:
        handle = self.attempt(attempt)
        self.stale(handle, index, lambda worker: worker.progress(handle, note="on it"))

    @precondition(lambda self: self.given_out)
    @rule(index=INDEX, attempt=INDEX, paths=PATHS, mode=st.sampled_from(["exclusive", "shared"]))
    def reserve(self, index: int, attempt: int, paths: tuple[str, ...], mode: Any) -> None:
        handle = self.attempt(attempt)
        self.stale(handle, index, lambda worker: worker.reserve(handle, *paths, mode=mode))

    @precondition(lambda self: self.given_out)
    @rule(index=INDEX, paths=PATHS, with_files=st.booleans(), lapse=st.booleans())
    def come_back(self, index: int, paths: tuple[str, ...], with_files: bool, lapse: bool) -> None:
        """A worker goes on with its newest attempt, perhaps after a rescue."""
        if lapse:
            self.clock.pass_seconds(601)
            self.sweep()
        task = sorted(self.given_out)[index % len(self.given_out)]
        last = self.memory.task(task).attempt
        assert last is not None
        owner = next((each for each in self.workers if each.caller.principal == last.principal), self.workers[0])
        handle = f"{task}.{last.number}"
        if with_files:
            self.called(owner, lambda worker: worker.reserve(handle, *paths))
        else:
            self.called(owner, lambda worker: worker.progress(handle, fraction=0.5))

    def stale(self, handle: str, index: int, call: Callable[[Worker], Any]) -> None:
        """A call with an attempt; one that was superseded changes nothing but being kept."""
        task, _, number = handle.partition(".")
        is_superseded = int(number) < self.given_out.get(task, 0)
        before, state = len(self.log), self.memory.task(task)
        owners = [each for each in self.workers if state.attempt and each.caller.principal == state.attempt.principal]

        self.called(owners[0] if owners and index % 2 else self.worker(index), call)

        if is_superseded:
            assert self.memory.task(task) == state
            assert all(isinstance(each.event, facts.ResultSuperseded) for each in self.log[before:])

    @rule(index=INDEX, whole=st.booleans())
    def kill(self, index: int, whole: bool) -> None:
        worker = self.worker(index)
        principal = self.memory.principal(worker)
        for project in (self.memory, self.sqlite):
            project.kill(principal.server, *([principal.client] if whole else []))

    @rule(index=INDEX)
    def disconnect(self, index: int) -> None:
        self.called(self.worker(index), lambda w: principals.disconnect(w.project.coordinator, w.caller.principal))

    @rule(index=INDEX)
    def renew(self, index: int) -> None:
        principal = self.memory.principal(self.worker(index))
        self.both(lambda project: liveness.renew(project.coordinator, principal))

    @rule(seconds=SECONDS)
    def pass_seconds(self, seconds: float) -> None:
        self.clock.pass_seconds(seconds)

    @rule(seconds=st.sampled_from([-1000.0, 5.0, 5000.0]))
    def reboot(self, seconds: float) -> None:
        self.clock.reboot(seconds=seconds)
        for project in (self.memory, self.sqlite):
            project.alive.clear()

    @rule()
    def sweep(self) -> None:
        self.both(lambda project: project.sweep())

    @precondition(lambda self: len(self.depends_on) > 3)
    @rule(index=INDEX)
    def cancel(self, index: int) -> None:
        self.both(lambda project: project.operator.cancel(task=self.task(index)))

    @precondition(lambda self: self.depends_on)
    @rule(index=INDEX)
    def retry(self, index: int) -> None:
        failed = self.task_in(index, "failed", "cancelled")
        self.both(lambda p: tasks.retry(p.coordinator, p.operator.caller, failed))

    @precondition(lambda self: self.depends_on)
    @rule(index=INDEX, verb=st.sampled_from(["approve", "reject", "end"]))
    def decide(self, index: int, verb: str) -> None:
        task = self.task_in(index, "in_review")

        def call(p: Project) -> Any:
            if verb == "approve":
                return reviews.approve(p.coordinator, p.operator.caller, task)
            return reviews.reject(p.coordinator, p.operator.caller, task, reason="no", final=verb == "end")

        self.both(call)

    @precondition(lambda self: self.depends_on)
    @rule(index=INDEX, priority=st.integers(0, 9))
    def amend(self, index: int, priority: int) -> None:
        self.both(lambda p: tasks.amend(p.coordinator, p.operator.caller, self.task(index), priority=priority))

    @precondition(lambda self: self.depends_on)
    @rule(pause=st.sampled_from([True, False, False]))
    def pause(self, pause: bool) -> None:
        verb = runs.pause if pause else runs.resume
        self.both(lambda p: verb(p.coordinator, p.operator.caller, "r1"))

    @rule(index=INDEX, to=st.sampled_from(["blue", "green", "lead", "r1", "blue-1", "lead-1"]))
    def message(self, index: int, to: str) -> None:
        self.called(self.worker(index), lambda worker: worker.send(to, "hello"))
        self.called(self.worker(index + 1), lambda worker: worker.inbox())

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def the_claim_index_equals_brute_force(self) -> None:
        looks = []
        for project in (self.memory, self.sqlite):
            with project.store.reading() as view:
                looks.append(
                    (
                        [view.is_claimable(TaskId(task)) for task in self.depends_on],
                        [view.claimable((role,), worker="blue-1") for role in ROLES],
                        view.claimable(tuple(ROLES), worker=""),
                        view.all_claimable(ROLES, limit=3),
                        view.next_moment(),
                        view.live_attempts(),
                    )
                )
        assert looks[0] == looks[1]

    def teardown(self) -> None:
        try:
            assert self.memory.store.differences() == []
            assert self.sqlite.store.differences() == []
            self.both(lambda project: queries.status(project.coordinator))
            self.both(lambda project: [queries.task_detail(project.coordinator, task) for task in self.depends_on])
            self.both(lambda project: [queries.explain(project.coordinator, task) for task in self.depends_on])
            before = view_rows(self.folder / "events.db")
            self.sqlite.store.rebuild()
            assert view_rows(self.folder / "events.db") == before
            assert self.sqlite.store.differences() == []
        finally:
            self.sqlite.store.close()
            shutil.rmtree(self.folder)


PHASES = [Phase.generate, Phase.shrink]
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def test_stores_agree_and_no_promise_breaks_whatever_is_called() -> None:
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=90,
            stateful_step_count=60,
            phases=PHASES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=QUIET,
        ),
    )


@pytest.mark.soak
def test_stores_agree_over_many_long_histories() -> None:
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=600,
            stateful_step_count=150,
            phases=PHASES,
            deadline=None,
            database=None,
            suppress_health_check=QUIET,
        ),
    )
