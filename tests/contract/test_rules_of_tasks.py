"""The rules of a task's life, DESIGN section 3: dependencies, refusals, files, reviews, leads; and what answers hold."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker

from trichrome.coordinator import Settings, queries, reviews, runs, tasks, waiting
from trichrome.domain.drafts import Draft
from trichrome.domain.text import DATA_BYTES, INSTRUCTIONS_BYTES, SUMMARY_BYTES
from trichrome.errors import ConflictError, InvalidError, NotFoundError, NotPermittedError, TrichromeError


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def draft(kind: str = "search", **content: Any) -> Draft:
    return Draft(**({"kind": kind, "instructions": "find it"} | content))


def wait(worker: Worker, **arguments: Any) -> Any:
    return waiting.wait(worker.project.coordinator, worker.caller, **({"wait_seconds": 0} | arguments))


def detail(project: Project, task: str) -> Any:
    return queries.task_detail(project.coordinator, task)


# --- rule 7: dependencies and what is stuck ---------------------------------------------------------------------------


def test_7_a_task_runs_only_when_all_its_dependencies_are_completed(project: Project, lead: Worker) -> None:
    first, second = lead.create(), lead.create()
    last = lead.create(depends_on=(first, second))
    worker = project.join()

    for done in (first, second):
        assert project.state(last) == "blocked"
        with_name = worker.claim(task=last)
        assert with_name["attempt"] is None
        assert "waits for other tasks" in with_name["next"]
        worker.report(worker.take(task=done))

    assert worker.take() == f"{last}.1"


def test_7_a_dependency_that_is_completed_already_blocks_nothing(project: Project, lead: Worker) -> None:
    first = lead.create()
    worker = project.join()
    worker.report(worker.take())

    last = lead.create(depends_on=(first,))

    assert project.state(last) == "ready"


def test_7_a_dependency_in_review_is_not_completed(project: Project, lead: Worker) -> None:
    first = lead.create("implement", review="red")
    last = lead.create(depends_on=(first,))
    author, reviewer = project.join("green"), project.join("red")

    author.report(author.take())
    assert project.state(last) == "blocked"

    reviewer.report(reviewer.take(), "approved")
    assert project.state(last) == "ready"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_7_a_dependency_that_fails_or_is_cancelled_leaves_its_dependents_blocked_and_stuck(
    project: Project, lead: Worker, end: str
) -> None:
    first = lead.create()
    last = lead.create(depends_on=(first,), run="r1")
    worker = project.join()
    if end == "failed":
        worker.report(worker.take(), "failed", "no", retry=False)
    else:
        lead.cancel(task=first)

    answer = wait(lead, run="r1")

    assert project.state(last) == "blocked"
    (stuck,) = answer["stuck"]
    assert stuck["id"] == last
    assert first in stuck["why"]
    assert first in stuck["help"]

    tasks.retry(project.coordinator, project.operator.caller, first)
    worker.report(worker.take(task=first))
    assert project.state(last) == "ready"


def test_7_a_dependency_that_completes_while_its_dependent_is_cancelled_is_not_waited_for_again(
    project: Project, lead: Worker
) -> None:
    first = lead.create()
    last = lead.create(depends_on=(first,))
    lead.cancel(task=last)
    worker = project.join()
    worker.report(worker.take())
    assert project.state(last) == "cancelled"

    tasks.retry(project.coordinator, project.operator.caller, last)

    assert project.state(last) == "ready"


def test_7_the_same_dependency_by_two_names_counts_once(project: Project, lead: Worker) -> None:
    lead.create_all(draft(key="k"))

    made = lead.create_all(draft(key="k", ref="again"), draft(ref="last", depends_on=("again", "t1")))
    worker = project.join()
    worker.report(worker.take(task="t1"))

    assert made["tasks"][1]["state"] == "blocked"
    assert project.state("t2") == "ready"
    assert project.store.differences() == []


def test_7_no_connected_worker_for_a_role_is_said_at_once(project: Project, lead: Worker) -> None:
    task = lead.create("implement")
    project.join("blue")

    (stuck,) = wait(lead, run="r1", wait_seconds=60)["stuck"]

    assert stuck["id"] == task
    assert "no green worker" in stuck["why"]
    assert "green" in stuck["help"]


def test_7_a_worker_that_is_gone_serves_no_role(project: Project, lead: Worker) -> None:
    lead.create("implement")
    green = project.join("green")
    assert "stuck" not in wait(lead, run="r1")

    project.kill_client(green)

    assert "stuck" in wait(lead, run="r1")


def test_7_workers_of_before_the_reboot_serve_no_role(project: Project, lead: Worker, clock: ManualClock) -> None:
    lead.create("implement")
    project.join("green")

    clock.reboot()
    project.alive.clear()

    assert "stuck" in wait(project.operator, run="r1")
    assert queries.status(project.coordinator)["workers"] == []


def test_7_no_eligible_reviewer_is_said(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    worker = project.join()
    worker.report(worker.take())

    (stuck,) = wait(lead, run="r1")["stuck"]

    assert worker.name in stuck["why"]
    assert f"approve {task}" in stuck["help"]


def test_7_a_paused_run_is_said(project: Project, lead: Worker) -> None:
    lead.create()
    project.join("blue")
    runs.pause(project.coordinator, project.operator.caller, "r1")

    (stuck,) = wait(lead, run="r1")["stuck"]

    assert "paused" in stuck["why"]
    runs.resume(project.coordinator, project.operator.caller, "r1")
    assert "stuck" not in wait(lead, run="r1")


# --- rule 8: refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "field"),
    [
        ({"instructions": ""}, "invalid", "instructions"),
        ({"instructions": " \n\x00"}, "invalid", "instructions"),
        ({"instructions": "x" * (INSTRUCTIONS_BYTES + 1)}, "too_large", "instructions"),
        ({"instructions": "ß" * (INSTRUCTIONS_BYTES // 2 + 1)}, "too_large", "instructions"),
        ({"acceptance": "x" * (INSTRUCTIONS_BYTES + 1)}, "too_large", "acceptance"),
        ({"kind": "Search"}, "invalid", "kind"),
        ({"kind": ""}, "invalid", "kind"),
        ({"kind": "dance"}, "unknown_role", "role"),
        ({"role": "purple"}, "unknown_role", "role"),
        ({"review": "purple"}, "unknown_role", "review"),
        ({"kind": "review", "review": "red"}, "invalid", "review"),
        ({"priority": 10}, "invalid", "priority"),
        ({"priority": -1}, "invalid", "priority"),
        ({"max_attempts": 0}, "invalid", "max_attempts"),
        ({"not_before_seconds": -1.0}, "invalid", "not_before_seconds"),
        ({"not_before_seconds": float("nan")}, "invalid", "not_before_seconds"),
        ({"time_limit_seconds": 0.0}, "invalid", "time_limit_seconds"),
        ({"time_limit_seconds": float("inf")}, "invalid", "time_limit_seconds"),
        ({"depends_on": ("t99",)}, "not_found", "depends_on"),
        ({"depends_on": ("nobody",)}, "not_found", "depends_on"),
        ({"files": ("/etc/passwd",)}, "invalid", "files"),
        ({"files": ("../x",)}, "invalid", "files"),
        ({"files": ("a/../../x",)}, "invalid", "files"),
        ({"files": ("",)}, "invalid", "files"),
        ({"files": ("~/x",)}, "invalid", "files"),
        ({"files": ("a" * 1025,)}, "too_large", "files"),
        ({"files": tuple(f"f{n}" for n in range(201))}, "too_large", "files"),
        ({"key": "k" * 161}, "invalid", "key"),
        ({"key": " "}, "invalid", "key"),
        ({"ref": "r" * 200}, "invalid", "ref"),
        ({"ref": "\ud83d"}, "invalid", "ref"),
    ],
)
def test_8_a_bad_task_is_refused_naming_the_field(
    project: Project, lead: Worker, content: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(TrichromeError) as refused:
        lead.create_all(draft(**content))

    assert (refused.value.code, refused.value.field) == (code, field)
    assert queries.page(project.coordinator)["tasks"] == []


def test_8_among_many_the_bad_one_is_named_and_nothing_is_created(project: Project, lead: Worker) -> None:
    with pytest.raises(InvalidError) as refused:
        lead.create_all(draft(), draft(priority=11), draft())
    with pytest.raises(NotFoundError):
        lead.create_all(draft(), draft(depends_on=("t77",)))

    assert refused.value.field == "tasks[1].priority"
    with project.store.reading() as view:
        assert view.position() == 0


@pytest.mark.parametrize(
    ("graph", "members"),
    [
        ({"a": ("a",)}, {"a"}),
        ({"a": ("b",), "b": ("a",)}, {"a", "b"}),
        ({"x": (), "a": ("c",), "b": ("a",), "c": ("b", "x")}, {"a", "b", "c"}),
    ],
)
def test_8_a_cycle_is_refused_naming_its_members(
    project: Project, lead: Worker, graph: dict[str, tuple[str, ...]], members: set[str]
) -> None:
    with pytest.raises(InvalidError) as refused:
        lead.create_all(*[draft(ref=name, depends_on=on) for name, on in graph.items()])

    assert (refused.value.code, refused.value.field) == ("cycle", "depends_on")
    assert all(name in refused.value.message for name in members)
    assert " x" not in refused.value.message


def test_8_siblings_may_be_named_before_they_come(project: Project, lead: Worker) -> None:
    made = lead.create_all(draft(ref="last", depends_on=("first",)), draft(ref="first"))

    assert made["tasks"] == [
        {"id": "t2", "ref": "last", "state": "blocked", "role": "blue"},
        {"id": "t1", "ref": "first", "state": "ready", "role": "blue"},
    ]


def test_8_two_hundred_tasks_a_call_and_no_more(project: Project, lead: Worker) -> None:
    with pytest.raises(InvalidError) as refused:
        lead.create_all(*[draft() for _ in range(201)])
    assert refused.value.code == "too_large"

    assert len(lead.create_all(*[draft() for _ in range(200)])["tasks"]) == 200

    with pytest.raises(InvalidError):
        lead.create_all()


def test_8_a_ref_twice_is_refused(lead: Worker) -> None:
    with pytest.raises(InvalidError) as refused:
        lead.create_all(draft(ref="a"), draft(ref="a"))

    assert refused.value.field == "ref"


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ({"summary": ""}, "invalid", "summary"),
        ({"summary": "x" * (SUMMARY_BYTES + 1)}, "too_large", "summary"),
        ({"data": "x" * DATA_BYTES}, "too_large", "data"),
        ({"data": {"a": float("nan")}}, "invalid", "data"),
        ({"data": object()}, "invalid", "data"),
        ({"data": nested(200)}, "invalid", "data"),
        ({"data": nested(100_000)}, "invalid", "data"),
        ({"artifacts": [""]}, "invalid", "artifacts"),
        ({"artifacts": ["x"] * 201}, "too_large", "artifacts"),
        ({"files": ["x" * 1025]}, "too_large", "files"),
        ({"follow_ups": ["x"] * 51}, "too_large", "follow_ups"),
    ],
)
def test_8_a_bad_report_is_refused_and_the_attempt_goes_on(
    project: Project, lead: Worker, arguments: dict[str, Any], code: str, field: str
) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()

    with pytest.raises(InvalidError) as refused:
        worker.report(attempt, **arguments)

    assert (refused.value.code, refused.value.field) == (code, field)
    assert project.state(task) == "running"
    assert worker.report(attempt)["state"] == "completed"


def test_8_text_of_agents_is_stored_without_what_could_act_on_its_reader(project: Project, lead: Worker) -> None:
    task = lead.create(instructions="a\x1b[31mb\u202ec\ud83dd\r\ne\tf")
    worker = project.join()
    worker.report(worker.take(), summary="x\x00y\u2066", data={"k\x07": ["\ud83d", "🦊"]})

    shown = detail(project, task)

    assert shown["instructions"] == "a[31mbcd\ne\tf"
    assert shown["result"] == {"summary": "xy", "data": {"k": ["", "🦊"]}}


@pytest.mark.parametrize(
    "call",
    [
        lambda lead: lead.create(run="r9"),
        lambda lead: lead.cancel(task="t9"),
        lambda lead: lead.cancel(run="r9"),
        lambda lead: wait(lead, run="r9"),
        lambda lead: wait(lead, tasks=["t9"]),
        wait,
        lambda lead: lead.claim(task="t9"),
        lambda lead: queries.task_detail(lead.project.coordinator, "t9"),
        lambda lead: queries.page(lead.project.coordinator, run="r9"),
        lambda lead: reviews.approve(lead.project.coordinator, lead.caller, "t9"),
        lambda lead: tasks.amend(lead.project.coordinator, lead.caller, "t9", priority=1),
        lambda lead: tasks.retry(lead.project.coordinator, lead.caller, "t9"),
        lambda lead: runs.pause(lead.project.coordinator, lead.caller, "r9"),
        lambda lead: lead.send("nobody", "hello"),
    ],
)
def test_8_what_does_not_exist_is_not_found(lead: Worker, call: Callable[[Worker], object]) -> None:
    with pytest.raises(NotFoundError) as refused:
        call(lead)

    assert refused.value.code == "not_found"


# --- rule 9: files ----------------------------------------------------------------------------------------------------


def test_9_conflicting_tasks_run_one_after_another_and_others_beside_them(project: Project, lead: Worker) -> None:
    first = lead.create("implement", files=("src/api/*.py",))
    second = lead.create("implement", files=("src/api/auth.py",))
    third = lead.create("implement", files=("src/apix.py",))
    one, two, three = project.join(), project.join(), project.join()

    held = one.take()
    assert held == f"{first}.1"
    assert two.take() == f"{third}.1"
    assert three.claim()["attempt"] is None

    one.report(held)
    assert three.take() == f"{second}.1"


def test_9_a_named_task_whose_files_are_held_is_refused_with_the_holder(project: Project, lead: Worker) -> None:
    first, second = lead.create(files=("src",)), lead.create(files=("src/a",))
    holder = project.join()
    holder.take(task=first)

    with pytest.raises(ConflictError) as refused:
        project.join().claim(task=second)

    assert refused.value.code == "files_conflict"
    assert holder.name in refused.value.message
    assert first in refused.value.message


def test_9_reserved_files_are_held_until_the_attempt_ends(project: Project, lead: Worker) -> None:
    first = lead.create()
    lead.create()
    one, two = project.join(), project.join()
    held, other = one.take(task=first), two.take()

    assert one.reserve(held, "src/a.py", "docs/**") == {"held": ["src/a.py", "docs"]}
    with pytest.raises(ConflictError) as refused:
        two.reserve(other, "docs/x.md")
    assert (refused.value.code, refused.value.field) == ("files_conflict", "paths")
    assert one.name in refused.value.message

    one.report(held)
    assert two.reserve(other, "docs/x.md") == {"held": ["docs/x.md"]}


def test_9_a_refused_reservation_holds_none_of_its_paths(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    one, two = project.join(), project.join()
    one.reserve(one.take(), "src")
    other = two.take()

    with pytest.raises(ConflictError):
        two.reserve(other, "docs", "src/a")

    assert two.reserve(other, "elsewhere") == {"held": ["elsewhere"]}


def test_9_shared_reservations_do_not_exclude_each_other(project: Project, lead: Worker) -> None:
    for _ in range(3):
        lead.create()
    workers = [project.join() for _ in range(3)]
    held = [worker.take() for worker in workers]

    workers[0].reserve(held[0], "src", mode="shared")
    workers[1].reserve(held[1], "src/a.py", mode="shared")

    with pytest.raises(ConflictError):
        workers[2].reserve(held[2], "src/a.py")


def test_9_a_rescued_attempt_lets_go_of_its_files(project: Project, lead: Worker) -> None:
    lead.create(files=("src",))
    second = lead.create(files=("src/a",))
    one = project.join()
    one.take()
    project.kill_client(one)
    project.sweep()

    assert project.join().claim(task=second)["attempt"] == f"{second}.1"


# --- rule 10: reviews -------------------------------------------------------------------------------------------------


def under_review(project: Project, lead: Worker, **content: Any) -> tuple[str, str, Worker, Worker]:
    """A task whose first report is under review: task, review, author, reviewer."""
    task = lead.create("implement", review="red", **content)
    author, reviewer = project.join("green"), project.join("red")
    answer = author.report(author.take(), summary="did it", data={"lines": 3}, artifacts=["out.md"], files=["src/a.py"])
    assert answer["state"] == "in_review"
    review = project.task(task).review_task
    assert review is not None
    return task, review, author, reviewer


def test_10_a_report_opens_its_review_in_the_same_transaction(project: Project, lead: Worker) -> None:
    task, review, _, reviewer = under_review(project, lead, acceptance="it works", priority=2)

    claimed = reviewer.claim()

    assert claimed["attempt"] == f"{review}.1"
    assert claimed["task"]["reviews"] == {
        "task": task,
        "attempt": f"{task}.1",
        "instructions": "find it",
        "acceptance": "it works",
        "summary": "did it",
        "data": {"lines": 3},
        "artifacts": ["out.md"],
        "files": ["src/a.py"],
    }
    assert project.task(review).priority == 2
    with project.store.reading() as view:
        by_kind = {type(each.event).__name__: each for each in view.events()}
    assert by_kind["ReviewRequested"].position + 1 == view_position(project, review)


def view_position(project: Project, stream: str) -> int:
    with project.store.reading() as view:
        return view.events(stream=stream)[0].position


def test_10_approval_completes_the_task_with_the_reviewed_report(project: Project, lead: Worker) -> None:
    task, review, _, reviewer = under_review(project, lead)

    answer = reviewer.report(reviewer.take(), "approved", "well done")

    assert answer == {"task": review, "state": "completed", "next": answer["next"]}
    assert project.state(task) == "completed"
    assert detail(project, task)["result"]["summary"] == "did it"
    assert reviewer.name in detail(project, task)["history"][-1]


def test_10_changes_send_the_task_back_with_the_findings(project: Project, lead: Worker) -> None:
    task, review, author, reviewer = under_review(project, lead)

    reviewer.report(reviewer.take(), "changes", "two findings", data=["src/a.py:1"])
    claimed = author.claim()

    assert claimed["attempt"] == f"{task}.2"
    assert claimed["task"]["feedback"] == {"by": reviewer.name, "summary": "two findings", "data": ["src/a.py:1"]}
    assert project.state(review) == "completed"
    assert "result" not in detail(project, task)


def test_10_each_round_has_a_new_review_and_after_two_rounds_the_task_fails(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    author, reviewer = project.join("green"), project.join("red")
    seen = []
    for _ in range(3):
        author.report(author.take())
        seen.append(project.task(task).review_task)
        reviewer.report(reviewer.take(), "changes", "more")

    assert len(set(seen)) == 3
    assert project.state(task) == "failed"
    assert "2 rounds" in detail(project, task)["history"][-1]


def test_10_the_author_never_reviews_its_own_work(project: Project, lead: Worker) -> None:
    lead.create("implement", review="red")
    both = project.join()
    both.report(both.take())
    review = "t2"

    assert both.claim()["attempt"] is None
    with pytest.raises(NotPermittedError) as refused:
        both.claim(task=review)

    assert refused.value.code == "not_permitted"
    assert project.join().take() == f"{review}.1"


def test_10_a_verdict_for_an_older_attempt_changes_nothing(project: Project, lead: Worker) -> None:
    task, review, author, reviewer = under_review(project, lead)
    verdict = reviewer.take()
    lead.cancel(task=task)
    tasks.retry(project.coordinator, project.operator.caller, task)
    tasks.retry(project.coordinator, project.operator.caller, review)
    author.report(author.take(task=task), summary="second")
    assert project.state(task) == "in_review"
    before = project.task(task)

    with pytest.raises(TrichromeError):
        reviewer.report(verdict, "approved", "fine")
    again = reviewer.take(task=review)
    reviewer.report(again, "approved", "fine")

    assert project.task(task) == before


@pytest.mark.parametrize("verdict", ["approved", "changes"])
def test_10_a_verdict_for_a_task_that_is_over_changes_nothing(project: Project, lead: Worker, verdict: str) -> None:
    task, review, _, reviewer = under_review(project, lead)
    reviews.approve(project.coordinator, project.operator.caller, task)
    tasks.retry(project.coordinator, project.operator.caller, review)
    before = project.task(task)

    reviewer.report(reviewer.take(task=review), verdict, "too late")

    assert project.task(task) == before


def test_10_cancelling_the_original_cancels_its_review(project: Project, lead: Worker) -> None:
    task, review, _, reviewer = under_review(project, lead)
    attempt = reviewer.take()

    assert lead.cancel(task=task) == {"cancelled": [task, review]}

    assert project.state(review) == "cancelled"
    assert reviewer.progress(attempt)["orders"]


def test_10_cancelling_the_run_names_each_task_that_it_cancelled_once(project: Project, lead: Worker) -> None:
    task, review, _, _ = under_review(project, lead)
    other = lead.create(run="r1")

    answer = lead.cancel(run="r1")

    assert sorted(answer["cancelled"]) == sorted([task, review, other])
    assert {project.state(each) for each in (task, review, other)} == {"cancelled"}
    assert project.kinds(review).count("TaskCancelled") == 1


@pytest.mark.parametrize("outcome", ["approved", "changes"])
def test_10_a_verdict_is_for_reviews_only(project: Project, lead: Worker, outcome: str) -> None:
    lead.create()
    worker = project.join()

    with pytest.raises(InvalidError) as refused:
        worker.report(worker.take(), outcome)

    assert refused.value.field == "outcome"


def test_10_a_review_does_not_end_with_completed(project: Project, lead: Worker) -> None:
    _, _, _, reviewer = under_review(project, lead)

    with pytest.raises(InvalidError) as refused:
        reviewer.report(reviewer.take())

    assert refused.value.field == "outcome"


def test_10_a_review_that_fails_leaves_the_original_in_review_and_stuck_until_the_operator_decides(
    project: Project, lead: Worker
) -> None:
    task, review, _, reviewer = under_review(project, lead)
    reviewer.report(reviewer.take(), "failed", "cannot judge", retry=False)

    (stuck,) = wait(lead, run="r1", cursor=10_000)["stuck"]
    assert (stuck["id"], project.state(task)) == (task, "in_review")
    assert review in stuck["why"]
    assert "approve" in stuck["help"]

    reviews.approve(project.coordinator, project.operator.caller, task)
    assert project.state(task) == "completed"


def test_10_the_operator_rejects_with_a_reason_or_for_good(project: Project, lead: Worker) -> None:
    task, review, author, reviewer = under_review(project, lead)
    attempt = reviewer.take()

    reviews.reject(project.coordinator, project.operator.caller, task, reason="not like this")
    assert project.state(review) == "cancelled"
    assert reviewer.progress(attempt)["orders"]
    assert author.claim()["task"]["feedback"] == {"by": "operator", "summary": "not like this"}

    author.report(f"{task}.2")
    reviews.reject(project.coordinator, project.operator.caller, task, reason="no", final=True)
    assert project.state(task) == "failed"


def test_10_only_what_is_in_review_is_approved_or_rejected(project: Project, lead: Worker) -> None:
    task = lead.create()

    with pytest.raises(InvalidError, match="not in review"):
        reviews.approve(project.coordinator, project.operator.caller, task)
    with pytest.raises(InvalidError, match="not in review"):
        reviews.reject(project.coordinator, project.operator.caller, task, reason="x")


def test_10_a_rescued_author_that_comes_back_with_its_report_gets_its_review(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    author = project.join(client="unseen")
    attempt = author.take()
    project.clock.pass_seconds(601)
    project.sweep()

    assert author.report(attempt)["state"] == "in_review"
    review = project.task(task).review_task
    assert review is not None
    assert project.task(review).author == author.name


def test_10_a_released_review_may_be_done_by_another_reviewer(project: Project, lead: Worker) -> None:
    task, _, _, reviewer = under_review(project, lead)
    reviewer.report(reviewer.take(), "released", "no time")

    other = project.join("red")
    assert other.report(other.take(), "approved", "fine")["state"] == "completed"
    assert project.state(task) == "completed"


# --- rule 13: the lead ------------------------------------------------------------------------------------------------


def test_13_a_lead_that_is_gone_stops_nothing(project: Project, lead: Worker) -> None:
    task = lead.create()
    project.kill_client(lead)
    worker = project.join()
    project.sweep()

    assert queries.status(project.coordinator)["leaderless"] == ["r1"]
    assert worker.report(worker.take())["state"] == "completed"
    assert project.state(task) == "completed"
    assert "leaderless" not in queries.status(project.coordinator)


def test_13_a_run_that_pauses_without_its_lead_is_not_claimed_from(project: Project) -> None:
    project.settings = replace(Settings(), on_lead_gone="pause")
    lead = project.join()
    lead.create()
    lead.create(run="r1")
    worker = project.join()
    attempt = worker.take()

    project.kill_client(lead)

    assert project.join().claim()["attempt"] is None
    assert worker.report(attempt)["state"] == "completed"
    runs.resume(project.coordinator, project.operator.caller, "r1")


def test_13_a_lead_whose_server_restarted_still_leads(project: Project) -> None:
    lead = project.join()
    lead.create()
    client = project.kill_server(lead)

    project.join(client=client).create(run="r1")

    assert "leaderless" not in queries.status(project.coordinator)


# --- cancelling and amending ------------------------------------------------------------------------------------------


def test_a_running_worker_learns_at_its_next_call_that_its_task_was_cancelled(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()

    lead.cancel(task=task, reason="changed our mind")

    assert "cancelled" in worker.progress(attempt)["orders"][0]
    assert worker.claim()["attempt"] is None


def test_cancelling_what_is_over_cancels_nothing(project: Project, lead: Worker) -> None:
    task = lead.create()
    assert lead.cancel(task=task) == {"cancelled": [task]}

    assert lead.cancel(task=task) == {"cancelled": []}
    with pytest.raises(InvalidError):
        lead.cancel()
    with pytest.raises(InvalidError):
        lead.cancel(task=task, run="r1")


def test_instructions_are_amended_only_while_nobody_works_on_them(project: Project, lead: Worker) -> None:
    task = lead.create()
    tasks.amend(project.coordinator, project.operator.caller, task, instructions="look again", priority=0)
    worker = project.join()

    claimed = worker.claim()
    assert claimed["task"]["instructions"] == "look again"
    with pytest.raises(InvalidError) as refused:
        tasks.amend(project.coordinator, project.operator.caller, task, instructions="too late")
    assert refused.value.field == "instructions"

    tasks.amend(project.coordinator, project.operator.caller, task, priority=9)
    assert project.task(task).priority == 9
    worker.report(claimed["attempt"])
    with pytest.raises(InvalidError):
        tasks.amend(project.coordinator, project.operator.caller, task, priority=1)


def test_a_retried_task_shows_no_result_of_before(project: Project, lead: Worker) -> None:
    task, _, _, _ = under_review(project, lead)
    lead.cancel(task=task)

    tasks.retry(project.coordinator, project.operator.caller, task)

    assert "result" not in detail(project, task)
    assert detail(project, task)["attempts"][0]["summary"] == "did it"


@pytest.mark.parametrize("state", ["ready", "running", "completed"])
def test_only_what_failed_or_was_cancelled_is_retried(project: Project, lead: Worker, state: str) -> None:
    task = lead.create()
    worker = project.join()
    if state != "ready":
        attempt = worker.take()
        if state == "completed":
            worker.report(attempt)

    with pytest.raises(InvalidError):
        tasks.retry(project.coordinator, project.operator.caller, task)


# --- what a claim hands over ------------------------------------------------------------------------------------------


def test_a_claim_hands_over_the_results_of_its_dependencies(project: Project, lead: Worker) -> None:
    first = lead.create()
    lead.create("implement", depends_on=(first,), files=("src",), acceptance="tests pass")
    worker = project.join()
    worker.report(worker.take(), summary="found three", data={"n": 3}, artifacts=["found.md"])

    claimed = worker.claim()

    assert claimed["task"] == {
        "id": "t2",
        "kind": "implement",
        "role": "green",
        "instructions": "find it",
        "acceptance": "tests pass",
        "files": ["src"],
    }
    assert claimed["dependencies"] == [
        {"id": first, "summary": "found three", "data": {"n": 3}, "artifacts": ["found.md"]}
    ]


def test_dependency_data_is_cut_to_ten_thousand_tokens_the_largest_first(project: Project, lead: Worker) -> None:
    firsts = [lead.create() for _ in range(4)]
    lead.create(depends_on=tuple(firsts))
    worker = project.join()
    sizes = (30_000, 2_000, 25_000, 28_000)
    for task, size in zip(firsts, sizes, strict=True):
        worker.report(worker.take(task=task), summary="s" * 3000, data="d" * size, artifacts=["whole.md"])

    claimed = worker.claim()

    assert len(json.dumps(claimed, separators=(",", ":"))) <= 40_000
    whole = [str(each["data"]).startswith("dd") for each in claimed["dependencies"]]
    assert whole[1]
    assert not whole[0]
    assert all(each["artifacts"] == ["whole.md"] for each in claimed["dependencies"])
    assert all(
        "left out" in each["data"] for each, kept in zip(claimed["dependencies"], whole, strict=True) if not kept
    )


def test_many_long_summaries_are_cut_too(project: Project, lead: Worker) -> None:
    firsts = [lead.create() for _ in range(60)]
    lead.create(depends_on=tuple(firsts))
    worker = project.join()
    for task in firsts:
        worker.report(worker.take(task=task), summary="s" * 4000)

    claimed = worker.claim()

    assert len(json.dumps(claimed, separators=(",", ":"))) <= 40_000
    assert len(claimed["dependencies"]) == 60
    assert all(each["summary"].startswith("sss") for each in claimed["dependencies"])


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_is_offered_once_and_delivered_when_its_receiver_calls_again(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    worker.take()
    name = worker.name
    sent = lead.send(name, "stop at noon")

    first = worker.inbox()
    with project.store.reading() as view:
        offered = [was_offered for _, was_offered in view.undelivered(name)]
    second = worker.inbox()
    with project.store.reading() as view:
        left = view.undelivered(name)

    assert first == [{"from": lead.name, "text": "stop at noon"}]
    assert offered == [True]
    assert second == left == worker.inbox() == []
    assert project.kinds(sent["message"]) == ["MessageSent", "MessageDelivered"]


def test_messages_reach_a_role_a_run_and_the_lead_but_never_their_sender(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create("implement", run="r1")
    blue, green, idle = project.join("blue"), project.join("green"), project.join("green")
    blue.take()
    green.take()

    assert lead.send("green", "hi")["to"] == [green.name, idle.name]
    assert blue.send("r1", "hi")["to"] == [lead.name, green.name]
    assert green.send("lead", "hi")["to"] == [lead.name]
    with pytest.raises(NotFoundError):
        blue.send("blue", "hi")
    with pytest.raises(InvalidError):
        idle.send("lead", "hi")


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_wait_answers_at_once_what_ended_since_the_cursor(project: Project, lead: Worker) -> None:
    first, second = lead.create(), lead.create(run="r1")
    worker = project.join()
    worker.report(worker.take(), summary="one")

    answer = wait(lead, run="r1", wait_seconds=60)
    assert answer["changed"] == [{"id": first, "state": "completed", "summary": "one"}]
    assert not answer["done"]

    worker.report(worker.take(), summary="two")
    rest = wait(lead, run="r1", cursor=answer["cursor"], wait_seconds=60)
    assert [each["id"] for each in rest["changed"]] == [second]
    assert rest["done"]
    assert "next" not in rest


def test_wait_without_a_run_means_the_callers_newest(project: Project, lead: Worker) -> None:
    lead.create()
    second = lead.create()
    lead.cancel(task=second)

    answer = wait(lead)

    assert [each["id"] for each in answer["changed"]] == [second]
    assert answer["done"]


def test_a_waiter_is_woken_by_the_end_of_a_task(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(wait(lead, wait_seconds=60)))
    thread.start()

    worker.report(attempt, summary="done")

    thread.join(5)
    assert [each["done"] for each in answers] == [True]


def test_a_waiting_claim_is_given_the_task_that_comes(project: Project, lead: Worker) -> None:
    worker = project.join()
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(waiting.claim(project.coordinator, worker.caller, wait_seconds=60))
    )
    thread.start()

    task = lead.create()

    thread.join(5)
    assert [each["attempt"] for each in answers] == [f"{task}.1"]


def test_a_waiting_claim_of_a_blocked_task_is_given_it_when_its_dependency_completes(
    project: Project, lead: Worker
) -> None:
    first = lead.create()
    second = lead.create(depends_on=(first,))
    worker, heir = project.join(), project.join()
    attempt = worker.take(task=first)
    answers: list[Any] = []
    waiter = threading.Thread(
        target=lambda: answers.append(waiting.claim(project.coordinator, heir.caller, task=second, wait_seconds=60))
    )
    waiter.start()

    worker.report(attempt)
    waiter.join(timeout=5)

    assert [answer["attempt"] for answer in answers] == [f"{second}.1"]


def test_a_waiting_claim_that_is_stopped_claims_nothing(project: Project, lead: Worker) -> None:
    stop = threading.Event()
    worker = project.join()
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(waiting.claim(project.coordinator, worker.caller, wait_seconds=60, stop=stop))
    )
    thread.start()

    stop.set()
    thread.join(5)
    task = lead.create()

    assert [each["attempt"] for each in answers] == [None]
    assert project.state(task) == "ready"


@pytest.mark.parametrize("seconds", [-1, 91, float("nan")])
def test_a_wait_of_another_length_is_refused(project: Project, lead: Worker, seconds: float) -> None:
    lead.create()

    with pytest.raises(InvalidError) as refused:
        wait(lead, wait_seconds=seconds)

    assert refused.value.field == "wait_seconds"


def test_waiting_costs_nothing_though_a_due_task_has_no_taker(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A due time that has passed must not keep a waiter awake."""
    lead.create(not_before_seconds=5)
    other = lead.create(run="r1")
    worker = project.join()
    worker.take(task=other)
    project.clock.pass_seconds(6)
    looks = 0
    reading = project.store.reading

    def counted():  # noqa: ANN202 - as the store's
        nonlocal looks
        looks += 1
        return reading()

    monkeypatch.setattr(project.store, "reading", counted)
    began = time.monotonic()

    wait(lead, run="r1", wait_seconds=1)

    assert time.monotonic() - began < 3
    assert looks < 30


