"""The pure life of one task: `decide` and `evolve` together, without a store."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from trichrome.domain import decisions, tasks
from trichrome.domain.decisions import (
    Approve,
    Cancel,
    Claim,
    Command,
    EndAttempt,
    Expire,
    Release,
    Rescue,
    Retry,
    SendBack,
    Standing,
    TakeUp,
    decide,
)
from trichrome.domain.events import AttemptNumbersRaised, Outcome, Report, TaskClaimed, TaskCreated
from trichrome.domain.ids import AttemptId, RunId, TaskId
from trichrome.domain.tasks import FINAL, Task, evolve
from trichrome.errors import NotFoundError, StaleAttemptError, TrichromeError

T1 = TaskId("t1")
NEW = tasks.created(
    TaskCreated(task=T1, run=RunId("r1"), kind="search", role="blue", instructions="x", created_by="lead-1")
)


def after(task: Task, *commands: Command) -> Task:
    for command in commands:
        for event in decide(task, command):
            task = evolve(task, event)
    return task


def claim(worker: str = "w1", principal: str = "p1") -> Claim:
    return Claim(worker=worker, principal=principal)


def end(
    attempt: int = 1,
    outcome: Outcome = "completed",
    standing: Standing = "owner",
    **fields: object,
) -> EndAttempt:
    command = EndAttempt(attempt, standing, "w1", "p1", outcome, Report("done"), digest=outcome)
    return replace(command, **fields)  # type: ignore[arg-type]


def rescue(attempt: int = 1, principal: str = "p1") -> Rescue:
    return Rescue(attempt=attempt, principal=principal, reason="gone", delay_seconds=7.0)


def test_a_new_task_keeps_what_its_creation_says_and_what_it_leaves_out() -> None:
    said = TaskCreated(
        task=T1, run=RunId("r1"), kind="fix", role="green", instructions="x", created_by="lead-1", acceptance="y",
        priority=2, depends_on=(TaskId("t9"),), waiting_on=1, files=("src",), review="red", key="k", key_digest="d",
        max_attempts=7, max_review_rounds=8, not_before_seconds=9.0, time_limit_seconds=10.0,
        reviews=AttemptId(TaskId("t8"), 2), author="blue-1",
    )  # fmt: skip

    assert tasks.created(said) == Task(
        id=T1, run=RunId("r1"), kind="fix", role="green", created_by="lead-1", state="blocked",
        priority=2, waiting_on=1, files=("src",), review="red", max_attempts=7, max_review_rounds=8,
        not_before_seconds=9.0, time_limit_seconds=10.0, reviews=AttemptId(TaskId("t8"), 2), author="blue-1",
    )  # fmt: skip
    assert set(vars(tasks.created(said))) <= {field.name for field in fields(Task)}
    defaults = {field.name: field.default for field in fields(TaskCreated)}
    both = [field for field in fields(Task) if field.name in defaults]
    assert [field.default for field in both] == [defaults[field.name] for field in both]


def test_a_claim_begins_the_next_attempt() -> None:
    task = after(NEW, claim())

    assert (task.state, task.last_number) == ("running", 1)
    assert task.attempt is not None
    assert (task.attempt.number, task.attempt.worker, task.attempt.principal) == (1, "w1", "p1")


@pytest.mark.parametrize("outcome", ["completed", "failed", "released"])
def test_an_end_leaves_no_live_attempt(outcome: Outcome) -> None:
    task = after(NEW, claim(), end(outcome=outcome))

    assert task.attempt is not None
    assert task.attempt.state == outcome
    assert task.attempt.holds == ()


def test_a_rescue_names_the_incarnation_that_was_seen_dead() -> None:
    running = after(NEW, claim())

    assert decide(running, rescue(principal="p2")) == []
    assert decide(running, rescue(attempt=2)) == []
    assert decide(NEW, rescue()) == []
    assert after(running, rescue()).state == "ready"
    assert decide(after(running, rescue()), rescue()) == []


def test_a_rescue_of_an_adopted_attempt_by_its_old_owners_name_does_nothing() -> None:
    adopted = after(NEW, claim(), TakeUp(1, "successor", "w1", "p2"))

    assert decide(adopted, rescue(principal="p1")) == []
    assert after(adopted, rescue(principal="p2")).state == "ready"


def test_only_the_second_rescue_in_a_row_delays() -> None:
    first = decide(after(NEW, claim()), rescue())
    again = after(NEW, claim(), rescue(), claim("w2", "p2"))
    second = decide(again, rescue(2, "p2"))

    assert [event.delay_seconds for event in (*first, *second)] == [0.0, 7.0]  # type: ignore[union-attr]


def test_a_release_or_expiry_of_something_else_does_nothing() -> None:
    running = after(NEW, claim())

    assert decide(running, Release(1, "p2", "x", "y")) == []
    assert decide(running, Release(2, "p1", "x", "y")) == []
    assert decide(running, Expire(2)) == []
    assert decide(after(running, end()), Expire(1)) == []


@pytest.mark.parametrize("standing", ["owner", "successor"])
def test_a_rescued_attempt_comes_back_before_a_newer_one_began(standing: Standing) -> None:
    rescued = after(NEW, claim(), rescue())

    task = after(rescued, TakeUp(1, standing, "w1", "p9"))

    assert (task.state, task.tries, task.rescues) == ("running", 0, 0)
    assert task.attempt is not None
    assert task.attempt.principal == "p9"


@pytest.mark.parametrize("outcome", ["failed", "released"])
def test_an_attempt_that_ended_otherwise_does_not_come_back(outcome: Outcome) -> None:
    over = after(NEW, claim(), end(outcome=outcome))

    with pytest.raises(StaleAttemptError, match=outcome):
        decide(over, TakeUp(1, "owner", "w1", "p1"))


def test_an_attempt_number_set_aside_by_a_salvage_belongs_to_nobody() -> None:
    raised = evolve(after(NEW, claim()), AttemptNumbersRaised(to=5))

    for attempt in (2, 5, 6):
        with pytest.raises(NotFoundError):
            decide(raised, TakeUp(attempt, "owner", "w1", "p1"))
    assert (
        after(
            raised,
            end(),
        ).state
        == "completed"
    )
    again = after(evolve(after(NEW, claim(), end(outcome="released")), AttemptNumbersRaised(to=5)), claim())
    assert again.last_number == 6


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_claim_jumps_over_each_tail_that_may_be_lost_and_says_so(lost: int) -> None:
    again = decide(after(NEW, claim(), rescue()), replace(claim(), lost_tails=lost))

    last = 1 + 1000 * lost
    assert [each.to for each in again if isinstance(each, AttemptNumbersRaised)] == [last] * (lost > 0)
    assert again[-1] == TaskClaimed(attempt=last + 1, worker="w1", principal="p1")


def test_a_rescued_attempt_that_may_be_overtaken_does_not_come_back() -> None:
    rescued = after(NEW, claim(), rescue())

    with pytest.raises(StaleAttemptError, match="rescued"):
        decide(rescued, TakeUp(1, "owner", "w1", "p1", overtaken=True))
    assert [type(each).__name__ for each in decide(rescued, end(overtaken=True))] == ["ResultSuperseded"]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_but_a_retry_moves_what_is_over(state: str) -> None:
    over = {
        "completed": after(NEW, claim(), end()),
        "failed": after(NEW, claim(), end(outcome="failed", retry=False)),
        "cancelled": after(NEW, claim(), Cancel("x", "y")),
    }[state]

    for command in (
        claim(), TakeUp(1, "owner", "w1", "p1"), end(outcome="released"), rescue(), Expire(1),
        Release(1, "p1", "x", "y"), Approve(1, "y"), SendBack(1, "y", "z"), Cancel("x", "y"),
    ):  # fmt: skip
        try:
            changed = after(over, command)
        except TrichromeError:
            continue
        assert changed == over

    if state != "completed":
        assert after(over, Retry("operator")).state == "ready"


def test_rounds_of_review_are_counted_and_the_one_too_many_fails() -> None:
    task = replace(NEW, review="red")
    for number in (1, 2, 3):
        task = after(task, claim(), end(number, review=TaskId(f"t{number + 1}")))
        assert task.state == "in_review"
        task = after(task, SendBack(number, "r", "more"))

    assert task.state == "failed"
    assert (task.rounds, task.tries) == (3, 0)


def test_a_verdict_needs_the_attempt_that_is_under_review() -> None:
    task = after(replace(NEW, review="red"), claim(), end(review=TaskId("t2")))

    assert decide(task, Approve(2, "r")) == []
    assert decide(task, SendBack(2, "r", "x")) == []
    assert after(task, Approve(1, "r")).state == "completed"


def test_the_author_may_not_claim_its_review() -> None:
    review = replace(NEW, reviews=AttemptId(TaskId("t9"), 1), author="w1")

    with pytest.raises(TrichromeError) as refused:
        decide(review, claim("w1"))

    assert refused.value.code == "not_permitted"
    assert after(review, claim("w2")).state == "running"


@pytest.mark.parametrize(
    ("tries", "jitter", "seconds"),
    [(0, 0.0, 5.0), (0, 1.0, 10.0), (1, 1.0, 20.0), (3, 0.5, 60.0), (6, 1.0, 600.0), (10_000, 1.0, 600.0)],
)
def test_backoff_doubles_is_capped_and_spreads_over_its_upper_half(tries: int, jitter: float, seconds: float) -> None:
    assert decisions.backoff(tries, base_seconds=10, cap_seconds=600, jitter=jitter) == seconds


def test_no_backoff_when_its_base_is_nothing() -> None:
    assert decisions.backoff(9, base_seconds=0, cap_seconds=600, jitter=1) == 0
