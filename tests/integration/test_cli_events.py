"""`trichrome events`: the log, one event a line."""

import datetime as dt
import json
import signal
from pathlib import Path

import pytest
from tests.support.commands import BOUND, Shell


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
    assert {each["actor"] for each in events} == {"operator", "tester"}
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


def test_people_read_sentences(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.claim(name)

    last = shell.run("events").out.splitlines()[-1]

    assert last.split(maxsplit=3)[2:] == ["t1", "blue-1 claimed it as t1.1"]
