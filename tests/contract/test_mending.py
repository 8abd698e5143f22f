"""A log with holes: whatever is missing, every question is answered, and all that is left can be brought to its end."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.histories import live_through
from tests.support.holes import cut, events
from tests.support.projects import Project, StoreKind, Worker, open_store

from trichrome.coordinator import mending, messages, notes, queries, runs, waiting
from trichrome.domain import tails
from trichrome.domain.ids import TaskId, number
from trichrome.domain.tasks import STATES
from trichrome.errors import TrichromeError
from trichrome.store.port import TaskFilter

STEPS = 130
ROUNDS = 200


@contextmanager
def holed(project: Project, holes: dict[str, int], folder: Path) -> Iterator[Project]:
    """The project as it is after a salvage that could not keep all of it."""
    folder.mkdir()
    made = cut(project, holes, to=folder)
    try:
        yield made
    finally:
        made.store.close()


def tasks_of(project: Project) -> list[str]:
    with project.store.reading() as view:
        return [line.task.id for line in view.list_tasks(TaskFilter(limit=10**9))]


def ask_everything(project: Project) -> None:
    """Every question that a person or a Claude may put."""
    c = project.coordinator
    queries.status(c)
    queries.events(c)
    for state in (None, *STATES):
        queries.page(c, state=state)
    known = tasks_of(project)
    for task in known:
        queries.task_detail(c, task)
        queries.explain(c, task)
    for run in {project.task(task).run for task in known}:
        with suppress(TrichromeError):  # a run may be gone
            waiting.wait(c, project.operator.caller, run=run, wait_seconds=0)
            queries.page(c, run=run)
    if known:
        waiting.wait(c, project.operator.caller, tasks=known, wait_seconds=0)
    notes.listed(c)
    with project.store.reading() as view:
        runs.leaderless(c, view)
        names = [worker.name for worker in view.workers()]
    for name in names:
        with suppress(TrichromeError):
            messages.send(c, project.operator.caller, name, "are you there?")


def finish_everything(project: Project) -> None:
    """Everybody who was there is gone; others come and do whatever can be done."""
    project.kill(*project.alive)
    project.clock.pass_seconds(1000)
    project.sweep()
    workers = [project.join(role) for role in ("blue", "green", "red", "red")]
    for run in {project.task(task).run for task in tasks_of(project)}:
        with suppress(TrichromeError):
            runs.resume(project.coordinator, project.operator.caller, run)
    for _ in range(ROUNDS):
        worked = [_work(worker) for worker in workers]
        if not any(worked):
            return
        project.clock.pass_seconds(1000)
        project.sweep()
    pytest.fail("there is always something left to do")


def _work(worker: Worker) -> bool:
    handle = worker.claim()["attempt"]
    if handle is None:
        return False
    is_review = worker.project.task(handle.partition(".")[0]).reviews is not None
    worker.report(handle, "approved" if is_review else "completed")
    return True


def check_nothing_hangs(project: Project) -> None:
    """What is not over shows as stuck, by itself or because of what it waits for."""
    with project.store.reading() as view:
        is_open = [line.task.id for line in view.list_tasks(TaskFilter(limit=10**9, is_open=True))]
    for task in is_open:
        answer = waiting.wait(project.coordinator, project.operator.caller, tasks=[task], wait_seconds=0)
        assert [each["id"] for each in answer.get("stuck", [])] == [task], queries.explain(project.coordinator, task)
    assert project.store.differences() == []


@pytest.mark.parametrize("is_mended", [True, False])
@pytest.mark.parametrize(("kind", "seed", "every"), [("memory", 0, 1), ("memory", 1, 1), ("sqlite", 2, 6)])
def test_whatever_tail_is_lost_nothing_crashes_and_nothing_hangs_unseen(
    tmp_path: Path, clock: ManualClock, kind: StoreKind, seed: int, every: int, is_mended: bool
) -> None:
    project = Project(open_store(kind, tmp_path, clock), clock)
    live_through(project, seed=seed, steps=STEPS)
    draw, log = random.Random(seed), events(project)
    for nth, lost in enumerate(log[::every]):
        more = draw.choice(log)
        holes = {lost.stream: lost.version} | draw.choice([{}, {more.stream: more.version}])

        with holed(project, holes, tmp_path / str(nth)) as made:
            ask_everything(made)
            if is_mended:
                mending.mend(made.coordinator)
                assert mending.missing(made.coordinator) == []
                ask_everything(made)
            finish_everything(made)
            check_nothing_hangs(made)
            ask_everything(made)
            if is_mended:
                assert mending.missing(made.coordinator) == [], holes
    project.store.close()


# --- each gap by itself -----------------------------------------------------------------------------------------------


def version(project: Project, stream: str, kind: str) -> int:
    """The version of the first event of a kind in a stream."""
    return project.kinds(stream).index(kind) + 1


def needs(project: Project) -> dict[str, str]:
    return {each["id"]: f"{each['why']}: {each['help']}" for each in queries.status(project.coordinator)["needs_you"]}


def test_a_whole_log_has_nothing_to_mend_and_is_not_written_to(project: Project) -> None:
    live_through(project, seed=5, steps=300)
    before = len(events(project))

    found = mending.mend(project.coordinator)

    assert found == []
    assert len(events(project)) == before > 100


def test_a_task_that_was_never_told_that_what_it_waits_for_completed_is_told(project: Project, tmp_path: Path) -> None:
    worker = project.join()
    first = worker.create()
    second = worker.create(depends_on=(first,))
    worker.report(worker.take())

    with holed(project, {second: version(project, second, "DependencyCompleted")}, tmp_path / "holed") as made:
        before = needs(made)
        found = mending.mend(made.coordinator)

        assert "repair --log" in before[second]
        assert found == ["t2 was never told that t1 completed"]
        assert made.state(second) == "ready"


def test_a_task_waits_again_for_a_result_that_is_lost(project: Project, tmp_path: Path) -> None:
    worker = project.join()
    lost, other = worker.create(), worker.create()
    waiting_for_both = worker.create(depends_on=(lost, other))
    worker.report(worker.take(task=lost))

    with holed(project, {lost: version(project, lost, "TaskCompleted")}, tmp_path / "holed") as made:
        found = mending.mend(made.coordinator)
        again = Worker(made, worker.caller)
        again.report(again.take(task=lost))

        assert found == ["t3 counted on the result of t1, which is lost: it waits for it again"]
        assert made.state(waiting_for_both) == "blocked"
        again.report(again.take(task=other))
        assert made.state(waiting_for_both) == "ready"


def test_a_task_at_work_on_a_lost_result_goes_on_and_waits_only_if_it_is_tried_again(
    project: Project, tmp_path: Path
) -> None:
    worker, other = project.join(), project.join()
    lost = worker.create()
    task = worker.create(depends_on=(lost,))
    worker.report(worker.take(task=lost))
    attempt = other.take(task=task)

    with holed(project, {lost: version(project, lost, "TaskCompleted")}, tmp_path / "holed") as made:
        mending.mend(made.coordinator)

        assert made.state(task) == "running"
        Worker(made, other.caller).report(attempt, "released", "no time")
        assert made.state(task) == "blocked"


def test_a_dependency_that_is_gone_whole_shows_as_stuck_with_the_way_out(project: Project, tmp_path: Path) -> None:
    worker = project.join()
    gone, kept = worker.create(), worker.create()
    task = worker.create(depends_on=(gone, kept))

    with holed(project, {gone: 1}, tmp_path / "holed") as made:
        found = mending.mend(made.coordinator)

        assert found == []
        assert "t1, which it waits for, was lost" in needs(made)[task]
        assert "trichrome cancel t3" in needs(made)[task]


def test_a_run_that_is_gone_begins_anew_with_who_created_its_tasks(project: Project, tmp_path: Path) -> None:
    lead, worker = project.join(), project.join()
    task = lead.create(review="red")
    worker.report(worker.take())

    with holed(project, {"r1": 1}, tmp_path / "holed") as made:
        found = mending.mend(made.coordinator)

        assert found == [f"r1 is gone but not its tasks: it begins anew, led by {lead.name}"]
        assert made.task(task).run == "r1"
        assert waiting.wait(made.coordinator, lead.caller, wait_seconds=0)["stuck"]


def test_a_review_that_is_gone_is_opened_again_above_the_numbers_it_gave_out(project: Project, tmp_path: Path) -> None:
    author, reviewer, another = project.join(), project.join("red"), project.join("red")
    task = author.create(review="red")
    author.report(author.take())
    old = reviewer.take()

    with holed(project, {"t2": 1}, tmp_path / "holed") as made:
        before = needs(made)
        found = mending.mend(made.coordinator)
        new = Worker(made, another.caller).take()

        assert "trichrome approve t1" in before[task]
        assert found == ["t2, the review of t1, is gone: it is opened again"]
        assert (old, new) == ("t2.1", "t2.2001")
        Worker(made, another.caller).report(new, "approved")
        assert made.state(task) == "completed"
        assert number(TaskId(Worker(made, author.caller).create())) > tails.EVENTS  # t3 may have been given out


@pytest.mark.parametrize(("outcome", "state"), [("approved", "completed"), ("changes", "ready")])
def test_a_verdict_that_was_lost_on_the_way_is_told(project: Project, tmp_path: Path, outcome: str, state: str) -> None:
    author, reviewer = project.join(), project.join("red")
    task = author.create(review="red")
    following = author.create(depends_on=(task,))
    author.report(author.take())
    reviewer.report(reviewer.take(), outcome, "as it is")
    last = project.kinds(task)[-1]

    with holed(project, {task: version(project, task, last)}, tmp_path / "holed") as made:
        found = mending.mend(made.coordinator)

        assert f"t1 was never told the verdict of t3: {outcome}" in found
        assert made.state(task) == state
        assert made.state(following) == ("ready" if state == "completed" else "blocked")


def test_a_review_of_a_result_that_is_lost_is_cancelled(project: Project, tmp_path: Path) -> None:
    author, reviewer = project.join(), project.join("red")
    task = author.create(review="red")
    author.report(author.take())
    attempt = reviewer.take()

    with holed(project, {task: 1}, tmp_path / "holed") as made:
        read = Worker(made, reviewer.caller).claim()
        found = mending.mend(made.coordinator)

        assert "nothing to review" in read["task"]["reviews"]["instructions"]
        assert found == ["t2 is cancelled: the result that it reviews, of t1.1, is lost"]
        assert Worker(made, reviewer.caller).progress(attempt)["orders"]


def test_an_attempt_whose_end_is_lost_is_given_back_when_its_worker_is_at_another(
    project: Project, tmp_path: Path
) -> None:
    worker = project.join()
    first, second = worker.create(), worker.create()
    worker.report(worker.take(task=first))
    attempt = worker.take(task=second)

    with holed(project, {first: version(project, first, "TaskCompleted")}, tmp_path / "holed") as made:
        found = mending.mend(made.coordinator)

        assert found == [f"how t1.1 ended is lost, since {worker.name} went on to t2.1: t1 is free again"]
        assert made.state(first) == "ready"
        assert Worker(made, worker.caller).claim()["attempt"] == attempt


def test_a_task_that_completed_is_not_told_again_of_what_is_done_again(project: Project, tmp_path: Path) -> None:
    worker = project.join()
    lost = worker.create()
    task = worker.create(depends_on=(lost,))
    worker.report(worker.take())
    worker.report(worker.take())

    with holed(project, {lost: version(project, lost, "TaskCompleted")}, tmp_path / "holed") as made:
        mending.mend(made.coordinator)
        before = made.kinds(task)
        again = Worker(made, worker.caller)
        again.report(again.take(task=lost))

        assert made.kinds(task) == before
        assert made.task(task).waiting_on == 0
