"""SuperClaude 4.3 beside the plugin, in the real Claude Code: its commands become multi-agent, its files stay as they are."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from tests.support import superclaude
from tests.support.messages_api import MessagesApi, Request
from tests.support.plugin import Place, instructions, model, plan

from trichrome.mcp_server.serving import INSTRUCTIONS

pytestmark = pytest.mark.xdist_group("claude")

LARGE = "the whole codebase: security of auth, payments and sessions, performance under load, and the architecture"


_OF_ANY_SERVER = (
    *("# MCP Server Instructions", "The following MCP servers have provided instructions", "## plugin:trichrome:"),
    *("ListMcpResourcesTool", "ReadMcpResource", "mcp__plugin_trichrome_trichrome__", "- trichrome:"),
)
"""How the lines begin that a session has for a server with resources, and for a plugin with subagents."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    (place.project / "src").mkdir()
    superclaude.install(place.home, place.home / "config")
    return place


def first_request(place: Place, prompt: str) -> Request:
    with MessagesApi(model) as api:
        place.run(api, prompt)
    return api.requests[0]


def said(request: Request) -> str:
    """All that a request says in words, without what is another at each start, and without the tools."""
    body = {key: value for key, value in request.body.items() if key not in {"tools", "metadata"}}
    text = json.dumps(body, indent=1, ensure_ascii=False)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    return re.sub(r"/tmp/[\w/.-]*?/(project|home)", r"/\1", text)


def lines_of(request: Request) -> set[str]:
    return {line.strip() for line in said(request).replace("\\n", "\n").splitlines()}


def test_package_is_the_one_that_the_tables_speak_of() -> None:
    assert version("superclaude").startswith("4.3.")


def test_command_with_flags_orchestrates_and_every_file_stays_as_it_is(place: Place) -> None:
    before = superclaude.digests(place.home / "config")
    during: list[dict[str, str]] = []

    def watched(request: Request) -> Any:
        during.append(superclaude.digests(place.home / "config"))
        return model(request)

    with MessagesApi(watched) as api:
        answer = place.run(api, "/sc:analyze src --multi-agent --parallel")

    first = api.requests[0]
    tasks = place.tasks()
    assert len(before) > 45
    assert instructions(first).startswith("Trichrome orchestration")
    assert any("Code Analysis and Quality Assessment" in prompt for prompt in first.prompts), "its own text leads"
    assert [each["kind"] for each in tasks] == [each["kind"] for each in plan(first)]
    assert {each["state"] for each in tasks} == {"completed"}
    assert answer.text == "merged r1"
    assert [each for each in during if each != before] == []
    assert superclaude.digests(place.home / "config") == before


def test_command_without_a_flag_reaches_the_model_as_it_does_without_the_plugin_but_for_the_tools(
    place: Place,
) -> None:
    plain = first_request(replace(place, plugin=None), "/sc:analyze src --focus security")

    ours = first_request(place, "/sc:analyze src --focus security")

    added = sorted(line for line in lines_of(ours) - lines_of(plain) if line and not _is_of_the_tools(line))
    assert lines_of(plain) - lines_of(ours) == set()
    assert added == []


def _is_of_the_tools(line: str) -> bool:
    """Whether a line tells of the plugin's tools, of its server, or of its three kinds of subagents."""
    ours = {line.strip() for line in INSTRUCTIONS.splitlines()}
    return line in ours or line.startswith(_OF_ANY_SERVER)


@pytest.mark.parametrize(
    ("request_", "several"), [("src/one.py", False), (LARGE, True)], ids=["a small one", "a large one"]
)
def test_variable_lets_routing_decide(place: Place, request_: str, *, several: bool) -> None:
    first = first_request(replace(place, env={"CLAUDE_MULTI_AGENT": "true"}), f"/sc:analyze {request_}")

    assert bool(instructions(first)) is several


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("--c7 --seq --magic", "context7 for green; sequential-thinking for blue and red; magic for green"),
        ("--no-mcp", "No MCP server but Trichrome's"),
        ("--validate --concurrency 2", "at most 2 at a time"),
    ],
)
def test_flags_of_superclaude_are_understood(place: Place, flags: str, told: str) -> None:
    first = first_request(place, f"/sc:implement a login form --multi-agent {flags}")

    assert told in instructions(first)
