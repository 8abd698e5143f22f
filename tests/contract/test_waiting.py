"""What a waiter, and whoever looks, is told of work that cannot move: at once, however it came about, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.projects import Project, Worker

from trichrome.coordinator import Settings, principals, queries, runs, tasks, waiting
from trichrome.domain.drafts import Draft
from trichrome.errors import InvalidError

BOUND = 5.0


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def wait(worker: Worker, **arguments: Any) -> Any:
    return waiting.wait(worker.project.coordinator, worker.caller, **({"wait_seconds": 0} | arguments))


def waits_for(worker: Worker, then: Callable[[], object], **arguments: Any) -> Any:
    """What a wait answers that `then` wakes; None when it goes on blocking."""
    answers: list[Any] = []
    stop, looked = threading.Event(), threading.Event()

    class Looked(threading.Event):
        """Asked whether to stop after each look, so that a test knows of the first."""

        def is_set(self) -> bool:
            looked.set()
            return stop.is_set()

    def ask() -> None:
        answers.append(wait(worker, wait_seconds=60, stop=Looked(), **arguments))
        looked.set()

    waiter = threading.Thread(target=ask, daemon=True)
    waiter.start()
    assert looked.wait(BOUND)
    then()
    waiter.join(BOUND)
    if waiter.is_alive():
        stop.set()
        waiter.join(BOUND)
        return None
    return answers[0]


def stuck_of(answer: Any) -> dict[str, str]:
    told = [each["id"] for each in answer.get("stuck", ())]
    assert len(told) == len(set(told)), told
    return {each["id"]: each["why"] for each in answer.get("stuck", ())}


# --- what becomes stuck while somebody waits --------------------------------------------------------------------------


def test_a_waiter_wakes_when_the_only_worker_of_a_role_leaves(project: Project, lead: Worker) -> None:
    task = lead.create()
    blue = project.join("blue")
    cursor = wait(lead, run="r1")["cursor"]

    answer = waits_for(
        lead, lambda: principals.disconnect(project.coordinator, blue.caller.principal), run="r1", cursor=cursor
    )

    assert stuck_of(answer) == {task: "no blue worker is connected"}


def test_a_waiter_wakes_when_the_only_worker_of_a_role_dies(project: Project, lead: Worker) -> None:
    task = lead.create()
    blue = project.join("blue")
    cursor = wait(lead, run="r1")["cursor"]

    answer = waits_for(lead, lambda: project.kill_client(blue), run="r1", cursor=cursor)

    assert stuck_of(answer) == {task: "no blue worker is connected"}


def test_a_waiting_claim_is_given_what_a_worker_held_that_dies(project: Project, lead: Worker) -> None:
    task = lead.create()
    blue, heir = project.join("blue"), project.join("blue")
    blue.take()
    answers: list[Any] = []
    waiter = threading.Thread(
        target=lambda: answers.append(waiting.claim(project.coordinator, heir.caller, wait_seconds=60)), daemon=True
    )
    waiter.start()

    project.kill_client(blue)

    waiter.join(BOUND)
    assert [answer["attempt"] for answer in answers] == [f"{task}.2"]


def test_a_waiting_claim_is_given_a_task_when_it_is_due(project: Project, lead: Worker) -> None:
    task = lead.create(not_before_seconds=0.2)
    answers: list[Any] = []
    waiter = threading.Thread(
        target=lambda: answers.append(waiting.claim(project.coordinator, project.join("blue").caller, wait_seconds=60)),
        daemon=True,
    )
    waiter.start()

    project.clock.pass_seconds(1)

    waiter.join(BOUND)
    assert [answer["attempt"] for answer in answers] == [f"{task}.1"]


def test_a_waiter_that_has_looked_reads_nothing_until_something_changes(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead.create()
    project.join("blue").take()
    monkeypatch.setattr(waiting, "SLICE_SECONDS", 0.001)
    reads = 0
    reads_at_slices: list[int] = []
    reading = project.store.reading

    def counting() -> Any:
        nonlocal reads
        reads += 1
        return reading()

    class Slices(threading.Event):
        """Asked whether to stop once a slice: after the tenth."""

        def is_set(self) -> bool:
            reads_at_slices.append(reads)
            return len(reads_at_slices) == 10

    monkeypatch.setattr(project.store, "reading", counting)

    wait(lead, run="r1", wait_seconds=60, stop=Slices())

    assert reads_at_slices[0] > 0
    assert set(reads_at_slices) == {reads_at_slices[0]}


def test_a_waiter_wakes_when_its_run_is_paused(project: Project, lead: Worker) -> None:
    task = lead.create()
    project.join("blue")
    cursor = wait(lead, run="r1")["cursor"]

    answer = waits_for(
        lead, lambda: runs.pause(project.coordinator, project.operator.caller, "r1"), run="r1", cursor=cursor
    )

    assert stuck_of(answer) == {task: "r1 is paused"}


def test_a_run_that_was_paused_after_the_cursor_is_told_at_once(project: Project, lead: Worker) -> None:
    task = lead.create()
    project.join("blue")
    cursor = wait(lead, run="r1")["cursor"]
    runs.pause(project.coordinator, project.operator.caller, "r1")

    answer = waits_for(lead, lambda: None, run="r1", cursor=cursor)

    assert stuck_of(answer) == {task: "r1 is paused"}


def test_old_stuck_news_wakes_nobody_and_is_still_told(project: Project, lead: Worker) -> None:
    task = lead.create()
    other = lead.create("implement", run="r1")
    project.join("green")
    cursor = wait(lead, run="r1")["cursor"]

    answer = waits_for(lead, lambda: lead.cancel(task=other), run="r1", cursor=cursor)

    assert [each["id"] for each in answer["changed"]] == [other]
    assert stuck_of(answer) == {task: "no blue worker is connected"}


# --- what stops a task from below -------------------------------------------------------------------------------------


def test_a_task_in_review_is_stuck_when_nobody_takes_its_review(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    green = project.join("green")
    green.report(green.take())

    alone, whole = stuck_of(wait(lead, tasks=[task])), stuck_of(wait(lead, run="r1"))

    assert alone.keys() == {task}
    assert "t2" in alone[task]
    assert "no red worker is connected" in alone[task]
    assert whole == {"t2": "no red worker is connected"}
    assert any("no red worker" in line for line in queries.explain(project.coordinator, task))


def test_a_task_is_stuck_when_what_it_waits_for_is(project: Project, lead: Worker) -> None:
    first = lead.create()
    second = lead.create(depends_on=(first,), run="r1")
    third = lead.create(depends_on=(second,), run="r1")
    project.join("blue")
    assert "stuck" not in wait(lead, tasks=[third])

    lead.cancel(task=first)
    alone, whole = wait(lead, tasks=[third]), wait(lead, run="r1")

    assert stuck_of(alone).keys() == {third}
    assert second in alone["stuck"][0]["why"]
    assert "was cancelled" in alone["stuck"][0]["why"]
    assert f"retry {first}" in alone["stuck"][0]["help"]
    assert stuck_of(whole).keys() == {second}


def test_a_dependency_far_below_that_ends_after_the_cursor_wakes(project: Project, lead: Worker) -> None:
    first = lead.create()
    second = lead.create(depends_on=(first,), run="r1")
    third = lead.create(depends_on=(second,), run="r1")
    project.join("blue")
    cursor = wait(lead, tasks=[third])["cursor"]
    lead.cancel(task=first)

    answer = waits_for(lead, lambda: None, tasks=[third], cursor=cursor)

    assert stuck_of(answer).keys() == {third}


def test_a_deep_and_wide_graph_is_followed_once(project: Project, lead: Worker) -> None:
    """Forty layers of three, each waiting for the whole layer before: 3 ** 40 ways down, 120 tasks."""
    layers = [[f"a{layer}-{column}" for column in range(3)] for layer in range(40)]
    before: dict[str, tuple[str, ...]] = {}
    for above, below in zip(layers[1:], layers, strict=False):
        before |= {name: tuple(below) for name in above}
    made = lead.create_all(
        *[
            Draft(kind="search", instructions="x", ref=name, depends_on=before.get(name, ()))
            for layer in layers
            for name in layer
        ]
    )
    top = made["tasks"][-1]["id"]

    answer = wait(lead, tasks=[top])

    assert stuck_of(answer).keys() == {top}
    project.join("blue")
    assert "stuck" not in wait(lead, tasks=[top])


# --- what needs somebody ----------------------------------------------------------------------------------------------


def test_needs_you_finds_stuck_tasks_behind_many_that_are_not(project: Project, lead: Worker) -> None:
    lead.create_all(*[Draft(kind="search", instructions="x") for _ in range(180)])
    project.join("blue")
    behind = lead.create("implement", run="r1")

    found = queries.status(project.coordinator)["needs_you"]

    assert [each["id"] for each in found] == [behind]


def test_needs_you_shows_at_most_fifty(project: Project, lead: Worker) -> None:
    lead.create_all(*[Draft(kind="search", instructions="x") for _ in range(60)])

    assert len(queries.status(project.coordinator)["needs_you"]) == 50


# --- a run without its lead -------------------------------------------------------------------------------------------


@pytest.fixture
def pausing(project: Project) -> Worker:
    """The lead of a run that pauses without it."""
    project.settings = replace(Settings(), on_lead_gone="pause")
    lead = project.join()
    lead.create()
    return lead


def is_paused(project: Project) -> bool:
    with project.store.reading() as view:
        return any(run.paused for run in view.open_runs())


def test_a_leaderless_run_that_the_operator_resumed_stays_resumed(project: Project, pausing: Worker) -> None:
    project.kill_client(pausing)
    project.sweep()
    assert is_paused(project)

    runs.resume(project.coordinator, project.operator.caller, "r1")
    project.sweep()

    assert not is_paused(project)
    assert project.join("blue").take() == "t1.1"


def test_a_run_whose_lead_came_back_pauses_again_when_that_is_lost(project: Project, pausing: Worker) -> None:
    client = project.kill_server(pausing)
    project.sweep()
    runs.resume(project.coordinator, project.operator.caller, "r1")
    again = project.join(client=client)
    again.create(run="r1")

    project.kill_client(again)
    project.sweep()

    assert is_paused(project)


def test_a_run_resumed_while_its_lead_was_there_pauses_when_that_is_lost(project: Project, pausing: Worker) -> None:
    runs.pause(project.coordinator, project.operator.caller, "r1")
    runs.resume(project.coordinator, project.operator.caller, "r1")
    project.sweep()
    assert not is_paused(project)

    project.kill_client(pausing)
    project.sweep()

    assert is_paused(project)


def test_what_a_run_does_without_its_lead_was_decided_when_it_began(project: Project, pausing: Worker) -> None:
    project.settings = Settings()
    project.kill_client(pausing)

    project.sweep()

    assert is_paused(project)


# --- long histories ---------------------------------------------------------------------------------------------------


def test_the_newest_of_a_very_long_history_is_shown(project: Project, lead: Worker) -> None:
    task = lead.create()
    operator = project.operator.caller
    for number in range(10_005):
        tasks.amend(project.coordinator, operator, task, priority=number % 2)
    lead.cancel(task=task)

    history = queries.task_detail(project.coordinator, task)["history"]

    assert len(history) == queries.HISTORY_LINES
    assert "cancelled" in history[-1]


# --- until it is over -------------------------------------------------------------------------------------------------


def over(project: Project, **arguments: Any) -> waiting.Over:
    return waiting.until_over(project.coordinator, project.operator.caller, **({"seconds": 0} | arguments))


def test_a_cancelled_review_is_a_failure_to_whoever_named_it_only(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    green = project.join("green")
    green.report(green.take())
    lead.cancel(task=task)

    assert over(project, run="r1").failed == {task: "cancelled"}
    assert over(project, tasks=["t2"]).failed == {"t2": "cancelled"}


def test_what_was_retried_since_is_no_failure(project: Project, lead: Worker) -> None:
    first, second = lead.create(), lead.create(run="r1")
    blue = project.join("blue")
    blue.take(task=second)
    lead.cancel(task=first)

    def retry(_: object) -> None:
        if project.state(first) == "cancelled":
            tasks.retry(project.coordinator, project.operator.caller, first)

    answer = over(project, tasks=[first, second], tell=retry)

    assert answer.failed == {}
    assert not answer.done


def test_more_tasks_than_one_answer_holds_are_all_told(project: Project, lead: Worker) -> None:
    lead.create_all(*[Draft(kind="search", instructions="x") for _ in range(150)])
    lead.cancel(run="r1")
    told: list[str] = []

    answer = over(project, run="r1", tell=lambda each: told.append(each["id"]))

    assert answer.done
    assert len(answer.failed) == 150
    assert told == list(answer.ended)


def test_until_over_ends_when_a_worker_leaves_between_two_changes(project: Project, lead: Worker) -> None:
    first, second = lead.create(), lead.create(run="r1")
    blue = project.join("blue")
    blue.report(blue.take(task=first))

    answer = over(
        project,
        run="r1",
        seconds=BOUND,
        tell=lambda _: principals.disconnect(project.coordinator, blue.caller.principal),
    )

    assert [each["id"] for each in answer.stuck] == [second]


@pytest.mark.parametrize("run", ["r1", "r999"])
def test_a_run_and_tasks_together_are_refused(lead: Worker, run: str) -> None:
    task = lead.create()

    with pytest.raises(InvalidError) as refused:
        wait(lead, run=run, tasks=[task])

    assert (refused.value.code, refused.value.field) == ("invalid", "run")
