"""The parts of the torture that need no process: its plan, its dials, what a client's file says."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from trichrome.torture.deeds import DEEDS
from trichrome.torture.dials import Dials, Disk
from trichrome.torture.faults import KINDS, Fault, plan
from trichrome.torture.histories import Life

# --- the plan ---------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_faults_in_the_same_order_and_another_seed_does_not() -> None:
    assert list(plan(7, 300)) == list(plan(7, 300))
    assert list(plan(7, 300)) != list(plan(8, 300))


@pytest.mark.parametrize("count", [1, len(KINDS) - 1, len(KINDS), 60, 2000])
def test_a_plan_has_as_many_faults_as_were_asked_for_and_all_kinds_where_there_is_room(count: int) -> None:
    faults = list(plan(1, count))

    assert [fault.number for fault in faults] == list(range(1, count + 1))
    assert len({fault.kind for fault in faults}) == min(count, len(KINDS))


def test_the_kinds_have_their_shares() -> None:
    found = Counter(fault.kind for fault in plan(1, 2000))

    whole = sum(kind.share for kind in KINDS.values())
    for name, kind in KINDS.items():
        assert abs(found[name] - kind.share / whole * 2000) < 5, name


def test_a_plan_without_a_count_never_ends_and_each_fault_is_held_as_long_as_its_kind_may_be() -> None:
    faults: list[Fault] = list(islice(plan(3, None), 1000))

    assert [fault.number for fault in faults] == list(range(1, 1001))
    assert all(KINDS[each.kind].shortest <= each.seconds <= KINDS[each.kind].longest for each in faults)


def test_a_client_knows_how_to_do_whatever_it_may_be_ordered() -> None:
    assert set(DEEDS) == {name for name, kind in KINDS.items() if kind.by == "client"}


# --- the dials --------------------------------------------------------------------------------------------------------


def test_a_dial_that_is_turned_is_seen_by_those_who_look_at_it_and_by_nobody_else(tmp_path: Path) -> None:
    hand = Dials.make(tmp_path / "dials", 2)
    first, second = Dials(tmp_path / "dials"), Dials(tmp_path / "dials")

    hand.set_disk(0, Disk.FULL)
    hand.set_clock(1, ahead_seconds=3600, rate=0.5, since=1000.0)

    assert (first.disk(0), first.disk(1)) == (Disk.FULL, Disk.WELL)
    assert (second.wall(0, 1010.0), second.wall(1, 1010.0)) == (1010.0, 4605.0)
    hand.set_clock(0, ahead_seconds=-7, rate=1.0, since=0.0)
    assert (first.disk(0), first.wall(0, 1010.0)) == (Disk.FULL, 1003.0)
    for dials in (hand, first, second):
        dials.close()


# --- a client's file --------------------------------------------------------------------------------------------------


def line(**facts: object) -> str:
    return json.dumps({"at": 1.0, **facts}) + "\n"


def test_what_a_client_wrote_is_read_as_it_grows_and_a_line_that_its_death_cut_short_was_not_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "client.jsonl"
    life = Life("0.1", path)
    life.read_on()
    claim = line(told=1, answer={"attempt": "t1.1", "task": {"id": "t1"}})
    path.write_text(line(server=77) + line(ask=1, tool="claim_task", arguments={}, server=77) + claim[:20])
    life.read_on()
    before = (life.servers, life.told, life.held)

    path.write_text(path.read_text() + claim[20:] + line(fault=3) + '{"at": 2.0, "ask": 2, "to')
    life.read_on()

    assert before == ([77], 0, None)
    assert (life.told, life.held, life.faults, list(life.calls)) == (1, "t1.1", {3}, [1])


def test_what_a_client_holds_is_what_it_was_told_and_has_not_been_told_to_be_over(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    report = {"attempt": "t1.1", "outcome": "completed", "summary": "s", "claim_next": True}
    following = {"task": "t1", "state": "completed", "claimed": {"attempt": "t2.1", "task": {"id": "t2"}}}
    lines = [
        line(ask=1, tool="claim_task", arguments={}, server=7),
        line(told=1, answer={"attempt": "t1.1", "task": {"id": "t1"}}),
        line(ask=2, tool="report_result", arguments=report, server=7),
        line(told=2, answer=following),
        line(ask=3, tool="report_result", arguments={**report, "attempt": "t2.1"}, server=7),
        line(unanswered=3, hung=False),
        line(ask=4, tool="report_result", arguments={**report, "attempt": "t2.1"}, server=8),
        line(told=4, answer={"error": {"code": "stale_attempt"}}),
    ]
    held = []
    for count in range(len(lines) + 1):
        path.write_text("".join(lines[:count]))
        life = Life("0.1", path)
        life.read_on()
        held.append(life.held)

    assert held == [None, None, "t1.1", "t1.1", "t2.1", "t2.1", "t2.1", "t2.1", None]
    assert life.former == ["t1.1", "t2.1"]


def test_a_call_that_was_cancelled_binds_nobody_and_one_that_hung_says_so(tmp_path: Path) -> None:
    path = tmp_path / "client.jsonl"
    path.write_text(
        line(ask=1, tool="claim_task", arguments={}, server=7)
        + line(cancelled=1)
        + line(told=1, answer={"attempt": "t1.1", "task": {"id": "t1"}})
        + line(ask=2, tool="claim_task", arguments={}, server=7)
        + line(unanswered=2, hung=True)
    )
    life = Life("0.1", path)

    life.read_on()

    assert not life.calls[1].is_acknowledged
    assert life.held is None
    assert life.calls[2].hung