# --- lists and status -------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gap_or_repeat(project: Project, lead: Worker) -> None:
    lead.create_all(*[draft() for _ in range(23)])
    seen: list[str] = []
    after = None
    while True:
        page = queries.page(project.coordinator, limit=10, after=after)
        seen += [each["id"] for each in page["tasks"]]
        if (after := page.get("after")) is None:
            break

    assert seen == [f"t{number}" for number in range(1, 24)]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"limit": 0}, "limit"), ({"limit": 501}, "limit"), ({"state": "done"}, "state"), ({"after": "x"}, "after")],
)
def test_a_bad_page_is_refused(project: Project, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        queries.page(project.coordinator, **arguments)

    assert refused.value.field == field


def test_status_shows_workers_as_they_are(project: Project, lead: Worker) -> None:
    for _ in range(4):
        lead.create()
    working, detached, idle = project.join("blue"), project.join("blue"), project.join("blue")
    working.take()
    detached.take()
    project.kill_server(detached)
    suspect = project.join("blue", lease_seconds=10)
    suspect.take()
    project.clock.pass_seconds(11)

    shown = {line["worker"]: line["state"] for line in queries.status(project.coordinator)["workers"]}

    assert shown[working.name] == "working"
    assert shown[detached.name] == "detached"
    assert shown[idle.name] == "idle"
    assert shown[suspect.name] == "suspect"


def test_explain_says_why_a_task_does_not_move(project: Project, lead: Worker) -> None:
    first = lead.create()
    second = lead.create(depends_on=(first,))
    lead.cancel(task=first)

    lines = queries.explain(project.coordinator, second)

    assert any(f"waits for {first}" in line for line in lines)
    assert any("stuck" in line for line in lines)
