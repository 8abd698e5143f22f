"""Backups: what they hold, how they are found and checked, when they are made, and when they are let go of."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from filelock import FileLock
from tests.support.clocks import ManualClock
from tests.support.histories import live_through, view_rows
from tests.support.old_forms import OLD_FORM, make_old
from tests.support.projects import Project, open_store

from trichrome.clock import SystemClock
from trichrome.coordinator import liveness
from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite import SqliteStore, restoring, schedule
from trichrome.store.sqlite.backups import Backup, Reason, back_up, folder_of, found, prune, verify
from trichrome.store.sqlite.comparing import continues
from trichrome.store.sqlite.connection import version_of
from trichrome.store.sqlite.version import LATEST

HOUR = 3600.0


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def project(log: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", log.parent, clock)
    yield Project(store, clock)
    store.close()


def made(project: Project, log: Path, reason: Reason = "asked", *, to: Path | None = None) -> Backup:
    return back_up(log, folder_of(log), reason=reason, clock=project.clock, to=to)


def changed(path: Path, *statements: str) -> None:
    """Change a file as nobody may."""
    connection = apsw.Connection(str(path))
    for trigger in ("events_refuse_update", "events_refuse_delete"):
        connection.execute(f"drop trigger if exists {trigger}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


# --- making and finding -----------------------------------------------------------------------------------------------


def test_a_backup_is_the_log_in_one_file(project: Project, log: Path, tmp_path: Path) -> None:
    live_through(project, seed=3, steps=200)

    backup = made(project, log)

    assert sorted(each.name for each in folder_of(log).iterdir()) == [
        ".lock",
        backup.path.name,
        f"{backup.path.name}.json",
    ]
    assert backup.path.read_bytes()[18:20] == b"\1\1", "it needs no WAL"
    assert backup.is_whole
    assert verify(backup) == []
    (tmp_path / "copy").mkdir()
    shutil.copy(backup.path, tmp_path / "copy" / "events.db")
    copy = open_store("sqlite", tmp_path / "copy", project.clock)
    assert copy.differences() == []
    assert view_rows(tmp_path / "copy" / "events.db") == view_rows(log)
    copy.close()


def test_backups_are_found_newest_first_with_what_they_hold(project: Project, log: Path) -> None:
    worker = project.join()
    worker.create()
    old = made(project, log, "schedule")
    project.clock.pass_seconds(1)
    worker.create()
    new = made(project, log)
    again = made(project, log)

    assert found(folder_of(log)) == [again, new, old]
    assert [each.position for each in found(folder_of(log))] == [4, 4, 2]
    assert again.heads == new.heads != old.heads


def test_no_folder_and_files_of_others_are_no_backups(project: Project, log: Path) -> None:
    assert found(folder_of(log)) == []
    folder_of(log).mkdir()
    (folder_of(log) / "mine.db").write_text("what I keep here")
    (folder_of(log) / "notes.json").write_text("[]")
    (folder_of(log) / "other.db.json").write_text('{"made_at": 3}')

    assert found(folder_of(log)) == []
    kept = made(project, log)
    assert (folder_of(log) / "mine.db").exists()
    assert found(folder_of(log)) == [kept]


def test_a_backup_under_a_name_of_ones_own_replaces_nothing(project: Project, log: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.db"

    backup = made(project, log, to=target)

    assert backup.path == target
    assert verify(backup) == []
    with pytest.raises(StoreUnavailableError, match=r"elsewhere\.db exists"):
        made(project, log, to=target)
    assert found(folder_of(log)) == []


def test_only_one_backup_is_made_at_a_time(project: Project, log: Path) -> None:
    folder_of(log).mkdir()

    with FileLock(folder_of(log) / ".lock"), pytest.raises(StoreUnavailableError, match="is being made"):
        back_up(log, folder_of(log), reason="asked", clock=project.clock, wait_seconds=0)

    assert verify(made(project, log)) == []


def test_a_backup_elsewhere_asks_nothing_of_the_folder_of_the_others(
    project: Project, log: Path, tmp_path: Path
) -> None:
    folder_of(log).write_text("a file where the folder should be")

    assert verify(made(project, log, to=tmp_path / "elsewhere.db")) == []


# --- checking ---------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x40
    path.write_bytes(raw)


def lose_an_event(path: Path) -> None:
    changed(path, "delete from events where position = (select max(position) from events)")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (flip, "not those that were written"),
        (lambda path: os.truncate(path, 8192), "not those that were written|malformed|cannot be read"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(5000)), "cannot be read|no trichrome log"),
        (Path.unlink, "cannot be read"),
        (lose_an_event, "does not hold what it held"),
        (lambda path: changed(path, "update events set actor = 'me' where position = 1"), "breaks its chain"),
        (lambda path: changed(path, "drop table events"), "no trichrome log"),
    ],
    ids=["a bit", "truncated", "emptied", "gone", "a lost tail", "a changed event", "no table"],
)
def test_a_backup_that_is_not_what_it_was_shows_it(project: Project, log: Path, harm: object, told: str) -> None:
    project.join().create()
    backup = made(project, log)
    assert callable(harm)

    harm(backup.path)

    assert re.search(told, "; ".join(verify(backup)))


def test_a_log_with_damaged_pages_is_not_backed_up_and_says_so(project: Project, log: Path) -> None:
    worker = project.join()
    for _ in range(30):
        worker.create(instructions="x" * 3000)
    good = made(project, log)
    project.store.close()
    with log.open("r+b") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * 4096 * 5)

    with pytest.raises(StoreUnavailableError, match="repair --check"):
        made(project, log)

    assert found(folder_of(log)) == [good]
    assert not list(folder_of(log).glob("*partial*"))


def test_a_log_with_a_broken_chain_is_backed_up_as_such(project: Project, log: Path) -> None:
    project.join().create()
    changed(log, "update events set actor = 'me' where position = 1")

    backup = made(project, log)

    assert not backup.is_whole
    assert any("breaks its chain" in line for line in verify(backup))


# --- letting go -------------------------------------------------------------------------------------------------------


def test_automatic_backups_are_pruned_and_those_that_were_asked_for_stay(project: Project, log: Path) -> None:
    reasons: list[Reason] = ["asked", "schedule", "migration", "repair", "schedule", "asked", "schedule"]
    backups = []
    for reason in reasons:
        project.clock.pass_seconds(HOUR)
        backups.append(made(project, log, reason))

    gone = prune(folder_of(log), kept=2)

    assert [each.reason for each in gone] == ["repair", "migration", "schedule"]
    assert found(folder_of(log)) == [backups[each] for each in (6, 5, 4, 0)]
    assert len(list(folder_of(log).iterdir())) == 1 + 2 * 4


def test_a_broken_backup_displaces_no_whole_one_and_only_the_newest_broken_one_stays(
    project: Project, log: Path
) -> None:
    project.join().create()
    whole = [made(project, log, "schedule") for _ in range(2)]
    changed(log, "update events set actor = 'me' where position = 1")
    project.clock.pass_seconds(1)
    broken = [made(project, log, "schedule") for _ in range(3)]

    prune(folder_of(log), kept=2)

    assert set(found(folder_of(log))) == {*whole, broken[-1]}


def test_the_last_backup_of_a_log_that_was_removed_stays_however_many_the_new_one_has(
    project: Project, log: Path, tmp_path: Path
) -> None:
    live_through(project, seed=3, steps=50)
    older, last = made(project, log, "schedule"), made(project, log, "schedule")
    (tmp_path / "new").mkdir()
    anew = Project(open_store("sqlite", tmp_path / "new", project.clock), project.clock)
    newer = []
    for _ in range(4):
        anew.join().create()
        newer.append(back_up(anew_log(tmp_path), folder_of(log), reason="schedule", clock=project.clock))

    prune(folder_of(log), kept=2)

    assert found(folder_of(log)) == [newer[3], newer[2], last]
    assert older not in found(folder_of(log))
    assert continues(anew_log(tmp_path), last.path) is False
    assert continues(log, last.path) is True
    anew.store.close()


def anew_log(folder: Path) -> Path:
    return folder / "new" / "events.db"


def test_a_log_that_was_put_back_goes_on_from_what_it_lost_since_it_says_so(project: Project, log: Path) -> None:
    project.join().create()
    old = made(project, log)
    project.join().create()
    new = made(project, log)

    restoring.restore(log, old.path, clock=project.clock)

    assert continues(log, new.path) is True
    assert continues(old.path, new.path) is False


def test_where_a_backup_cannot_be_read_nobody_can_tell_and_it_stays(project: Project, log: Path) -> None:
    project.join().create()
    backups = [made(project, log, "schedule") for _ in range(3)]
    backups[0].path.write_bytes(b"no log" * 1000)

    prune(folder_of(log), kept=1)

    assert continues(log, backups[0].path) is None
    assert found(folder_of(log)) == [backups[2], backups[0]]


def test_backups_of_a_clock_that_was_ahead_are_older_than_those_made_since(project: Project, log: Path) -> None:
    project.join().create()
    project.clock.wall += 1000 * HOUR
    ahead = [made(project, log, "schedule") for _ in range(2)]
    project.clock.wall += -1000 * HOUR

    new = made(project, log, "schedule")
    gone = prune(folder_of(log), kept=2)

    assert gone == [ahead[0]]
    assert found(folder_of(log)) == [new, ahead[1]]


# --- by themselves ----------------------------------------------------------------------------------------------------


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The logs for which a process would have been begun."""
    paths: list[Path] = []
    monkeypatch.setattr(schedule, "_begun", lambda path, *_: paths.append(path))
    return paths


