"""The plain files of hooks, run as Claude Code runs them: by the machine's Python, from a folder that may hold anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trichrome.hooks import FOLDER
from trichrome.hooks.table import hooks

HANDLERS = {
    Path(handler["args"][-1]).stem: handler
    for groups in hooks("trichrome", str(FOLDER), python=sys.executable).values()
    for group in groups
    for handler in group["hooks"]
    if handler["type"] == "command"
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with modules of its own by the names that the files import."""
    for name in ("trichrome", "json", "os"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a foreign module ran')\n", encoding="utf-8")
    return tmp_path


def run(name: str, told: object, folder: Path, **env: str) -> tuple[int, str, str]:
    handler = HANDLERS[name]
    asked = told if isinstance(told, str) else json.dumps(told)
    done = subprocess.run(
        [handler["command"], *handler["args"]],
        input=asked,
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **env},
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def expanded(folder: Path, command: str, arguments: str, **env: str) -> str:
    """What is added to the conversation; empty for nothing."""
    told = {"command_name": command, "command_args": arguments, "hook_event_name": "UserPromptExpansion"}
    code, output, errors = run("expand", told, folder, **env)
    assert (code, errors) == (0, "")
    return json.loads(output)["hookSpecificOutput"]["additionalContext"] if output else ""


def guarded(folder: Path, command: str, agent: str = "", **env: str) -> str:
    """Why a command is refused; empty where it is not."""
    told = {"tool_input": {"command": command}, "cwd": str(folder), "agent_type": agent}
    code, output, errors = run("guard", told, folder, **env)
    assert (code, errors) == (0, "")
    return json.loads(output)["hookSpecificOutput"]["permissionDecisionReason"] if output else ""


# --- expand -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "arguments", "env"),
    [
        ("trichrome:search", "auth patterns", {}),
        ("trichrome:search", "auth -- patterns", {}),
        ("trichrome:search", "everything everywhere --single", {"CLAUDE_MULTI_AGENT": "true"}),
        ("trichrome:search", "the config", {"CLAUDE_MULTI_AGENT": "true"}),
        ("trichrome:search", "auth patterns", {"CLAUDE_MULTI_AGENT": "false"}),
        ("trichrome:team", "status --multi-agent", {}),
        ("sc:help", "--multi-agent", {}),
        ("sc:analyze", "src --think", {}),
        ("other:search", "x --multi-agent", {}),
    ],
)
def test_where_nothing_asks_for_several_agents_nothing_is_said(
    folder: Path, command: str, arguments: str, env: Mapping[str, str]
) -> None:
    assert expanded(folder, command, arguments, **env) == ""


@pytest.mark.parametrize("command", ["trichrome:search", "search", "sc:analyze", "sc:something-new"])
def test_flag_makes_a_lead_of_the_session(folder: Path, command: str) -> None:
    said = expanded(folder, command, '"auth patterns" --multi-agent --parallel')

    assert said.startswith("Trichrome orchestration: ")
    assert '"instructions":"' in said
    assert 'subagent_type "blue" for blue' in said


def test_plugin_names_its_own_subagents(folder: Path) -> None:
    here = {"CLAUDE_PLUGIN_ROOT": "/nowhere", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}

    said = expanded(folder, "trichrome:search", "auth --multi-agent", **here)

    assert 'subagent_type "trichrome:blue" for blue' in said


def test_plugin_without_a_server_says_to_work_alone_and_why(folder: Path) -> None:
    said = expanded(folder, "trichrome:search", "auth --multi-agent", CLAUDE_PLUGIN_ROOT="/nowhere", PATH=str(folder))

    assert "Work alone" in said
    assert "pipx install" in said
    assert "create_task" not in said


@pytest.mark.parametrize("command", ["trichrome:search", "sc:analyze", "trichrome:orchestrate"])
def test_flags_without_a_request_are_a_question_to_the_person(folder: Path, command: str) -> None:
    said = expanded(folder, command, "--multi-agent --parallel")

    assert said.startswith("Trichrome: there are flags, and no request")
    assert "create_task" not in said


def test_review_of_nothing_in_particular_is_of_what_is_not_committed(folder: Path) -> None:
    assert "The request: the uncommitted changes" in expanded(folder, "trichrome:review", "--multi-agent")


