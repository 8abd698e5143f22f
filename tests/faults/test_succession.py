"""A successor in the place of the log's file: whole at every moment, whatever crashes, and servers go on with it."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker, open_store
from tests.support.workers import ROOT, crew

from trichrome.bootstrap import open_project
from trichrome.errors import StoreDamagedError, StoreUnavailableError
from trichrome.store.port import TaskFilter
from trichrome.store.sqlite import SqliteStore, facts
from trichrome.store.sqlite.alone import Share, alone
from trichrome.store.sqlite.backups import back_up, folder_of
from trichrome.store.sqlite.succession import ASIDE, identity, is_unfinished, succeed, was_put_aside

BOUND = 20.0


class CrashError(BaseException):
    """The process ends here."""


@dataclass
class Disk:
    """A disk that crashes before its n-th change, and that may forget names that it was not told to keep."""

    crash_at: int
    changes: int = 0
    unsynced: list[tuple[str, str, set[str]]] = field(default_factory=list)

    def count(self) -> None:
        self.changes += 1
        if self.changes == self.crash_at:
            raise CrashError

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rename, fsync, mkdir = os.rename, os.fsync, os.mkdir

        def renamed(old: str | Path, new: str | Path) -> None:
            self.count()
            rename(old, new)
            self.unsynced.append((str(old), str(new), {str(Path(old).parent), str(Path(new).parent)}))

        def synced(file: int) -> None:
            self.count()
            fsync(file)
            for *_, folders in self.unsynced:
                folders.difference_update(
                    [each for each in folders if os.path.samestat(Path(each).stat(), os.fstat(file))]
                )

        def made(path: str | Path, mode: int = 0o777) -> None:
            self.count()
            mkdir(path, mode)

        monkeypatch.setattr(os, "rename", renamed)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "mkdir", made)

    def forget(self, which: tuple[bool, ...]) -> None:
        """Undo some of the renames that no sync has made last, as a power cut may."""
        open_ones = [(old, new) for old, new, folders in self.unsynced if folders]
        for (old, new), is_lost in reversed(list(zip(open_ones, which, strict=False))):
            if is_lost and not Path(old).exists():
                Path(new).rename(old)


@dataclass
class Logs:
    """A log with two tasks of which one is only in the WAL, and a successor with three."""

    path: Path
    successor: Path
    kept: Path

    def keep(self) -> None:
        """Copy everything as it is now."""
        self.kept.mkdir()
        shutil.copytree(self.path.parent, self.kept / "data")
        shutil.copy(self.successor, self.kept / "successor")

    def restore(self) -> None:
        """Everything as it was when it was copied."""
        shutil.rmtree(self.path.parent)
        shutil.copytree(self.kept / "data", self.path.parent)
        shutil.copy(self.kept / "successor", self.successor)

    def former(self) -> list[str]:
        """What the log asked for that was put aside."""
        place = next((self.path.parent / ASIDE).iterdir())
        return replace(self, path=place / "events.db").instructions()

    def instructions(self) -> list[str]:
        """What the log asks for now, opened anew."""
        store = open_store("sqlite", self.path.parent, ManualClock())
        assert store.differences() == []
        with store.reading() as view:
            found = [view.brief(line.task.id).instructions for line in view.list_tasks(TaskFilter())]
        store.close()
        return found


OLD, NEW = ["old", "in the WAL"], ["new", "newer", "newest"]


@pytest.fixture
def logs(tmp_path: Path, clock: ManualClock) -> Logs:
    def made(name: str, texts: list[str]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        store = open_store("sqlite", folder, clock)
        worker = Project(store, clock).join()
        worker.create(instructions=texts[0])
        store.close()
        store = open_store("sqlite", folder, clock)
        for text in texts[1:]:
            worker = Project(store, clock).join()
            worker.create(instructions=text)
        if name == "old":  # as if killed: the WAL stays
            copy = tmp_path / "data"
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.bell"))
            store.close()
            return copy / "events.db"
        store.close()
        return folder / "events.db"

    successor = whole(made("new", NEW), tmp_path / "successor")
    logs = Logs(made("old", OLD), successor, tmp_path / "kept")
    logs.keep()
    return logs


def whole(log: Path, to: Path) -> Path:
    """A copy of a log in one file."""
    source, copy = apsw.Connection(str(log)), apsw.Connection(str(to))
    with copy.backup("main", source, "main") as backup:
        backup.step()
    copy.pragma("journal_mode", "delete")
    copy.close()
    source.close()
    return to


def test_the_old_files_lie_aside_and_the_successor_is_the_log(logs: Logs) -> None:
    old = identity(str(logs.path))
    assert old is not None

    with alone(logs.path):
        place = succeed(logs.path, logs.successor)

    assert sorted(each.name for each in place.iterdir()) == ["events.db", "events.db-shm", "events.db-wal"]
    assert not logs.successor.exists()
    assert logs.instructions() == NEW
    assert logs.former() == OLD
    assert was_put_aside(logs.path, old)
    assert not was_put_aside(logs.path, identity(str(logs.path)) or (0, 0))


def steps(run: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many changes of the disk something takes."""
    disk = Disk(crash_at=0)
    with monkeypatch.context() as patch:
        disk.install(patch)
        run()
    return disk.changes


