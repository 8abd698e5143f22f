"""The command that takes the figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import __main__ as command
from bench.families import FAMILIES, Family
from bench.measure import Scale, Taken
from bench.report import MARK
from filelock import FileLock
from tests.support.figures import HELD, MACHINE, MISSED


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is written, on a machine that is made up."""
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text(f"# Head\n\n{MARK}\n")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command.machine, "look", lambda: MACHINE)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(command.counts, "KEPT", tmp_path / "counts.json")
    return tmp_path


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Families that fail; the others find one aim held and one missed."""
    names: set[str] = set()

    def take(name: str, _scale: Scale, **_: Any) -> Family:
        if name in names:
            return Family(name, 1.0, failure="exit status 1; its last lines:\nno disk")
        return Family(name, 1.0, Taken([HELD, MISSED]))

    monkeypatch.setattr(command, "take", take)
    return names


def latest(folder: Path) -> Any:
    return json.loads((folder / "results" / "latest.json").read_text())


@pytest.mark.usefixtures("failing")
def test_missed_aims_fail_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--quick"]) == 0

    assert f"{len(FAMILIES)} of {2 * len(FAMILIES)} aims are held" in capsys.readouterr().out
    assert [family["name"] for family in latest(folder)["families"]] == list(FAMILIES)


def test_failed_family_is_reported_and_the_others_are_taken(
    folder: Path, failing: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.add("cycles")

    assert command.main([]) == 1

    assert "failed: cycles" in capsys.readouterr().out
    families = {family["name"]: family for family in latest(folder)["families"]}
    assert [name for name, family in families.items() if family["taken"] is None] == ["cycles"]
    assert not (folder / "docs" / "performance.json").exists()


@pytest.mark.usefixtures("failing")
def test_chosen_families_are_taken_in_reading_order_and_leave_the_page_alone(folder: Path) -> None:
    assert command.main(["tokens", "cycles"]) == 0

    assert [family["name"] for family in latest(folder)["families"]] == ["cycles", "tokens"]
    assert (folder / "docs" / "performance.md").read_text() == f"# Head\n\n{MARK}\n"


@pytest.mark.usefixtures("failing")
def test_whole_run_writes_the_page_and_it_can_be_made_anew(folder: Path) -> None:
    page = folder / "docs" / "performance.md"

    assert command.main([]) == 0
    written = page.read_text()
    page.write_text(written.replace("# Head", "# Another head"))
    assert command.main(["--render"]) == 0

    assert "cycles, fast" in written
    assert page.read_text() == written.replace("# Head", "# Another head")


def test_nothing_measured_cannot_be_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--render"]) == 1

    assert "python -m bench makes it" in capsys.readouterr().err


@pytest.mark.usefixtures("failing")
def test_busy_machine_is_told_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.machine, "look", lambda: replace(MACHINE, load=3.0))

    command.main(["tokens"])

    assert capsys.readouterr().err.startswith("The machine was busy before the run (load 3.0 on 4 cores)")


def test_interrupt_records_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> Family:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "take", interrupted)

    assert command.main(["tokens"]) == 130
    assert "nothing was recorded" in capsys.readouterr().err
    assert not (folder / "results" / "latest.json").exists()


@pytest.mark.usefixtures("failing")
def test_two_runs_of_one_checkout_at_once_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "results").mkdir()

    with FileLock(folder / "results" / "lock"):
        refused = command.main(["tokens"])
    after = command.main(["tokens"])

    assert (refused, after) == (1, 0)
    assert "Another run of this checkout is measuring" in capsys.readouterr().err


def test_a_checkout_that_cannot_be_written_is_told_before_anything_is_measured(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "RESULTS", folder / "docs" / "performance.md" / "results")

    assert command.main(["tokens"]) == 1

    told = capsys.readouterr().err
    assert "cannot be written: Not a directory. Run it in a checkout of your own. Nothing was measured." in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["token"], "there is no family 'token'; choose from roundtrip"), (["tokens", "--keep"], "counts --keep")],
    ids=["unknown", "keep"],
)
def test_wrong_command_line_says_what_would_be_right(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.main(arguments)

    assert told in capsys.readouterr().err


def test_help_gives_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--help"])

    assert "example: python -m bench --quick cycles tokens" in capsys.readouterr().out
