"""Answers are shortened where it hurts least."""

from __future__ import annotations

import pytest

from trichrome.coordinator.sizes import fitted, size

LIMIT = 4_000


def test_an_answer_that_fits_is_left_as_it_is() -> None:
    answer = {"summary": "s" * 3_000, "data": [1]}

    assert fitted(answer, limit=LIMIT) is answer


@pytest.mark.parametrize("name", ["instructions", "acceptance", "next", "text"])
def test_orders_and_what_one_agent_wrote_to_another_stay_whole(name: str) -> None:
    answer = {name: "x" * 3_500, "result": {"summary": "s" * 3_000}}

    cut = fitted(answer, limit=LIMIT)

    assert cut[name] == "x" * 3_500
    assert size(cut) <= LIMIT


def test_an_inbox_is_never_cut() -> None:
    inbox = [{"from": "red-1", "text": "t" * 4_000}] * 3

    cut = fitted({"summary": "s" * 4_000, "inbox": inbox}, limit=LIMIT)

    assert cut["inbox"] == inbox


def test_what_cannot_be_made_to_fit_is_not_cut_to_pieces_for_nothing() -> None:
    answer = {"instructions": "x" * 2 * LIMIT, "feedback": {"summary": "s" * 900}}

    assert fitted(answer, limit=LIMIT) == answer


def test_what_cannot_be_made_to_fit_is_cut_all_the_same_where_that_saves_much() -> None:
    answer = {"instructions": "x" * LIMIT, "dependencies": [{"summary": "s" * 4_000} for _ in range(20)]}

    cut = fitted(answer, limit=LIMIT)

    assert size(cut) < 3 * LIMIT
    assert all(each["summary"].startswith("sss") for each in cut["dependencies"])


def test_cutting_twice_keeps_the_pointer_to_the_whole() -> None:
    answer = {"reviews": {"task": "t7", "instructions": "x" * 9_000}}

    once = fitted(answer, limit=LIMIT)
    twice = fitted({**once, "next": "n" * 3_500}, limit=LIMIT)

    assert "get_task(task='t7')" in once["reviews"]["instructions"]
    assert "get_task(task='t7')" in twice["reviews"]["instructions"]
    assert size(twice) <= LIMIT
