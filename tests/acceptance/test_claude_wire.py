"""What the real Claude Code tells an MCP server, as far as Trichrome's principals, workers and bindings rest on it.

docs/decisions/0007 says what follows from each. When a newer binary turns one of these red, read that first.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support import witness
from tests.support.claude import Claude, binary
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 15.0
"""Seconds for something that takes about one."""

BINDING = {"agent": "${agent_id}", "role": "${agent_type}", "call": "${tool_use_id}"}
COLOURS = ("blue", "green", "red")


class House:
    """A project with the witness as its only server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._notes = folder / "notes.jsonl"

    def claude(self, api: MessagesApi, *, environment: dict[str, str] | None = None, **options: Any) -> Claude:
        server = {
            "command": sys.executable,
            "args": ["-I", witness.__file__, str(self._notes)],
            "env": {"WITNESS_MEET": str(len(COLOURS)), **(environment or {})},
        }
        home, allowed = self.folder / "home", ["mcp__witness__*"]
        return Claude(
            home=home, folder=self.folder, api_url=api.url, servers={"witness": server}, allowed=allowed, **options
        )

    @property
    def environments(self) -> list[dict[str, str]]:
        """What each server process was started with."""
        return [note["environment"] for note in self.notes if "environment" in note]

    @property
    def received(self) -> list[dict[str, Any]]:
        return [note["received"] for note in self.notes if "received" in note]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The parameters of every tool call, in the order of the pipe."""
        return [message["params"] for message in self.received if message["method"] == "tools/call"]

    @property
    def notes(self) -> list[dict[str, Any]]:
        return witness.notes(self._notes)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def one_echo(request: Request) -> Reply:
    return say("done") if request.results_of("echo") else call("echo", {})


def until(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + MOMENT
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_binary_is_the_one_that_the_decisions_speak_of() -> None:
    version = subprocess.check_output([binary(), "--version"], text=True, timeout=MOMENT)

    assert version.startswith("2.1.330 ")


def test_newer_protocol_is_tried_first_and_spoken_where_it_is_known(house: House) -> None:
    with MessagesApi(one_echo) as api:
        house.claude(api).run("go")

    assert [message["method"] for message in house.received] == ["server/discover", "tools/list", "tools/call"]
    assert all(
        message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "claude-code"
        for message in house.received
    )


def test_older_protocol_is_spoken_with_a_server_that_knows_no_newer(house: House) -> None:
    with MessagesApi(one_echo) as api:
        house.claude(api, environment={"WITNESS_ERA": "2025-11-25"}).run("go")

    methods = ["server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call"]
    assert [message["method"] for message in house.received] == methods
    assert house.received[1]["params"]["clientInfo"]["name"] == "claude-code"


@pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])
def test_call_says_which_tool_use_of_the_model_it_is(house: House, era: str) -> None:
    with MessagesApi(one_echo) as api:
        house.claude(api, environment={"WITNESS_ERA": era}).run("go")

        uses = api.requests[-1].calls

    assert [params["_meta"]["claudecode/toolUseId"] for params in house.calls] == list(uses)


def test_server_is_told_the_session_and_that_it_is_headless(house: House) -> None:
    with MessagesApi(one_echo) as api:
        answer = house.claude(api).run("go")

    (environment,) = house.environments
    assert environment["CLAUDE_CODE_ENTRYPOINT"] == "sdk-cli"
    assert environment["CLAUDE_CODE_SESSION_ID"] == answer.result["session_id"]
    assert Path(environment["CLAUDE_PROJECT_DIR"]) == house.folder


def test_server_is_told_that_a_session_is_interactive(house: House) -> None:
    with MessagesApi(one_echo) as api, house.claude(api).open("go"):
        until(lambda: house.environments)

    assert house.environments[0]["CLAUDE_CODE_ENTRYPOINT"] == "cli"


def test_headless_session_inside_an_interactive_one_does_not_pass_for_it(house: House) -> None:
    outer = {"CLAUDECODE": "1", "CLAUDE_CODE_ENTRYPOINT": "cli", "CLAUDE_CODE_SESSION_ID": "outer"}

    with MessagesApi(one_echo) as api:
        answer = house.claude(api, env=outer).run("go")

    assert house.environments[0]["CLAUDE_CODE_ENTRYPOINT"] == "sdk-cli"
    assert house.environments[0]["CLAUDE_CODE_SESSION_ID"] == answer.result["session_id"]


def team(request: Request) -> Reply:
    """The lead starts three subagents of its own; each of the four calls the witness."""
    if request.agent:
        return say("done") if request.results_of("meet") else call("meet", {})
    if request.results_of("echo"):
        return say("done")
    if not request.results_of("Agent"):
        return Reply(
            tuple(
                part
                for colour in COLOURS
                for part in call("Agent", {"description": colour, "prompt": "go", "subagent_type": colour}).parts
            )
        )
    return call("echo", {})


AGENTS = {colour: {"description": colour, "prompt": f"You are {colour}."} for colour in COLOURS}


def test_subagents_share_one_server_and_call_it_at_the_same_time(house: House) -> None:
    with MessagesApi(team) as api:
        answer = house.claude(api, agents=AGENTS).run("go")

    assert answer.result["subagent_stats"]["completed"] == len(COLOURS)
    assert len(house.environments) == 1
    assert sorted(params["name"] for params in house.calls) == ["echo", "meet", "meet", "meet"]


def test_without_a_hook_nothing_in_a_call_tells_subagents_apart(house: House) -> None:
    with MessagesApi(team) as api:
        house.claude(api, agents=AGENTS).run("go")

    facts = [
        {name: value for name, value in params["_meta"].items() if name not in OF_THE_CALL} for params in house.calls
    ]
    assert all(fact == facts[0] for fact in facts)


OF_THE_CALL = {"claudecode/toolUseId", "progressToken"}


def binding(tool: str, server: str = "witness") -> dict[str, Any]:
    hook = {"type": "mcp_tool", "server": server, "tool": tool, "input": BINDING}
    return {"hooks": {"PreToolUse": [{"matcher": "mcp__witness__.*", "hooks": [hook]}]}}


def test_hook_binds_every_call_to_its_agent_before_it_comes_through_a_tool_that_no_list_shows(house: House) -> None:
    with MessagesApi(team) as api:
        house.claude(api, agents=AGENTS, settings=binding("hidden")).run("go")

        agents = {use: request.agent for request in api.requests for use in request.calls}

    bound: dict[str, dict[str, str]] = {}
    for params in house.calls:
        if params["name"] == "hidden":
            assert "claudecode/toolUseId" not in params["_meta"]
            bound[params["arguments"]["call"]] = params["arguments"]
        else:
            use = params["_meta"]["claudecode/toolUseId"]
            assert bound[use]["agent"] == agents[use]
    assert sorted(arguments["role"] for arguments in bound.values()) == ["", *COLOURS]


@pytest.mark.parametrize(("tool", "server"), [("refuse", "witness"), ("unknown", "witness"), ("hidden", "absent")])
def test_hook_that_fails_lets_the_call_pass(house: House, tool: str, server: str) -> None:
    with MessagesApi(one_echo) as api:
        answer = house.claude(api, settings=binding(tool, server)).run("go")

    assert answer.result["permission_denials"] == []
    assert house.calls[-1]["name"] == "echo"


def test_server_is_ended_by_interrupt_then_terminate_then_kill_while_its_input_stays_open(house: House) -> None:
    with MessagesApi(one_echo) as api:
        house.claude(api).run("go")

    ends = [note for note in house.notes if "received" not in note and "environment" not in note]
    assert [note["signal"] for note in ends] == ["SIGINT", "SIGTERM"]
    assert not psutil.pid_exists(ends[0]["pid"])


def test_server_sees_the_end_of_its_input_when_claude_is_killed(house: House) -> None:
    def script(request: Request) -> Reply:
        return call("meet", {})

    with MessagesApi(script) as api, house.claude(api).start("go") as session:
        until(lambda: house.calls)
        session.process.kill()

        until(lambda: "end_of_input" in house.notes[-1])

    assert not any("signal" in note for note in house.notes)
