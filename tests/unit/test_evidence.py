"""What a worker is doing, judged on a table of evidence."""

from __future__ import annotations

from typing import get_args

import pytest

from trichrome.domain.evidence import (
    Child,
    Evidence,
    Glimpse,
    Seen,
    WorkerState,
    judge,
    lasting,
    latest,
    told,
)

T = "t1.1"
STOPPED = Glimpse("stopped", 7)
DEAD = Glimpse("dead", 8)
UNSEEN = Glimpse("unseen")


def seen(kind: str, ago: float, agent: str = "", what: str = "") -> Seen:
    return Seen(kind, agent, ago, what)  # type: ignore[arg-type]


PROMPT = seen("prompt_opened", 200, what="Bash")
CASES: dict[str, tuple[Evidence, WorkerState, str, float | None]] = {
    "nothing held": (Evidence(), "idle", "it holds no attempt", None),
    "nothing held, and a tool of its own runs": (
        Evidence(signs=(seen("tool_started", 9, what="Bash"),)),
        "idle",
        "it holds no attempt",
        None,
    ),
    "an attempt and no sign": (Evidence(attempt=T), "working", "its client lives", None),
    "a call": (Evidence(attempt=T, signs=(seen("called", 20),)), "working", "it called 20 s ago", 20),
    "a tool ended": (
        Evidence(attempt=T, signs=(seen("tool_started", 9), seen("tool_ended", 5, what="Bash"))),
        "working",
        "Bash ended 5 s ago",
        5,
    ),
    "a turn began": (Evidence(attempt=T, signs=(seen("turn_began", 5),)), "working", "its turn began 5 s ago", 5),
    "a transcript that grew since": (
        Evidence(attempt=T, signs=(seen("called", 90),), transcript=3),
        "working",
        "its transcript grew 3 s ago",
        3,
    ),
    "a transcript that did not": (
        Evidence(attempt=T, signs=(seen("called", 90),), transcript=500),
        "working",
        "it called 1 min 30 s ago",
        90,
    ),
    "a tool runs": (
        Evidence(attempt=T, signs=(seen("called", 90), seen("tool_started", 40, what="Bash"))),
        "tool_running",
        "Bash runs for 40 s",
        40,
    ),
    "a tool without a name runs": (
        Evidence(attempt=T, signs=(seen("tool_started", 40),)),
        "tool_running",
        "a tool runs for 40 s",
        40,
    ),
    "a tool of a subagent runs while the main agent thinks": (
        Evidence(attempt=T, signs=(seen("tool_ended", 5), seen("tool_started", 40, "a1", "Read"))),
        "tool_running",
        "Read runs for 40 s",
        40,
    ),
    "a child where no hook tells": (
        Evidence(attempt=T, signs=(seen("called", 90),), children=(Child("bash", 30), Child("make", 10))),
        "tool_running",
        "its client runs bash for 30 s",
        30,
    ),
    "a child that a tool left behind": (
        Evidence(attempt=T, signs=(seen("tool_ended", 9),), children=(Child("bash", 30),)),
        "working",
        "a tool ended 9 s ago",
        9,
    ),
    "a prompt": (
        Evidence(attempt=T, signs=(seen("tool_started", 201), PROMPT)),
        "waiting_for_human",
        "a permission prompt for Bash is open for 3 min 20 s",
        200,
    ),
    "a prompt of whoever holds nothing": (
        Evidence(signs=(seen("prompt_opened", 1),)),
        "waiting_for_human",
        "a permission prompt is open for 1 s",
        1,
    ),
    "a prompt of one agent while another works": (
        Evidence(attempt=T, signs=(seen("tool_ended", 1), seen("prompt_opened", 60, "a1"))),
        "waiting_for_human",
        "a permission prompt is open for 1 min",
        60,
    ),
    "a prompt that was answered": (
        Evidence(attempt=T, signs=(PROMPT, seen("tool_ended", 2, what="Bash"))),
        "working",
        "Bash ended 2 s ago",
        2,
    ),
    "a prompt for our own tool, which came through": (
        Evidence(attempt=T, signs=(PROMPT, seen("called", 2))),
        "working",
        "it called 2 s ago",
        2,
    ),
    "a turn that ended without a report": (
        Evidence(attempt=T, signs=(seen("called", 300), seen("turn_ended", 120))),
        "idle",
        "its turn ended 2 min ago without a report on t1.1",
        120,
    ),
    "a turn that ended while a subagent goes on": (
        Evidence(attempt=T, signs=(seen("turn_ended", 120), seen("tool_ended", 9, "a1"))),
        "working",
        "a tool ended 9 s ago",
        9,
    ),
    "a stopped client": (
        Evidence(attempt=T, client=STOPPED, signs=(PROMPT,)),
        "suspect",
        "its client (process 7) is stopped, and keeps t1.1",
        None,
    ),
    "a stopped server": (
        Evidence(attempt=T, server=STOPPED, lapsed=True),
        "suspect",
        "its server (process 7) is stopped, and keeps t1.1",
        None,
    ),
    "a stopped server, and a lease that decides": (
        Evidence(attempt=T, server=STOPPED, free_in=460.0),
        "suspect",
        "its server (process 7) is stopped; t1.1 is free in 7 min 40 s unless it goes on",
        None,
    ),
    "a stopped client whose server is gone, and a lease that decides": (
        Evidence(attempt=T, client=STOPPED, server=DEAD, free_in=460.0),
        "suspect",
        "its client (process 7) is stopped; t1.1 is free in 7 min 40 s unless it goes on",
        None,
    ),
    "a stopped client whose server renews the lease that decides": (
        Evidence(attempt=T, client=STOPPED, free_in=460.0),
        "suspect",
        "its client (process 7) is stopped, and keeps t1.1",
        None,
    ),
    "a stopped client that holds nothing": (
        Evidence(client=STOPPED),
        "suspect",
        "its client (process 7) is stopped",
        None,
    ),
    "a server gone under a supervisor": (
        Evidence(attempt=T, client=Glimpse("dead", 7), server=DEAD, supervisor=5),
        "detached",
        "its server is gone; its supervisor (process 5) looks after it",
        None,
    ),
    "a server gone, and a client that lives": (
        Evidence(attempt=T, server=DEAD, lapsed=True),
        "detached",
        "its server is gone, its client lives",
        None,
    ),
    "a server gone, and a lease that decides": (
        Evidence(attempt=T, client=UNSEEN, server=DEAD, free_in=460.0, silent=140.0, signs=(PROMPT,)),
        "detached",
        "its server is gone; t1.1 is free in 7 min 40 s unless it comes back",
        140,
    ),
    "a server gone of whoever holds nothing": (Evidence(server=DEAD), "detached", "its server is gone", None),
    "no session now under a supervisor": (
        Evidence(client=Glimpse("dead", 7), server=DEAD, supervisor=5),
        "idle",
        "its supervisor (process 5) looks after it",
        None,
    ),
    "a lease that ran out": (
        Evidence(attempt=T, lapsed=True, signs=(seen("tool_ended", 9),)),
        "suspect",
        "nothing renews its lease, but its client lives, so it keeps t1.1",
        None,
    ),
    "whoever is gone by the rules": (
        Evidence(attempt=T, gone="its client (process 7) is gone", client=STOPPED, server=DEAD, lapsed=True),
        "gone",
        "its client (process 7) is gone",
        None,
    ),
}


