"""Power cuts at any write: what is synced stays, no number is given out twice, and the checks would see it otherwise."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.power.cuts import FAST, FULL, MIXED, UNSYNCED, Fault, Way, cut

from trichrome.domain import tails
from trichrome.store.sqlite import tail

CUTS = 800
BOUND = 2_000
"""Cuts among which a fault that was put in on purpose has to show."""
WAYS = pytest.mark.parametrize("way", [FULL, FAST, MIXED], ids=["full", "fast", "mixed"])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, where there is one: no disk need take part in what is only played."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@WAYS
def test_a_power_cut_takes_nothing_that_was_synced_and_no_number_is_given_out_twice(folder: Path, way: Way) -> None:
    figures = cut(folder, way, cuts=CUTS, seed=1)

    assert figures.faults == {}, figures
    assert figures.cuts == CUTS
    assert (figures.with_losses > 0) is (way is not FULL)


@pytest.mark.soak
def test_ten_thousand_power_cuts(folder: Path) -> None:
    found = {}
    for name, way, number in (("full", FULL, 4_000), ("fast", FAST, 4_000), ("mixed", MIXED, 2_000)):
        (folder / name).mkdir()
        found[name] = cut(folder / name, way, cuts=number, seed=2)
    (folder / "unsynced").mkdir()
    unsynced = cut(folder / "unsynced", UNSYNCED, cuts=500, seed=2)

    for name, figures in {**found, "synchronous off": unsynced}.items():
        print(f"{name}: {figures}")  # noqa: T201 - figures are what a soak is for
    assert {name: figures.faults for name, figures in found.items()} == {"full": {}, "fast": {}, "mixed": {}}
    assert found["full"].with_losses == 0 < found["fast"].with_losses
    assert unsynced.faults["damaged"] > 0


def test_the_same_seed_makes_the_same_cuts(folder: Path) -> None:
    found = []
    for name in ("one", "other"):
        (folder / name).mkdir()
        found.append(str(cut(folder / name, UNSYNCED, cuts=60, seed=4)).replace(name, ""))

    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("way", "fault"),
    [(UNSYNCED, "damaged"), (UNSYNCED, "lost"), (Way(("full", "full"), synchronous=1), "lost")],
    ids=["nothing synced: damage", "nothing synced: losses", "full that syncs no commit: losses"],
)
def test_what_is_not_synced_as_promised_is_found_out(folder: Path, way: Way, fault: Fault) -> None:
    figures = cut(folder, way, cuts=BOUND, seed=1, until=fault)

    assert fault in figures.faults, figures


def _no_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "NUMBERS", 0)
    monkeypatch.setattr(tails, "EVENTS", 0)


def _no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "note_boot", lambda *_: None)


def _mark_that_is_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "sync_as", lambda *_: None)


def _one_jump_for_all_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "positions", lambda connection, found=tail.positions: found(connection)[-1:])


@pytest.mark.parametrize("broken", [_no_jump, _no_mark, _mark_that_is_not_synced, _one_jump_for_all_tails])
def test_numbers_that_would_be_given_out_twice_are_found_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: object
) -> None:
    broken(monkeypatch)  # type: ignore[operator]

    figures = cut(folder, FAST, cuts=BOUND, seed=1, until="reused")

    assert "reused" in figures.faults, figures
