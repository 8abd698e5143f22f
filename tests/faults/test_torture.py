"""The torture as users run it, what its servers' clock and disk do, and that it catches a product that is broken."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from tests.support import sabotage
from tests.support.servers import Server, ending, eventually

from trichrome.bootstrap import open_project
from trichrome.torture.bench import SERVER, Options, Outcome, torture
from trichrome.torture.dials import Dials, Disk
from trichrome.torture.faults import KINDS, Fault

BOUND = 240.0
"""Seconds for a torture on a machine that is busy with other tests."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trichrome", "torture", *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Where the scratch project goes can be looked at."""
    return {**os.environ, "TMPDIR": str(folder)}


def left_of(folder: Path) -> list[psutil.Process]:
    """Processes that work below a folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get("TRICHROME_HOME", "").startswith(str(folder)):
                found.append(process)
    return found


# --- as users run it --------------------------------------------------------------------------------------------------


def test_a_short_torture_with_every_kind_of_fault_keeps_every_promise_and_leaves_nothing(tmp_path: Path) -> None:
    scratch, page = tmp_path / "scratch", tmp_path / "report.md"
    scratch.mkdir()

    done = subprocess.run(
        command("--faults", "60", "--workers", "4", "--seed", "4", "--report", str(page), "--json"),
        env=environment(scratch),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )

    told = json.loads(done.stdout)
    assert (done.returncode, told.get("broken"), told.get("history")) == (0, None, None), done.stderr
    assert told["ok"]
    assert set(told["faults"]) | set(told.get("given_up", {})) == set(KINDS)
    assert sum(told["faults"].values()) >= 58
    assert all(told["promises"][promise] for promise in ("one live attempt", "nothing acknowledged is lost"))
    assert "Every promise held." in page.read_text()
    assert list(scratch.iterdir()) == []
    assert left_of(scratch) == []
    assert not (tmp_path / ".trichrome").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_torture_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        command("--seconds", "600", "--workers", "2", "--seed", "1"),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: len(left_of(tmp_path)) >= 2)
    for each in left_of(tmp_path):
        each.suspend()  # so that nobody leaves unless it is seen to

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert out == ""
    assert "The seed was 1" in err
    assert list(tmp_path.iterdir()) == []
    assert left_of(tmp_path) == []


def test_a_person_is_told_in_tables_and_where_all_was_kept(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--faults", "1", "--workers", "1", "--seed", "2", "--keep"),
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )

    assert done.returncode == 0, (done.stdout, done.stderr)
    assert [title for title in ("Faults", "Figures", "Promises") if f"{title}\n" in done.stdout] == [
        "Faults",
        "Figures",
        "Promises",
    ]
    assert "Every promise held (seed 2)." in done.stdout
    assert " of 1 faults, " in done.stderr
    (kept,) = tmp_path.iterdir()
    assert done.stderr.splitlines()[-1] == f"Kept: {kept}"
    assert (kept / "project" / ".trichrome" / "events.db").is_file()
    assert kept.stat().st_mode & 0o077 == 0
    assert left_of(tmp_path) == []


def test_a_report_that_could_not_be_written_is_refused_before_anything_begins(tmp_path: Path) -> None:
    page = tmp_path / "nowhere" / "page.md"

    done = subprocess.run(
        command("--report", str(page), "--json"), capture_output=True, text=True, timeout=BOUND, check=False
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["field"] == "report"


# --- what its servers stand on ----------------------------------------------------------------------------------------


@pytest.fixture
def dials(tmp_path: Path) -> Iterator[Dials]:
    dials = Dials.make(tmp_path / "dials", 1)
    yield dials
    dials.close()


@pytest.fixture
def server(tmp_path: Path, dials: Dials) -> Iterator[Server]:
    with ending() as start:
        yield start(tmp_path, command=[*SERVER, str(tmp_path / "dials"), "0"])


@pytest.mark.parametrize("disk", [Disk.FULL, Disk.READ_ONLY, Disk.FAILING], ids=lambda disk: disk.name)
def test_a_disk_that_refuses_is_told_and_nothing_is_lost_by_it(server: Server, dials: Dials, disk: Disk) -> None:
    server.call("create_task", kind="search", instructions="before")
    dials.set_disk(0, disk)
    codes = []
    for _ in range(20):
        content = server.tool_answer(server.ask_tool("create_task", kind="search", instructions="meanwhile"))
        codes.append(content.get("error", {}).get("code"))

    dials.set_disk(0, Disk.WELL)
    server.call("create_task", kind="search", instructions="after")

    assert "store_unavailable" in codes
    assert set(codes) <= {None, "store_unavailable"}
    assert len(server.call("list_tasks", limit=100)["tasks"]) == 2 + codes.count(None)


def test_a_clock_that_was_set_ahead_dates_what_its_server_writes(server: Server, dials: Dials, tmp_path: Path) -> None:
    dials.set_clock(0, ahead_seconds=86_400.0, rate=1.0, since=0.0)

    server.call("create_task", kind="search", instructions="tomorrow")

    project = open_project(tmp_path, environment={})
    with project.coordinator.store.reading() as view:
        dated = view.events()[-1].recorded_at
    project.close()
    assert 86_000 < dated - time.time() <= 86_400


# --- a product that is broken -----------------------------------------------------------------------------------------


def tortured_with(rule: str, kinds: Sequence[str], *, workers: int) -> Outcome:
    """A torture of a product with a rule broken on purpose."""
    options = Options(
        seed=random.randrange(10**6),
        workers=workers,
        server=(sys.executable, str(Path(sabotage.__file__)), rule),
        patience_seconds=8.0,
        keep=False,
    )
    faults = (Fault(number, kind, 0.3, number) for number, kind in enumerate(kinds, start=1))
    return torture(options, faults=faults)


def test_a_product_that_does_not_fence_is_caught_with_the_history_of_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    outcome = tortured_with("fencing", ["report late", "report repeated", "report changed"] * 4, workers=3)

    assert "nothing stale counts" in {each.promise for each in outcome.verdict.broken}
    assert outcome.kept is not None
    assert outcome.kept.is_dir()


def test_a_product_whose_writers_take_no_turns_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    outcome = tortured_with("turns", ["report repeated", "call cancelled"] * 8, workers=4)

    assert "no refusal without a cause" in {each.promise for each in outcome.verdict.broken}