@pytest.mark.parametrize(("evidence", "state", "why", "since"), CASES.values(), ids=CASES)
def test_evidence_is_judged(evidence: Evidence, state: WorkerState, why: str, since: float | None) -> None:
    judged = judge(evidence)

    assert (judged.state, judged.why, judged.since) == (state, why, since)


def test_table_reaches_every_state() -> None:
    assert {state for _, state, _, _ in CASES.values()} == set(get_args(WorkerState))


def test_only_what_ends_attempts_says_gone() -> None:
    gone = {name for name, (evidence, _, _, _) in CASES.items() if judge(evidence).state == "gone"}

    assert gone == {name for name, (evidence, _, _, _) in CASES.items() if evidence.gone is not None}


def test_whoever_is_held_up_is_told_what_helps() -> None:
    helps = {judge(evidence).state: judge(evidence).help for evidence, *_ in CASES.values() if evidence.attempt}

    assert helps["suspect"].startswith(("`kill -CONT 7`", "restart that session"))
    assert helps["detached"] == "start its server again: it goes on with t1.1"
    assert helps["waiting_for_human"] == "answer it in that session"
    assert helps["idle"] == "tell it to go on, or to report t1.1"
    assert (helps["working"], helps["tool_running"], helps["gone"]) == ("", "", "")


def test_latest_keeps_the_newest_of_each_agent() -> None:
    first, second, other = seen("tool_started", 9), seen("tool_ended", 5), seen("turn_began", 7, "a1")

    assert set(latest([first, other, second])) == {second, other}


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (seen("called", 1), "it called 1 s ago"),
        (seen("tool_started", 1, what="Bash"), "Bash started 1 s ago"),
        (seen("tool_ended", 1, "a1"), "a tool ended 1 s ago (agent a1)"),
        (seen("prompt_opened", 1), "a permission prompt opened 1 s ago"),
        (seen("turn_began", 1), "its turn began 1 s ago"),
        (seen("turn_ended", 1), "its turn ended 1 s ago"),
    ],
)
def test_signs_are_told_in_words(sign: Seen, words: str) -> None:
    assert told(sign) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (460, "7 min 40 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (7_510, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_are_told_in_their_two_largest_units(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
