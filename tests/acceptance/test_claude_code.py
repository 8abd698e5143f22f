"""Real Claude Code instances working through Trichrome's own server, as people have them; only the model is scripted."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.claude import Claude, Session
from tests.support.messages_api import MessagesApi, Reply, Request, Script, call, say

from trichrome.bootstrap import open_project
from trichrome.coordinator import OPERATOR, queries, tasks
from trichrome.domain.drafts import Draft
from trichrome.domain.events import TaskClaimed
from trichrome.roles import load_roles
from trichrome.store.port import Recorded

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 30.0
"""Seconds for something that takes a few."""
RESCUE = 5.0
"""Seconds until a dead client's task is free; it takes about half of one."""

COLOURS = ("blue", "green", "red")


class House:
    """A project with Trichrome's server, and the tester's own eye on its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self._home = folder / "home"
        self.project = open_project(self.folder)
        self.coordinator = self.project.coordinator

    def claude(self, api: MessagesApi, *, role: str = "", **options: Any) -> Claude:
        """An instance; with a role, it is a worker that has the prompt, the model and the tools of that role's file."""
        worker = {"agents": {role: agent(role)}, "agent": role} if role else {}
        return Claude(
            home=self._home,
            folder=self.folder,
            api_url=api.url,
            servers={"trichrome": {"command": "trichrome", "args": ["mcp"]}},
            allowed=["mcp__trichrome__*", "Bash"],
            env={"TRICHROME_HOME": str(self.folder), "TRICHROME_ROLE": role},
            **worker,
            **options,
        )

    def create(self, instructions: str) -> None:
        """A task for blue that none of the test's instances asked for."""
        tasks.create(self.coordinator, OPERATOR, [Draft(kind="search", instructions=instructions)])

    def events(self, task: str) -> list[Recorded]:
        with self.coordinator.store.reading() as view:
            return view.events(stream=task)

    def story(self, task: str) -> list[str]:
        """What happened to a task, in the names of its events."""
        return [type(each.event).__name__ for each in self.events(task)]

    def await_workers(self, *roles: str) -> None:
        """Until a worker of each role is connected: before that, a lead is told that its run is stuck."""
        until(lambda: {line.get("role") for line in queries.status(self.coordinator)["workers"]} >= set(roles))


def agent(role: str) -> dict[str, Any]:
    """A role's file, as Claude Code takes it on its command line."""
    read = load_roles().read(role)
    return {
        "description": read.description,
        "prompt": read.prompt,
        "model": read.model,
        "tools": list(read.tools or ()),
    }


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[House]:
    house = House(folder)
    try:
        yield house
        assert house.coordinator.store.differences() == []
    finally:
        house.project.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as house:
        yield house


def until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + MOMENT
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def handed_over(request: Request) -> dict[str, Any]:
    """The claim in the newest answer, whichever tool gave it; empty when it has none. A lost connection is no answer."""
    answers = [result.value for result in request.results if isinstance(result.value, dict)]
    newest = answers[-1].get("claimed", answers[-1]) if answers else {}
    return newest if newest.get("attempt") else {}


def worker(work: Callable[[dict[str, Any]], dict[str, Any]], *, tasks: int) -> Script:
    """Claim, work, report, as often as `tasks` says."""

    def script(request: Request) -> Reply:
        if claim := handed_over(request):
            return call("report_result", {"attempt": claim["attempt"], **work(claim["task"])})
        if sum("task" in answer for answer in request.results_of("report_result")) == tasks:
            return say("Done.")
        return call("claim_task", {"wait_seconds": 60})

    return script


def nulls(value: Any, name: str = "") -> set[str]:
    """The names under which an answer says nothing."""
    match value:
        case None:
            return {name}
        case dict():
            return {found for key, each in value.items() for found in nulls(each, key)}
        case list():
            return {found for each in value for found in nulls(each, name)}
        case _:
            return set()


# --- a team -----------------------------------------------------------------------------------------------------------


