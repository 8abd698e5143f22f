"""Every hook that Trichrome gives to Claude Code, in one table; pure.

The plugin's `hooks/hooks.json`, the settings of supervised sessions and those that `trichrome integrate` writes are all
made from it. Most are calls of our server on the pipe that is there already: they start no process, see the log as it
is, and are skipped without a word where the server is missing. Two are plain files, because they must work before the
server is connected or after it is gone. docs/decisions/0023 says what was tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PLUGIN_SERVER: Final = "plugin:trichrome:trichrome"
"""How hooks name the server that comes with the plugin."""
PLUGIN_FOLDER: Final = "${CLAUDE_PLUGIN_ROOT}/server/trichrome/hooks"
"""Where the plain files lie in the plugin."""
COMMAND_SECONDS: Final = 10
"""The longest that a plain file may take; it takes about a tenth of a second."""
CALL_SECONDS: Final = 5
"""The longest that a call of the server may take; it takes some hundredths."""

_OPEN: Final = """\
import sys
try:
    file = sys.argv[1]
    exec(compile(open(file, "rb").read(), file, "exec"), {"__name__": "__main__", "__file__": file})
except BaseException:
    pass
"""
"""Runs a plain file and always ends well. Claude Code takes exit code 2 for a refusal, and with 2 Python ends where the
file is gone, as after an update of the plugin under a running session: then no tool could be used any more."""

_SIGNS: Final[Mapping[str, str]] = {
    "SubagentStart": "turn_began",
    "PreToolUse": "tool_started",
    "PermissionRequest": "prompt_opened",
    "PostToolUse": "tool_ended",
    "PostToolUseFailure": "tool_ended",
    "PostToolBatch": "tool_ended",
}
"""Which event is which sign of life: docs/decisions/0016. A refused tool has no PostToolUse, but a PostToolBatch."""
_AGENT: Final = ("agent_id", "agent_type")
_SIGN_FIELDS: Final = (*_AGENT, "tool_name", "tool_use_id", "transcript_path")
_STOP_FIELDS: Final = ("background_tasks", "transcript_path")
_PROMPT_FIELDS: Final = ("prompt", "transcript_path")
_CAPSULES: Final[Mapping[str, str]] = {"SessionStart": "compact|clear", "PreCompact": ""}
"""Where an agent is told who it is, with the matcher of that event."""
_EDITS: Final = "Write|Edit|MultiEdit|NotebookEdit|Bash"
_WITH_GIT: Final = "Bash(*git*)"
"""Commands in which git is named anywhere; `Bash(git *)` knows it neither behind `env` nor in the script of `sh -c`."""


def hooks(server: str, folder: str, *, python: str = "python3", is_worker: bool = False) -> dict[str, Any]:
    """The value of `hooks` in a `hooks.json` or a `settings.json`.

    Args:
        server: how hooks name our server there.
        folder: where the plain files of this package lie.
        python: what runs them.
        is_worker: for a session that is a worker and is typed no slash command.
    """
    table: dict[str, list[dict[str, Any]]] = {}

    def add(event: str, handler: dict[str, Any], matcher: str = "") -> None:
        table.setdefault(event, []).append({**({"matcher": matcher} if matcher else {}), "hooks": [handler]})

    def call(tool: str, **fields: str) -> dict[str, Any]:
        return {"type": "mcp_tool", "server": server, "tool": tool, "input": fields, "timeout": CALL_SECONDS}

    def run(file: str) -> dict[str, Any]:
        args = ["-I", "-S", "-c", _OPEN, f"{folder}/{file}.py"]
        return {"type": "command", "command": python, "args": args, "timeout": COMMAND_SECONDS}

    for event, kind in _SIGNS.items():
        add(event, call("note_sign", kind=kind, **_fields(*_SIGN_FIELDS)))
    add("UserPromptSubmit", call("note_prompt", **_fields(*_AGENT, *_PROMPT_FIELDS)))
    for event, matcher in _CAPSULES.items():
        add(event, call("tell_capsule", event=event, **_fields(*_AGENT, "source")), matcher)
    for event in ("Stop", "SubagentStop"):
        add(event, call("note_stop", **_fields(*_AGENT, *_STOP_FIELDS)))
    edit = {"file_path": "${tool_input.file_path}", "notebook_path": "${tool_input.notebook_path}"}
    add("PreToolUse", call("check_edit", **_fields(*_AGENT, "cwd"), **edit, command="${tool_input.command}"), _EDITS)
    add("PreToolUse", {**run("guard"), "if": _WITH_GIT}, "Bash")
    if not is_worker:
        add("UserPromptExpansion", run("expand"))
    return table


def _fields(*names: str) -> dict[str, str]:
    """Fields of a hook's input, passed on under their own names."""
    return {name: f"${{{name}}}" for name in names}
