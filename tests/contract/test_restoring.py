"""Going back to a backup: what is there afterwards, what was kept, and what is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.histories import live_through
from tests.support.old_forms import make_old
from tests.support.projects import Project, open_store

from trichrome.domain import tails
from trichrome.domain.events import LogSalvaged
from trichrome.errors import InvalidError, StoreTooNewError, StoreUnavailableError
from trichrome.store.port import Store, TaskFilter
from trichrome.store.sqlite import facts, replacing, restoring
from trichrome.store.sqlite.alone import alone, sharing
from trichrome.store.sqlite.backups import Backup, back_up, folder_of
from trichrome.store.sqlite.comparing import compare


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def project(log: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", log.parent, clock)
    yield Project(store, clock)
    store.close()


def made(project: Project, log: Path) -> Backup:
    return back_up(log, folder_of(log), reason="asked", clock=project.clock)


def tasks_of(store: Store) -> list[str]:
    with store.reading() as view:
        return [line.task.id for line in view.list_tasks(TaskFilter(limit=10**6))]


def changed(path: Path, *statements: str) -> None:
    """Change a file as nobody may."""
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_the_backup_is_the_log_and_the_log_that_was_is_put_aside(project: Project, log: Path) -> None:
    worker = project.join()
    worker.create()
    backup = made(project, log)
    worker.create()
    worker.take(task="t1")

    restored = restoring.restore(log, backup.path, clock=project.clock)

    assert tasks_of(project.store) == ["t1"], "whoever had the old file open goes on with the new one"
    assert project.state("t1") == "ready"
    assert project.store.differences() == []
    assert restored.lost is not None
    assert (restored.lost.events, restored.lost.returning) == (3, 0)
    assert restored.lost.streams == {"r2": 1, "t2": 1, "t1": 2}
    aside = open_store("sqlite", restored.aside, project.clock)
    assert tasks_of(aside) == ["t1", "t2"]
    assert aside.differences() == []
    aside.close()
    assert not list(log.parent.glob(f"{replacing.SCRATCH}*"))


def test_no_number_that_was_given_out_is_given_out_again(project: Project, log: Path) -> None:
    worker = project.join()
    worker.create()
    backup = made(project, log)
    blue = project.join("blue")
    given = {"task": worker.create(run="r1"), "attempt": blue.take(task="t1"), "worker": blue.name}
    with project.store.reading() as view:
        last = view.position()

    restoring.restore(log, backup.path, clock=project.clock)

    green = project.join("blue")
    assert int(worker.create(run="r1")[1:]) > int(given["task"][1:]) + 900
    assert int(green.take(task="t1").partition(".")[2]) > 1000
    assert green.name != given["worker"]
    with project.store.reading() as view:
        assert view.events()[2].position > last


def test_numbers_jump_as_far_as_the_log_has_gone_since(
    project: Project, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trichrome.domain.tails.NUMBERS", 3)
    worker = project.join()
    worker.create()
    backup = made(project, log)
    for _ in range(5):
        worker.create()

    restoring.restore(log, backup.path, clock=project.clock)

    with project.store.reading() as view:
        said = [each.event for each in view.events(stream="log")]
    assert len(said) == 1 + 10 // 3
    assert [bool(each.holes) for each in said if isinstance(each, LogSalvaged)] == [True, False, False, False]


def test_a_worker_that_is_there_is_known_though_the_backup_is_older(project: Project, log: Path) -> None:
    lead = project.join()
    lead.create()
    backup = made(project, log)
    worker = project.join("blue")
    worker.take(task="t1")
    name = worker.name

    restoring.restore(log, backup.path, clock=project.clock)

    assert project.principal(worker).id == worker.caller.principal
    assert worker.name == name
    worker.take(task="t1")
    project.clock.pass_seconds(10_000)
    with project.store.reading() as view:
        (live,) = view.live_attempts()
    assert live.principal is not None
    assert live.principal.client in project.alive


def test_an_attempt_of_the_backup_goes_on_for_a_full_period(project: Project, log: Path) -> None:
    worker = project.join("blue")
    worker.create()
    attempt = worker.take()
    backup = made(project, log)
    worker.report(attempt)
    project.clock.pass_seconds(10_000)

    restoring.restore(log, backup.path, clock=project.clock)

    with project.store.reading() as view:
        (live,) = view.live_attempts()
    assert (str(live.attempt), live.lapsed, live.over_ceiling) == (attempt, False, False)
    worker.report(attempt)
    assert project.state("t1") == "completed"


def test_a_history_and_back(project: Project, log: Path) -> None:
    live_through(project, seed=5, steps=300)
    before = tasks_of(project.store)
    backup = made(project, log)
    live_through(project, seed=6, steps=300)

    restored = restoring.restore(log, backup.path, clock=project.clock)
    project.join()

    assert tasks_of(project.store) == before
    assert project.store.differences() == []
    assert restored.lost is not None
    assert restored.lost.events > 100
    back = restoring.restore(log, restored.aside / "events.db", clock=project.clock)
    assert len(tasks_of(project.store)) > len(before)
    assert project.store.differences() == []
    assert back.lost is not None
    assert back.lost.returning == restored.lost.events


def test_a_backup_of_an_older_form_becomes_a_log_of_the_newest(
    project: Project, log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = project.join()
    worker.create()
    worker.report(worker.take())
    file, old = apsw.Connection(str(log)), tmp_path / "old.db"
    make_old(old, like=file)
    file.close()
    worker.create()

    restoring.check(old, folder=folder_of(log))
    restoring.restore(log, old, clock=project.clock)

    assert tasks_of(project.store) == ["t1"]
    assert project.state("t1") == "completed"
    assert project.store.differences() == []
    assert not folder_of(log).exists()
    assert capfd.readouterr().err == "", "what is put aside needs no backup"


def test_who_is_there_is_taken_over_table_by_table_from_a_log_of_an_older_form(
    project: Project, log: Path, tmp_path: Path, clock: ManualClock
) -> None:
    project.join().create()
    backup = made(project, log)
    name = project.join("blue").name
    (tmp_path / "old").mkdir()
    file, old = apsw.Connection(str(log)), tmp_path / "old" / "events.db"
    make_old(old, like=file)
    for table in ("principals", "workers", "worker_names"):
        copy_rows(file, old, table)
    file.close()

    restored = restoring.restore(old, backup.path, clock=clock)

    connection = apsw.Connection(str(old))
    assert (name,) in connection.execute("select name from workers").fetchall()
    assert restored.absent == ("signs", "fleet")
    connection.close()


def copy_rows(file: apsw.Connection, old: Path, table: str) -> None:
    file.execute("attach ? as old", (str(old),))
    names = ", ".join(name for _, name, *_ in file.execute(f"pragma old.table_info({table})"))
    file.execute(f"insert or replace into old.{table} ({names}) select {names} from main.{table}")
    file.execute("detach old")


def test_a_folder_that_is_not_there_holds_no_log_to_be_alone_with(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="is no folder"), alone(tmp_path / "none" / "events.db"):
        pytest.fail("nobody is alone there")

    assert not (tmp_path / "none").exists()


def test_a_lock_file_that_may_only_be_read_is_enough_to_share(
    project: Project, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = made(project, log)
    usual = os.open

    def read_only(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith(".alone") and flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return usual(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only)

    with sharing(log):
        assert backup.events == facts.counts(log)[0]


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_log_that_cannot_be_read_is_put_aside_and_what_it_lost_is_not_guessed(
    project: Project, log: Path, harm: str
) -> None:
    worker = project.join()
    worker.create()
    backup = made(project, log)
    worker.create()
    project.store.close()
    if harm == "damaged":
        log.write_bytes(b"no log at all" * 1000)
    else:
        log.unlink()

    restored = restoring.restore(log, backup.path, clock=project.clock)

    assert restored.lost is None
    assert compare(log, backup.path) is not None
    store = open_store("sqlite", log.parent, project.clock)
    assert tasks_of(store) == ["t1"]
    assert store.differences() == []
    with store.reading() as view:
        said = [each.event for each in view.events(stream=tails.LOG)]
    store.close()
    assert any(isinstance(each, LogSalvaged) and each.holes for each in said)
    assert (restored.aside / "events.db").exists() is (harm == "damaged")


CHANGED = ("update events set actor = 'me' where position = 1", "breaks its chain")
FOREIGN = ("drop table events", "no trichrome log")
SHORTENED = ("delete from events where position = 3", "does not hold what it held")


@pytest.mark.parametrize(
    ("harm", "has_manifest"),
    [(CHANGED, True), (CHANGED, False), (FOREIGN, True), (FOREIGN, False), (SHORTENED, True)],
    ids=["changed", "changed, bare", "foreign", "foreign, bare", "shortened"],
)
def test_what_is_no_good_backup_is_refused_and_nothing_is_changed(
    project: Project, log: Path, harm: tuple[str, str], has_manifest: bool
) -> None:
    worker = project.join()
    worker.create()
    worker.take()
    backup = made(project, log)
    worker.create()
    statement, told = harm
    changed(backup.path, "drop trigger events_refuse_update", "drop trigger events_refuse_delete", statement)
    if not has_manifest:
        backup.path.with_name(f"{backup.path.name}.json").unlink()

    with pytest.raises(InvalidError, match=told):
        restoring.check(backup.path, folder=folder_of(log))

    assert tasks_of(project.store) == ["t1", "t2"]


def test_a_backup_of_a_newer_program_is_refused(project: Project, log: Path) -> None:
    backup = made(project, log)
    backup.path.with_name(f"{backup.path.name}.json").unlink()
    changed(backup.path, "update log set minimum_version = 999")

    with pytest.raises(StoreTooNewError, match="form 999"):
        restoring.check(backup.path, folder=folder_of(log))
