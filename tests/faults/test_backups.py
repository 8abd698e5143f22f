"""Backups under load, on a disk that refuses, and cut off at any step: writers never wait, nothing half made counts."""

from __future__ import annotations

import mmap
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store
from tests.support.workers import ROOT, crew

from trichrome.bootstrap import open_project
from trichrome.clock import SystemClock
from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain.drafts import Draft
from trichrome.errors import StoreUnavailableError
from trichrome.store.port import Recorded, Store
from trichrome.store.sqlite import SqliteStore, copying
from trichrome.store.sqlite.backups import Backup, back_up, folder_of, found, verify

MEBIBYTE = 2**20


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def project(log: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", log.parent, clock)
    yield Project(store, clock)
    store.close()


def grow(project: Project, log: Path, *, mebibytes: int) -> None:
    """Let a log become so long, by tasks with the longest instructions."""
    drafts = [Draft(kind="search", instructions="x" * 60_000)] * 200
    while log.stat().st_size < mebibytes * MEBIBYTE:
        project.operator.create_all(*drafts)


def events(store: Store) -> list[Recorded]:
    with store.reading() as view:
        return view.events(limit=10**9)


def test_a_writer_commits_between_each_two_steps_and_the_backup_is_of_one_moment(project: Project, log: Path) -> None:
    grow(project, log, mebibytes=100)
    other = Project(open_store("sqlite", log.parent, project.clock), project.clock)
    worker, before = other.join(), len(events(project.store))
    shares: list[float] = []

    def write(share: float) -> None:
        shares.append(share)
        worker.create()

    backup = back_up(log, folder_of(log), reason="asked", clock=project.clock, tell=write)

    assert len(shares) >= 100 / 4
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert backup.events == before, "it holds what there was when it began"
    assert len(events(other.store)) == before + 2 * len(shares), "each of them was committed at once"
    assert verify(backup) == []
    other.store.close()


def test_the_copy_goes_to_the_disk_in_small_portions_and_is_never_far_behind(
    project: Project, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(project, log, mebibytes=20)
    monkeypatch.setattr(copying, "UNSYNCED_BYTES", 8 * MEBIBYTE)
    portions: list[tuple[int, int]] = []
    behind: list[int] = []

    class Portion(mmap.mmap):
        def __new__(cls, file: int, length: int, *, offset: int) -> Self:
            portions.append((offset, length))
            return super().__new__(cls, file, length, offset=offset)

    def look(_share: float) -> None:
        (partial,) = folder_of(log).glob("*.partial")
        behind.append(partial.stat().st_size - sum(length for _, length in portions))

    monkeypatch.setattr(mmap, "mmap", Portion)
    backup = back_up(log, folder_of(log), reason="asked", clock=project.clock, tell=look)

    assert max(length for _, length in portions) == copying.PORTION_BYTES
    assert max(behind) <= 8 * MEBIBYTE
    offsets = [offset for offset, _ in portions]
    assert offsets == sorted(offsets)
    assert sum(length for _, length in portions) == backup.bytes


def test_a_wal_that_grew_meanwhile_is_brought_home_by_the_next_commit(project: Project, log: Path) -> None:
    grow(project, log, mebibytes=20)
    worker, wal = project.join(), log.with_name("events.db-wal")
    sizes: list[int] = []

    def write(_share: float) -> None:
        for _ in range(10):
            worker.create(instructions="x" * 60_000)
        sizes.append(wal.stat().st_size)

    back_up(log, folder_of(log), reason="asked", clock=project.clock, tell=write)
    for _ in range(100):
        worker.create(instructions="x" * 60_000)

    assert wal.stat().st_size <= max(sizes) + MEBIBYTE


def test_a_backup_of_a_log_that_four_processes_write_is_a_beginning_of_it(tmp_path: Path) -> None:
    project = open_project(tmp_path, environment={})
    log = tmp_path / ".trichrome" / "events.db"
    tasks.create(project.coordinator, OPERATOR, [Draft(kind="search", instructions="look")] * 200)
    tasks.create(project.coordinator, OPERATOR, [Draft(kind="search", instructions="look")] * 200)

    backups: list[Backup] = []
    deadline = time.monotonic() + 20
    with crew(tmp_path, tmp_path / "notes", workers=4, longest_seconds=0.001):
        while len({each.position for each in backups}) < 5:
            backups.append(back_up(log, folder_of(log), reason="asked", clock=SystemClock()))
            assert time.monotonic() < deadline, "they wrote nothing"

    whole = events(project.coordinator.store)
    for backup in backups:
        assert verify(backup) == []
        copy = SqliteStore(backup.path, SystemClock())
        assert events(copy) == whole[: backup.events]
        assert copy.differences() == []
        copy.close()
    project.close()


# --- a disk that refuses ----------------------------------------------------------------------------------------------

FILL = """
import resource, sys
from pathlib import Path
from tests.support.clocks import ManualClock
from trichrome.errors import TrichromeError
from trichrome.store.sqlite.backups import back_up, folder_of

log, most = Path(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    back_up(log, folder_of(log), reason="asked", clock=ManualClock())
except TrichromeError as error:
    print(error.code, error.message)
"""


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("most", [100, 100_000, 2_500_000])
def test_a_disk_that_takes_no_more_refuses_the_backup_alone(project: Project, log: Path, most: int) -> None:
    grow(project, log, mebibytes=3)
    good = back_up(log, folder_of(log), reason="asked", clock=project.clock)
    names = leftovers(folder_of(log))

    done = subprocess.run(
        [sys.executable, "-c", FILL, str(log), str(most)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.stdout.startswith("store_unavailable No backup could be written"), (done.stdout, done.stderr)
    assert "the log is as it was" in done.stdout
    assert leftovers(folder_of(log)) == names
    assert verify(good) == []
    project.join().create()
    assert project.store.differences() == []


@pytest.mark.parametrize("error", [apsw.FullError("database or disk is full"), OSError(28, "No space left on device")])
def test_a_full_disk_is_told_as_such(
    project: Project, log: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    project.join().create()

    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("trichrome.store.sqlite.backups.copy", full)

    with pytest.raises(StoreUnavailableError, match=r"Free some space there, or name another place") as refused:
        back_up(log, folder_of(log), reason="asked", clock=project.clock)

    assert str(folder_of(log)) in refused.value.message
    assert leftovers(folder_of(log)) == []


def test_a_disk_without_room_is_told_as_full_where_sqlite_calls_it_something_else(
    project: Project, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.join().create()

    def refused(*_: object, **__: object) -> None:
        raise apsw.IOError("disk I/O error")

    monkeypatch.setattr("trichrome.store.sqlite.backups.copy", refused)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=4096))

    with pytest.raises(StoreUnavailableError, match="Free some space there"):
        back_up(log, folder_of(log), reason="asked", clock=project.clock)


def test_an_interrupt_leaves_nothing_behind(project: Project, log: Path) -> None:
    project.join().create()

    def interrupted(_share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(log, folder_of(log), reason="asked", clock=project.clock, tell=interrupted)

    assert leftovers(folder_of(log)) == []


# --- a crash ----------------------------------------------------------------------------------------------------------

CRASH = """
import os, sys
from pathlib import Path
from tests.support.clocks import ManualClock
from trichrome.store.sqlite import copying
from trichrome.store.sqlite.backups import back_up, folder_of

log, last = Path(sys.argv[1]), int(sys.argv[2])
copying.STEP_PAGES = 20
steps = 0

def counted(real):
    def call(*arguments, **options):
        global steps
        steps += 1
        if steps == last:
            os._exit(9)
        return real(*arguments, **options)
    return call

for name in ("open", "replace", "fsync"):
    setattr(os, name, counted(getattr(os, name)))
clock = ManualClock()
clock.pass_seconds(last)
back_up(log, folder_of(log), reason="asked", clock=clock, tell=counted(lambda share: None))
"""


def crashed(log: Path, step: int) -> bool:
    """Whether a backup that is cut off at a step of it was cut off, and did not come to its end before."""
    done = subprocess.run(
        [sys.executable, "-c", CRASH, str(log), str(step)], cwd=ROOT, timeout=20, check=False, capture_output=True
    )
    assert done.returncode in {0, 9}, done.stderr
    return done.returncode == 9


def test_a_crash_at_any_step_leaves_a_whole_backup_or_none_and_the_next_one_tidies_up(
    project: Project, log: Path
) -> None:
    project.join().create()
    good = back_up(log, folder_of(log), reason="asked", clock=project.clock)
    step = 1

    while crashed(log, step):
        there = found(folder_of(log))
        assert good in there
        assert [verify(each) for each in there] == [[]] * len(there)
        for each in there:
            if each != good:
                each.path.unlink()
        step += 1

    assert step > 12
    (new,) = [each for each in found(folder_of(log)) if each != good]
    assert leftovers(folder_of(log)) == sorted(
        name for each in (good, new) for name in (each.path.name, f"{each.path.name}.json")
    )
    assert project.store.differences() == []
