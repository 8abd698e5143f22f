"""The floor of the benchmarks does what Trichrome does: the same statements, in the same order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from bench.byhand import ByHand
from bench.worker import Worker

from trichrome.bootstrap import open_project

WHAT = re.compile(r"(begin immediate|commit|select|insert|update|delete)(?:.*?(?:from|into|update) (\w+))?", re.DOTALL)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What every connection that is opened from here on is told."""
    said: list[str] = []
    monkeypatch.setattr(
        apsw,
        "connection_hooks",
        [lambda made: made.trace_v2(apsw.SQLITE_TRACE_STMT, lambda told: said.append(told["sql"]))],
    )
    return said


@pytest.fixture
def both(tmp_path: Path, said: list[str]) -> Iterator[tuple[Worker, ByHand]]:
    (tmp_path / "project").mkdir()
    project = open_project(tmp_path / "project", environment={}, flags={"durability": "full"})
    ours, hand = Worker(project), ByHand(tmp_path / "hand.db", "full")
    for each in (ours, hand):
        for _ in range(3):
            each.enqueue()
    yield ours, hand
    project.close()
    hand.close()


def test_each_call_by_hand_is_the_statements_of_ours(both: tuple[Worker, ByHand], said: list[str]) -> None:
    def told(call: Callable[..., Any], *arguments: Any) -> tuple[list[tuple[str, str]], Any]:
        said.clear()
        answer = call(*arguments)
        return [(found[1], found[2] or "") for sql in said if (found := WHAT.match(sql))], answer

    ours, hand = both
    answers: list[Any] = []
    for call in ("enqueue", "claim", "report_and_claim", "report"):
        held = answers if call.startswith("report") else [None, None]

        mine, attempt = told(getattr(ours, call), *filter(None, held[:1]))
        by_hand, task = told(getattr(hand, call), *filter(None, held[1:]))

        assert mine == by_hand, call
        assert len(mine) > 5
        answers = [attempt, task]