def scheduled(log: Path, clock: ManualClock, *, every_hours: float = 6.0) -> SqliteStore:
    return SqliteStore(log, clock, durability="fast", backup_every_hours=every_hours, backups_kept=2)


def test_a_log_is_backed_up_when_it_is_old_enough_and_again_only_when_it_has_moved(
    log: Path, clock: ManualClock, begun: list[Path]
) -> None:
    store = scheduled(log, clock)
    project = Project(store, clock)

    def due() -> bool:
        before = len(begun)
        store.back_up_if_due()
        clock.pass_seconds(schedule.AGAIN_SECONDS)
        return len(begun) > before

    assert not due(), "there is nothing in it"
    project.join().create()
    assert not due(), "it is young"
    clock.pass_seconds(6 * HOUR)
    assert due()
    made(project, log, "schedule")
    clock.pass_seconds(6 * HOUR)
    assert not due(), "it has not moved"
    project.join().create()
    assert due()
    made(project, log, "migration")
    project.join().create()
    assert not due(), "an automatic one is young enough"
    clock.pass_seconds(6 * HOUR)
    made(project, log, "asked")
    assert due(), "one that was asked for may be anywhere by now"
    store.close()


def test_a_clock_that_was_ahead_stops_no_backups(log: Path, clock: ManualClock, begun: list[Path]) -> None:
    store = scheduled(log, clock)
    project = Project(store, clock)
    clock.wall += 1000 * HOUR
    project.join().create()
    made(project, log, "schedule")
    clock.wall += -1000 * HOUR
    project.join().create()

    store.back_up_if_due()

    assert begun == [log]
    store.close()


