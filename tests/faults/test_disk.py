"""A disk that refuses: each call gets a stable code, and nothing that was acknowledged is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker, open_store
from tests.support.workers import ROOT

from trichrome.bootstrap import open_project
from trichrome.errors import StoreUnavailableError, TrichromeError
from trichrome.store.port import TaskFilter
from trichrome.store.sqlite import SqliteStore

NOBODY = 65534


@pytest.fixture
def project(tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", tmp_path, clock)
    yield Project(store, clock)
    store.close()


def connection(project: Project):  # noqa: ANN201 - apsw's
    assert isinstance(project.store, SqliteStore)
    return project.store._connection


def count(project: Project) -> int:
    with project.store.reading() as view:
        return len(view.list_tasks(TaskFilter(limit=10_000)))


def create_until_refused(worker: Worker) -> tuple[int, TrichromeError]:
    """Create tasks until one is refused; answers how many were acknowledged, and the refusal."""
    for acknowledged in range(10_000):
        try:
            worker.create(instructions="x" * 2000)
        except TrichromeError as error:
            return acknowledged, error
    pytest.fail("the disk was never full")


def test_a_full_disk_refuses_and_loses_nothing(project: Project) -> None:
    worker = project.join()
    whole = connection(project).pragma("max_page_count")
    connection(project).pragma("max_page_count", connection(project).pragma("page_count") + 30)

    acknowledged, refusal = create_until_refused(worker)

    assert isinstance(refusal, StoreUnavailableError)
    assert refusal.facts()["code"] == "store_unavailable"
    assert refusal.retryable
    assert "full" in refusal.message
    assert count(project) == acknowledged > 5
    assert project.store.differences() == []

    connection(project).pragma("max_page_count", whole)
    worker.create()
    assert count(project) == acknowledged + 1


FILL = """
import resource, sys
from pathlib import Path
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store
from trichrome.errors import TrichromeError

store = open_store("sqlite", Path(sys.argv[1]), ManualClock())
worker = Project(store, ManualClock()).join()
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
for acknowledged in range(10_000):
    try:
        worker.create(instructions="x" * 2000)
    except TrichromeError as error:
        print(acknowledged, error.code, len(store.differences()))
        break
"""


def test_a_disk_that_fails_to_write_refuses_and_loses_nothing(tmp_path: Path, clock: ManualClock) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == 0, done.stderr
    acknowledged, code, differences = done.stdout.split()
    assert (code, differences) == ("store_unavailable", "0")
    store = open_store("sqlite", tmp_path, clock)
    assert count(Project(store, clock)) == int(acknowledged) > 5
    assert store.differences() == []
    store.close()


def test_a_file_that_became_read_only_refuses_writes_and_still_answers_questions(project: Project) -> None:
    worker = project.join()
    worker.create()
    connection(project).pragma("query_only", 1)

    with pytest.raises(StoreUnavailableError, match="writable"):
        worker.create()

    assert count(project) == 1
    connection(project).pragma("query_only", 0)
    worker.create()
    assert count(project) == 2


READ_ONLY = """
import os, sys
from pathlib import Path
import apsw, filelock, sqlite_utils
import trichrome.store.sqlite.migrations
from tests.support.clocks import ManualClock
from trichrome.errors import TrichromeError
from trichrome.store.sqlite import SqliteStore

if os.geteuid() == 0:
    os.setuid(int(sys.argv[2]))
try:
    store = SqliteStore(Path(sys.argv[1]) / "events.db", ManualClock())
    with store.writing(actor="a", causation="c") as tx:
        tx.new_worker("blue")
except TrichromeError as error:
    print(error.code, error.message)
"""


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_folder_is_refused_and_its_log_stays_as_it_is(clock: ManualClock, exists: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="trichrome-"))
    try:
        if exists:
            store = open_store("sqlite", folder, clock)
            Project(store, clock).join().create()
            store.close()
            (folder / "events.db").chmod(0o444)
        folder.chmod(0o555)

        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder), str(NOBODY)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

        assert done.stderr == ""
        code, _, message = done.stdout.partition(" ")
        assert code == "store_unavailable"
        assert str(folder) in message
        folder.chmod(0o755)
        if exists:
            (folder / "events.db").chmod(0o644)
            store = open_store("sqlite", folder, clock)
            assert count(Project(store, clock)) == 1
            store.close()
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_project_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "project"
    blocked.mkdir()
    (blocked / ".trichrome").write_text("a file where the folder should be")

    with pytest.raises(TrichromeError) as refused:
        open_project(blocked)

    assert refused.value.code == "store_unavailable"
    assert str(blocked) in refused.value.message


def test_a_store_on_a_folder_that_does_not_exist_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        open_store("sqlite", tmp_path / "nowhere", clock)

    assert list(tmp_path.iterdir()) == []
