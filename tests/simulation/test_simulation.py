"""No promise breaks in thousands of simulated histories, and each of them can be had again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from tests.simulation.__main__ import main
from tests.simulation.crowd import on_one_processor, run
from tests.simulation.history import live_through
from tests.simulation.telling import told

from trichrome.domain.events import DependencyLost, Event, LogReopened, SessionEnded

ROOT = Path(__file__).parents[2]
EACH = 500
REPAIRS = {DependencyLost.__name__, LogReopened.__name__}
"""Events of a repair and of a reopened file, which a store in memory has no use for."""
SUPERVISED = {SessionEnded.__name__}
"""Events of a supervisor, which starts real processes."""


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    with on_one_processor(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))):
        yield


@pytest.mark.parametrize("first", range(0, 4 * EACH, EACH))
def test_no_promise_breaks(first: int) -> None:
    total = run(first, first + EACH)

    assert total.broken == [], "\n".join(total.told())


def test_histories_hold_every_kind_of_event_and_of_answer() -> None:
    expected = {kind.__name__ for kind in get_args(Event)} - REPAIRS - SUPERVISED | {
        "answered",
        "refused",
        "lost",
        "cancelled",
    }

    seen: Counter[str] = Counter()
    for seed in range(10_000, 11_000):
        history = live_through(seed)
        seen.update(history.events)
        seen.update(what for _, _, what, _ in history.trace)
        if expected <= seen.keys():
            break

    assert expected <= seen.keys()


@pytest.mark.parametrize("seed", [3, 7, 50])
def test_a_seed_makes_the_same_history_again(seed: int) -> None:
    assert told(live_through(seed)) == told(live_through(seed))


def test_a_seed_makes_the_same_history_in_every_process() -> None:
    traces = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "7", "--trace"],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]

    assert traces[0] == traces[1]
    assert "claimed it as" in traces[0]


def test_the_command_lives_through_many(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["--seeds", "20", "--jobs", "1"])

    assert status == 0
    said = capsys.readouterr()
    assert "20 histories" in said.out
    assert "Every promise held." in said.out
    assert "20 of 20 histories" in said.err
