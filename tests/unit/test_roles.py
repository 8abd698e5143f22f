"""Roles: the shipped files are good Claude Code subagents, and a project adds roles without code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trichrome.errors import InvalidError
from trichrome.mcp_server.tools import of
from trichrome.roles import COLORS, SHIPPED, Roles, Settings, load_roles

BUILTIN_TOOLS = {"Read", "Grep", "Glob", "Write", "Edit", "Bash", "WebSearch"}
WRITING_TOOLS = {"Write", "Edit", "Bash"}
WORKER_TOOLS = {tool.name for tool in of("worker")}
OUR_PREFIXES = ("mcp__trichrome__", "mcp__plugin_trichrome_trichrome__")

PURPLE = """---
name: purple
description: Talks to the database
model: claude-sonnet-5-5
tools: Read, Agent(blue, red), mcp__db__*
---
You are purple.
"""


def write_role(project: Path, name: str, text: str, folder: str = ".trichrome/agents") -> Path:
    path = project / folder / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def shipped() -> Roles:
    return load_roles()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_role_is_a_valid_subagent_file(shipped: Roles, name: str) -> None:
    role = shipped.read(name)

    assert role.name == role.color == name
    assert role.color in COLORS
    assert role.model == {"blue": "haiku", "green": "sonnet", "red": "opus"}[name]
    assert len(role.description) < 400
    assert role.prompt.startswith(f"You are **{name}**")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_role_names_only_tools_that_exist(shipped: Roles, name: str) -> None:
    tools = shipped.read(name).tools or ()
    ours = {tool.split("__")[-1] for tool in tools if tool.startswith(OUR_PREFIXES)}
    others = {tool for tool in tools if tool.startswith("mcp__") and not tool.startswith(OUR_PREFIXES)}

    assert len(tools) == len(set(tools))
    assert ours == WORKER_TOOLS - (set() if shipped.policies[name].may_write else {"reserve_files"})
    for tool in ours:
        assert {prefix + tool for prefix in OUR_PREFIXES} <= set(tools)
    assert all(re.fullmatch(r"mcp__[a-z0-9-]+__\*", tool) for tool in others)
    assert {tool for tool in tools if not tool.startswith("mcp__")} <= BUILTIN_TOOLS


@pytest.mark.parametrize("name", SHIPPED)
def test_only_a_role_that_may_write_has_tools_that_write(shipped: Roles, name: str) -> None:
    role = shipped.read(name)

    assert bool(WRITING_TOOLS & set(role.tools or ())) is role.may_write


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_prompt_tells_how_to_end_each_turn(shipped: Roles, name: str) -> None:
    prompt = shipped.read(name).prompt

    assert f'claim_task(role="{name}", wait_seconds=60)' in prompt
    for word in ("report_result", "report_progress", "stale_attempt", "end your turn", "**data**", "retry=false"):
        assert word in prompt


def taker(roles: Roles, kind: str) -> str | None:
    """The one role that takes a kind by itself."""
    takers = [name for name, policy in roles.policies.items() if kind in policy.kinds]
    assert len(takers) <= 1
    return takers[0] if takers else None


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("search", "blue"),
        ("analyze", "blue"),
        ("implement", "green"),
        ("fix", "green"),
        ("refactor", "green"),
        ("test", "green"),
        ("document", "green"),
        ("review", "red"),
        ("deploy", None),
    ],
)
def test_kind_chooses_its_role_and_an_unknown_kind_chooses_none(shipped: Roles, kind: str, role: str | None) -> None:
    assert taker(shipped, kind) == role


def test_policies_load_without_a_parser_or_a_read_file() -> None:
    code = (
        "import sys; from pathlib import Path; Path.read_text = None\n"
        "from trichrome.roles import load_roles\n"
        "assert 'fix' in load_roles().policies['green'].kinds\n"
        "assert not {'yaml', 'pydantic', 'mcp'} & set(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0, done.stderr


def test_new_role_is_a_file_in_the_project(tmp_path: Path) -> None:
    write_role(tmp_path, "purple", PURPLE)

    roles = load_roles(tmp_path)
    purple = roles.read("purple")

    assert roles.names == ("blue", "green", "red", "purple")
    assert purple.prompt == "You are purple.\n"
    assert purple.tools == ("Read", "Agent(blue, red)", "mcp__db__*")
    assert (purple.model, purple.color, purple.kinds, purple.may_write) == ("claude-sonnet-5-5", None, (), False)


def test_configuration_gives_a_role_its_policy_and_takes_the_kind_from_the_shipped_one(tmp_path: Path) -> None:
    write_role(tmp_path, "purple", PURPLE)
    settings = {"purple": {"kinds": ["migrate", "analyze"], "share": 0.2, "may_write": True, "concurrency": 1}}

    roles = load_roles(tmp_path, settings)
    purple = roles.read("purple")

    assert taker(roles, "migrate") == taker(roles, "analyze") == "purple"
    assert roles.policies["blue"].kinds == ("search",)
    assert (purple.share, purple.may_write, purple.concurrency) == (0.2, True, 1)


def test_project_file_replaces_a_shipped_prompt_and_keeps_its_policy(tmp_path: Path) -> None:
    write_role(tmp_path, "red", PURPLE.replace("purple", "red"))

    red = load_roles(tmp_path).read("red")

    assert red.prompt == "You are red.\n"
    assert red.kinds == ("review",)


def test_subagent_of_claude_code_is_a_role_when_the_configuration_names_its_file(tmp_path: Path) -> None:
    write_role(tmp_path, "purple", PURPLE, folder=".claude/agents")

    unnamed = load_roles(tmp_path)
    named = load_roles(tmp_path, {"auditor": {"file": ".claude/agents/purple.md", "kinds": ["audit"]}})
    auditor = named.read("auditor")

    assert unnamed.names == ("blue", "green", "red")
    assert (auditor.name, auditor.kinds, auditor.prompt) == ("auditor", ("audit",), "You are purple.\n")


def test_configured_model_beats_the_one_in_the_file() -> None:
    assert load_roles(None, {"blue": {"model": "sonnet"}}).read("blue").model == "sonnet"


def test_file_that_cannot_name_a_role_is_not_one(tmp_path: Path) -> None:
    write_role(tmp_path, "README", "Our roles.")

    roles = load_roles(tmp_path)

    assert roles.names == ("blue", "green", "red")


def test_unknown_role_is_refused_with_the_ones_there_are(shipped: Roles) -> None:
    with pytest.raises(InvalidError, match="blue, green, red") as refusal:
        shipped.read("../blue")

    assert refusal.value.code == "unknown_role"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"blue": {"kinds": "search"}}, "roles.blue.kinds"),
        ({"blue": {"kinds": ["Search!"]}}, "roles.blue.kinds"),
        ({"blue": {"share": 1.5}}, "roles.blue.share"),
        ({"blue": {"share": True}}, "roles.blue.share"),
        ({"blue": {"may_write": "yes"}}, "roles.blue.may_write"),
        ({"blue": {"concurrency": 0}}, "roles.blue.concurrency"),
        ({"blue": {"colour": "blue"}}, "roles.blue.colour"),
        ({"blue": {"model": "gpt"}}, "roles.blue.model"),
        ({"purple": {"file": "absent.md"}}, "roles.purple"),
        ({"purple": {}}, "roles.purple"),
        ({"../purple": {}}, "roles.../purple"),
        ({"blue": {"kinds": ["fix"]}, "red": {"kinds": ["fix"]}}, "roles.red.kinds"),
    ],
)
def test_setting_that_cannot_be_used_is_refused_by_name(tmp_path: Path, settings: Settings, field: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        load_roles(tmp_path, settings)

    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (PURPLE.replace("name: purple", "name: violet"), "name"),
        (PURPLE.replace("description: Talks", "description: Talks: loudly"), "file"),
        (PURPLE.replace("description: Talks to the database\n", ""), "description"),
        (PURPLE.replace("claude-sonnet-5-5", "gpt"), "model"),
        (PURPLE.replace("model: claude-sonnet-5-5", "color: mauve"), "color"),
        (PURPLE.replace("Read, Agent(blue, red), mcp__db__*", "{Read: yes}"), "tools"),
        (PURPLE.replace("You are purple.\n", ""), "file"),
        (PURPLE.replace("---\n", ""), "file"),
        ("---\n- a\n---\nPrompt\n", "file"),
        ("", "file"),
    ],
)
def test_role_file_that_cannot_be_used_is_refused_with_the_field(tmp_path: Path, text: str, field: str) -> None:
    write_role(tmp_path, "purple", text)

    with pytest.raises(InvalidError, match=r"agents/purple\.md") as refusal:
        load_roles(tmp_path).read("purple")

    assert refusal.value.field == field
