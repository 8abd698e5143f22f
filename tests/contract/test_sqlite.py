"""What only the file has: its chain of digests, its triggers, its version, its search tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.old_forms import OLD_FORM, make_old
from tests.support.projects import Project, Worker, open_store

import trichrome
from trichrome.coordinator import messages, queries
from trichrome.domain.events import RunCreated
from trichrome.domain.ids import AttemptId, RunId, TaskId
from trichrome.errors import StoreTooNewError, StoreUnavailableError
from trichrome.store.sqlite import SqliteStore
from trichrome.store.sqlite import connection as opening
from trichrome.store.sqlite.migrations import pending
from trichrome.store.sqlite.version import LATEST
from trichrome.version import VERSION


@pytest.fixture
def project(tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", tmp_path, clock)
    yield Project(store, clock)
    store.close()


@pytest.fixture
def worker(project: Project) -> Worker:
    """A worker that has finished one task, holds one, and left one ready and one blocked."""
    worker = project.join()
    for files in ((), ("src/a.py",), ("src",)):
        worker.create(files=files)
    worker.create(depends_on=("t2",))
    worker.report(worker.take())
    worker.take()
    return worker


@pytest.fixture
def file(tmp_path: Path, worker: Worker) -> Iterator[apsw.Connection]:
    """The same file, by a connection of somebody else."""
    connection = apsw.Connection(str(tmp_path / "events.db"))
    connection.set_busy_timeout(1000)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "change", ["update events set actor = 'x'", "delete from events", "delete from events where 1"]
)
def test_the_log_refuses_to_be_changed(file: apsw.Connection, change: str) -> None:
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        file.execute(change)


def test_a_version_of_a_stream_exists_once(file: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        file.execute(
            "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, digest) "
            "values ('t1', 1, 1, 'X', '{}', 0.0, '', '', x'00')"
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("update tasks set state = 'failed' where number = 1", "t1"),
        ("update tasks set last_number = 7 where number = 2", "t2"),
        ("delete from tasks where number = 4", "t4"),
        ("update tasks set ended = 1 where number = 1", "ended"),
        ("delete from edges", "edges"),
        ("update runs set paused = 1", "r1"),
        ("update tasks set claimable = 1 where number = 3", "t3"),
        ("update tasks set claimable = 1 where number = 4", "t4"),
        ("delete from holds", "holds"),
        ("delete from task_paths", "task_paths"),
    ],
)
def test_a_view_that_was_tampered_with_is_found_and_a_rebuild_mends_it(
    project: Project, file: apsw.Connection, change: str, named: str
) -> None:
    assert project.store.differences() == []

    file.execute(change)

    assert any(named in line for line in project.store.differences())
    project.store.rebuild()
    assert project.store.differences() == []


@pytest.mark.parametrize(
    "change",
    [
        "update events set payload = replace(payload, 'find it', 'find that') where stream = 't1' and version = 1",
        "update events set payload = 'no json' where stream = 't1' and version = 1",
        "update events set kind = 'Unheard' where stream = 't1' and version = 1",
        "update events set actor = 'somebody else' where stream = 't1' and version = 1",
        "update events set recorded_at = recorded_at + 1 where stream = 't1' and version = 1",
        "update events set digest = zeroblob(32) where stream = 't1' and version = 1",
        "delete from events where stream = 't1' and version = 1",
        "delete from events where stream = 't1' and version = 2",
    ],
)
def test_an_event_that_was_tampered_with_breaks_the_chain(project: Project, file: apsw.Connection, change: str) -> None:
    file.execute("drop trigger events_refuse_update")
    file.execute("drop trigger events_refuse_delete")

    file.execute(change)

    assert any("t1 version" in line for line in project.store.differences())


def test_a_lost_tail_is_found_by_the_views(project: Project, file: apsw.Connection) -> None:
    file.execute("drop trigger events_refuse_delete")

    file.execute("delete from events where stream = 't2' and version = 2")

    assert any("t2" in line for line in project.store.differences())


def test_a_log_of_a_newer_program_refuses_every_call_and_says_so(project: Project, file: apsw.Connection) -> None:
    file.execute("update log set minimum_version = ?", (LATEST + 1,))

    with pytest.raises(StoreTooNewError) as reading:
        project.sweep()
    with pytest.raises(StoreTooNewError):
        project.join()

    assert reading.value.code == "store_too_new"
    assert not reading.value.retryable
    file.execute("update log set minimum_version = ?", (LATEST,))
    assert project.state("t2") == "running"


def test_a_log_of_a_newer_program_is_not_opened(tmp_path: Path, file: apsw.Connection, clock: ManualClock) -> None:
    file.execute("update log set minimum_version = ?", (LATEST + 1,))
    file.pragma("user_version", LATEST + 1)

    with pytest.raises(StoreTooNewError, match="Upgrade") as refusal:
        open_store("sqlite", tmp_path, clock)

    assert f"form {LATEST + 1}, and this one, {VERSION} in {Path(trichrome.__file__).parents[1]}," in str(refusal.value)


def test_a_newer_form_that_older_programs_may_still_write_is_opened(
    tmp_path: Path, file: apsw.Connection, clock: ManualClock
) -> None:
    file.pragma("user_version", LATEST + 1)

    store = open_store("sqlite", tmp_path, clock)

    assert store.differences() == []
    assert opening.version_of(file) == LATEST + 1
    store.close()


def test_a_kind_of_event_that_only_a_newer_program_knows_is_refused(project: Project, file: apsw.Connection) -> None:
    file.execute(
        "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, digest) "
        "values ('t1', 99, 1, 'TaskSplit', '{}', 0.0, '', '', x'00')"
    )

    with pytest.raises(StoreTooNewError), project.store.reading() as view:
        view.events()


@pytest.mark.parametrize("payload", ["'noise'", "'{}'", "'[1]'", "cast(x'7b22ff227d' as text)", "5"])
def test_a_payload_that_is_none_is_damage_and_says_what_to_do(
    project: Project, worker: Worker, file: apsw.Connection, payload: str
) -> None:
    file.execute("drop trigger events_refuse_update")
    file.execute(f"update events set payload = {payload} where stream = 't2' and version = 1")

    for call in (lambda: queries.task_detail(project.coordinator, "t2"), lambda: worker.take(task="t2")):
        with pytest.raises(StoreUnavailableError, match="is damaged"):
            call()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, but long enough to be one" * 100, b"SQLite format 3\0"]
)
def test_a_file_that_is_no_log_is_refused(tmp_path: Path, clock: ManualClock, content: bytes) -> None:
    (tmp_path / "events.db").write_bytes(content)

    with pytest.raises(StoreUnavailableError, match="damaged"):
        open_store("sqlite", tmp_path, clock)


def test_a_database_of_somebody_else_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    other = apsw.Connection(str(tmp_path / "events.db"))
    other.execute("create table cakes (name text)")
    other.pragma("user_version", 12)
    other.close()

    with pytest.raises(StoreUnavailableError, match="no trichrome log"):
        open_store("sqlite", tmp_path, clock)


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("fast", 1)])
def test_durability_is_what_was_asked_for(tmp_path: Path, durability: opening.Durability, synchronous: int) -> None:
    connection = opening.open_file(tmp_path / "events.db", durability)

    assert connection.pragma("synchronous") == synchronous
    assert connection.pragma("journal_mode") == "wal"
    connection.close()


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")

    with pytest.raises(StoreUnavailableError, match="can corrupt"):
        opening.open_file(tmp_path / "events.db", "full")


def test_a_claim_walks_one_index_and_sorts_nothing(project: Project, file: apsw.Connection) -> None:
    plan = file.execute(
        "explain query plan select priority, number from tasks indexed by tasks_claimable "
        "where claimable = 1 and role = ? and author is not ? order by priority, number limit 1",
        ("blue", "x"),
    ).fetchall()

    text = " ".join(str(line[-1]) for line in plan)
    assert "tasks_claimable" in text
    assert "TEMP B-TREE" not in text


def test_a_log_that_was_removed_or_replaced_under_its_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    store = SqliteStore(path, ManualClock())
    other = tmp_path / "other.db"
    SqliteStore(other, ManualClock()).close()

    path.unlink()
    with pytest.raises(StoreUnavailableError) as removed, store.writing(actor="a", causation="test") as tx:
        tx.append("r1", [RunCreated(run=RunId("r1"), lead="a")])
    other.rename(path)
    with pytest.raises(StoreUnavailableError) as replaced, store.reading() as view:
        view.position()

    assert "Restart" in removed.value.message
    assert "replaced" in replaced.value.message


def test_a_log_whose_tables_a_newer_program_changed_is_refused_by_every_call(
    project: Project, worker: Worker, file: apsw.Connection
) -> None:
    file.execute("alter table tasks rename to work")
    file.execute("drop table inbox")
    file.execute("update log set minimum_version = 99")

    for call in (worker.claim, worker.create, lambda: messages.inbox(project.coordinator, worker.caller)):
        with pytest.raises(StoreTooNewError, match="restart this session"):
            call()


def test_a_form_that_takes_something_away_is_for_programs_that_know_it() -> None:
    takes_away = [
        form
        for form in range(1, LATEST + 1)
        if any(sql.startswith("drop") for sql, _ in pending(form - 1)[: len(pending(form - 1)) - len(pending(form))])
    ]

    minimum = [int(sql.rpartition("=")[2]) for sql, _ in pending(0) if sql.startswith("update log set minimum_version")]

    assert minimum[-1] >= max(takes_away)


def test_a_due_time_without_its_task_stops_nobody(project: Project, worker: Worker, file: apsw.Connection) -> None:
    file.execute(
        "insert into dues (task, boot, due, wall, seconds) values (99, ?, 0.0, 0.0, 0.0)", (project.clock.boot,)
    )
    other = project.join()
    other.create()

    project.sweep()

    assert other.take() == "t5.1"


def test_an_offer_is_over_once_its_message_arrived(project: Project, worker: Worker, file: apsw.Connection) -> None:
    other = project.join("green")
    other.claim()
    worker.send(other.name, "hello")
    other.inbox()

    other.inbox()

    assert file.execute("select count(*) from offers").get == 0


def test_a_transaction_within_another_is_refused_and_the_outer_one_goes_on(project: Project, worker: Worker) -> None:
    with project.store.writing(actor="x", causation="x") as outer:
        run = outer.new_run()
        outer.append(run, [RunCreated(run=run, lead="x")])
        with (
            pytest.raises(apsw.SQLError, match="within a transaction"),
            project.store.writing(actor="y", causation="y"),
        ):
            pass

    with project.store.reading() as view:
        assert view.run(run) is not None


@pytest.mark.parametrize("form", [OLD_FORM, 6])
def test_a_log_of_an_older_form_goes_on_where_it_was_and_old_programs_are_refused(
    tmp_path: Path, project: Project, worker: Worker, file: apsw.Connection, clock: ManualClock, form: int
) -> None:
    old = tmp_path / "old" / "events.db"
    old.parent.mkdir()
    make_old(old, like=file, form=form)

    store = SqliteStore(old, clock)

    moved = Project(store, clock)
    assert store.differences() == []
    with store.reading() as view:
        assert view.brief(TaskId("t1")).instructions == "find it"
        assert [each.report.summary for each in view.reports(TaskId("t1"))] == ["done"]
        assert [live.attempt for live in view.live_attempts()] == [AttemptId(TaskId("t2"), 1)]
    assert moved.join().claim()["attempt"] == "t2.1", "the worker goes on with what it holds"
    store.close()
    connection = apsw.Connection(str(old))
    assert connection.execute("select minimum_version from log").fetchall() == [(LATEST,)]
    connection.close()
