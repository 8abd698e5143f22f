"""After a tail that may be lost: no number means something else, and whoever holds a lost one is told what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, StoreKind, Worker, open_store

from trichrome.coordinator import notes
from trichrome.domain import tails
from trichrome.domain.drafts import Draft
from trichrome.domain.events import LogReopened, LogSalvaged
from trichrome.errors import ConflictError, NotFoundError, StaleAttemptError, StoreUnavailableError
from trichrome.store.port import Recorded
from trichrome.store.sqlite import SqliteStore, tail
from trichrome.store.sqlite.connection import Durability

Cut = Callable[[], None]
TASK, NUMBER = tails.EVENTS, tails.NUMBERS
DRAFT = Draft(kind="search", instructions="find it")


@pytest.fixture
def cut(project: Project, store_kind: StoreKind, tmp_path: Path, clock: ManualClock) -> Cut:
    """The machine goes down, and starts again."""

    def cut() -> None:
        before = clock.boot
        clock.reboot()
        project.alive.clear()
        if store_kind == "memory":
            with project.store.writing(actor="trichrome", causation="open") as tx:
                tx.append("log", [LogReopened(boot=before)])
        else:
            project.store.close()
            project.store = open_store(store_kind, tmp_path, clock)

    return cut


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def share(worker: Worker, name: str, content: str, **arguments: Any) -> int:
    return notes.put(worker.project.coordinator, worker.caller, name, content, **arguments)["version"]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_new_ids_lie_above_all_that_a_lost_tail_can_have_given_out(project: Project, lead: Worker, cut: Cut) -> None:
    lead.create()
    project.operator.create()
    lead.send("operator", "hello")
    cut()

    made = [lead.create_all(DRAFT, DRAFT), lead.create_all(DRAFT)]
    sent = lead.send("operator", "again")

    assert [each["id"] for answer in made for each in answer["tasks"]] == [f"t{TASK + n}" for n in (3, 4, 5)]
    assert [answer["run"] for answer in made] == [f"r{NUMBER + 3}", f"r{NUMBER + 4}"]
    assert sent["message"] == f"m{NUMBER + 2}"


def test_each_tail_that_may_be_lost_is_jumped_over(lead: Worker, cut: Cut) -> None:
    lead.create()
    cut()
    cut()

    assert [lead.create(), lead.create()] == [f"t{2 * TASK + 2}", f"t{2 * TASK + 3}"]


def test_the_first_of_everything_may_have_been_lost_too(project: Project, cut: Cut) -> None:
    cut()

    made = project.join().create_all(DRAFT)

    assert (made["run"], made["tasks"][0]["id"]) == (f"r{NUMBER + 1}", f"t{TASK + 1}")


def test_the_next_attempt_is_above_all_that_were_lost_and_the_one_after_is_the_next(
    project: Project, lead: Worker, cut: Cut
) -> None:
    task = lead.create()
    project.join().take()
    cut()
    project.sweep()

    worker = project.join()
    first = worker.take()
    worker.report(first, "released")
    second = worker.take()

    assert (first, second) == (f"{task}.{NUMBER + 2}", f"{task}.{NUMBER + 3}")
    assert project.kinds(task)[-4:] == ["AttemptNumbersRaised", "TaskClaimed", "AttemptReleased", "TaskClaimed"]
    assert project.store.differences() == []


def test_a_task_that_was_made_since_begins_with_its_first_attempt(project: Project, lead: Worker, cut: Cut) -> None:
    cut()
    task = lead.create()

    assert project.join().take() == f"{task}.1"


def test_a_version_of_a_note_that_was_lost_is_no_other_text_later(lead: Worker, cut: Cut) -> None:
    share(lead, "plan", "one")
    cut()

    after = share(lead, "plan", "another two")

    assert after == NUMBER + 2
    assert share(lead, "plan", "three") == NUMBER + 3
    with pytest.raises(ConflictError, match="version"):
        share(lead, "plan", "by one who read the lost two", expect_version=2)


def test_no_worker_gets_a_name_that_was_lost(project: Project, cut: Cut) -> None:
    before = project.join(role="blue")
    cut()

    after = project.join(role="blue")

    assert (before.name, after.name) == ("blue-1", f"blue-{NUMBER + 2}")


# --- whoever holds what was lost --------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["progress", "report", "reserve"])
def test_the_holder_of_a_lost_attempt_learns_what_happened_and_what_to_do(
    project: Project, lead: Worker, cut: Cut, call: str
) -> None:
    task = lead.create()
    cut()
    worker = project.join()

    with pytest.raises(NotFoundError) as refused:
        getattr(worker, call)(f"{task}.7", *{"reserve": ["src"]}.get(call, []))

    assert refused.value.message == (
        f"{task}.7 is not in the log any more. The machine went down before the log's last moments were on its disk "
        "(durability is fast): they are lost, and all before them is kept. Your files are as you left them. Claim "
        f"{task} again with claim_task(task='{task}'), and report with the attempt that it answers."
    )
    assert worker.report(worker.take(task=task))["state"] == "completed"


def test_the_holder_of_a_lost_attempt_learns_who_works_on_it_now(project: Project, lead: Worker, cut: Cut) -> None:
    task = lead.create()
    cut()
    other = project.join()
    now = other.take()

    with pytest.raises(NotFoundError, match=f"{other.name} works on it as {now} now") as refused:
        project.join().report(f"{task}.1")
    with pytest.raises(StaleAttemptError, match=f"{now} began since"):
        project.join().progress(f"{task}.1")
    assert "stop" in refused.value.message


def test_the_holder_of_a_lost_attempt_learns_that_its_task_is_over(project: Project, lead: Worker, cut: Cut) -> None:
    task = lead.create()
    cut()
    lead.cancel(task=task)

    with pytest.raises(NotFoundError, match=f"{task} is cancelled now: stop working on it"):
        project.join().report(f"{task}.1")


def test_a_number_that_no_tail_can_have_held_is_still_none(project: Project, lead: Worker, cut: Cut) -> None:
    task = lead.create()

    with pytest.raises(NotFoundError, match=f"^There is no attempt {task}.1. claim_task answers yours.$"):
        project.join().report(f"{task}.1")
    cut()
    with pytest.raises(NotFoundError, match=f"^There is no attempt {task}.{NUMBER + 1}. claim_task answers yours.$"):
        project.join().report(f"{task}.{NUMBER + 1}")


@pytest.mark.parametrize("handle", ["task", "run"])
def test_whoever_asks_for_a_lost_task_or_run_learns_that_it_may_be_lost(lead: Worker, cut: Cut, handle: str) -> None:
    cut()

    with pytest.raises(
        NotFoundError, match=f"There is no {handle} {handle[0]}7. The machine went down .* make it again"
    ):
        lead.cancel(**{handle: f"{handle[0]}7"})


@pytest.mark.parametrize(
    ("backup", "what"),
    [(None, "The log was damaged and has been repaired"), ("b1", "The operator put the log back to")],
)
def test_the_newest_loss_is_what_happened(
    project: Project, lead: Worker, cut: Cut, backup: str | None, what: str
) -> None:
    task = lead.create()
    cut()
    with project.store.writing(actor="operator", causation="repair") as tx:
        tx.append("log", [LogSalvaged(holes=(f"{task} from 2",), backup=backup)])

    with pytest.raises(NotFoundError, match=f"^{task}.1 is not in the log any more. {what}"):
        project.join().progress(f"{task}.1")


# --- a rescued attempt that comes back --------------------------------------------------------------------------------


def test_an_attempt_rescued_before_the_cut_does_not_come_back_since_a_next_one_may_have_begun(
    project: Project, lead: Worker, cut: Cut
) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    project.kill_client(worker)
    project.sweep()
    cut()

    with pytest.raises(StaleAttemptError):
        worker.progress(attempt)
    with pytest.raises(StaleAttemptError, match="it is kept for the lead to look at"):
        worker.report(attempt)

    assert project.state(task) == "ready"
    assert project.kinds(task)[-1] == "ResultSuperseded"


def test_an_attempt_rescued_after_the_cut_comes_back(project: Project, lead: Worker, cut: Cut) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    cut()
    project.sweep()

    worker.progress(attempt)

    assert project.state(task) == "running"
    assert project.kinds(task)[-2:] == ["AttemptRescued", "AttemptResumed"]


# --- when the file says so --------------------------------------------------------------------------------------------


class File:
    """A log that is opened in one boot after another."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.path = folder / "events.db"
        self.opened: list[SqliteStore] = []

    def open(self, durability: Durability) -> SqliteStore:
        self.opened.append(SqliteStore(self.path, self.clock, durability=durability))
        return self.opened[-1]

    def said(self) -> list[Recorded]:
        with self.opened[-1].reading() as view:
            return view.events(stream="log")

    def told(self, store: SqliteStore) -> int:
        with store.reading() as view:
            return len(view.events(stream="log"))

    def reboot(self) -> None:
        while self.opened:
            self.opened.pop().close()
        self.clock.reboot()