def lead(house: House) -> Script:
    """Creates a search, and an implementation that builds on it and is reviewed; waits; reads what became of it."""
    plan = [
        {"ref": "find", "kind": "search", "instructions": "Find the parser."},
        {"kind": "implement", "instructions": "Mend it.", "depends_on": ["find"], "review": "red"},
    ]

    def script(request: Request) -> Reply:
        waits = request.results_of("wait")
        if merged := request.results_of("get_task"):
            return say(merged[0]["result"]["summary"])
        if not request.results_of("create_task"):
            house.await_workers(*COLOURS)
            return call("create_task", {"tasks": plan})
        if waits and waits[-1]["done"]:
            return call("get_task", {"task": "t2"})
        return call("wait", {"run": "r1", **({"cursor": waits[-1]["cursor"]} if waits else {})})

    return script


FOUND = {"findings": [{"file": "parser.py", "line": 3}]}
MISSING = {"findings": [{"file": "parser.py", "line": 3, "problem": "no test"}]}


def search(task: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": "completed", "summary": "It is in parser.py.", "data": FOUND}


def implement(task: dict[str, Any]) -> dict[str, Any]:
    summary = "Mended, with a test." if "feedback" in task else "Mended."
    return {"outcome": "completed", "summary": summary, "files": ["parser.py"]}


def review(task: dict[str, Any]) -> dict[str, Any]:
    if "test" in task["reviews"]["summary"]:
        return {"outcome": "approved", "summary": "Good."}
    return {"outcome": "changes", "summary": "It has no test.", "data": MISSING}


@dataclass(frozen=True)
class Team:
    """What a team did, and what each of its instances had seen at its end."""

    house: House
    seen: dict[str, Request]

    def results(self, name: str, tool: str) -> list[Any]:
        return self.seen[name].results_of(tool)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Four instances at the same time on one project, from their start to their end."""
    with opened(tmp_path_factory.mktemp("team")) as house, contextlib.ExitStack() as stack:
        scripts = {
            "lead": lead(house),
            "blue": worker(search, tasks=1),
            "green": worker(implement, tasks=2),
            "red": worker(review, tasks=2),
        }
        apis = {name: stack.enter_context(MessagesApi(script)) for name, script in scripts.items()}
        sessions = {
            name: stack.enter_context(house.claude(api, role=name if name in COLOURS else "").start("Go."))
            for name, api in apis.items()
        }
        ends = {name: session.wait().text for name, session in sessions.items()}
        assert ends == {"lead": "Mended, with a test.", "blue": "Done.", "green": "Done.", "red": "Done."}
        yield Team(house, {name: api.requests[-1] for name, api in apis.items()})


def test_blue_green_and_red_instances_do_together_what_a_lead_asked_for(team: Team) -> None:
    attempts = [
        (attempt["attempt"], attempt["worker"])
        for task in ("t1", "t2", "t3", "t4")
        for attempt in queries.task_detail(team.house.coordinator, task)["attempts"]
    ]

    done = ["TaskCreated", "TaskClaimed", "TaskCompleted"]
    again = ["ReviewRequested", "ChangesRequested", "TaskClaimed", "ReviewRequested"]
    assert [team.house.story(task) for task in ("t1", "t3", "t4")] == [done] * 3
    assert team.house.story("t2") == ["TaskCreated", "DependencyCompleted", "TaskClaimed", *again, "TaskCompleted"]
    assert attempts == [
        ("t1.1", "blue-1"),
        ("t2.1", "green-1"),
        ("t2.2", "green-1"),
        ("t3.1", "red-1"),
        ("t4.1", "red-1"),
    ]


def test_each_instance_is_told_what_it_needs_and_who_said_so(team: Team) -> None:
    first, second = team.results("green", "claim_task")
    reviews = [claim["task"]["reviews"] for claim in team.results("red", "claim_task")]

    assert first["dependencies"] == [{"id": "t1", "summary": "It is in parser.py.", "data": FOUND}]
    assert "feedback" not in first["task"]
    assert second["task"]["feedback"] == {"by": "red-1", "summary": "It has no test.", "data": MISSING}
    assert [each["attempt"] for each in reviews] == ["t2.1", "t2.2"]
    assert [each["instructions"] for each in reviews] == ["Mend it.", "Mend it."]
    assert [report["state"] for report in team.results("green", "report_result")] == ["in_review", "in_review"]


def test_lead_learns_of_each_end_once(team: Team) -> None:
    waits = team.results("lead", "wait")

    assert sorted(each["id"] for answer in waits for each in answer["changed"]) == ["t1", "t2", "t3", "t4"]
    assert [answer["done"] for answer in waits] == [False] * (len(waits) - 1) + [True]
    assert not any("stuck" in answer for answer in waits)


def test_every_answer_that_a_model_sees_is_one_json_document_without_nulls(team: Team) -> None:
    answers = [result for seen in team.seen.values() for result in seen.results if result.tool != "ToolSearch"]

    assert len(answers) > 10
    assert not any(answer.failed for answer in answers)
    assert {type(answer.value) for answer in answers} == {dict}
    assert [answer.text for answer in answers if nulls(answer.value)] == []


@pytest.mark.parametrize("name", COLOURS)
def test_worker_has_the_prompt_the_model_and_the_tools_of_its_role(team: Team, name: str) -> None:
    seen, role = team.seen[name], load_roles().read(name)

    assert role.prompt.strip() in seen.system
    assert role.model in seen.model
    ours = {tool for tool in seen.tools if "trichrome" in tool}
    assert ours == {tool for tool in role.tools or () if tool.startswith("mcp__trichrome__")}


# --- one session, several agents --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["headless", "interactive"])
def test_subagents_that_nothing_tells_apart_never_work_on_one_task(house: House, mode: str) -> None:
    all_answered = threading.Barrier(3, timeout=MOMENT)

    def script(request: Request) -> Reply:
        return subagent(request) if request.agent else main(request)

    def main(request: Request) -> Reply:
        if not request.results_of("create_task"):
            return call("create_task", {"tasks": [{"kind": "search", "instructions": each} for each in "abc"]})
        if not request.results_of("Agent"):
            start = call("Agent", {"description": "search", "prompt": "Go.", "subagent_type": "blue"})
            return start + start + start
        waits = request.results_of("wait")
        return say("Done.") if waits and waits[-1]["done"] else call("wait", {"run": "r1"})

    def subagent(request: Request) -> Reply:
        answers = request.results_of("claim_task")
        if not answers:
            return call("claim_task", {"role": "blue", "wait_seconds": 10})
        if len(request.results) == 1:
            all_answered.wait()
        if answers[0]["attempt"] is None:
            return say("Nothing to do.")
        if len(answers) < 3:  # it has lost its handle, and asks for it
            return call("claim_task", {"task": answers[0]["task"]["id"]} if len(answers) == 2 else {})
        if not (claim := handed_over(request)):
            return say("Nothing to do.")
        return call(
            "report_result",
            {"attempt": claim["attempt"], "outcome": "completed", "summary": "Found.", "claim_next": True},
        )

    with MessagesApi(script) as api:
        claude = house.claude(api, agents={"blue": agent("blue")})
        with claude.start("Go.") if mode == "headless" else claude.open("Go."):
            until(lambda: any(waited["done"] for seen in api.requests[-1:] for waited in seen.results_of("wait")))

        newest = {request.agent: request for request in api.requests}

    claims = [request.results_of("claim_task") for agent, request in newest.items() if agent]
    mine, *others = sorted(claims, key=len, reverse=True)
    assert [claim.get("attempt") for claim in mine] == ["t1.1", None, "t1.1"]
    assert mine[2]["resumed"]
    assert others == [[mine[1]], [mine[1]]]
    assert "already works on t1.1" in mine[1]["next"]
    assert "end your turn" in mine[1]["next"]
    assert [house.story(task) for task in ("t1", "t2", "t3")] == [["TaskCreated", "TaskClaimed", "TaskCompleted"]] * 3


# --- waiting without sitting in a call --------------------------------------------------------------------------------


def test_lead_that_waits_in_the_background_is_woken_once_when_the_run_is_over(house: House) -> None:
    asleep = threading.Event()
    printed: list[dict[str, Any]] = []

    def lead(request: Request) -> Reply:
        if waits := request.results_of("wait"):
            return say(" ".join(each["summary"] for each in waits[0]["changed"]))
        if request.notices:
            printed.append(json.loads(Path(told(request.notices[0], "output-file")).read_text().splitlines()[0]))
            return call("wait", {"run": "r1"})
        if request.results_of("Bash"):
            asleep.set()
            return say("I wait.")
        if created := request.results_of("create_task"):
            command = re.findall("`(.*?)`", created[0]["next"])[0]
            return call("Bash", {"command": f"{command} --json", "description": "wait", "run_in_background": True})
        house.await_workers("blue")
        return call("create_task", {"tasks": [{"kind": "search", "instructions": each} for each in ("One.", "Two.")]})

    def answer(task: dict[str, Any]) -> dict[str, Any]:
        assert asleep.wait(MOMENT)
        return {"outcome": "completed", "summary": task["instructions"]}

    with MessagesApi(lead) as api, MessagesApi(worker(answer, tasks=2)) as other:
        with house.claude(other, role="blue").start("Go."), house.claude(api).start("Go.") as session:
            end = session.wait()

        requests = api.requests

    assert end.text == "One. Two."
    assert [len(request.notices) for request in requests] == [0, 0, 0, 1, 1]
    assert told(requests[-1].notices[0], "status") == "completed"
    assert "exit code 0" in told(requests[-1].notices[0], "summary")
    assert printed == [{"cursor": 7, "done": True, "changed": requests[-1].results_of("wait")[0]["changed"]}]


def told(notice: str, field: str) -> str:
    found = re.search(f"<{field}>(.*?)</{field}>", notice, re.DOTALL)
    assert found is not None, notice
    return found[1]


# --- what dies --------------------------------------------------------------------------------------------------------


def test_attempt_goes_on_when_its_server_is_killed(house: House) -> None:
    house.create("Find it.")
    claimed, killed = threading.Event(), threading.Event()

    def work(task: dict[str, Any]) -> dict[str, Any]:
        claimed.set()
        assert killed.wait(MOMENT)
        return {"outcome": "completed", "summary": "Found."}

    with MessagesApi(worker(work, tasks=1)) as api, house.claude(api, role="blue").start("Go.") as session:
        assert claimed.wait(MOMENT)
        (server,) = servers(session)
        server.kill()
        until(lambda: not servers(session))
        killed.set()
        end = session.wait()

        reports = api.requests[-1].results_of("report_result")

    assert end.text == "Done."
    assert house.story("t1") == ["TaskCreated", "TaskClaimed", "AttemptAdopted", "TaskCompleted"]
    assert [each["worker"] for each in queries.task_detail(house.coordinator, "t1")["attempts"]] == ["blue-1"]
    # Claude Code starts the next server by itself; a call that it sends before it has seen the end of the old one fails.
    assert reports[-1]["state"] == "completed"
    assert reports[:-1] in ([], ["Connection closed"])


def test_task_is_free_at_once_when_the_claude_that_worked_on_it_is_killed(house: House) -> None:
    house.create("Find it.")
    claimed, refused, over = threading.Event(), threading.Event(), threading.Event()

    def doomed(task: dict[str, Any]) -> dict[str, Any]:
        claimed.set()
        over.wait(MOMENT)
        return {"outcome": "completed", "summary": "Nobody hears this."}

    def heir(request: Request) -> Reply:
        if not request.results:
            assert claimed.wait(MOMENT)
            return call("claim_task", {"task": "t1"})
        refused.set()
        return worker(search, tasks=1)(request)

    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(MessagesApi(script)) for script in (worker(doomed, tasks=1), heir))
        stack.callback(over.set)
        victim, rescuer = (stack.enter_context(house.claude(api, role="blue").start("Go.")) for api in (first, second))
        assert refused.wait(MOMENT)
        killed_at = time.time()
        victim.process.kill()
        end = rescuer.wait()
        until(lambda: not victim.processes())

        refusal, claim = second.requests[-1].results_of("claim_task")

    assert refusal["error"]["code"] == "already_claimed"
    assert claim["attempt"] == "t1.2"
    assert end.text == "Done."
    assert house.story("t1") == ["TaskCreated", "TaskClaimed", "AttemptRescued", "TaskClaimed", "TaskCompleted"]
    claims = [each.recorded_at for each in house.events("t1") if isinstance(each.event, TaskClaimed)]
    assert claims[1] - killed_at < RESCUE


def servers(session: Session) -> list[psutil.Process]:
    return [process for process in session.processes() if process.cmdline()[-1:] == ["mcp"]]