def test_dry_run_creates_nothing(folder: Path) -> None:
    said = expanded(folder, "trichrome:implement", "a login --comprehensive --dry-run")

    assert said.startswith("Trichrome, dry run")
    assert "Create no task" in said
    assert '"kind":"review"' in said


def test_what_cannot_be_meant_is_told_to_the_person(folder: Path) -> None:
    said = expanded(folder, "trichrome:fix", "it --multi-agent --budget lots")

    assert "Tell the person first, in one line: --budget takes an amount" in said


def test_budget_flags_and_servers_of_superclaude_are_passed_on(folder: Path) -> None:
    said = expanded(folder, "sc:implement", "a form --multi-agent --budget 2 --magic --validate --concurrency 2")

    assert "at most $2" in said
    assert "magic for green" in said
    assert "at most 2 at a time" in said
    assert "acceptance criteria" in said


def test_role_that_the_project_adds_is_in_the_plan(folder: Path) -> None:
    agents = folder / ".trichrome" / "agents"
    agents.mkdir(parents=True)
    (agents / "purple.md").write_text("---\nname: purple\ndescription: x\n---\nYou document.\n", encoding="utf-8")
    (folder / ".trichrome" / "config.toml").write_text('[roles.purple]\nkinds = ["document"]\n', encoding="utf-8")

    said = expanded(folder, "trichrome:orchestrate", "document the API --multi-agent", CLAUDE_PROJECT_DIR=str(folder))

    assert '"role":"purple"' in said
    assert 'subagent_type "purple" for purple' in said


def test_instructions_without_the_plan_stay_short(folder: Path) -> None:
    said = expanded(folder, "trichrome:search", "auth --multi-agent --review --budget 2 --c7 --validate")

    plan = next(line for line in said.splitlines() if line.startswith("[{"))
    assert len((said.replace(plan, "")).encode()) < 2_900


@pytest.mark.parametrize("told", ["", "not JSON", "[]", '{"command_name": 5}', '{"command_args": null}'])
@pytest.mark.parametrize("name", ["expand", "guard"])
def test_input_that_no_client_writes_is_let_through(folder: Path, name: str, told: str) -> None:
    assert run(name, told, folder)[:2] == (0, "")


@pytest.mark.parametrize("name", ["expand", "guard"])
def test_file_that_is_gone_refuses_nobody_anything(folder: Path, name: str) -> None:
    handler = HANDLERS[name]
    words = [handler["command"], *handler["args"][:-1], str(folder / "gone.py")]

    done = subprocess.run(words, input="{}", capture_output=True, text=True, timeout=30, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- guard ------------------------------------------------------------------------------------------------------------


def test_person_is_not_guarded(folder: Path) -> None:
    assert guarded(folder, "git stash") == ""


@pytest.mark.parametrize(
    ("agent", "env"),
    [
        ("trichrome:green", {}),
        ("green", {}),
        ("", {"TRICHROME_ROLE": "green"}),
        ("", {"TRICHROME_SUPERVISOR": "1:1"}),
    ],
)
def test_worker_is_guarded(folder: Path, agent: str, env: dict[str, Any]) -> None:
    assert "git diff" in guarded(folder, "cd src && git stash", agent, **env)
    assert guarded(folder, "git status", agent, **env) == ""


def test_role_that_the_project_adds_is_guarded(folder: Path) -> None:
    agents = folder / ".trichrome" / "agents"
    agents.mkdir(parents=True)
    (agents / "purple.md").write_text("---\nname: purple\n---\n", encoding="utf-8")

    assert guarded(folder, "git stash", "purple") != ""
    assert guarded(folder, "git stash", "Explore") == ""


def test_name_of_a_file_is_told_from_that_of_a_branch(folder: Path) -> None:
    (folder / "main").touch()

    assert guarded(folder, "git checkout main", "green") == ""
    assert "`git show BRANCH:PATH`" in guarded(folder, "git checkout next", "green")


def test_whoever_works_in_a_workspace_is_guarded(folder: Path) -> None:
    workspace = folder / ".trichrome" / "workspaces" / "t1"
    workspace.mkdir(parents=True)

    assert guarded(workspace, "git reset --hard") != ""
