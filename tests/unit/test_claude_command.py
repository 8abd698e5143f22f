"""How a session of Claude Code is started: which program, what it is told, and which servers it finds."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trichrome.errors import InvalidError
from trichrome.roles import load_roles
from trichrome.runners import claude_code
from trichrome.runners.claude_code import ClaudeCodeRunner, servers
from trichrome.runners.port import Assignment, Resume, Transcript

CONTEXT7 = {"command": "npx", "args": ["context7"], "env": {"KEY": "secret"}}
OTHER = {"command": "other"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing is installed and nothing configured."""
    for name in ("CLAUDECODE", "CLAUDE_CODE_MAX_RETRIES", "TRICHROME_CLAUDE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(claude_code, "find_spec", lambda _: None)
    for name in ("bin", "config", "project", "scratch"):
        (tmp_path / name).mkdir()
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def assignment(home: Path, role: str = "green", **changes: Any) -> Assignment:
    identity = {"TRICHROME_HOME": str(home / "project"), "TRICHROME_WORKER": "green-1"}
    made = Assignment("green-1", load_roles().read(role), "t17", home / "project", home / "scratch", identity)
    return replace(made, **changes)


def options(command: tuple[str, ...]) -> dict[str, str]:
    return dict(option[2:].partition("=")[::2] for option in command if option.startswith("--"))


def configure(home: Path, user: dict[str, Any], *, shared: dict[str, Any] | None = None) -> None:
    (home / "config" / ".claude.json").write_text(json.dumps(user))
    if shared is not None:
        (home / "project" / ".mcp.json").write_text(json.dumps({"mcpServers": shared}))


def test_machine_without_a_program_says_how_to_get_one_and_starts_nothing(home: Path) -> None:
    lacks = ClaudeCodeRunner().lacks()

    assert lacks is not None
    assert "pip install 'trichrome[claude]'" in lacks
    with pytest.raises(InvalidError, match="not installed"):
        ClaudeCodeRunner().launch(assignment(home))


def test_program_that_is_named_comes_before_the_path_and_that_before_the_one_of_the_sdk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = ClaudeCodeRunner()
    bundled = program(home / "sdk" / "_bundled" / "claude")
    monkeypatch.setattr(claude_code, "find_spec", lambda _: type("Spec", (), {"origin": str(home / "sdk" / "x.py")}))
    from_sdk = runner.launch(assignment(home)).command[0]
    on_path = program(home / "bin" / "claude")
    from_path = runner.launch(assignment(home)).command[0]
    named = program(home / "mine" / "claude-next")
    monkeypatch.setenv("TRICHROME_CLAUDE", str(named))
    from_variable = runner.launch(assignment(home)).command[0]

    assert (from_sdk, from_path, from_variable) == (str(bundled), str(on_path), str(named))
    assert runner.lacks() is None


def test_named_program_that_is_none_is_told_and_no_other_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home / "bin" / "claude")
    monkeypatch.setenv("TRICHROME_CLAUDE", "/nowhere/claude")

    lacks = ClaudeCodeRunner().lacks()

    assert lacks is not None
    assert lacks.startswith("TRICHROME_CLAUDE names /nowhere/claude, which is no program.")


