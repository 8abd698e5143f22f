"""Whoever sleeps over the log is woken by its bell; where that does not ring, the change counter tells all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock

from trichrome.domain.events import RunCreated
from trichrome.domain.ids import RunId
from trichrome.store.sqlite import SqliteStore
from trichrome.store.sqlite import watch as watches
from trichrome.store.sqlite.watch import Bell, SqliteWatch

BOUND = 5.0
NEVER = 60.0

COMMIT = """
import sys
from pathlib import Path
from trichrome.clock import SystemClock
from trichrome.domain.events import RunCreated
from trichrome.domain.ids import RunId
from trichrome.store.sqlite import SqliteStore
with SqliteStore(Path(sys.argv[1]), SystemClock()).writing(actor="a", causation="c") as tx:
    tx.append(RunId("r1"), [RunCreated(run=RunId("r1"), lead="lead-1")])
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def store(log: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    store = SqliteStore(log, clock, durability="fast")
    yield store
    store.close()


@pytest.fixture
def only_the_bell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks unless it rings."""
    monkeypatch.setattr(watches, "UNRUNG_SECONDS", NEVER)


class Sleeper(threading.Thread):
    """Sleeps over the log until it changes, and counts how often it looks."""

    def __init__(self, log: Path) -> None:
        super().__init__(daemon=True)
        self._log = log
        self._asleep = threading.Semaphore(0)
        self.looks = 0

    def run(self) -> None:
        watch = SqliteWatch(self._log)
        mark, hears, look = watch.mark(), watch._hears, watch.mark

        def heard(seconds: float) -> bool:
            self._asleep.release()
            return hears(seconds)

        def looked() -> object:
            self.looks += 1
            return look()

        watch._hears, watch.mark = heard, looked  # type: ignore[method-assign]
        watch.sleep(mark, at_most_seconds=NEVER)
        watch.close()

    def fall_asleep(self) -> None:
        """Return once it is about to sleep, for the first time or again."""
        assert self._asleep.acquire(timeout=BOUND)

    def is_woken(self) -> bool:
        self.join(BOUND)
        return not self.is_alive()


def asleep(log: Path) -> Sleeper:
    sleeper = Sleeper(log)
    sleeper.start()
    sleeper.fall_asleep()
    return sleeper


def commit(store: SqliteStore) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(RunId("r1"), [RunCreated(run=RunId("r1"), lead="lead-1")])


@pytest.mark.usefixtures("only_the_bell")
def test_one_commit_wakes_every_sleeper(store: SqliteStore, log: Path) -> None:
    sleepers = [asleep(log) for _ in range(3)]

    commit(store)

    assert all(sleeper.is_woken() for sleeper in sleepers)


@pytest.mark.usefixtures("only_the_bell", "store")
def test_a_commit_of_another_process_wakes(log: Path) -> None:
    sleeper = asleep(log)

    subprocess.run([sys.executable, "-c", COMMIT, str(log)], check=True, timeout=20)

    assert sleeper.is_woken()


@pytest.mark.usefixtures("store")
def test_a_commit_that_nobody_rings_for_wakes(log: Path) -> None:
    sleeper = asleep(log)
    connection = apsw.Connection(str(log))

    connection.execute("insert into keys (key, task, digest) values ('k', 1, 'd')")

    assert sleeper.is_woken()
    connection.close()


@pytest.mark.usefixtures("only_the_bell")
def test_a_commit_wakes_where_no_bell_can_hang(store: SqliteStore, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "mkfifo", refused)
    sleeper = asleep(log)

    commit(store)

    assert sleeper.is_woken()


def test_a_bell_that_is_taken_away_wakes_nobody_too_late(store: SqliteStore, log: Path) -> None:
    sleeper = asleep(log)
    log.with_name(".events.db.bell").unlink()

    commit(store)

    assert sleeper.is_woken()


@pytest.mark.usefixtures("store")
def test_the_folder_of_a_log_that_somebody_waits_for_can_be_copied(
    log: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("copies") / "copy"
    watch = SqliteWatch(log)
    watch._listen()

    subprocess.run(["cp", "-R", str(log.parent), str(copy)], check=True, timeout=20)

    watch.close()
    copied = SqliteStore(copy / "events.db", ManualClock())
    commit(copied)
    assert copied.differences() == []
    copied.close()


@pytest.mark.parametrize("is_file", [True, False])
def test_what_bears_the_bells_name_and_is_none_stops_nobody(store: SqliteStore, log: Path, *, is_file: bool) -> None:
    place = log.with_name(".events.db.bell")
    place.write_bytes(b"") if is_file else place.mkdir()
    sleeper = asleep(log)

    commit(store)

    assert sleeper.is_woken()
    assert place.is_file() if is_file else place.is_dir()


@pytest.mark.usefixtures("only_the_bell", "store")
def test_a_bell_that_rings_for_nothing_wakes_nobody_and_is_heard_again(log: Path) -> None:
    sleeper = asleep(log)

    for _ in range(3):
        Bell(log).ring()
        sleeper.fall_asleep()

    assert sleeper.is_alive()
    assert sleeper.looks == 1 + 3 * 2
