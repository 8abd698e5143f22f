"""One session of the real Claude Code with our hooks: its lead and its subagents are workers of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import Claude
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

from trichrome.bootstrap import open_project
from trichrome.coordinator import queries
from trichrome.domain.ids import TaskId
from trichrome.domain.outputs import SERVER
from trichrome.hooks import FOLDER
from trichrome.hooks.table import hooks
from trichrome.roles import load_roles

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 30.0
"""Seconds for something that takes a few."""
PLAN = [{"kind": "search", "instructions": f"look for {what}"} for what in ("words", "files", "tests")]


class House:
    """A project whose Claude has our server, our subagents and our hooks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self._home = folder / "home"
        self.project = open_project(self.folder)

    def claude(self, api: MessagesApi) -> Claude:
        return Claude(
            home=self._home,
            folder=self.folder,
            api_url=api.url,
            servers={"trichrome": {"command": "trichrome", "args": ["mcp"]}},
            allowed=["mcp__trichrome__*"],
            env={"TRICHROME_HOME": str(self.folder)},
            settings={"hooks": hooks(SERVER, str(FOLDER))},
            agents={"blue": _blue()},
        )

    def task(self, task: str) -> Any:
        return queries.task_detail(self.project.coordinator, task)

    def lead(self) -> str:
        """Who leads the run."""
        known = self.holders()
        with self.project.coordinator.store.reading() as view:
            (run,) = {task.run for each in known if (task := view.task(TaskId(each))) is not None}
            state = view.run(run)
        return state.lead if state is not None else ""

    def holders(self) -> dict[str, list[str]]:
        """Who tried each task."""
        tasks = queries.page(self.project.coordinator)["tasks"]
        return {each["id"]: [tried["worker"] for tried in self.task(each["id"])["attempts"]] for each in tasks}


def _blue() -> dict[str, Any]:
    read = load_roles().read("blue")
    tools = list(read.tools or ())
    return {"description": read.description, "prompt": read.prompt, "model": read.model, "tools": tools}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.project.close()


def lead(request: Request, *, workers: int) -> Reply:
    """Plan, start subagents, wait until all is over, merge."""
    if not request.results_of("create_task"):
        return call("create_task", {"tasks": PLAN[:workers]})
    started = [tool for tool in request.calls.values() if tool == "Agent"]
    if not started:
        asked = {"description": "a worker", "prompt": "Work.", "subagent_type": "blue"}
        return sum((call("Agent", asked) for _ in range(workers - 1)), call("Agent", asked))
    waited = request.results_of("wait")
    if waited and waited[-1]["done"]:
        return say(f"merged {len(waited[-1]['changed'])}")
    return call("wait", {"wait_seconds": 30, "cursor": waited[-1]["cursor"]} if waited else {"wait_seconds": 30})


def report(request: Request) -> Reply:
    attempt = request.results_of("claim_task")[0]["attempt"]
    return call("report_result", {"attempt": attempt, "outcome": "completed", "summary": f"found for {attempt}"})


def test_three_subagents_claim_three_tasks_at_the_same_time_and_the_lead_merges(house: House) -> None:
    together = threading.Barrier(3, timeout=MOMENT)

    def script(request: Request) -> Reply:
        if not request.agent:
            return lead(request, workers=3)
        if not request.results_of("claim_task"):
            return call("claim_task", {"role": "blue"})
        if not request.results_of("report_result"):
            together.wait()  # all three hold a task now
            return report(request)
        return say("done")

    with MessagesApi(script) as api:
        answer = house.claude(api).run("Find words, files and tests.")

    holders = house.holders()
    assert answer.text.startswith("merged")
    assert {house.task(each)["state"] for each in holders} == {"completed"}
    assert sorted(holders.values()) == [["blue-1"], ["blue-2"], ["blue-3"]]
    assert house.lead() == "lead-1"


def test_subagent_that_forgets_its_report_is_asked_for_it(house: House) -> None:
    def script(request: Request) -> Reply:
        if not request.agent:
            return lead(request, workers=1)
        if not request.results_of("claim_task"):
            return call("claim_task", {"role": "blue"})
        if request.results_of("report_result"):
            return say("done")
        asked = [prompt for prompt in request.prompts if "report_result(attempt=" in prompt]
        return report(request) if asked else say("all found")

    with MessagesApi(script) as api:
        house.claude(api).run("Find words.")

    assert house.task("t1")["state"] == "completed"
    assert house.holders() == {"t1": ["blue-1"]}


def test_task_of_a_subagent_that_never_reports_goes_to_another(house: House) -> None:
    def script(request: Request) -> Reply:
        if request.agent:
            return silent_first(request)
        if request.notices and not request.results_of("wait"):
            again = {"description": "another", "prompt": "Work.", "subagent_type": "blue"}
            if sum(tool == "Agent" for tool in request.calls.values()) < 2:
                return call("Agent", again)
        if not request.results_of("create_task") or "Agent" not in request.calls.values():
            return lead(request, workers=1)
        if sum(tool == "Agent" for tool in request.calls.values()) < 2:
            return say("waiting for the subagent")
        return lead(request, workers=1)

    first: list[str] = []

    def silent_first(request: Request) -> Reply:
        if not request.results_of("claim_task"):
            first.append(request.agent)
            return call("claim_task", {"role": "blue"})
        if request.agent == first[0] or request.results_of("report_result"):
            return say("done")
        return report(request)

    with MessagesApi(script) as api:
        house.claude(api).run("Find words.")

    task = house.task("t1")
    assert task["state"] == "completed"
    assert [(each["worker"], each["state"]) for each in task["attempts"]] == [
        ("blue-1", "rescued"),
        ("blue-2", "completed"),
    ]


def run(house: House, script: Callable[[Request], Reply], *words: str) -> tuple[Any, list[Request]]:
    """A headless session with more words on its command line."""
    from tests.support.claude import Session

    with MessagesApi(script) as api:
        claude = house.claude(api)
        command = claude.command("--print", "--output-format=json", *words)
        with Session(command, claude.folder, claude.environment()) as session:
            return session.wait(), api.requests


def test_lead_knows_its_run_after_a_compaction(house: House) -> None:
    def script(request: Request) -> Reply:
        if request.prompts and "<summary>" in request.prompts[-1]:
            return say("<summary>work went on</summary>")
        if not request.results_of("create_task") and not any("/compact" in each for each in request.prompts):
            return call("create_task", {"tasks": PLAN})
        return say("planned")

    before, _ = run(house, script, "Find words, files and tests.")
    session = before.result["session_id"]
    _, compacting = run(house, script, f"--resume={session}", "/compact")
    _, after = run(house, script, f"--resume={session}", "Go on.")

    asked = "\n".join(prompt for request in compacting for prompt in request.prompts)
    assert "Keep these lines in the summary, word for word:\nTrichrome: you are lead-1." in asked
    assert "You lead r1: 0 of 3 tasks are over" in after[0].system
