"""What the family of rescues does: real kills, each seen by somebody else."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from bench import place, rescue
from bench.measure import Taken


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(place, "SCRATCH", tmp_path)
    return tmp_path


def test_each_kill_is_one_sample_beside_its_floor_and_leaves_nobody() -> None:
    before = set(psutil.Process().children())

    alone, both = rescue._with_a_waiter(places=2, rounds=1)

    counts = [len(samples) for each in (alone, both) for samples in (each.rescues, each.floors)]
    assert counts == [1, 1, 1, 1]
    assert set(psutil.Process().children()) <= before


def test_aims_are_about_seconds_and_the_longest_is_named() -> None:
    taken = Taken()

    rescue._add(taken, "rescue.x", "so", rescue.Samples([0.25] * 99 + [2.5], [0.01] * 100))

    p50, p99 = taken.figures
    assert (p50.value.median, str(p50.aim), p50.is_met) == (0.25, "at most 1", True)
    assert (p99.value.median, str(p99.aim), p99.is_met) == (2.5, "at most 2", False)
    assert p99.note == "100 kills; the longest took 2.50 s."
