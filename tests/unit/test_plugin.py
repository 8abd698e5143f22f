"""The plugin's files against what they are made from; the validator of Claude Code looks at less."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from trichrome.hooks.table import PLUGIN_FOLDER, PLUGIN_SERVER, hooks
from trichrome.mcp_server import tools
from trichrome.mcp_server.hooks import HOOKS
from trichrome.roles import COLORS, MODELS, load_roles
from trichrome.version import VERSION

ROOT = Path(__file__).parents[2]
SKILLS = sorted(path.parent.name for path in ROOT.glob("skills/*/SKILL.md"))
ROUTED = {"search", "implement", "analyze", "review", "fix", "orchestrate"}
AGENTS = sorted(path.stem for path in ROOT.glob("agents/*.md"))


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def front(path: Path) -> tuple[dict[str, Any], str]:
    opening, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(head), body


def test_version_is_the_package_s() -> None:
    assert read(".claude-plugin/plugin.json")["version"] == VERSION


def test_plugin_and_marketplace_agree() -> None:
    (listed,) = read(".claude-plugin/marketplace.json")["plugins"]

    assert listed["name"] == read(".claude-plugin/plugin.json")["name"]
    assert listed["source"] == "./"


def test_hooks_are_those_of_the_table() -> None:
    assert read("hooks/hooks.json")["hooks"] == hooks(PLUGIN_SERVER, PLUGIN_FOLDER)


def test_every_tool_and_file_that_a_hook_names_is_there() -> None:
    handlers = [
        handler for groups in hooks("trichrome", "F").values() for group in groups for handler in group["hooks"]
    ]

    called = {each["tool"] for each in handlers if each["type"] == "mcp_tool"}
    run = {Path(each["args"][-1]).name for each in handlers if each["type"] == "command"}

    assert called == set(HOOKS)
    assert run == {path.name for path in (ROOT / "server/trichrome/hooks").glob("*.py")} - {"__init__.py", "table.py"}


def test_arguments_of_every_hook_are_those_of_its_tool() -> None:
    for groups in hooks("trichrome", "F").values():
        for handler in (handler for group in groups for handler in group["hooks"]):
            if handler["type"] == "mcp_tool":
                assert set(handler["input"]) <= set(HOOKS[handler["tool"]].arguments.model_fields)


def test_every_command_that_routes_is_a_skill_and_the_other_way_round() -> None:
    text = (ROOT / "server/trichrome/hooks/expand.py").read_text(encoding="utf-8")
    (named,) = re.findall(r"^OURS = \((.*)\)$", text, re.MULTILINE)

    assert {word.strip(' "') for word in named.split(",")} == ROUTED
    assert set(SKILLS) == ROUTED | {"team", "join"}


@pytest.mark.parametrize("name", SKILLS)
def test_front_matter_of_a_skill_says_what_claude_code_reads(name: str) -> None:
    said, body = front(ROOT / "skills" / name / "SKILL.md")

    assert set(said) == {"name", "description", "argument-hint", "disable-model-invocation", "allowed-tools"}
    assert said["name"] == name
    assert 20 < len(said["description"]) < 160
    assert isinstance(said["argument-hint"], str)
    assert said["disable-model-invocation"] is True, "no session pays for a command that nobody typed"
    assert body.count("$ARGUMENTS") == 1
    assert not re.search(r"\$(?!ARGUMENTS)", body), "Claude Code replaces what looks like a positional argument"


@pytest.mark.parametrize("name", AGENTS)
def test_front_matter_of_an_agent_says_what_claude_code_reads(name: str) -> None:
    said, body = front(ROOT / "agents" / f"{name}.md")
    names = {tool.name for tool in tools.TOOLS}
    ours = [tool.rpartition("__") for tool in said["tools"] if "trichrome" in tool]

    assert set(said) == {"name", "description", "model", "color", "tools"}
    assert said["name"] == name
    assert said["model"] in MODELS
    assert said["color"] in COLORS
    assert {tool for _, _, tool in ours} <= names
    assert {server for server, _, _ in ours} == {"mcp__trichrome", "mcp__plugin_trichrome_trichrome"}
    assert len(body.encode()) < 4000


def test_agents_of_the_plugin_are_the_shipped_roles() -> None:
    assert set(AGENTS) == set(load_roles().names)
