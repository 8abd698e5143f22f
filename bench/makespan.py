"""Workers at work

`trichrome start` turns twelve independent searches into results: with the real `claude` binary, and a model that is
scripted and takes one second for each reply. Each task is a session of its own, in a clean context: the program starts,
claims, reads a file, reports, and says a last word. Timed is the command, from its start to the last result.

The ideal is what no supervisor can beat on this machine: as many such sessions as there are workers, started by hand at
one moment, none of which waits for anything but its model and its processor; as often as the tasks need rounds. Beside
it stands the model's own time, four replies a task, which a machine with a core for each session would come near to.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.support.claude import Claude, binary
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

from bench.measure import Aim, Figure, Scale, Spread, Taken, ratio
from bench.place import project, scratch
from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain.drafts import Draft
from trichrome.roles import load_roles
from trichrome.runners.claude_code import ClaudeCodeRunner
from trichrome.runners.port import Assignment

DELAY_SECONDS: Final = 1.0
"""What each reply of the model takes."""
REPLIES: Final = 4
"""A claim, a look at a file, a report, a last word."""
LIMIT_SECONDS: Final = 240.0
TRICHROME: Final = [sys.executable, "-m", "trichrome"]
FILE: Final = "notes.md"


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    os.environ["TRICHROME_CLAUDE"] = str(binary())  # a family has a process of its own
    count, workers, rounds = scale.of(12, 2), scale.of(4, 2), scale.of(3, 1)
    with MessagesApi(_script) as api:
        ideal, team = [], []
        for _ in range(rounds):
            ideal.append(_by_hand(api.url, workers) * count / workers)
            team.append(_makespan(api.url, count, workers))
        alone = [_makespan(api.url, count, 1)] * rounds
    says = f"{count} tasks, {workers} workers, {DELAY_SECONDS:g} s a reply: from `trichrome start` to the last result"
    seconds = Spread.of(team)
    model = [count / workers * REPLIES * DELAY_SECONDS] * rounds
    taken.add(
        Figure(
            "makespan.ideal",
            f"{says}; the ideal against it",
            "s",
            Spread.of(ideal),
            seconds,
            "the team",
            ratio(ideal, team),
            aim=Aim("at least", 0.85),
            note=f"{workers} sessions by hand at one moment, times {count / workers:g}",
        )
    )
    taken.add(
        Figure(
            "makespan.one",
            f"{count} tasks, one worker, against {workers}",
            "s",
            Spread.of(alone),
            seconds,
            "the team",
            ratio(alone, team),
            aim=Aim("at least", 3 if workers == 4 else 1),
        )
    )
    taken.add(Figure("makespan.model", says, "s", seconds, Spread.of(model), "the model's time", ratio(team, model)))
    return taken


def _script(request: Request) -> Reply:
    time.sleep(DELAY_SECONDS)
    said = "\n".join(request.prompts)
    if not (claims := request.results_of("claim_task")):
        return call("claim_task", {"task": _found(r'claim_task\(task="(t\d+)"\)', said)})
    if not request.results_of("Read"):
        folder = _found(r"You work in (.+?)\. ", said)
        return call("Read", {"file_path": f"{folder}/{FILE}"})
    if not request.results_of("report_result"):
        return call("report_result", {"attempt": claims[-1]["attempt"], "outcome": "completed", "summary": "Found it."})
    return say("Done.")


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]


def _environment(folder: Path, url: str) -> dict[str, str]:
    """All that the program and its servers see of this machine."""
    claude = Claude(home=folder / "home", folder=folder, api_url=url)
    return claude.environment() | {"TRICHROME_CLAUDE": str(binary())}


def _begun(folder: Path, count: int) -> list[str]:
    """A project with so many tasks that wait."""
    (folder / FILE).write_text("The answer is on this line.\n", encoding="utf-8")
    with project(folder=folder) as opened:
        drafts = [
            Draft(kind="search", instructions=f"Find out what number {number} is about.") for number in range(count)
        ]
        return [task["id"] for task in tasks.create(opened.coordinator, OPERATOR, drafts)["tasks"]]


def _makespan(url: str, count: int, workers: int) -> float:
    """Seconds from the start of the command to the last result."""
    with scratch() as folder:
        _begun(folder, count)
        begin = time.time()
        subprocess.run(
            [*TRICHROME, "start", "--runner=claude", "--until-idle", f"--blue={workers}", "--green=0", "--red=0"],
            cwd=folder,
            env=_environment(folder, url) | {"TRICHROME_HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=LIMIT_SECONDS,
        )
        with project(folder=folder) as opened, opened.coordinator.store.reading() as view:
            ends = [each.recorded_at for each in view.events(after=0, limit=100_000) if _is_end(each.event)]
        assert len(ends) == count
        return max(ends) - begin


def _is_end(event: object) -> bool:
    return type(event).__name__ == "TaskCompleted"


def _by_hand(url: str, workers: int) -> float:
    """Seconds from the start of so many sessions at one moment to the last result, with nobody who looks after them."""
    role = load_roles().read("blue")
    with scratch() as folder:
        names = _begun(folder, workers)
        environment = _environment(folder, url)
        begin = time.time()
        running = []
        for number, task in enumerate(names):
            own = folder / "sessions" / str(number)
            own.mkdir(parents=True)
            identity = {"TRICHROME_HOME": str(folder), "TRICHROME_WORKER": f"blue-{number}", "TRICHROME_ROLE": "blue"}
            launch = ClaudeCodeRunner().launch(Assignment(f"blue-{number}", role, task, folder, own, identity))
            running.append(
                subprocess.Popen(
                    launch.command,
                    cwd=folder,
                    env={**environment, **launch.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            )
        for process in running:
            assert process.wait(LIMIT_SECONDS) == 0
        with project(folder=folder) as opened, opened.coordinator.store.reading() as view:
            ends = [each.recorded_at for each in view.events(after=0, limit=100_000) if _is_end(each.event)]
        assert len(ends) == workers
        return max(ends) - begin
