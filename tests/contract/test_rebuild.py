"""A rebuild makes the same tables, row for row, however it goes about it, or leaves them as they were."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.histories import kinds, live_through, view_rows
from tests.support.projects import Project, open_store

from trichrome.domain.events import DependencyLost, LogReopened, LogSalvaged, SessionEnded
from trichrome.domain.ids import TaskId
from trichrome.errors import StoreTooNewError
from trichrome.store import codec
from trichrome.store.sqlite import folding, rebuild


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def project(file: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", file.parent, clock)
    yield Project(store, clock)
    store.close()


@pytest.fixture
def lived(project: Project) -> Project:
    """A project with a past that knows every kind of event."""
    live_through(project, seed=6)
    with project.store.writing(actor="operator", causation="salvage") as tx:
        tx.append("log", [LogSalvaged(holes=("t1 from 3",)), LogReopened(boot="boot-0")])
        tx.append("t5", [DependencyLost(TaskId("t1")), SessionEnded("blue-1", "claude", "it ended", cost_usd=0.5)])
    assert kinds(project) == set(codec.KINDS)
    return project


@pytest.mark.parametrize("seed", range(1, 5))
def test_rebuilt_tables_are_the_live_ones_row_for_row(project: Project, file: Path, seed: int) -> None:
    live_through(project, seed=seed)
    live = view_rows(file)

    project.store.rebuild()

    assert view_rows(file) == live
    assert project.store.differences() == []


@pytest.mark.parametrize("held", [1, 2, 7])
def test_a_stream_that_goes_on_after_it_was_put_out_is_taken_up_again(
    lived: Project, file: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "HELD", held)
    live = view_rows(file)

    lived.store.rebuild()

    assert view_rows(file) == live
    assert lived.store.differences() == []


def test_no_more_tasks_are_held_in_memory_than_the_bound(
    lived: Project, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "HELD", 3)
    put_out: list[int] = []

    with apsw.Connection(str(file)) as log:
        folding.fold(
            log,
            lived.clock.now(),
            lambda statement, rows: put_out.append(len(rows)) if "into tasks" in statement else None,
        )

    assert max(put_out) == 3


def test_a_long_log_is_folded_by_others_to_the_same_rows(
    lived: Project, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "LONG", 1)
    monkeypatch.setattr(rebuild, "fold", None)  # not here
    live = view_rows(file)

    lived.store.rebuild()

    assert view_rows(file) == live
    assert lived.store.differences() == []


@pytest.mark.parametrize("program", ["false", "no such program"])
def test_a_log_that_others_cannot_fold_is_folded_here(
    lived: Project, file: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "LONG", 1)
    monkeypatch.setattr(sys, "executable", program)
    live = view_rows(file)

    lived.store.rebuild()

    assert view_rows(file) == live
    assert lived.store.differences() == []


@pytest.mark.parametrize("long", [1, 10**9])
def test_a_log_that_cannot_be_read_to_its_end_leaves_the_views_as_they_were(
    lived: Project, file: Path, long: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "LONG", long)
    live = view_rows(file)
    with apsw.Connection(str(file)) as other:
        other.execute(
            "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, digest) "
            "values ('t1', 99, 1, 'TaskSplit', '{}', 0.0, '', '', x'00')"
        )

    with pytest.raises(StoreTooNewError):
        lived.store.rebuild()

    assert view_rows(file) == live
