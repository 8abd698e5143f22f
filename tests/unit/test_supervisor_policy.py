"""What the supervisor decides: when a session begins and ends, and what its end means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trichrome.clock import Instant
from trichrome.domain.ids import TaskId
from trichrome.runners.port import Ending, Resume
from trichrome.supervisor.fleet import FLEET, Fleet, Hold, Park, Pending, Running, Slot, Stopping
from trichrome.supervisor.policy import Ask, Facts, Forget, Hire, Keep, Kill, Retire, Start, Unpark, Waiting, decide
from trichrome.supervisor.verdicts import Over, Verdict, judge

NOW = Instant(wall=1_000_000.0, monotonic=500.0, boot="b")
ENDED = Ending("ended", "it ended")
CRASHED = Ending("failed", "signal 9 ended it")
SESSION = "5e55"


def later(seconds: float) -> Instant:
    return Instant(NOW.wall + seconds, NOW.monotonic + seconds, "b")


def running(task: str, **more: Any) -> Running:
    return Running(TaskId(task), NOW, **more)


def slot(name: str, task: str | None = None, **more: Any) -> Slot:
    return Slot(name, name.partition("-")[0], NOW.wall, running=None if task is None else running(task), **more)


def fleet(*slots: Slot, **more: Any) -> Fleet:
    scale = {each.role: sum(other.role == each.role for other in slots) for each in slots}
    return Fleet(slots={each.name: each for each in slots}, **{"scale": scale, **more})


def waiting(*tasks: str | Waiting, role: str = "blue") -> Facts:
    return Facts({role: [each if isinstance(each, Waiting) else Waiting(TaskId(each)) for each in tasks]})


def starts(actions: list[Any]) -> list[tuple[str, str]]:
    return [(each.worker, each.task) for each in actions if isinstance(each, Start)]


# --- beginning --------------------------------------------------------------------------------------------------------


def test_no_session_begins_while_nothing_can_be_claimed() -> None:
    assert decide(fleet(slot("blue-1"), slot("blue-2")), waiting(), NOW) == []


def test_no_more_sessions_begin_than_tasks_can_be_claimed() -> None:
    actions = decide(fleet(slot("blue-1"), slot("blue-2"), slot("blue-3")), waiting("t1", "t2"), NOW)

    assert starts(actions) == [("blue-1", "t1"), ("blue-2", "t2")]


def test_a_task_that_a_session_was_started_for_is_not_given_to_another() -> None:
    actions = decide(fleet(slot("blue-1", "t1"), slot("blue-2")), waiting("t1"), NOW)

    assert starts(actions) == []


def test_a_task_waits_until_the_session_it_builds_on_is_put_away() -> None:
    built = Waiting(TaskId("t2"), frozenset({TaskId("t1")}))

    assert starts(decide(fleet(slot("green-1", "t1"), slot("green-2")), waiting(built, role="green"), NOW)) == []
    assert starts(decide(fleet(slot("green-1")), waiting(built, role="green"), NOW)) == [("green-1", "t2")]


def test_of_tasks_that_change_the_same_files_one_begins_whatever_their_roles() -> None:
    green = Waiting(TaskId("t1"), conflicts=frozenset({TaskId("t2")}))
    blue = Waiting(TaskId("t2"), conflicts=frozenset({TaskId("t1")}))
    both = Facts({"green": [green], "blue": [blue, Waiting(TaskId("t3"))]})

    assert starts(decide(fleet(slot("green-1"), slot("blue-1")), both, NOW)) == [("green-1", "t1"), ("blue-1", "t3")]
    assert starts(decide(fleet(slot("blue-1")), both, NOW)) == [("blue-1", "t2")]


def test_nobody_is_given_the_review_of_its_own_work() -> None:
    review = Waiting(TaskId("t2"), author="blue-1")

    assert starts(decide(fleet(slot("blue-1"), slot("blue-2")), waiting(review), NOW)) == [("blue-2", "t2")]


@pytest.mark.parametrize(
    "held",
    [
        {"paused": frozenset({"blue"})},
        {"parks": {"blue": Park("no such model")}},
        {"parks": {FLEET: Park("usage limit", NOW.wall + 1)}},
        {"stopping": Stopping(NOW.monotonic + 30)},
        {"max_cost": 1.0, "spent": 1.0, "sessions": 2},
    ],
    ids=["paused", "role parked", "fleet parked", "stopping", "money spent"],
)
def test_nothing_begins_while_something_holds_the_fleet(held: dict[str, Any]) -> None:
    assert starts(decide(fleet(slot("blue-1"), **held), waiting("t1"), NOW)) == []


def test_a_park_whose_time_is_over_holds_no_longer() -> None:
    parked = fleet(slot("blue-1"), parks={FLEET: Park("usage limit", NOW.wall)})

    assert decide(parked, waiting("t1"), NOW) == [Unpark(FLEET), Start("blue-1", TaskId("t1"))]


def test_money_that_running_sessions_are_expected_to_cost_is_not_spent_twice() -> None:
    two_more = fleet(
        slot("blue-1", "t1"), slot("blue-2"), slot("blue-3"), slot("blue-4"), max_cost=4.5, spent=2.0, sessions=2
    )

    assert len(starts(decide(two_more, waiting("t2", "t3", "t4"), NOW))) == 1


def test_a_session_that_has_cost_more_than_expected_counts_with_what_it_has_cost() -> None:
    dear = replace(slot("blue-1"), running=running("t1", cost_usd=2.4))
    fleet_of_two = fleet(dear, slot("blue-2"), max_cost=5.0, spent=2.0, sessions=2)

    assert starts(decide(fleet_of_two, waiting("t2"), NOW)) == []


def test_one_session_may_find_out_what_sessions_cost() -> None:
    unknown = fleet(slot("blue-1"), slot("blue-2"), max_cost=0.2, guess=0.5)

    assert len(starts(decide(unknown, waiting("t1", "t2"), NOW))) == 1


def test_sessions_that_cost_nothing_do_not_make_the_others_look_cheap() -> None:
    working = fleet(slot("blue-1", "t1"), max_cost=1.0, guess=0.5)

    assert judge(working, "blue-1", Over(CRASHED, "unclaimed"), NOW).fleet.expected_cost() == 0.5


def test_tasks_that_change_the_same_files_are_not_begun_together() -> None:
    first = Waiting(TaskId("t1"), conflicts=frozenset({TaskId("t2")}))
    second = Waiting(TaskId("t2"), conflicts=frozenset({TaskId("t1")}))

    assert starts(decide(fleet(slot("blue-1"), slot("blue-2")), waiting(first, second), NOW)) == [("blue-1", "t1")]


def test_a_task_that_is_held_lets_others_go_first() -> None:
    held = fleet(slot("blue-1"), holds={TaskId("t1"): Hold("it crashed", 1, NOW.monotonic + 1, is_stuck=False)})

    assert starts(decide(held, waiting("t1", "t2"), NOW)) == [("blue-1", "t2")]
    assert starts(decide(held, waiting("t1"), later(1))) == [("blue-1", "t1")]


def test_before_the_first_session_has_ended_a_guess_stands_for_its_cost() -> None:
    unknown = fleet(slot("blue-1"), slot("blue-2"), slot("blue-3"), max_cost=1.0, guess=0.5)

    assert len(starts(decide(unknown, waiting("t1", "t2", "t3"), NOW))) == 2


def test_a_session_is_gone_on_with_before_anything_else_begins() -> None:
    pending = slot("blue-2", pending=Pending(TaskId("t2"), Resume(SESSION, "a limit")))

    actions = decide(fleet(slot("blue-1"), pending), waiting("t2", "t3"), NOW)

    assert actions == [Start("blue-2", TaskId("t2"), Resume(SESSION, "a limit")), Start("blue-1", TaskId("t3"))]


def test_a_session_whose_task_somebody_took_is_forgotten() -> None:
    pending = slot("blue-1", pending=Pending(TaskId("t2"), Resume(SESSION, "a limit")))

    assert decide(fleet(pending), waiting("t3"), NOW) == [Forget("blue-1")]


# --- how many ---------------------------------------------------------------------------------------------------------


def test_workers_are_taken_on_up_to_the_scale() -> None:
    assert decide(fleet(slot("blue-1"), scale={"blue": 2, "red": 1}), waiting(), NOW) == [Hire("blue"), Hire("red")]


def test_idle_workers_go_first_when_there_are_too_many() -> None:
    many = fleet(slot("blue-1"), slot("blue-2", "t1"), slot("blue-3"), scale={"blue": 1})

    assert decide(many, waiting(), NOW) == [Retire("blue-3"), Retire("blue-1")]


def test_a_worker_that_is_to_go_stays_when_it_is_wanted_again() -> None:
    leaving = fleet(slot("blue-1", "t1", leaving=True), scale={"blue": 1})

    assert decide(leaving, waiting(), NOW) == [Keep("blue-1")]


# --- ending -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session", "after", "cause"),
    [
        (running("t1"), 120, "unclaimed"),
        (running("t1", claimed=NOW.monotonic, lost=NOW.monotonic), 30, "lost"),
        (running("t1", claimed=NOW.monotonic, reported=NOW.monotonic), 60, "lingering"),
    ],
)
def test_a_session_past_its_time_is_asked_to_leave_and_then_killed(session: Running, after: float, cause: Any) -> None:
    before = fleet(replace(slot("blue-1"), running=session))
    asked = fleet(replace(slot("blue-1"), running=replace(session, asked=later(after).monotonic, cause=cause)))

    assert decide(before, waiting(), later(after - 1)) == []
    assert decide(before, waiting(), later(after)) == [Ask("blue-1", cause)]
    assert decide(asked, waiting(), later(after + 4)) == []
    assert decide(asked, waiting(), later(after + 5)) == [Kill("blue-1", cause)]


def test_a_session_that_takes_too_much_of_the_machine_is_killed_at_once() -> None:
    greedy = replace(slot("blue-1"), running=running("t1", excess="it held 5 GiB"))

    assert decide(fleet(greedy), waiting(), NOW) == [Kill("blue-1", "oversized")]


def test_a_stop_waits_for_the_grace_and_a_forced_one_does_not() -> None:
    working = slot("blue-1", "t1")

    assert decide(fleet(working, stopping=Stopping(NOW.monotonic + 30)), waiting(), later(29)) == []
    assert decide(fleet(working, stopping=Stopping(NOW.monotonic + 30)), waiting(), later(30)) == [
        Ask("blue-1", "stopped")
    ]
    assert decide(fleet(working, stopping=Stopping(NOW.monotonic, force=True)), waiting(), NOW) == [
        Kill("blue-1", "stopped")
    ]


# --- what an end means ------------------------------------------------------------------------------------------------


def judged(over: Over, *, now: Instant = NOW, **more: Any) -> Verdict:
    working = slot("blue-1", "t1", **more)
    return judge(fleet(working, slot("blue-2")), "blue-1", over, now)


def test_a_session_that_reported_leaves_its_worker_free() -> None:
    verdict = judged(Over(ENDED, "completed", cost_usd=0.25), failures=2)

    assert (verdict.attempt, verdict.is_failure) == (None, False)
    assert (verdict.fleet.slots["blue-1"].failures, verdict.fleet.spent) == (0, 0.25)


def test_a_task_that_failed_on_its_own_report_is_no_failure_of_the_worker() -> None:
    assert not judged(Over(ENDED, "failed")).is_failure


def test_a_task_that_somebody_else_took_is_no_failure_of_the_worker() -> None:
    assert not judged(Over(ENDED, "gone")).is_failure


@pytest.mark.parametrize(
    "over", [Over(ENDED, "held"), Over(CRASHED, "held"), Over(CRASHED, "unclaimed"), Over(ENDED, "released")]
)
def test_failures_back_off_and_those_for_three_tasks_in_a_row_park_the_worker(over: Over) -> None:
    others = [TaskId("t7"), TaskId("t8")]
    one, two, three = (judged(over, failures=known, failed=frozenset(others[:known])) for known in range(3))

    assert [each.fleet.slots["blue-1"].not_before - NOW.monotonic for each in (one, two)] == [1.0, 2.0]
    assert (one.parked, two.parked, three.parked) == (None, None, "blue-1")
    park = three.fleet.slots["blue-1"].park
    assert park is not None
    assert park.until is None
    assert "3 sessions in a row failed" in park.reason


def test_one_task_that_fails_again_and_again_parks_nobody() -> None:
    assert judged(Over(ENDED, "held"), failures=7, failed=frozenset({TaskId("t1")})).parked is None


def test_an_attempt_without_a_report_fails_with_the_reason() -> None:
    verdict = judged(Over(CRASHED, "held"))

    assert (verdict.attempt, verdict.reason) == ("failed", "signal 9 ended it")


@pytest.mark.parametrize("scope", ["fleet", "role"])
def test_a_limit_parks_until_its_reset_and_the_session_goes_on_then(scope: Any) -> None:
    limit = Ending("limit", "usage limit", until=NOW.wall + 3600, scope=scope)

    verdict = judged(Over(limit, "held", session=SESSION))

    who = FLEET if scope == "fleet" else "blue"
    assert (verdict.attempt, verdict.is_failure, verdict.parked) == ("released", False, who)
    assert verdict.fleet.parks[who].until == NOW.wall + 3600
    assert verdict.fleet.slots["blue-1"].pending == Pending(TaskId("t1"), Resume(SESSION, "usage limit"))


def test_a_limit_without_a_reset_parks_longer_from_time_to_time() -> None:
    known = fleet(slot("blue-1", "t1"))
    waits, now = [], NOW
    for _ in range(6):
        known = judge(known, "blue-1", Over(Ending("limit", "overloaded"), "held"), now).fleet
        until = known.parks[FLEET].until
        assert until is not None
        waits.append(until - now.wall)
        now = later(until - NOW.wall)
        known = known.put(slot("blue-1", "t1"))

    assert waits == [60, 120, 240, 480, 900, 900]


def test_two_sessions_that_meet_one_limit_park_no_longer_than_one() -> None:
    overloaded = Over(Ending("limit", "overloaded"), "held")
    first = judge(fleet(slot("blue-1", "t1"), slot("blue-2", "t2")), "blue-1", overloaded, NOW)

    second = judge(first.fleet, "blue-2", overloaded, later(1))

    assert second.fleet.parks[FLEET].until == NOW.wall + 60


def test_what_no_session_can_work_with_parks_until_a_person_mends_it() -> None:
    verdict = judged(Over(Ending("unusable", "not logged in: run `claude`"), "unclaimed"))

    assert (verdict.attempt, verdict.is_failure) == (None, False)
    assert verdict.fleet.parks == {FLEET: Park("not logged in: run `claude`")}


@pytest.mark.parametrize("cause", ["stopped", "restarted"])
def test_a_session_that_was_stopped_gives_its_task_back(cause: Any) -> None:
    working = replace(slot("blue-1"), running=running("t1", cause=cause))

    verdict = judge(fleet(working), "blue-1", Over(CRASHED, "held"), NOW)

    assert (verdict.attempt, verdict.is_failure) == ("released", False)


@pytest.mark.parametrize(("cause", "word"), [("unclaimed", "did not claim t1"), ("oversized", "5 GiB")])
def test_a_session_that_was_ended_for_its_conduct_failed(cause: Any, word: str) -> None:
    working = replace(slot("blue-1"), running=running("t1", cause=cause, excess="it held 5 GiB"))

    verdict = judge(fleet(working), "blue-1", Over(CRASHED, "held"), NOW)

    assert (verdict.attempt, verdict.is_failure) == ("failed", True)
    assert word in verdict.reason


def test_a_session_that_its_program_has_forgotten_is_begun_afresh_and_counts_against_nobody() -> None:
    forgotten = Ending("failed", "no such conversation", is_forgotten=True)

    verdict = judged(Over(forgotten, "unclaimed"), failures=1)

    slot_then = verdict.fleet.slots["blue-1"]
    assert (verdict.is_failure, slot_then.pending, slot_then.failures, verdict.fleet.holds) == (False, None, 1, {})


def test_a_session_that_lingers_after_its_report_did_what_it_was_for() -> None:
    working = replace(slot("blue-1"), running=running("t1", cause="lingering"))

    assert not judge(fleet(working), "blue-1", Over(CRASHED, "completed"), NOW).is_failure
