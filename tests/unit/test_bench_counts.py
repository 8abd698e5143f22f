"""Counts of the hot paths, beside those that are kept."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from bench import counts, report
from bench.families import Family
from bench.measure import Figure, Scale, Taken
from rich.console import Console


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "counts.json"
    monkeypatch.setattr(counts, "KEPT", path)
    return path


def counted(monkeypatch: pytest.MonkeyPatch, **found: int) -> list[Figure]:
    """What the family answers when a path counts so."""
    monkeypatch.setattr(counts, "_of_python", lambda: {"claim_task": {"bytecodes": found.get("bytecodes", 6000)}})
    monkeypatch.setattr(counts, "_of_sqlite", lambda: {"claim_task": {"SQLite steps": found.get("steps", 500)}})
    monkeypatch.setattr(
        counts, "_of_processor", lambda: {"claim_task": {"instructions": found.get("instructions", 1_000_000)}}
    )
    monkeypatch.setattr(counts.shutil, "which", lambda _name: "/usr/bin/valgrind")
    return counts.take(Scale()).figures


def shown(figures: list[Figure]) -> str:
    written = io.StringIO()
    report.show_counts(Console(file=written, width=120), Family("counts", 1.0, Taken(figures)), counts.has_changed)
    return written.getvalue()


def test_without_kept_counts_all_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = counted(monkeypatch)

    assert all(counts.has_changed(figure) for figure in figures)
    assert "Nothing is kept for this Python yet. `python -m bench counts --keep` keeps these." in shown(figures)


def test_kept_counts_are_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    counts.keep(counted(monkeypatch))

    figures = counted(monkeypatch)

    assert not any(counts.has_changed(figure) for figure in figures)
    assert "Every count is as it was kept." in shown(figures)


def test_one_step_more_is_shown_and_can_be_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    counts.keep(counted(monkeypatch))

    figures = counted(monkeypatch, steps=501)

    assert [figure.name for figure in figures if counts.has_changed(figure)] == ["counts.claim_task.SQLite_steps"]
    text = shown(figures)
    assert re.search(r"claim_task +SQLite steps +500 +501 +\+0\.2 %", text)
    assert "`python -m bench counts --keep` accepts them" in text


def test_fewer_bytecodes_are_a_change_too(monkeypatch: pytest.MonkeyPatch) -> None:
    counts.keep(counted(monkeypatch))

    assert "-50.0 %" in shown(counted(monkeypatch, bytecodes=3000))


@pytest.mark.parametrize(("instructions", "is_change"), [(1_009_000, False), (1_011_000, True), (989_000, True)])
def test_instructions_may_vary_by_a_hundredth(
    monkeypatch: pytest.MonkeyPatch, instructions: int, is_change: bool
) -> None:
    counts.keep(counted(monkeypatch))

    figures = counted(monkeypatch, instructions=instructions)

    assert any(counts.has_changed(figure) for figure in figures) is is_change


def test_counts_of_another_python_stay_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_key", lambda: "another")
    counts.keep(counted(monkeypatch, steps=7))
    monkeypatch.setattr(counts, "_key", lambda: "this")

    counts.keep(counted(monkeypatch))

    assert '"another"' in kept.read_text()
    assert not any(counts.has_changed(figure) for figure in counted(monkeypatch))
