"""What the families of many processes and many tasks make of their samples."""

from __future__ import annotations

import pytest
from bench.crowd import Done, jain, least_share
from bench.crowd_worker import Caller
from bench.size import slope


def test_fairness_is_one_when_all_get_the_same_and_one_over_n_when_one_gets_everything() -> None:
    assert jain([7, 7, 7, 7]) == 1
    assert jain([0, 0, 28, 0]) == 0.25
    assert jain([1, 3]) == pytest.approx(jain([10, 30])) == pytest.approx(0.8)


def test_the_least_share_is_over_the_mean() -> None:
    assert least_share([5, 5, 5]) == 1
    assert least_share([5, 10, 15]) == 0.5
    assert least_share([0, 8]) == 0


def test_a_crowd_that_got_nothing_done_was_fair_and_left_everybody_without_a_share() -> None:
    assert jain([0, 0]) == 1
    assert least_share([0, 0]) == 0


def test_the_p99_is_that_of_the_worst_process_and_one_without_a_call_has_none() -> None:
    done = Done([[0.001] * 200, [0.001] * 195 + [0.05] * 5, []])

    assert done.p99 == 50
    assert done.longest == 50
    assert done.shares == [200, 200, 0]


def test_the_slope_is_that_of_the_line_and_blind_to_its_start() -> None:
    assert slope([(0, 300.0), (10, 580.0), (100, 3100.0), (1000, 28300.0)]) == pytest.approx(28)
    assert slope([(0, 1.0), (1, 1.2), (2, 0.8), (3, 1.0)]) == pytest.approx(-0.04)


class Told:
    """A queue that only notes what it is asked for; a claim may find nothing, or be refused."""

    def __init__(self, *claims: int | Exception | None) -> None:
        self.calls: list[str] = []
        self._claims = iter(claims)

    def claim(self) -> int | None:
        self.calls.append("claim")
        found = next(self._claims)
        if isinstance(found, Exception):
            raise found
        return found

    def report(self, claimed: int, /) -> None:
        self.calls.append(f"report {claimed}")

    def enqueue(self) -> None:
        self.calls.append("enqueue")


def test_a_caller_adds_a_task_for_each_that_it_completes() -> None:
    queue = Told(4, 5)
    caller = Caller(queue)

    for _ in range(6):
        caller.call()

    assert queue.calls == ["claim", "report 4", "enqueue", "claim", "report 5", "enqueue"]


def test_a_caller_never_reports_what_it_was_not_given() -> None:
    queue = Told(4, None, OSError("refused"))
    caller = Caller(queue)

    for _ in range(6):
        caller.call()
    with pytest.raises(OSError, match="refused"):
        caller.call()
    caller.call()

    assert queue.calls[3:] == ["claim", "enqueue", "enqueue", "claim", "enqueue"]
