"""Stopped, killed and concurrent processes around one file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store
from tests.support.workers import ROOT

from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite import SqliteStore
from trichrome.store.sqlite import connection as opening
from trichrome.store.sqlite import gate as gates
from trichrome.store.sqlite.migrations import pending
from trichrome.store.sqlite.version import LATEST

HOLD_GATE = """
import sys
from pathlib import Path
from trichrome.store.sqlite.gate import Gate
with Gate(Path(sys.argv[1]) / "events.db.gate"):
    print("held", flush=True)
    sys.stdin.read()
"""
HOLD_TRANSACTION = """
import sys
from pathlib import Path
from tests.support.clocks import ManualClock
from tests.support.projects import open_store
with open_store("sqlite", Path(sys.argv[1]), ManualClock()).writing(actor="a", causation="c") as tx:
    tx.new_worker("blue")
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def stopped(script: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds something and is stopped."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        process.stdin.close()


@pytest.fixture
def project(tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", tmp_path, clock)
    yield Project(store, clock)
    store.close()


def test_a_stopped_holder_of_the_gate_delays_others_by_no_more_than_the_deadline(
    project: Project, tmp_path: Path
) -> None:
    worker = project.join()

    with ThreadPoolExecutor(1) as pool, stopped(HOLD_GATE, tmp_path):
        began = time.monotonic()
        pool.submit(worker.create).result(timeout=10)
        seconds = time.monotonic() - began

    assert gates.GATE_SECONDS <= seconds < gates.GATE_SECONDS + 1
    began = time.monotonic()
    worker.create()
    assert time.monotonic() - began < 1, "the kernel frees the gate when its holder dies"


def test_a_process_stopped_in_its_transaction_makes_others_refuse_in_time_and_go_on_after_its_death(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_MILLISECONDS", 300)
    store = open_store("sqlite", tmp_path, clock)
    assert isinstance(store, SqliteStore)
    store._gate._seconds = 0.3
    worker = Project(store, clock).join()

    with stopped(HOLD_TRANSACTION, tmp_path):
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError) as refused:
            worker.create()
        assert time.monotonic() - began < 2
        with store.reading() as view:
            assert view.position() == 0, "readers do not wait for writers"

    assert refused.value.retryable
    worker.create()
    assert store.differences() == []
    store.close()


OPEN_MANY = """
import sys, time
from pathlib import Path
from tests.support.clocks import ManualClock
from tests.support.projects import open_store
import trichrome.store.sqlite.migrations
from trichrome.domain.events import RunCreated
folder, name, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
for number in range(10):
    time.sleep(max(0, start + number * 0.15 - time.time()))
    (folder / str(number)).mkdir(exist_ok=True)
    store = open_store("sqlite", folder / str(number), ManualClock())
    with store.writing(actor=name, causation="c") as tx:
        run = tx.new_run()
        tx.append(run, [RunCreated(run=run, lead=name)])
    store.close()
"""


def test_eight_processes_make_the_same_log_at_once(tmp_path: Path, clock: ManualClock) -> None:
    start = str(time.time() + 2)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_MANY, str(tmp_path), f"w{n}", start], cwd=ROOT, stderr=subprocess.PIPE
        )
        for n in range(8)
    ]

    errors = [process.communicate(timeout=20)[1].decode() for process in processes]

    assert errors == [""] * 8
    for number in range(10):
        store = open_store("sqlite", tmp_path / str(number), clock)
        with store.reading() as view:
            assert sorted(each.actor for each in view.events()) == [f"w{n}" for n in range(8)]
        assert store.differences() == []
        store.close()


DIE_MIGRATING = """
import os, signal, sys
from pathlib import Path
from tests.support.clocks import ManualClock
from tests.support.projects import open_store
from trichrome.store.sqlite import migrations
whole = migrations.pending
def dying(version):
    for number, statement in enumerate(whole(version)):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement
migrations.pending = dying
open_store("sqlite", Path(sys.argv[1]), ManualClock())
"""


@pytest.mark.parametrize("statement", [0, 1, 5, len(pending(0)) // 2, len(pending(0)) - 1])
def test_a_migration_killed_between_two_statements_is_done_anew(
    tmp_path: Path, clock: ManualClock, statement: int
) -> None:
    died = subprocess.run(
        [sys.executable, "-c", DIE_MIGRATING, str(tmp_path), str(statement)], cwd=ROOT, timeout=20, check=False
    )
    file = apsw.Connection(str(tmp_path / "events.db"))
    half = file.execute("select count(*) from sqlite_master").fetchone()
    file.close()

    project = Project(open_store("sqlite", tmp_path, clock), clock)

    assert died.returncode == -signal.SIGKILL
    assert half == (0,)
    project.join().create()
    assert project.store.differences() == []
    project.store.close()


def test_migrating_from_any_earlier_form_gives_the_same_tables(tmp_path: Path, clock: ManualClock) -> None:
    def tables(folder: Path, version: int) -> list[tuple[object, ...]]:
        folder.mkdir()
        file = apsw.Connection(str(folder / "events.db"))
        whole, rest = pending(0), pending(version)
        for sql, parameters in whole[: len(whole) - len(rest)]:
            file.execute(sql, parameters)
        file.pragma("user_version", version)
        file.close()
        store = open_store("sqlite", folder, clock)
        store.close()
        file = apsw.Connection(str(folder / "events.db"))
        found = list(file.execute("select type, name, sql from sqlite_master order by name"))
        assert opening.version_of(file) == LATEST
        file.close()
        return found

    forms = [tables(tmp_path / str(version), version) for version in range(LATEST)]

    assert all(form == forms[0] for form in forms)
    assert len(forms[0]) > 20


def test_a_second_open_of_a_current_log_imports_no_migrations(tmp_path: Path, clock: ManualClock) -> None:
    open_store("sqlite", tmp_path, clock).close()
    script = (
        "import sys; from pathlib import Path; from trichrome.clock import SystemClock; "
        "from trichrome.store.sqlite import SqliteStore; SqliteStore(Path(sys.argv[1]), SystemClock()).close(); "
        "print([name for name in ('sqlite_utils', 'sqlite3', 'filelock') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "events.db")],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "server")},
    )

    assert done.stdout.strip() == "[]"
