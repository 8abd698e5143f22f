"""`trichrome workers`: supervised ones and those that connected by themselves, in one list."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import Shell
from tests.support.fleets import NOON, fleet_of, worker

from trichrome.coordinator import supervision
from trichrome.supervisor import control


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@contextmanager
def kept(shell: Shell, *workers: dict[str, Any], **more: Any) -> Iterator[None]:
    """Be a supervisor with such a fleet."""
    with shell.project() as project, control.alone(project.coordinator, project.data):
        supervision.put_fleet(project.coordinator, fleet_of(*workers, **more))
        yield


def test_without_a_supervisor_it_says_how_to_start_one(shell: Shell) -> None:
    ended = shell.run("workers")

    assert (ended.code, ended.out) == (0, "")
    assert "No worker is connected." in ended.err
    assert "`trichrome start`" in ended.err
    assert shell.json("workers") == {"workers": []}


def test_each_supervised_worker_is_told_with_what_keeps_it(shell: Shell) -> None:
    until = NOON + 7_500
    idle = worker("blue-1", "idle", cost_usd=0.25, failures=1, transcript="/home/me/1.jsonl")
    parked = worker("green-1", "parked", task="t9", reason="the usage limit is reached", until=until)

    with kept(shell, idle, parked, cost_usd=0.25):
        answer = shell.json("workers")
        lines = shell.run("workers").out.splitlines()

    blue, green = answer["workers"]
    assert answer["supervisor"]["runner"] == "claude"
    assert (answer["supervisor"]["cost_usd"], answer["supervisor"]["stopping"]) == (0.25, False)
    assert {**blue, "since_seconds": 0} == {
        "worker": "blue-1",
        "role": "blue",
        "state": "idle",
        "supervised": True,
        "since_seconds": 0,
        "cost_usd": 0.25,
        "failures": 1,
        "log": ".trichrome/logs/blue-1.log",
        "transcript": "/home/me/1.jsonl",
    }
    assert (green["state"], green["task"], green["until"]) == ("parked", "t9", "2026-01-01T14:05:00+00:00")
    local = dt.datetime.fromtimestamp(until).astimezone()
    assert lines[0].startswith("Supervisor: process ")
    assert "$0.25" in lines[1]
    assert f"until {local:%d %b %H:%M}: the usage limit is reached" in lines[2]


def test_what_is_seen_of_a_worker_at_work_says_more_than_its_supervisor(shell: Shell) -> None:
    (task,) = shell.create("a")
    attempt = shell.claim(task, by="blue-1")
    with shell.project() as project, project.coordinator.store.reading() as view:
        (name,) = [each.name for each in view.workers() if each.name != "operator"]

    with kept(shell, worker(name, "working", task=task), worker("blue-9", "starting", task="t7")):
        held, starting = shell.json("workers")["workers"]

    assert (held["worker"], held["attempt"], held["task"]) == (name, attempt, task)
    assert held["state"] != "idle"
    assert held["supervised"]
    assert held["why"]
    assert (starting["state"], starting["task"]) == ("starting", "t7")


def test_workers_that_connected_by_themselves_are_in_the_same_list(shell: Shell) -> None:
    (task,) = shell.create("a")
    shell.claim(task)

    with kept(shell, worker("blue-7", "idle")):
        told = [(line["worker"], line["supervised"]) for line in shell.json("workers")["workers"]]

    assert told == [("blue-7", True), ("blue-1", False)]


@pytest.mark.parametrize("alive", [True, False], ids=["its number belongs to another process", "its number is free"])
def test_the_workers_of_a_supervisor_that_died_are_gone_and_it_says_so(shell: Shell, *, alive: bool) -> None:
    with kept(shell, worker("blue-1", "working"), alive=alive):
        pass

    ended = shell.run("workers")

    assert shell.json("workers") == {"died": True, "workers": []}
    assert "The supervisor has died; `trichrome start` puts in order what it left." in ended.err


def test_the_workers_of_a_supervisor_are_there_wherever_it_says_that_it_runs(shell: Shell) -> None:
    with kept(shell, worker("blue-1", "idle"), alive=False):
        found = shell.json("workers")

    assert [line["worker"] for line in found["workers"]] == ["blue-1"]
    assert "died" not in found


def test_what_agents_said_is_one_harmless_line(shell: Shell) -> None:
    with kept(shell, worker("blue-1", "parked", reason="it said \x1b[2Ja\nb")):
        lines = shell.run("workers").out.splitlines()

    assert len(lines) == 2
    assert lines[1].endswith("it said [2Ja b")