def test_what_was_begun_is_not_begun_again_at_once(log: Path, clock: ManualClock, begun: list[Path]) -> None:
    store = scheduled(log, clock)
    Project(store, clock).join().create()
    clock.pass_seconds(7 * HOUR)

    for _ in range(5):
        store.back_up_if_due()

    assert begun == [log]
    store.close()


def test_no_hours_mean_no_automatic_backup(log: Path, clock: ManualClock, begun: list[Path]) -> None:
    store = scheduled(log, clock, every_hours=0)
    Project(store, clock).join().create()
    clock.pass_seconds(1000 * HOUR)

    store.back_up_if_due()

    assert begun == []
    store.close()


def test_a_keeper_sees_to_backups(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    lead = project.join()
    monkeypatch.setattr(project.store, "back_up_if_due", lambda: asked.append(project.clock.now().monotonic))
    keeper = liveness.Keeper(project.coordinator, project.principal(lead))

    for _ in range(60):
        project.clock.pass_seconds(1)
        keeper.keep()

    assert len(asked) == 3


def test_the_process_of_its_own_makes_one_and_prunes(log: Path, clock: ManualClock) -> None:
    store = scheduled(log, clock)  # its events are years old for the machine's own clock
    project = Project(store, clock)
    project.join().create()
    for _ in range(3):
        clock.pass_seconds(1)
        made(project, log, "schedule")
    project.join().create()
    keeping = schedule.Schedule(log, SystemClock(), every_hours=6.0, kept=2)

    with store.reading():
        keeping.begin_if_due(store._connection)
    assert keeping._process is not None
    keeping._process.wait(20)

    newest, second = found(folder_of(log))
    assert (newest.reason, newest.position) == ("schedule", 4)
    assert newest.made_at > second.made_at + HOUR
    assert verify(newest) == []
    said = [json.loads(line) for path in (log.parent / "logs").iterdir() for line in path.read_text().splitlines()]
    assert [each["event"] for each in said] == ["backed up"]
    store.close()


def test_of_two_processes_one_makes_the_backup(project: Project, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project.join().create()
    folder_of(log).mkdir()
    monkeypatch.setattr(sys, "argv", ["backup", str(log), "21600", "8"])
    monkeypatch.setattr(os, "nice", lambda _: None)
    monkeypatch.setattr("trichrome.logs.open_log", lambda *_, **__: None)

    with FileLock(folder_of(log) / ".lock"):
        schedule.main()
        while_held = found(folder_of(log))
    schedule.main()
    project.join().create()
    schedule.main()  # it was begun with the first, and had its turn later

    assert while_held == []
    assert [each.reason for each in found(folder_of(log))] == ["schedule"]


# --- before a migration -----------------------------------------------------------------------------------------------


@pytest.fixture
def old(project: Project, log: Path, tmp_path: Path) -> Path:
    """A log of an older form."""
    worker = project.join()
    worker.create()
    worker.create()
    worker.report(worker.take())
    worker.take()
    path = tmp_path / "old" / "events.db"
    path.parent.mkdir()
    file = apsw.Connection(str(log))
    make_old(path, like=file)
    file.close()
    return path


def test_a_log_is_backed_up_before_its_form_changes(
    old: Path, clock: ManualClock, capfd: pytest.CaptureFixture[str]
) -> None:
    store = open_store("sqlite", old.parent, clock)

    (backup,) = found(folder_of(old))
    assert (backup.reason, backup.form) == ("migration", OLD_FORM)
    assert verify(backup) == []
    told = capfd.readouterr().err
    assert str(backup.path) in told
    assert f"from form {OLD_FORM} to {LATEST}" in told
    store.close()
    open_store("sqlite", old.parent, clock).close()
    assert found(folder_of(old)) == [backup], "the form is the newest now"


def test_a_log_that_cannot_be_backed_up_keeps_its_form(old: Path, clock: ManualClock) -> None:
    folder_of(old).write_text("a file where the folder should be")

    with pytest.raises(StoreUnavailableError, match="No backup could be written"):
        open_store("sqlite", old.parent, clock)

    connection = apsw.Connection(str(old))
    assert version_of(connection) == OLD_FORM
    connection.close()