def write(store: SqliteStore) -> None:
    with store.writing(actor="operator", causation="test") as tx:
        tx.new_worker("blue")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    made = File(tmp_path)
    yield made
    made.reboot()


@pytest.mark.parametrize("next_one", ["full", "fast"])
def test_a_boot_in_which_commits_were_not_synced_is_told_of_in_the_next(file: File, next_one: Durability) -> None:
    file.open("fast")
    file.reboot()

    file.open(next_one)

    assert [(each.event, each.position) for each in file.said()] == [(LogReopened(boot="boot-1"), TASK + 1)]


@pytest.mark.parametrize("others", [["full"], ["full", "full"]])
def test_a_log_whose_commits_are_synced_loses_no_tail(file: File, others: list[Durability]) -> None:
    for each in others:
        file.open(each)
    file.reboot()
    file.open("fast")

    assert file.said() == []


def test_whoever_syncs_does_not_make_it_forgotten_that_others_do_not(file: File) -> None:
    file.open("fast")
    file.open("full")
    file.open("full")
    before = file.said()
    file.reboot()

    file.open("full")

    assert (len(before), len(file.said())) == (0, 1)


def test_a_boot_in_which_all_was_synced_again_is_not_told_of(file: File) -> None:
    file.open("fast")
    file.reboot()
    file.open("full")
    file.reboot()
    file.open("full")

    assert len(file.said()) == 1


