"""The checker of the torture: a good history passes, and for each promise there is a bad one that it catches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from trichrome.domain.events import (
    AttemptAdopted,
    AttemptExpired,
    AttemptFailed,
    AttemptReleased,
    AttemptRescued,
    AttemptResumed,
    ContextShared,
    Event,
    FilesReserved,
    ProgressReported,
    Report,
    ResultSuperseded,
    ReviewRequested,
    RunCreated,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
)
from trichrome.domain.ids import RunId, TaskId
from trichrome.torture.checker import check
from trichrome.torture.histories import Call, Damage, Evidence, Fact, Window, about
from trichrome.torture.promises import PROMISES

ALIVE: Mapping[str, float] = {}


def log(*told: tuple[str, Event]) -> list[Fact]:
    """Events as they were seen, a second apart from second 1 on."""
    versions: Counter[str] = Counter()
    facts = []
    for position, (stream, event) in enumerate(told, start=1):
        versions[stream] += 1
        facts.append(Fact(position, stream, versions[stream], event, float(position), digest=bytes([position])))
    return facts


def created(task: str = "t1", words: str = "find it", **more: Any) -> tuple[str, Event]:
    event = TaskCreated(
        task=TaskId(task), run=RunId("r1"), kind="search", role="blue", instructions=words, created_by="lead-1", **more
    )
    return task, event


def claimed(attempt: int = 1, task: str = "t1", principal: str = "p1") -> tuple[str, Event]:
    return task, TaskClaimed(attempt=attempt, worker="blue-1", principal=principal)


def completed(attempt: int = 1, task: str = "t1", words: str = "done") -> tuple[str, Event]:
    return task, TaskCompleted(attempt=attempt, report=Report(summary=words), digest=words)


def call(
    tool: str,
    answer: Mapping[str, Any] | None,
    *,
    at: float = 0.5,
    client: str = "0.1",
    **arguments: Any,
) -> Call:
    return Call(client, 1, 100, tool, arguments, at, answer, None if answer is None else at + 0.1)


def refused(code: str) -> Mapping[str, Any]:
    return {"error": {"code": code, "message": "no"}}


def creates(task: str = "t1", words: str = "find it", **more: Any) -> Call:
    return call(
        "create_task", {"run": "r1", "tasks": [{"id": task}]}, kind="search", instructions=words, priority=5, **more
    )


def claims(attempt: str = "t1.1", *, at: float = 1.5, client: str = "0.1", **more: Any) -> Call:
    task = attempt.partition(".")[0]
    return call("claim_task", {"attempt": attempt, "task": {"id": task}, **more}, at=at, client=client)


def reports(words: str = "done", attempt: str = "t1.1", *, at: float = 2.5, answer: Any = None) -> Call:
    return call(
        "report_result",
        {"task": attempt.partition(".")[0], "state": "completed"} if answer is None else answer,
        at=at,
        attempt=attempt,
        outcome="completed",
        summary=words,
    )


def broken(evidence: Evidence) -> set[str]:
    return {each.promise for each in check(evidence).broken}


WHOLE = log(created(), claimed(), completed())


def test_a_good_history_breaks_nothing_and_is_checked_for_what_it_holds() -> None:
    evidence = Evidence(calls=[creates(), claims(), reports()], facts=WHOLE)

    verdict = check(evidence)

    assert verdict.broken == []
    assert verdict.checked["nothing acknowledged is lost"] == 3
    assert verdict.checked["every task ends"] == 1
    assert verdict.checked["one live attempt"] == 1


def test_every_promise_is_told_in_a_sentence() -> None:
    assert all(sentence.endswith(".") and len(sentence) > 20 for sentence in PROMISES.values())


@pytest.mark.parametrize(
    ("events", "promise"),
    [
        ([created(), claimed(1), claimed(2), completed(2)], "one live attempt"),
        ([created(), claimed(1), ("t1", AttemptReleased(1, "r", "b")), ("t1", AttemptAdopted(1, "b", "p"))], "one live attempt"),
        (
            [
                created(),
                claimed(1),
                ("t1", AttemptRescued(1, "p1", "gone")),
                claimed(2),
                ("t1", AttemptResumed(1, "b", "p1")),
                completed(1),
            ],
            "one live attempt",
        ),
        ([created(), claimed(1), ("t1", AttemptReleased(1, "r", "b")), claimed(1), completed(1)], "numbers rise"),
        ([created(), claimed(), completed(), created()], "numbers rise"),
        ([created(), claimed(), completed(), completed()], "completed once"),
        ([created(), claimed(), completed(), claimed(2), completed(2)], "completed once"),
        ([created(), claimed(1), ("t1", AttemptExpired(1, 1.0)), claimed(2), completed(1)], "nothing stale counts"),
        (
            [created(), claimed(1), ("t1", AttemptExpired(1, 1.0)), ("t1", ProgressReported(1, "x")), claimed(2), completed(2)],
            "nothing stale counts",
        ),
        (
            [created(), ("t1", FilesReserved(1, ("a",))), claimed(1), completed(1)],
            "nothing stale counts",
        ),
        (
            [created(), claimed(1), ("t1", ResultSuperseded(1, "b", "completed", Report("x"), "d")), completed(1)],
            "nothing stale counts",
        ),
        (
            [created(), claimed(1), ("t1", ReviewRequested(1, Report("x"), "d", TaskId("t2"))), ("t1", TaskCompleted(2, approved_by="red-1"))],
            "nothing stale counts",
        ),
        (
            [created(), created("t2", depends_on=(TaskId("t1"),), waiting_on=1), claimed(1, "t2"), completed(1, "t2"), claimed(), completed()],
            "dependencies first",
        ),
        ([created(), claimed(1), ("t1", AttemptFailed(1, Report("no"), "d"))], "every task ends"),
    ],
)  # fmt: skip
def test_a_log_that_breaks_a_rule_is_caught(events: list[tuple[str, Event]], promise: str) -> None:
    evidence = Evidence(facts=log(*events))

    assert promise in broken(evidence)


def test_a_version_that_is_missing_breaks_the_chain() -> None:
    evidence = Evidence(facts=[WHOLE[0], WHOLE[1], replace(WHOLE[2], version=4)])

    assert broken(evidence) == {"the chain is whole"}


@pytest.mark.parametrize(
    ("line", "promise"),
    [
        ("events: t1 version 2 (position 2) breaks its chain", "the chain is whole"),
        ("tasks: t1 is running, not completed", "views are the fold"),
    ],
)
def test_what_the_log_says_against_itself_is_passed_on(line: str, promise: str) -> None:
    assert broken(Evidence(facts=WHOLE, differences=[line])) == {promise}


@pytest.mark.parametrize(
    "lost",
    [
        creates("t1", "find something else"),
        creates("t9"),
        creates(key="k"),
        claims("t1.7"),
        reports("done otherwise"),
        reports(attempt="t1.2"),
        call("report_progress", {"task": "t1"}, attempt="t1.1", note="half way"),
        call("reserve_files", {"held": ["a"]}, attempt="t1.1", paths=["a"]),
        call("cancel_task", {"cancelled": ["t1"]}, task="t1", reason="enough"),
        call("share_context", {"name": "n", "version": 1}, name="n", text="told"),
    ],
    ids=lambda lost: lost.tool,
)
def test_an_acknowledged_write_that_is_not_in_the_log_is_caught(lost: Call) -> None:
    assert "nothing acknowledged is lost" in broken(Evidence(calls=[lost], facts=WHOLE))


def test_everything_acknowledged_is_looked_for_where_it_belongs() -> None:
    facts = log(
        ("r1", RunCreated(RunId("r1"), "lead-1")),
        created(),
        claimed(),
        ("t1", ProgressReported(1, "half way")),
        ("t1", FilesReserved(1, ("a",))),
        ("t1", TaskCancelled("enough", "lead-1")),
        ("n.n", ContextShared("n", "told", 1, "blue-1")),
    )
    calls = [
        creates(),
        claims(),
        call("report_progress", {"task": "t1"}, attempt="t1.1", note="half way"),
        call("reserve_files", {"held": ["a"]}, attempt="t1.1", paths=["a"]),
        call("cancel_task", {"cancelled": ["t1"]}, task="t1", reason="enough"),
        call("report_progress", {"task": "t1", "orders": ["stop"]}, attempt="t1.1", note="never kept"),
        call("share_context", {"name": "n", "version": 1}, name="n", text="told"),
    ]

    verdict = check(Evidence(calls=calls, facts=facts))

    assert verdict.broken == []
    assert verdict.checked["nothing acknowledged is lost"] == 6


def test_a_refused_call_that_happened_is_caught() -> None:
    calls = [reports(answer=refused("stale_attempt"))]

    assert broken(Evidence(calls=calls, facts=WHOLE)) == {"nothing stale counts"}


def test_a_late_report_that_was_put_aside_is_no_effect() -> None:
    facts = log(
        created(),
        claimed(1),
        ("t1", AttemptExpired(1, 1.0)),
        claimed(2),
        ("t1", ResultSuperseded(1, "b", "completed", Report("late"), "d")),
        completed(2),
    )
    calls = [reports("late", at=4.5, answer=refused("stale_attempt"))]

    assert broken(Evidence(calls=calls, facts=facts)) == set()


@pytest.mark.parametrize("code", ["store_unavailable", "worker_in_use"])
def test_a_call_that_the_disk_refused_may_have_happened(code: str) -> None:
    calls = [reports(answer=refused(code))]

    assert broken(Evidence(calls=calls, facts=WHOLE, windows=[Window(0, 9)])) == set()


def test_a_report_that_counted_twice_is_caught() -> None:
    facts = log(created(), claimed(1), ("t1", AttemptFailed(1, Report("done"), "d")), claimed(2), completed(2))

    assert broken(Evidence(calls=[reports(), reports(at=5.5)], facts=facts)) == {"same report, same answer"}


def test_a_report_that_is_refused_after_it_was_acknowledged_is_caught() -> None:
    calls = [reports(), reports(at=4.0, answer=refused("already_reported"))]

    assert broken(Evidence(calls=calls, facts=WHOLE)) == {"same report, same answer"}


def test_a_report_may_be_stale_once_the_next_attempt_began() -> None:
    facts = log(
        created(), claimed(1), ("t1", AttemptFailed(1, Report("done"), "d")), claimed(2), completed(2, words="2")
    )
    calls = [reports(), reports(at=6.0, answer=refused("stale_attempt"))]

    assert broken(Evidence(calls=calls, facts=facts)) == set()


def test_a_key_that_made_two_tasks_is_caught() -> None:
    facts = log(
        created(key="k"), ("t1", TaskCancelled("x", "y")), created("t2", key="k"), ("t2", TaskCancelled("x", "y"))
    )
    calls = [creates(key="k"), creates("t2", key="k")]

    assert "same key, same task" in broken(Evidence(calls=calls, facts=facts))


RESCUED = log(created(), claimed(), ("t1", AttemptRescued(1, "p1", "gone")), claimed(2), completed(2))


def test_an_attempt_that_was_taken_from_a_living_client_is_caught() -> None:
    assert broken(Evidence(calls=[claims()], facts=RESCUED)) == {"the living are left alone"}
    assert broken(Evidence(calls=[claims()], facts=RESCUED, deaths={"0.1": 3.5})) == {"the living are left alone"}


def test_the_time_until_a_dead_clients_task_is_free_is_measured() -> None:
    verdict = check(Evidence(calls=[claims()], facts=RESCUED, deaths={"0.1": 2.5}))

    assert verdict.broken == []
    assert verdict.rescues == [0.5]


def test_a_task_that_its_dead_client_kept_too_long_is_caught() -> None:
    evidence = Evidence(calls=[claims()], facts=RESCUED, deaths={"0.1": 2.0}, rescue_bound_seconds=0.9)

    assert broken(evidence) == {"the dead are rescued"}


def test_the_time_in_which_the_log_could_not_be_written_does_not_count() -> None:
    evidence = Evidence(
        calls=[claims()],
        facts=RESCUED,
        deaths={"0.1": 2.0},
        windows=[Window(1.0, 2.4), Window(2.2, 2.6), Window(2.0, 3.0, worker=3)],
        rescue_bound_seconds=0.9,
    )

    verdict = check(evidence)

    assert verdict.broken == []
    assert verdict.rescues == [pytest.approx(0.4)]


def test_an_attempt_that_a_damage_brought_back_is_to_be_rescued_from_then_on() -> None:
    evidence = Evidence(
        calls=[claims()],
        facts=RESCUED,
        deaths={"0.1": 0.5},
        damages=[Damage(at=2.8, after=2, lost=(), unnamed=())],
        rescue_bound_seconds=0.9,
    )

    verdict = check(evidence)

    assert verdict.broken == []
    assert verdict.rescues == [pytest.approx(0.2)]


def test_an_attempt_that_was_over_before_its_time_is_caught() -> None:
    facts = log(created(), claimed(), ("t1", AttemptExpired(1, 5.0)), claimed(2), completed(2))

    assert broken(Evidence(calls=[claims()], facts=facts)) == {"the living are left alone"}


@pytest.mark.parametrize("window", [[], [Window(3.0, 9.0)], [Window(0, 9.0, worker=1)]])
def test_a_refusal_without_a_fault_is_caught(window: list[Window]) -> None:
    calls = [reports(answer=refused("store_unavailable"))]

    assert broken(Evidence(calls=calls, facts=WHOLE, windows=window)) == {"no refusal without a cause"}


def test_a_refusal_while_the_own_disk_fails_has_its_cause() -> None:
    calls = [reports(answer=refused("store_unavailable"))]

    assert broken(Evidence(calls=calls, facts=WHOLE, windows=[Window(2.55, 9.0, worker=0)])) == set()


@pytest.mark.parametrize(
    "bad", [reports(answer=refused("internal")), replace(reports(answer={}), answer=None, hung=True)]
)
def test_a_defect_or_a_call_without_an_answer_is_caught(bad: Call) -> None:
    assert broken(Evidence(calls=[bad], facts=WHOLE)) == {"every call is answered"}


def test_a_call_that_nobody_answered_because_its_server_died_breaks_nothing() -> None:
    calls = [replace(reports(), answer=None, told=None)]

    assert broken(Evidence(calls=calls, facts=WHOLE)) == set()


def test_a_cancelled_call_binds_nobody() -> None:
    calls = [replace(claims("t1.9"), cancelled=True)]

    assert broken(Evidence(calls=calls, facts=WHOLE)) == set()


def test_a_process_that_stays_is_caught() -> None:
    assert broken(Evidence(facts=WHOLE, left_behind=["a server"])) == {"nothing is left behind"}


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_loss_that_the_repair_named_is_accounted_for() -> None:
    facts = [
        *WHOLE,
        *log(*[("x", RunCreated(RunId("r2"), "l"))] * 3, claimed(1001), completed(1001, words="again"))[3:],
    ]
    facts[3:] = [replace(fact, version=version) for fact, version in zip(facts[3:], (2, 3), strict=True)]
    damage = Damage(at=3.5, after=3, lost=(WHOLE[1], WHOLE[2]), unnamed=())

    verdict = check(Evidence(calls=[creates(), claims(), reports()], facts=facts, damages=[damage]))

    assert verdict.broken == []
    assert verdict.checked["repair names what is lost"] == 2


def test_a_loss_that_nobody_named_is_caught() -> None:
    damage = Damage(at=3.5, after=3, lost=(WHOLE[2],), unnamed=(WHOLE[2],))

    assert "repair names what is lost" in broken(Evidence(facts=WHOLE, damages=[damage]))


def test_a_number_that_was_lost_and_given_out_again_is_caught() -> None:
    again = replace(WHOLE[1], position=4, version=2, digest=b"4")
    end = replace(WHOLE[2], position=5, version=3, digest=b"5")
    damage = Damage(at=3.5, after=3, lost=(WHOLE[1], WHOLE[2]), unnamed=())

    assert broken(Evidence(facts=[*WHOLE, again, end], damages=[damage])) == {"numbers rise"}


def test_a_task_whose_dependency_was_lost_waits_for_it_again() -> None:
    before = log(
        created(),
        created("t2", depends_on=(TaskId("t1"),), waiting_on=1),
        claimed(),
        completed(),
    )
    damage = Damage(at=4.5, after=4, lost=(before[3],), unnamed=())
    too_early = Fact(5, "t2", 2, claimed(1, "t2")[1], 5.0, digest=b"5")

    assert "dependencies first" in broken(Evidence(facts=[*before, too_early], damages=[damage]))
    assert "dependencies first" not in broken(Evidence(facts=[*before, too_early]))


# --- the minimal history ----------------------------------------------------------------------------------------------


def test_the_history_of_a_task_is_what_was_asked_told_and_logged_about_it_in_order() -> None:
    other = creates("t2", "other")
    evidence = Evidence(calls=[creates(), other, claims(), reports()], facts=WHOLE, deaths={"0.1": 9.0, "7.1": 1.0})

    words = [words for _, words in about(evidence, "t1")]

    assert [each.split(" ")[0:3] for each in words] == [
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
        ["log", "1:", "t1"],
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
        ["log", "2:", "t1"],
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
        ["log", "3:", "t1"],
        ["client", "0.1", "is"],
    ]
    assert not any("other" in each for each in words)
