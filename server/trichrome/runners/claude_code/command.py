"""The command line, the files and the environment of one session; pure.

A session may use its role's tools and is refused the rest, without a question to anybody:

- Reading is free in its workspace and in the project, and nowhere else.
- Writing is for roles that may write, inside the workspace. A role that may not write has neither the editing tools nor
  a shell, whatever its file says.
- A shell, the web, and other servers are allowed as the role's file names them. git's stash and its worktrees are
  shared by all workers, and nothing is published from here: these commands are refused.
- It starts no subagents: a session is one worker.
- What is private in `.trichrome` is read by none, nor do settings of the project have a say: docs/decisions/0022.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trichrome.config import FOLDER
from trichrome.domain.outputs import OURS, SERVER
from trichrome.hooks import FOLDER as FOLDER_OF_HOOKS
from trichrome.hooks.table import hooks
from trichrome.roles import INHERIT, Role
from trichrome.runners import private
from trichrome.runners.port import Assignment
from trichrome.runners.prompts import opening

_EDITING: Final = frozenset({"Write", "Edit", "NotebookEdit"})
_WRITING: Final = _EDITING | {"Bash"}
_READING: Final = frozenset({"Read", "Grep", "Glob"})
_SUBAGENTS: Final = ("Agent", "Task", "Workflow")
_SHARED_OR_PUBLIC: Final = ("Bash(git stash *)", "Bash(git worktree *)", "Bash(git push *)")
"""Commands that reach beyond the workspace. A shell has other ways; this is for a model that means well."""
_OF_THE_PLUGIN: Final = "mcp__plugin_"

_UNLESS_SET: Final[Mapping[str, str]] = {
    # Some 15 s of its own retries, then the supervisor decides. By default a refused login is retried for minutes.
    "CLAUDE_CODE_MAX_RETRIES": "5",
    # A stream without a byte is given up and asked for again; the API sends something every few seconds.
    "CLAUDE_ENABLE_BYTE_WATCHDOG": "1",
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": "120000",
    # The CLAUDE.md of the project, which is text, without its settings, which can start programs.
    "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1",
    # A program that replaces itself under running sessions helps nobody.
    "DISABLE_AUTOUPDATER": "1",
}


@dataclass(frozen=True, slots=True)
class Files:
    """What a session reads at its start: its servers, its settings."""

    servers: Path
    settings: Path


def command(program: Path, assignment: Assignment, files: Files, *, project: Path) -> tuple[str, ...]:
    """The program and its arguments.

    The role is the session's own agent (`--agent`): its prompt stands in the place of Claude Code's, which makes a
    request a fifth as long, its tools are the only ones, and those of ours are loaded from the first turn.
    """
    role = assignment.role
    options = {
        "output-format": "stream-json",
        "mcp-config": str(files.servers),
        "settings": str(files.settings),
        "setting-sources": "user",
        "agents": json.dumps({role.name: _agent(role)}),
        "agent": role.name,
        "permission-mode": "dontAsk",
        "add-dir": str(project),
        "allowedTools": ",".join(_allowed(role, assignment.workspace)),
        "disallowedTools": ",".join([*_disallowed(role), *_SHARED_OR_PUBLIC, *_unread(project.resolve() / FOLDER)]),
    }
    if role.model != INHERIT:
        options["model"] = role.model
    if assignment.max_cost_usd is not None:
        options["max-budget-usd"] = f"{assignment.max_cost_usd:.6f}"
    if assignment.resume is not None:
        options["resume"] = assignment.resume.session
    named = [f"--{name}={value}" for name, value in options.items()]
    return (str(program), "--print", "--verbose", "--strict-mcp-config", *named, "--", opening(assignment))


def settings() -> dict[str, Any]:
    """The session's settings: hooks that tell our server what it does, and keep it to its task."""
    return {"hooks": hooks(SERVER, str(FOLDER_OF_HOOKS), python=sys.executable, is_worker=True)}


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What to set on top of an inherited environment; what a user set there stays."""
    return {name: value for name, value in _UNLESS_SET.items() if name not in inherited}


def _agent(role: Role) -> dict[str, Any]:
    agent: dict[str, Any] = {"description": role.description, "prompt": role.prompt}
    if (tools := _tools(role)) is not None:
        agent["tools"] = list(tools)
    return agent


def _tools(role: Role) -> Sequence[str] | None:
    """The tools that the session has; None for all but `_disallowed`."""
    if role.tools is None:
        return None
    refused = _disallowed(role)
    tools = [tool for tool in role.tools if _bare(tool) not in refused and not tool.startswith(_OF_THE_PLUGIN)]
    if not any(tool.startswith(OURS) for tool in tools):
        tools.append(f"{OURS}*")
    return tools


def _allowed(role: Role, workspace: Path) -> list[str]:
    """Permission rules: what may be done without asking. Reading needs none where it is free."""
    tools = _tools(role)
    if tools is None:
        tools = sorted(_WRITING - set(_disallowed(role)))
    rules = [tool for tool in tools if _bare(tool) not in _EDITING | _READING and not tool.startswith(OURS)]
    if any(_bare(tool) in _EDITING for tool in tools):
        rules.append(f"Edit(/{workspace.resolve()}/**)")  # a rule's absolute path begins with two slashes
    return [*rules, f"{OURS}*"]


def _disallowed(role: Role) -> list[str]:
    return [*_SUBAGENTS, *(() if role.may_write else sorted(_WRITING))]


def _unread(data: Path) -> list[str]:
    """Rules that hold for every tool that reads, and for the commands of a shell that Claude Code knows."""
    return [f"Read(/{data}/*.*)", *(f"Read(/{data / folder}/**)" for folder in private.FOLDERS)]


def _bare(tool: str) -> str:
    """The name in a rule such as `Bash(git log *)`."""
    return tool.partition("(")[0]