@pytest.mark.parametrize("other", ["full", "fast"])
def test_two_that_give_one_boot_different_names_take_no_turns_in_telling(file: File, other: Durability) -> None:
    server = file.open("fast")
    for _ in range(5):
        file.clock.boot = "sandbox"
        file.open(other).close()
        file.clock.boot = "boot-1"
        write(server)
        file.open("fast").close()
    told = file.told(server)
    file.reboot()
    file.open("full")

    assert (told, len(file.said())) == (1, 2)


def test_of_many_names_of_one_boot_the_newest_are_known(file: File) -> None:
    for number in range(100):
        file.clock.boot = f"boot-{number}"
        file.open("fast").close()

    with closing(apsw.Connection(str(file.path))) as connection:
        ((noted,),) = connection.execute("select boot from log").fetchall()
    assert noted.endswith("boot-98 boot-99")
    assert len(noted) < 100


def test_several_that_open_it_at_once_say_it_once(file: File) -> None:
    file.open("fast")
    file.reboot()

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(file.open, ["full", "fast"] * 4):
            pass

    assert len(file.said()) == 1


def test_a_disk_that_refuses_the_word_about_a_lost_tail_refuses_the_log(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.open("fast")
    file.reboot()

    with monkeypatch.context() as patch:
        patch.setattr(tail, "append", _full)
        with pytest.raises(StoreUnavailableError, match="is full, so nothing was changed"):
            file.open("fast")
    file.open("fast")

    assert len(file.said()) == 1


def _full(*_: object, **__: object) -> None:
    raise apsw.FullError


def test_no_reader_stands_above_what_comes_after_a_lost_tail(file: File) -> None:
    project = Project(file.open("fast"), file.clock)
    project.join().create()
    with project.store.reading() as view:
        last = view.position()
    file.reboot()

    with file.open("fast").reading() as view:
        assert [each.position for each in view.events(after=last)] == [last + TASK + 1]


def test_a_repair_that_lost_nothing_is_not_what_became_of_a_task_that_never_was(project: Project, lead: Worker) -> None:
    with project.store.writing(actor="operator", causation="repair") as tx:
        tx.append("log", [LogSalvaged(holes=())])

    with pytest.raises(NotFoundError, match="There is no task t7") as refused:
        lead.cancel(task="t7")

    assert "lost" not in refused.value.message
