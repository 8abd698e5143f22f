"""What hooks of the real Claude Code tell through the tool that no list shows, and how others see the worker by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import Claude
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

from trichrome.bootstrap import open_project
from trichrome.coordinator import OPERATOR, queries, tasks
from trichrome.domain.drafts import Draft
from trichrome.domain.outputs import SERVER
from trichrome.hooks import FOLDER
from trichrome.hooks.table import hooks

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 30.0
"""Seconds for something that takes a few."""

COMMAND = "touch asked; while [ ! -e go ]; do sleep 0.1; done"
"""One that Claude Code asks a person about: it changes something."""


class House:
    """A project with one task, and a worker with hooks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self._home = folder / "home"
        self.project = open_project(self.folder)
        tasks.create(self.project.coordinator, OPERATOR, [Draft(kind="search", instructions="look")])

    def claude(self, api: MessagesApi, *allowed: str) -> Claude:
        return Claude(
            home=self._home,
            folder=self.folder,
            api_url=api.url,
            servers={"trichrome": {"command": "trichrome", "args": ["mcp"]}},
            allowed=["mcp__trichrome__*", *allowed],
            env={"TRICHROME_HOME": str(self.folder), "TRICHROME_ROLE": "blue"},
            settings={"hooks": hooks(SERVER, str(FOLDER))},
        )

    def line(self) -> Any:
        """The worker as `trichrome status` shows it."""
        found = [each for each in queries.status(self.project.coordinator)["workers"] if each.get("attempt")]
        return found[0] if found else {"state": None}

    def await_state(self, state: str) -> Any:
        deadline = time.monotonic() + MOMENT
        while (line := self.line())["state"] != state:
            assert time.monotonic() < deadline, f"it is {line}"
            time.sleep(0.05)
        return line


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.project.close()


def worker(*, reports: bool) -> Callable[[Request], Reply]:
    """Claim, run a command until there is a file named `go`, then report, or forget to."""

    def script(request: Request) -> Reply:
        claims = request.results_of("claim_task")
        if not claims:
            return call("claim_task", {})
        if not request.results_of("Bash"):
            return call("Bash", {"command": COMMAND, "description": "wait"})
        if not reports or request.results_of("report_result"):
            return say("done")
        return call("report_result", {"attempt": claims[0]["attempt"], "outcome": "completed", "summary": "x"})

    return script


def test_tool_of_a_headless_worker_shows_while_it_runs_and_the_worker_reports(house: House) -> None:
    with MessagesApi(worker(reports=True)) as api, house.claude(api, "Bash").start("go") as session:
        running = house.await_state("tool_running")
        (house.folder / "go").touch()
        answer = session.wait()

    assert running["why"].startswith("Bash runs for ")
    assert answer.text == "done"
    assert queries.task_detail(house.project.coordinator, "t1")["state"] == "completed"


def test_permission_prompt_and_a_turn_that_ends_without_a_report_show_and_the_answer_does(house: House) -> None:
    with MessagesApi(worker(reports=False)) as api, house.claude(api).open("go") as terminal:
        asking = house.await_state("waiting_for_human")
        with house.project.coordinator.store.reading() as view:
            (still,) = view.live_attempts()
            transcripts = [Path(sign.detail) for sign in view.signs() if sign.kind == "transcript"]
        (house.folder / "go").touch()
        terminal.press_enter()
        forgot = house.await_state("idle")
        with house.project.coordinator.store.reading() as view:
            (runs_on,) = view.live_attempts()

    assert asking["why"].startswith("a permission prompt for Bash is open for ")
    assert still.ceiling_in is None, "its time stands still"
    assert [path.suffix for path in transcripts] == [".jsonl"]
    assert transcripts[0].exists()
    assert forgot["why"].endswith("ago without a report on t1.1")
    assert runs_on.ceiling_in is not None


def test_refusal_without_anybody_to_ask_is_no_prompt_that_stays_open(house: House) -> None:
    with MessagesApi(worker(reports=True)) as api:
        answer = house.claude(api).run("go")

    assert [denial["tool_name"] for denial in answer.result["permission_denials"]] == ["Bash"]
    assert queries.task_detail(house.project.coordinator, "t1")["state"] == "completed"
