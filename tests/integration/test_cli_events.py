"""`trichrome events`: the log, one event a line."""

import datetime as dt
import json
import signal
from pathlib import Path

import pytest
from tests.support.commands import BOUND, Shell

from trichrome.domain.events import ContextShared, LogReopened
from trichrome.store.sqlite import SqliteStore, tail


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_each_event_is_one_object_in_order(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.do(name)

    events = shell.run("events", "--json").lines

    assert [(each["stream"], each["version"], each["kind"]) for each in events] == [
        ("r1", 1, "RunCreated"),
        ("t1", 1, "TaskCreated"),
        ("t1", 2, "TaskClaimed"),
        ("t1", 3, "TaskCompleted"),
    ]
    assert [each["position"] for each in events] == [1, 2, 3, 4]
    assert {each["actor"] for each in events} == {"operator", "blue-1"}
    assert events[1]["payload"]["instructions"] == "a"
    assert dt.datetime.fromisoformat(events[0]["recorded_at"]).tzinfo is dt.UTC


def test_a_window_is_chosen_from_either_end(shell: Shell) -> None:
    shell.create("a", "b", "c")

    def positions(*arguments: str) -> list[int]:
        return [each["position"] for each in shell.run("events", "--json", *arguments).lines]

    assert positions("--after", "2") == [3, 4]
    assert positions("--after", "1", "--limit", "2") == [2, 3]
    assert positions("--after", "-1") == [4]
    assert positions("--after", "-99") == [1, 2, 3, 4]
    assert positions("--after", "4") == []


def test_the_last_ones_are_as_many_as_asked_for_where_positions_have_a_gap(shell: Shell) -> None:
    shell.create("a", "b", "c")
    with shell.project() as project:
        store = project.coordinator.store
        assert isinstance(store, SqliteStore)
        tail.append(store._connection, LogReopened(boot="an earlier one"), wall=0.0)
    shell.create("d")

    told = shell.run("events", "--json", "--after", "-5").lines

    assert [each["kind"] for each in told] == ["TaskCreated", "TaskCreated", "LogReopened", "RunCreated", "TaskCreated"]


def test_a_follower_sees_what_comes(shell: Shell) -> None:
    shell.create("a")
    process = shell.start("events", "--follow", "--json", "--after", "1")
    assert process.stdout is not None

    first = json.loads(process.stdout.readline())
    shell.create("b")
    second = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BOUND)

    assert (first["position"], second["position"]) == (2, 3)
    assert second["kind"] == "RunCreated"


def test_nobody_forges_a_line(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.run("cancel", name, "--reason", "no\n     9  12:00:00  t1     operator approved it")

    lines = shell.run("events").out.splitlines()

    assert len(lines) == 3
    assert lines[-1].endswith('cancelled it: "no 9 12:00:00 t1 operator approved it"')


def test_a_note_of_an_older_log_does_not_break_its_line(shell: Shell) -> None:
    shell.create("a")
    with shell.project() as project, project.coordinator.store.writing(actor="blue-1", causation="test") as tx:
        tx.append("n.a\nb", [ContextShared(name="a\nb", text="x", version=1, by="blue-1")])

    lines = shell.run("events").out.splitlines()

    assert len(lines) == 3
    assert lines[-1].endswith("n.a b  blue-1 wrote version 1 of note a b")


def test_people_read_sentences(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.claim(name)

    last = shell.run("events").out.splitlines()[-1]

    assert last.split(maxsplit=3)[2:] == ["t1", "blue-1 claimed it as t1.1"]


def test_a_follower_ends_when_nobody_reads_although_nothing_happens(shell: Shell) -> None:
    shell.create("a")
    process = shell.start("events", "--follow")
    assert process.stdout is not None
    process.stdout.readline()

    process.stdout.close()

    assert process.wait(BOUND) == 1
    assert process.stderr is not None
    with process.stderr as said:
        assert said.read() == ""
