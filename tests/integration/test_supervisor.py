"""The supervisor's loop on a real log: sessions, runner and workspaces obey the test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.projects import Process, Project, Worker

from trichrome.coordinator import queries, supervision
from trichrome.errors import InvalidError, StoreUnavailableError, TrichromeError
from trichrome.processes import ProcessRef
from trichrome.roles import load_roles
from trichrome.runners.port import Assignment, Ending, Launch, Transcript, Usage
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.marks import Swept
from trichrome.supervisor.means import Means, Place
from trichrome.supervisor.supervisor import Done, Supervisor
from trichrome.supervisor.workspaces import PutAway, Workspace


class Reader:
    def __init__(self) -> None:
        self.transcript = Transcript(session="5e55")

    def read(self, line: bytes) -> None:
        self.transcript = replace(self.transcript, said=line.decode())


@dataclass
class Runner:
    """Remembers what it was asked for; every session ends as it is told to."""

    name: str = "fake"
    ends: Ending = field(default_factory=lambda: Ending("ended", "it ended"))
    assignments: list[Assignment] = field(default_factory=list)

    def lacks(self) -> str | None:
        return None

    def launch(self, assignment: Assignment) -> Launch:
        self.assignments.append(assignment)
        return Launch(("nothing",))

    def reader(self) -> Reader:
        return Reader()

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        return self.ends if code == 0 else Ending("failed", f"signal {-code} ended it")


@dataclass
class Session:
    """A process that ends when the test says so."""

    pid: int
    code: int | None = None
    asked: int = 0
    said: list[bytes] = field(default_factory=list)
    excess: str | None = None
    left: tuple[int, ...] = ()

    def poll(self) -> int | None:
        return self.code

    def ask(self) -> None:
        self.asked += 1

    def kill(self) -> None:
        self.code = -9

    def lines(self) -> list[bytes]:
        lines, self.said = self.said, []
        return lines

    def error_tail(self) -> str:
        return ""

    def over_limit(self) -> str | None:
        return self.excess

    def sweep(self) -> Swept:
        return Swept(0, self.left)


@dataclass
class Workspaces:
    """One folder for all; remembers what was put away."""

    folder: Path
    put: list[str] = field(default_factory=list)
    refuses: TrichromeError | None = None
    keeps: TrichromeError | None = None

    def prepare(self, task: Any, role: Any, *, base_tasks: Any = (), reviews: Any = None) -> Workspace:
        if self.refuses is not None:
            raise self.refuses
        return Workspace(task, role.name, self.folder)

    def put_away(self, workspace: Workspace, *, summary: str | None = None, artifacts: Any = ()) -> PutAway:
        if self.keeps is not None:
            raise self.keeps
        self.put.append(workspace.task)
        return PutAway(kept=False, branch=f"trichrome/{workspace.task}")


@dataclass
class House:
    """A supervisor with its world."""

    project: Project
    folder: Path
    runner: Runner = field(default_factory=Runner)
    sessions: list[Session] = field(default_factory=list)
    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)
    me: Process = (0, 0)

    def __post_init__(self) -> None:
        self.me = self.project.process()
        self.workspaces = Workspaces(self.folder)

    def begin(self, scale: Mapping[str, int] | None = None, **more: Any) -> Supervisor:
        place = Place(self.folder, self.folder / ".trichrome", ProcessRef(*self.me), "50fa", Limits(1 << 30, 64))
        means = Means(
            roles=load_roles(),
            runner=self.runner,
            place=place,
            workspaces=self.workspaces,  # type: ignore[arg-type]
            start=self._start,
            tell=lambda worker, event, **facts: self.told.append((worker, event, facts)),
            at=self.moments.append,
        )
        return Supervisor(self.project.coordinator, means, scale=scale or {"blue": 1}, **more)

    def _start(self, _launch: Launch, **_: Any) -> Session:
        self.sessions.append(Session(self.project.process()[0]))
        return self.sessions[-1]

    def join(self, name: str = "blue-1") -> Worker:
        """The server of a session connects."""
        return self.project.join(name.partition("-")[0], name=name, supervisor=self.me)

    def events(self, event: str) -> list[dict[str, Any]]:
        return [facts for _, each, facts in self.told if each == event]

    @property
    def fleet(self) -> dict[str, Any]:
        found = supervision.fleet(self.project.coordinator)
        assert found is not None
        return found

    def state(self, worker: str = "blue-1") -> str:
        return next(str(each["state"]) for each in self.fleet["workers"] if each["name"] == worker)

    def order(self, **orders: Any) -> None:
        known = supervision.orders(self.project.coordinator)
        supervision.put_orders(self.project.coordinator, {**known, **orders})


@pytest.fixture
def house(project: Project, tmp_path: Path) -> House:
    return House(project, tmp_path)


def turns(supervisor: Supervisor, number: int = 4) -> Done | None:
    """So many turns are more than anything here needs."""
    done = None
    for _ in range(number):
        done = done or supervisor.turn()
    return done


def test_an_idle_worker_has_no_session_until_its_role_has_something_to_claim(house: House) -> None:
    supervisor = house.begin()
    turns(supervisor)
    assert (house.sessions, house.state()) == ([], "idle")

    house.project.operator.create()
    turns(supervisor)

    assert (len(house.sessions), house.state()) == (1, "starting")


def test_a_session_is_told_its_task_its_worker_and_the_marks(house: House) -> None:
    task = house.project.operator.create()

    turns(house.begin())

    (assignment,) = house.runner.assignments
    assert (assignment.task, assignment.worker, assignment.role.name) == (task, "blue-1", "blue")
    said = assignment.environment
    assert (said["TRICHROME_WORKER"], said["TRICHROME_SUPERVISION"]) == ("blue-1", "50fa")
    assert said["TRICHROME_SUPERVISOR"] == f"{house.me[0]}:{house.me[1]}"


def test_a_task_that_is_reported_ends_its_session_and_its_cost_is_kept(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    worker = house.join()
    attempt = worker.take(task=task)
    turns(supervisor)
    assert house.state() == "working"

    worker.report(attempt)
    turns(supervisor)
    life = supervisor._lives._lives["blue-1"]
    life.reader.transcript = replace(life.transcript, cost_usd=0.5, usage={"m": Usage(1, 2)})  # type: ignore[misc]
    house.sessions[0].code = 0
    turns(supervisor)

    assert (house.project.state(task), house.state()) == ("completed", "idle")
    assert supervision.cost_since(house.project.coordinator, 0) == 0.5
    assert house.fleet["cost_usd"] == 0.5
    assert house.moments == [
        "before_start", "started", "claimed", "reported", "ended", "before_put_away", "after_put_away",
    ]  # fmt: skip


def test_a_session_that_ends_without_a_report_fails_its_attempt_with_its_last_words(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    house.join().take(task=task)
    turns(supervisor)

    house.sessions[0].said = [b"I am lost"]
    house.sessions[0].code = 0
    turns(supervisor)

    assert house.project.task(task).tries == 1
    with house.project.store.reading() as view:
        said = {type(each.event).__name__: each.event for each in view.events(stream=task)}
    failed, ended = said["AttemptFailed"], said["SessionEnded"]
    assert "I am lost" not in failed.report.summary  # type: ignore[union-attr]
    assert (ended.said, ended.branch) == ("I am lost", f"trichrome/{task}")  # type: ignore[union-attr]
    assert f"branch trichrome/{task}" in failed.report.summary  # type: ignore[union-attr]


def test_a_usage_limit_costs_no_try_and_the_same_session_goes_on_after_it(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    worker = house.join()
    worker.take(task=task)
    house.project.kill_client(worker)
    house.runner.ends = Ending("limit", "usage limit reached", until=house.project.clock.wall + 600)
    house.sessions[0].code = 0
    turns(supervisor)
    assert (house.project.task(task).tries, house.project.state(task), house.state()) == (0, "ready", "parked")

    house.project.operator.create()
    turns(supervisor)
    assert (len(house.sessions), house.workspaces.put) == (1, [])

    house.project.clock.pass_seconds(600)
    turns(supervisor)
    again = house.runner.assignments[1]
    assert (again.task, again.resume.session if again.resume else None) == (task, "5e55")


def test_what_no_session_can_work_with_is_tried_once_until_a_person_resumes(house: House) -> None:
    house.project.operator.create()
    house.runner.ends = Ending("unusable", "not logged in")
    supervisor = house.begin({"blue": 2})
    turns(supervisor)
    house.sessions[0].code = 0
    turns(supervisor)
    house.project.clock.pass_seconds(100_000)
    turns(supervisor)
    assert (len(house.sessions), house.state("blue-1"), house.state("blue-2")) == (1, "parked", "parked")

    house.order(resume={"blue": 1.0})
    turns(supervisor)

    assert len(house.sessions) == 2


def end_unclaimed(house: House, supervisor: Supervisor) -> None:
    """Every session that runs ends without a claim; what waited for a while is tried again."""
    for session in house.sessions:
        session.code = 0 if session.code is None else session.code
    turns(supervisor)
    house.project.clock.pass_seconds(60)
    turns(supervisor)


def test_a_task_that_three_sessions_did_not_claim_is_held_and_says_why_and_its_worker_goes_on(house: House) -> None:
    bad = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    for _ in range(5):
        end_unclaimed(house, supervisor)
    assert (len(house.sessions), house.state()) == (3, "idle")
    assert house.fleet["held"][0]["task"] == bad
    assert "3 sessions in a row were started for t1" in house.fleet["held"][0]["reason"]

    [waiting] = queries.status(house.project.coordinator)["needs_you"]
    assert (waiting["id"], "none claimed it" in waiting["why"]) == (bad, True)

    good = house.project.operator.create()
    turns(supervisor)
    assert house.runner.assignments[-1].task == good
    house.order(resume={"blue": 1.0})
    end_unclaimed(house, supervisor)

    assert (house.runner.assignments[-1].task, house.fleet["held"]) == (bad, [])


def test_a_worker_whose_sessions_fail_for_three_tasks_in_a_row_is_parked_and_says_why(house: House) -> None:
    for _ in range(4):
        house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    for _ in range(5):
        end_unclaimed(house, supervisor)

    assert (len(house.sessions), house.state()) == (3, "parked")
    assert "3 sessions in a row failed; the last: it ended without claiming" in house.events("parked")[0]["reason"]


def test_a_task_that_another_worker_was_faster_at_is_no_failure(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    faster = house.project.join("blue")
    faster.take(task=task)

    house.sessions[0].code = 0
    turns(supervisor)

    assert faster.name != "blue-1"
    assert house.fleet["workers"][0]["failures"] == 0


def test_a_stop_gives_the_grace_and_then_gives_the_task_back_with_a_note(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    house.join().take(task=task)
    turns(supervisor)

    house.order(stop={"force": False, "grace_seconds": 10, "at": 0})
    assert turns(supervisor) is None
    assert house.sessions[0].asked == 0
    house.project.clock.pass_seconds(10)
    turns(supervisor)
    assert house.sessions[0].asked == 1
    house.sessions[0].code = -15
    done = turns(supervisor)

    assert done == Done(0, "it was stopped")
    assert (house.project.state(task), house.project.task(task).tries) == ("ready", 0)


def test_the_second_signal_ends_sessions_at_once(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    supervisor.interrupt()
    assert turns(supervisor) is None
    assert house.sessions[0].code is None
    supervisor.interrupt()
    done = turns(supervisor)

    assert (house.sessions[0].code, done) == (-9, Done(0, "it was stopped"))


def test_a_signal_is_heard_while_the_log_refuses_and_every_session_is_ended(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    def refuse() -> None:
        raise StoreUnavailableError("its file is gone")

    supervisor._means = replace(supervisor._means, check=refuse)  # type: ignore[arg-type]
    supervisor.interrupt()
    done = supervisor.run()

    assert done == Done(1, "it was stopped while this refused it: its file is gone")
    assert house.sessions[0].code == -9


def test_a_session_that_never_stops_talking_does_not_hold_up_the_others(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    talking = house.sessions[0]
    talking.lines = lambda: [] if talking.code is not None else [b"y"]  # type: ignore[method-assign]

    assert turns(supervisor) is None

    assert talking.code is None


def test_run_that_fails_ends_every_session_first(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    def fail() -> None:
        raise RuntimeError("a defect")

    supervisor._means = replace(supervisor._means, check=fail)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="a defect"):
        supervisor.run()

    assert house.sessions[0].code == -9


def test_a_session_that_claims_nothing_in_time_is_asked_to_leave(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    house.project.clock.pass_seconds(120)
    turns(supervisor)

    assert (house.sessions[0].asked, house.events("asked to leave")[0]["why"]) == (1, "unclaimed")


def test_a_session_whose_attempt_ran_over_its_time_may_still_notice_and_is_asked_to_leave_then(house: House) -> None:
    task = house.project.operator.create(time_limit_seconds=300)
    supervisor = house.begin()
    turns(supervisor)
    house.project.clock.pass_seconds(100)
    house.join().take(task=task)
    turns(supervisor)

    house.project.clock.pass_seconds(299)
    turns(supervisor)
    assert house.events("lost") == []
    house.project.clock.pass_seconds(1)
    turns(supervisor)
    assert (house.sessions[0].asked, house.events("lost")[0]["reason"]) == (0, "it took longer than its task allows")
    house.project.clock.pass_seconds(30)
    turns(supervisor)

    assert (house.sessions[0].asked, house.events("asked to leave")[0]["why"]) == (1, "lost")


def test_a_session_that_takes_too_much_of_the_machine_is_killed_and_its_attempt_failed(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    house.join().take(task=task)
    turns(supervisor)

    house.sessions[0].excess = "it held 5 GiB of memory and may hold 4 GiB"
    turns(supervisor)

    assert house.sessions[0].code == -9
    assert house.events("failed")[0]["reason"] == "it held 5 GiB of memory and may hold 4 GiB"
    assert house.project.task(task).tries == 1


def test_scaling_down_lets_a_working_session_finish(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin({"blue": 2})
    turns(supervisor)

    house.order(scale={"blue": 0})
    turns(supervisor)
    assert [each["name"] for each in house.fleet["workers"]] == ["blue-1"]
    house.sessions[0].code = 0
    turns(supervisor)

    assert house.fleet["workers"] == []


def test_a_paused_role_starts_nothing_and_what_runs_goes_on(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin({"blue": 2})
    turns(supervisor)

    house.order(paused=["blue"])
    house.project.operator.create()
    turns(supervisor)

    assert (len(house.sessions), house.sessions[0].code, house.state("blue-2")) == (1, None, "paused")


def test_a_restart_ends_the_session_for_a_fresh_one(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    house.order(restart={"blue-1": 1.0})
    turns(supervisor)
    house.sessions[0].code = -15
    turns(supervisor)

    assert (len(house.sessions), house.fleet["workers"][0]["failures"]) == (2, 0)


def test_a_name_that_somebody_bears_is_not_taken(house: House) -> None:
    house.project.join("blue")  # the log calls it blue-1

    turns(house.begin({"blue": 2}))

    assert [each["name"] for each in house.fleet["workers"]] == ["blue-2", "blue-3"]


def test_until_idle_ends_well_once_every_task_is_over(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin(until_idle=True)
    assert turns(supervisor) is None
    worker = house.join()
    worker.report(worker.take(task=task))
    turns(supervisor)

    house.sessions[0].code = 0

    assert turns(supervisor) == Done(0, "every task is over")


def test_until_idle_waits_for_a_task_that_is_due_later(house: House) -> None:
    house.project.operator.create(not_before_seconds=50)
    supervisor = house.begin(until_idle=True)
    assert turns(supervisor) is None

    house.project.clock.pass_seconds(50)
    turns(supervisor)

    assert len(house.sessions) == 1


def test_until_idle_ends_with_what_cannot_move(house: House) -> None:
    task = house.project.operator.create("review", "look at it")

    done = turns(house.begin(until_idle=True))

    assert done is not None
    assert done.code == 1
    assert any(line.startswith(f"{task}: ") for line in done.stuck)


def test_until_idle_ends_when_the_money_is_spent(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin(until_idle=True, max_cost=0.0)

    done = turns(supervisor)

    assert done is not None
    assert (done.code, len(house.sessions)) == (1, 0)
    assert "so no other is begun" in done.reason


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [(StoreUnavailableError("git is busy"), 2), (InvalidError("trichrome/t1 is checked out elsewhere"), 60)],
)
def test_a_workspace_that_cannot_be_made_holds_its_task_alone_and_counts_against_nobody(
    house: House, refusal: TrichromeError, seconds: float
) -> None:
    house.project.operator.create()
    house.workspaces.refuses = refusal
    supervisor = house.begin()
    turns(supervisor)
    assert house.events("held")[0]["reason"] == refusal.message
    assert (house.state(), house.fleet["workers"][0]["failures"]) == ("idle", 0)

    house.workspaces.refuses = None
    house.project.operator.create()
    turns(supervisor)
    assert [each.task for each in house.runner.assignments] == ["t2"]
    house.sessions[0].code = 0
    turns(supervisor)
    house.project.clock.pass_seconds(seconds)
    turns(supervisor)

    assert [each.task for each in house.runner.assignments] == ["t2", "t1"]


def test_until_idle_ends_with_a_task_whose_workspace_only_a_person_can_make_possible(house: House) -> None:
    house.project.operator.create()
    house.workspaces.refuses = InvalidError("trichrome/t1 is checked out elsewhere")

    done = turns(house.begin(until_idle=True))

    assert done == Done(1, "what is left cannot move without you", ("t1: trichrome/t1 is checked out elsewhere",))


def test_a_disk_that_is_full_keeps_the_task_and_counts_against_nobody(house: House) -> None:
    house.project.operator.create()
    (house.folder / ".trichrome").mkdir(exist_ok=True)
    in_the_way = house.folder / ".trichrome" / "scratch"
    in_the_way.write_text("no folder")
    supervisor = house.begin()
    turns(supervisor)
    assert "no session can be started (" in house.events("held")[0]["reason"]

    in_the_way.unlink()
    house.project.clock.pass_seconds(2)
    turns(supervisor)

    assert (len(house.sessions), house.fleet["workers"][0]["failures"]) == (1, 0)


def test_nothing_that_builds_on_work_begins_while_that_is_not_put_away(house: House) -> None:
    first = house.project.operator.create()
    second = house.project.operator.create(depends_on=[first])
    supervisor = house.begin()
    turns(supervisor)
    worker = house.join()
    worker.report(worker.take(task=first))
    house.workspaces.keeps = StoreUnavailableError("git is busy")
    house.sessions[0].code = 0
    turns(supervisor)
    assert (len(house.sessions), house.events("workspace kept")[0]["reason"]) == (1, "git is busy")

    house.workspaces.keeps = None
    house.project.clock.pass_seconds(2)
    turns(supervisor)

    assert (house.workspaces.put, house.runner.assignments[-1].task) == ([first], second)


def test_the_attempt_of_a_session_that_a_kill_does_not_end_is_given_to_nobody(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    house.join().take(task=task)
    house.sessions[0].code, house.sessions[0].left = -9, (4711,)
    turns(supervisor)
    assert (house.project.state(task), len(house.events("not ended"))) == ("running", 1)

    house.sessions[0].left = ()
    house.project.clock.pass_seconds(10)
    turns(supervisor)

    assert house.project.state(task) == "ready"


def test_a_quick_session_is_told_as_claimed_and_reported_all_the_same(house: House) -> None:
    task = house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    worker = house.join()
    worker.report(worker.take(task=task))
    house.sessions[0].code = 0

    turns(supervisor)

    told = [event for who, event, _ in house.told if who == "blue-1"]
    assert told[-4:] == ["claimed", "reported", "put away", "ended"]


def test_a_later_stop_may_shorten_the_grace_and_not_lengthen_it(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)
    house.order(stop={"force": False, "grace_seconds": 600, "at": 0})
    turns(supervisor)

    house.order(stop={"force": False, "grace_seconds": 5, "at": 1})
    turns(supervisor)
    house.order(stop={"force": False, "grace_seconds": 900, "at": 2})
    turns(supervisor)
    house.project.clock.pass_seconds(5)
    turns(supervisor)

    assert house.sessions[0].asked == 1


def test_a_role_that_is_resumed_does_not_lift_everybodys_usage_limit(house: House) -> None:
    house.project.operator.create()
    house.runner.ends = Ending("limit", "usage limit", until=house.project.clock.now().wall + 3600)
    supervisor = house.begin()
    turns(supervisor)
    house.sessions[0].code = 0
    turns(supervisor)

    house.order(resume={"blue": 1.0})
    turns(supervisor)
    assert (len(house.sessions), house.state()) == (1, "parked")
    house.order(resume={"blue": 2.0, "": 2.0})
    turns(supervisor)

    assert len(house.sessions) == 2


def test_until_idle_tells_what_failed_for_good(house: House) -> None:
    task = house.project.operator.create(max_attempts=1)
    supervisor = house.begin(until_idle=True)
    turns(supervisor)
    house.join().take(task=task)
    turns(supervisor)
    house.sessions[0].code = 0

    done = turns(supervisor)

    assert done is not None
    assert (done.code, done.reason) == (1, "every task is over, but t1 failed")
    assert done.stuck[0].startswith("t1 failed: ")


def test_until_idle_ends_when_all_that_waits_is_the_review_of_the_only_workers_own_work(house: House) -> None:
    task = house.project.operator.create(review="blue")
    supervisor = house.begin(until_idle=True)
    turns(supervisor)
    worker = house.join()
    worker.report(worker.take(task=task))
    house.sessions[0].code = 0

    done = turns(supervisor, 6)

    assert done is not None
    assert (done.code, done.reason) == (1, "what is left cannot move without you")


def test_a_project_whose_folder_is_gone_ends_the_supervisor(house: House) -> None:
    house.project.operator.create()
    supervisor = house.begin()
    turns(supervisor)

    supervisor._means = replace(supervisor._means, check=lambda: ".trichrome was removed")
    done = supervisor.run()

    assert (done, house.sessions[0].code) == (Done(1, ".trichrome was removed"), -9)