def test_server_of_a_session_is_this_worker_and_the_file_is_for_this_user_alone(home: Path) -> None:
    program(home / "bin" / "claude")

    given = options(ClaudeCodeRunner().launch(assignment(home)).command)

    file = Path(given["mcp-config"])
    ours = json.loads(file.read_text())["mcpServers"]["trichrome"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ours["command"] == sys.executable
    assert ours["env"] == {
        "TRICHROME_HOME": str(home / "project"),
        "TRICHROME_TOOLSET": "worker",
        "TRICHROME_WORKER": "green-1",
    }
    assert "strict-mcp-config" in given


def test_prompt_names_the_task_and_a_resumed_session_is_told_why_it_ended(home: Path) -> None:
    program(home / "bin" / "claude")
    resumed = assignment(home, resume=Resume("abc", "A usage limit is reached."), max_cost_usd=0.5)

    first = ClaudeCodeRunner().launch(assignment(home)).command
    again = ClaudeCodeRunner().launch(resumed).command

    assert 'claim_task(task="t17")' in first[-1]
    assert "A usage limit is reached." in again[-1]
    assert 'claim_task(task="t17")' in again[-1]
    assert "resume" not in options(first)
    assert options(again)["resume"] == "abc"
    assert options(again)["max-budget-usd"] == "0.500000"


def test_role_that_inherits_its_model_names_none(home: Path) -> None:
    program(home / "bin" / "claude")
    role = replace(load_roles().read("green"), model="inherit")

    given = options(ClaudeCodeRunner().launch(replace(assignment(home), role=role)).command)

    assert "model" not in given


def test_environment_bounds_retries_unless_the_user_did(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(home / "bin" / "claude")
    alone = ClaudeCodeRunner().launch(assignment(home)).environment
    monkeypatch.setenv("CLAUDE_CODE_MAX_RETRIES", "1")
    chosen = ClaudeCodeRunner().launch(assignment(home)).environment

    assert alone["CLAUDE_CODE_MAX_RETRIES"] == "5"
    assert "CLAUDE_CODE_MAX_RETRIES" not in chosen


def test_who_is_not_logged_in_is_told_the_program_that_was_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_login = Transcript(error="Not logged in", cause="authentication_failed", is_ended=True)
    bundled = program(home / "sdk" / "_bundled" / "claude")
    monkeypatch.setattr(claude_code, "find_spec", lambda _: type("Spec", (), {"origin": str(home / "sdk" / "x.py")}))
    from_sdk = ClaudeCodeRunner().ending(no_login, code=1, errors="").reason
    program(home / "bin" / "claude")
    on_path = ClaudeCodeRunner().ending(no_login, code=1, errors="").reason

    assert f"Run `{bundled}` and log in" in from_sdk
    assert "Run `claude` and log in" in on_path


def test_servers_that_a_role_names_are_found_where_the_user_configured_them(home: Path) -> None:
    here = str((home / "project").resolve())
    local = {**CONTEXT7, "args": ["local"]}
    configure(home, {"mcpServers": {"context7": CONTEXT7, "other": OTHER}})
    of_user = servers.wanted(("Read", "mcp__context7__*", "mcp__magic__*"), home / "project")
    configure(home, {"mcpServers": {"context7": CONTEXT7}, "projects": {here: {"mcpServers": {"context7": local}}}})
    of_folder = servers.wanted(("mcp__context7__resolve",), home / "project")

    assert of_user == {"context7": CONTEXT7}
    assert of_folder == {"context7": local}


@pytest.mark.parametrize(
    ("here", "found"),
    [
        ({}, {}),
        ({"enabledMcpjsonServers": ["context7"]}, {}),
        ({"hasTrustDialogAccepted": True}, {}),
        ({"hasTrustDialogAccepted": True, "enabledMcpjsonServers": ["context7"]}, {"context7": CONTEXT7}),
        ({"hasTrustDialogAccepted": True, "enableAllProjectMcpServers": True}, {"context7": CONTEXT7}),
        (
            {
                "hasTrustDialogAccepted": True,
                "enableAllProjectMcpServers": True,
                "disabledMcpjsonServers": ["context7"],
            },
            {},
        ),
    ],
)
def test_servers_of_a_repository_are_started_only_where_its_user_allowed_them(
    home: Path, here: dict[str, Any], found: dict[str, Any]
) -> None:
    configure(home, {"projects": {str((home / "project").resolve()): here}}, shared={"context7": CONTEXT7})

    wanted = servers.wanted(("mcp__context7__*",), home / "project")

    assert wanted == found


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"mcpServers": [], "projects": {"x": 1}}', "[" * 100_000])
def test_configuration_that_cannot_be_read_has_no_servers(home: Path, text: str) -> None:
    (home / "config" / ".claude.json").write_text(text)

    assert servers.wanted(("mcp__context7__*", "mcp__", "mcp"), home / "project") == {}