def replace_log(logs: Logs) -> None:
    with alone(logs.path):
        succeed(logs.path, logs.successor)


def test_a_crash_or_power_cut_at_any_step_leaves_the_old_log_or_the_new_one(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = steps(lambda: replace_log(logs), monkeypatch)
    outcomes = []
    for crash_at in range(1, total + 1):
        for lost in itertools.product((False, True), repeat=5):
            logs.restore()
            disk = Disk(crash_at)
            with monkeypatch.context() as patch:
                disk.install(patch)
                with pytest.raises(CrashError):
                    replace_log(logs)
            if len([1 for *_, folders in disk.unsynced if folders]) < sum(lost):
                continue
            disk.forget(lost)
            is_chosen = not logs.successor.exists()

            found = logs.instructions()

            assert found == (NEW if is_chosen else OLD), (crash_at, lost)
            assert not is_unfinished(logs.path)
            if is_chosen:
                assert logs.former() == OLD, (crash_at, lost)
            outcomes.append(is_chosen)
    assert total > 10
    assert outcomes[0] is False
    assert outcomes[-1] is True


def crash(logs: Logs, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Replace the log, or finish it, and crash before a step; answers whether it came so far."""
    with monkeypatch.context() as patch:
        Disk(at).install(patch)
        try:
            replace_log(logs) if logs.successor.exists() else finish_it(logs)
        except CrashError:
            return True
    return False


def finish_it(logs: Logs) -> None:
    with alone(logs.path):
        """What was begun is finished on entering."""


def test_a_crash_while_a_crash_is_being_finished_is_finished_too(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = 0
    for first, second in itertools.product(range(1, 20), range(1, 20)):
        logs.restore()

        if not crash(logs, first, monkeypatch) or logs.successor.exists() or not crash(logs, second, monkeypatch):
            continue

        tried += 1
        assert logs.instructions() == NEW, (first, second)
        assert logs.former() == OLD, (first, second)
    assert tried > 20


def test_a_file_that_an_ignorant_program_makes_between_is_kept_too(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(1, 20):
        logs.restore()
        crash(logs, step, monkeypatch)
        if not logs.path.exists():
            break
    logs.path.write_bytes(b"made anew")

    found = logs.instructions()

    assert found == NEW
    kept = [each.read_bytes() for each in (logs.path.parent / ASIDE).glob("*/events.db")]
    assert len(kept) == 2
    assert b"made anew" in kept


def test_a_successor_that_is_not_whole_is_not_taken(logs: Logs) -> None:
    logs.successor.with_name("successor-wal").write_bytes(b"the rest")

    with alone(logs.path), pytest.raises(ValueError, match="not whole"):
        succeed(logs.path, logs.successor)

    assert logs.instructions() == OLD


def test_a_folder_that_cannot_be_written_keeps_the_old_log(logs: Logs) -> None:
    (logs.path.parent / ASIDE).write_text("a file where the folder should be")

    with alone(logs.path), pytest.raises(StoreUnavailableError, match="Nothing is lost"):
        succeed(logs.path, logs.successor)

    assert logs.instructions() == OLD


# --- servers that run meanwhile ---------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    opened = open_store("sqlite", tmp_path, clock)
    assert isinstance(opened, SqliteStore)
    yield opened
    opened.close()


@pytest.fixture
def worker(store: SqliteStore, clock: ManualClock) -> Worker:
    worker = Project(store, clock).join()
    worker.create()
    return worker


def renew(path: Path) -> Path:
    """Put a copy of the log in its place, as a repair does."""
    with alone(path):
        return succeed(path, whole(path, path.with_name("copy")))


def test_a_running_server_goes_on_with_its_attempt_in_the_successor(
    tmp_path: Path, store: SqliteStore, worker: Worker
) -> None:
    attempt = worker.take()

    for _ in range(2):
        renew(tmp_path / "events.db")
        worker.progress(attempt, note="going on")
    renew(tmp_path / "events.db")
    answer = worker.report(attempt)

    assert answer["state"] == "completed"
    assert store.differences() == []
    assert len(list((tmp_path / ASIDE).glob("*/events.db"))) == 3


def test_hints_and_waiters_see_the_successor(tmp_path: Path, store: SqliteStore, worker: Worker) -> None:
    del worker
    watch = store.watch()
    mark = watch.mark()
    slept = threading.Thread(target=watch.sleep, args=(mark,), kwargs={"at_most_seconds": BOUND * 10})
    slept.start()

    renew(tmp_path / "events.db")

    slept.join(BOUND)
    assert not slept.is_alive()
    assert watch.mark() != mark
    assert store.has_claimable(["blue"])
    mark = watch.mark()
    Project(store, ManualClock()).join()
    assert watch.mark() != mark
    watch.close()


def test_a_server_that_stops_leaves_the_wal_of_the_successor_alone(
    tmp_path: Path, store: SqliteStore, worker: Worker, clock: ManualClock
) -> None:
    renew(tmp_path / "events.db")
    other = open_store("sqlite", tmp_path, clock)
    Project(other, clock).join().create(instructions="in the WAL of the successor")

    store.close()

    assert (tmp_path / "events.db-wal").stat().st_size > 0
    again = open_store("sqlite", tmp_path, clock)
    with again.reading() as view:
        assert len(view.list_tasks(TaskFilter())) == 2
    for each in (again, other):
        each.close()


def test_a_log_whose_successor_was_removed_is_refused(tmp_path: Path, worker: Worker) -> None:
    renew(tmp_path / "events.db")
    (tmp_path / "events.db").unlink()

    with pytest.raises(StoreUnavailableError, match="removed or replaced"):
        worker.create()

    assert not (tmp_path / "events.db").exists()


# --- being alone ------------------------------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as somebody waits for a share."""
    waits = threading.Event()
    pause = time.sleep

    def slept(seconds: float) -> None:
        waits.set()
        pause(seconds)

    monkeypatch.setattr(time, "sleep", slept)
    return waits


def test_who_writes_opens_or_looks_waits_for_who_is_alone(
    tmp_path: Path, store: SqliteStore, worker: Worker, clock: ManualClock, waits: threading.Event
) -> None:
    del store
    path = tmp_path / "events.db"
    said: list[str] = []

    def opened() -> None:
        open_store("sqlite", tmp_path, clock).close()

    def acted(act: Callable[[], object]) -> None:
        act()
        said.append("acted")

    for act in (worker.create, opened, lambda: facts.form(path)):
        with alone(path):
            waits.clear()
            acts = threading.Thread(target=acted, args=(act,))
            acts.start()
            assert waits.wait(BOUND)
            said.append("let go")
        acts.join(BOUND)

    assert said == ["let go", "acted"] * 3


def test_who_wants_to_be_alone_waits_for_a_transaction(tmp_path: Path, store: SqliteStore, worker: Worker) -> None:
    del worker
    said: list[str] = []

    def be_alone() -> None:
        with alone(tmp_path / "events.db"):
            said.append("alone")

    waiting = threading.Thread(target=be_alone)
    with store.writing(actor="a", causation="test") as tx:
        waiting.start()
        tx.new_worker("blue")
        said.append("wrote")
    waiting.join(BOUND)

    assert said == ["wrote", "alone"]


def test_a_share_that_is_not_given_in_time_is_refused_and_can_be_asked_for_again(tmp_path: Path) -> None:
    share = Share(tmp_path / "events.db")
    with alone(tmp_path / "events.db"), pytest.raises(StoreUnavailableError, match="repair") as refused:
        share.take(seconds=0.05)

    assert refused.value.retryable
    share.take()
    share.close()


HOLD = """
import sys, time
from pathlib import Path
from tests.support.clocks import ManualClock
from tests.support.projects import open_store

store = open_store("sqlite", Path(sys.argv[1]), ManualClock())
with store.writing(actor="a", causation="test"):
    print("holds", flush=True)
    time.sleep(60)
"""


def test_a_program_that_stands_still_in_a_call_is_named_to_who_wants_to_be_alone(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout is not None
        assert held.stdout.readline() == "holds\n"
        held.send_signal(signal.SIGSTOP)

        with pytest.raises(StoreUnavailableError) as refused, alone(tmp_path / "events.db", seconds=0.1):
            pass

        assert f"process {held.pid}" in refused.value.message or "lsof" in refused.value.message
        assert "kill -CONT" in refused.value.message
    finally:
        held.kill()
        held.communicate()
    with alone(tmp_path / "events.db", seconds=BOUND):
        """The kernel has freed what the dead one held."""


def test_nothing_acknowledged_is_lost_when_the_log_is_replaced_under_workers_that_are_killed(tmp_path: Path) -> None:
    project = open_project(tmp_path)
    worker = Project(project.coordinator.store, ManualClock()).join()
    for _ in range(400):
        worker.create()
    notes = tmp_path / "notes"
    log = project.data / "events.db"

    with crew(tmp_path, notes, workers=4, every_seconds=0.3, longest_seconds=0.02):
        for done in (10, 40, 80, 120):
            deadline = time.monotonic() + BOUND * 3
            while len(acknowledged(notes)) < done:
                assert time.monotonic() < deadline, len(acknowledged(notes))
                time.sleep(0.01)
            renew(log)

    store = project.coordinator.store
    assert store.differences() == []
    with store.reading() as view:
        kept = {
            (str(each.attempt), each.report.summary)
            for task in view.list_tasks(TaskFilter(limit=1000))
            for each in view.reports(task.task.id)
        }
    assert {(each["attempt"], each["summary"]) for each in acknowledged(notes)} <= kept
    project.close()


def acknowledged(notes: Path) -> list[dict[str, str]]:
    return [
        json.loads(line) for file in notes.glob("*.jsonl") for line in file.read_text().splitlines() if line[-1:] == "}"
    ]


def test_no_new_log_is_begun_beside_the_wal_of_one_that_is_missing(tmp_path: Path, clock: ManualClock) -> None:
    store = open_store("sqlite", tmp_path, clock)
    Project(store, clock).join().create()
    (tmp_path / "events.db").unlink()
    store.close()
    left = (tmp_path / "events.db-wal").read_bytes()

    with pytest.raises(StoreDamagedError, match="repair --log"):
        open_store("sqlite", tmp_path, clock)

    assert left
    assert (tmp_path / "events.db-wal").read_bytes() == left
    assert not (tmp_path / "events.db").exists()


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_no_new_log_is_begun_while_there_are_backups_of_one(tmp_path: Path, clock: ManualClock, how: str) -> None:
    path = tmp_path / "events.db"
    store = open_store("sqlite", tmp_path, clock)
    Project(store, clock).join().create()
    store.close()
    back_up(path, folder_of(path), reason="asked", clock=clock)
    path.unlink()
    if how == "emptied":
        path.touch()

    with pytest.raises(StoreDamagedError, match="restore --latest"):
        open_store("sqlite", tmp_path, clock)
