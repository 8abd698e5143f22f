"""Real servers with real clients while one of them is killed again and again, now a server, now its client.

Every task is completed exactly once, nothing that was acknowledged is lost, an attempt of a live client survives its
server, and the views equal a rebuild. A client is a process of its own: it starts its server, claims and reports, and
writes down what was acknowledged before it goes on; when its server dies, it starts another and goes on.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support import soak_client
from tests.support.servers import TRICHROME, Server, ending, environment, eventually

from trichrome.bootstrap import open_project
from trichrome.domain.events import AttemptRescued, TaskCompleted
from trichrome.store.port import Recorded

CLIENT = [sys.executable, str(Path(soak_client.__file__)), *TRICHROME]


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that was killed, when, and the attempt its client held as far as it had said."""

    what: str
    at: float
    held: str | None


@dataclass(slots=True)
class Crew:
    """Clients at work; a killed one is replaced."""

    project: Path
    size: int
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    notes: list[Path] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)

    def fill(self) -> None:
        """Start clients until the crew is whole."""
        while len(self.running) < self.size:
            notes = self.project / f"client-{len(self.notes)}.jsonl"
            with notes.open("wb") as file:
                self.running[len(self.notes)] = subprocess.Popen(
                    [*CLIENT], stdout=file, env=environment(self.project), cwd=self.project
                )
            self.notes.append(notes)

    def kill(self, chance: random.Random, what: str) -> None:
        """Kill one client, or one server, in the middle of a task."""
        eventually(self.at_work)
        number = chance.choice(self.at_work() or list(self.running))
        client = self.running[number]
        if what == "client":
            client.kill()
            at = time.time()
            client.wait()
            del self.running[number]
        else:
            at = time.time()
            with contextlib.suppress(psutil.Error):
                for server in psutil.Process(client.pid).children():
                    server.kill()
        self.kills.append(Kill(what, at, self.held(number)))

    def at_work(self) -> list[int]:
        """The clients that hold an attempt; all of them when none does any more because all is done."""
        return list(self.running) if self.is_done() else [number for number in self.running if self.held(number)]

    def held(self, number: int) -> str | None:
        """The attempt that a client had claimed and not reported."""
        last = self.said(number)[-1:]
        return last[0].get("claimed") if last else None

    def said(self, number: int) -> list[dict[str, Any]]:
        """What a client wrote down; a line that its death cut short was not said."""
        lines = self.notes[number].read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """End them all."""
        for client in self.running.values():
            client.kill()
            client.wait()

    def is_done(self) -> bool:
        """Whether every client found nothing more to do."""
        return all(client.poll() is not None for client in self.running.values())


def kill_servers_and_clients(
    project: Path, *, clients: int, tasks: int, every_seconds: float, kills: int
) -> dict[str, Any]:
    """Have clients work while one is killed again and again; check all that must hold, and answer figures."""
    chance = random.Random(7)
    with ending() as start:
        lead: Server = start(project, variables={"TRICHROME_WORKER": "lead"})
        for first in range(0, tasks, 100):
            batch = [
                {"kind": "search", "instructions": f"task {n}", "max_attempts": 1000}
                for n in range(first, min(first + 100, tasks))
            ]
            lead.call("create_task", tasks=batch)
        crew = Crew(project, clients)
        began = time.monotonic()
        try:
            crew.fill()
            for turn in range(kills):
                time.sleep(every_seconds)  # the rhythm of the kills is the experiment
                crew.kill(chance, ("server", "client")[turn % 2])
                crew.fill()
            deadline = time.monotonic() + 120
            while not crew.is_done():
                assert time.monotonic() < deadline, "the clients did not come to an end"
                time.sleep(0.05)
        finally:
            crew.end()
        seconds = round(time.monotonic() - began, 1)
        listed: list[dict[str, Any]] = []
        while True:
            page = lead.call("list_tasks", limit=500, **({"after": listed[-1]["id"]} if listed else {}))
            listed += page["tasks"]
            if "after" not in page:
                break
    return {"seconds": seconds, **_checked(project, crew, listed, tasks)}


def _checked(project: Path, crew: Crew, listed: list[dict[str, Any]], tasks: int) -> dict[str, Any]:
    said = [each for number in range(len(crew.notes)) for each in crew.said(number)]
    reported = [each for each in said if "acknowledged" in each]
    events, differences = _log(project)
    completed = Counter(each.stream for each in events if isinstance(each.event, TaskCompleted))
    rescued = {f"{each.stream}.{each.event.attempt}": each for each in events if isinstance(each.event, AttemptRescued)}
    by_client = {held for kill in crew.kills if kill.what == "client" and (held := kill.held)}

    assert [task["state"] for task in listed] == ["completed"] * tasks
    summaries = {task["id"]: task["summary"] for task in listed}
    assert completed == Counter({task["id"]: 1 for task in listed}), "each task is completed exactly once"
    for each in reported:
        task = each["acknowledged"].partition(".")[0]
        assert summaries[task] == each["summary"], f"the result of {task} was acknowledged and is lost"
    assert not [each for each in said if "refused" in each], "a worker that lived was told that its attempt is over"
    assert set(rescued) <= by_client, "an attempt was taken from a live client"
    assert differences == []
    waited = [
        rescued[kill.held].recorded_at - kill.at
        for kill in crew.kills
        if kill.what == "client" and kill.held in rescued
    ]
    return {
        "tasks": tasks,
        "servers killed": sum(kill.what == "server" for kill in crew.kills),
        "clients killed": sum(kill.what == "client" for kill in crew.kills),
        "attempts rescued": len(rescued),
        "attempts resumed by the next server": sum(bool(each.get("resumed")) for each in said),
        "rescue p50": percentile(waited, 0.5),
        "rescue p99": percentile(waited, 0.99),
    }


def _log(project: Path) -> tuple[list[Recorded], list[str]]:
    """The whole log, and where the views differ from a rebuild."""
    opened = open_project(project)
    try:
        with opened.coordinator.store.reading() as view:
            events = view.events(limit=10**9)
        return events, opened.coordinator.store.differences()
    finally:
        opened.close()


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else 0.0


def test_killed_servers_and_clients_lose_nothing_and_free_only_what_dead_clients_held(tmp_path: Path) -> None:
    figures = kill_servers_and_clients(tmp_path, clients=4, tasks=80, every_seconds=0.8, kills=8)

    # Which of the two happens in so few kills is chance: a client may be killed before its next server is up.
    assert figures["attempts rescued"] + figures["attempts resumed by the next server"]
    assert figures["rescue p99"] < 5


@pytest.mark.soak
def test_killed_servers_and_clients_lose_nothing_in_minutes(tmp_path: Path) -> None:
    figures = kill_servers_and_clients(tmp_path, clients=6, tasks=3000, every_seconds=3, kills=40)

    print(json.dumps(figures, indent=1))  # noqa: T201 - figures are what a soak is for
    assert figures["attempts rescued"]
    assert figures["attempts resumed by the next server"]
    assert figures["rescue p99"] < 3
