"""Instructions for a lead, when somebody types a slash command that asks for several agents.

Run as a plain file at `UserPromptExpansion`: it reads the hook's JSON and prints what Claude Code adds to the
conversation. Guarantee: where nothing asks for several agents it prints nothing, so the request to the model is the one
that it would be without us; no file is written, and those of other programs are only read.
"""

from __future__ import annotations

import json
import os
import sys

OURS = ("search", "implement", "analyze", "review", "fix", "orchestrate")
"""The commands that route; `team` and `join` do one thing each."""
CLAUDE_CODE_S_OWN = ("review",)
"""Those whose bare name is a command of Claude Code, which has no expansion: a prompt shows them."""
PLUGIN = "trichrome:"
SUPERCLAUDE = "sc:"
UNSAID = {"review": "the uncommitted changes of this repository"}
"""What a command is about where nothing else is said."""
_YES = ("1", "true", "yes", "on")
_DASHES = ("--", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212")
"""What a flag may begin with."""
_MOST_BYTES = 65_536


def main() -> None:
    """Answer the hook on standard input."""
    told = json.load(sys.stdin)
    name, arguments = str(told.get("command_name", "")), str(told.get("command_args", ""))
    if not _is_meant(name.removeprefix(PLUGIN), arguments):
        return  # most commands of most people end here, before anything of ours is imported
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120  pathlib is slow
    if context := _context(name.removeprefix(PLUGIN), arguments):
        output = {"hookEventName": "UserPromptExpansion", "additionalContext": context}
        sys.stdout.write(json.dumps({"hookSpecificOutput": output}))


def of_prompt(prompt: str) -> str | None:
    """What to add to a prompt that begins with a command of Claude Code which we have too; None for nothing."""
    name, _, arguments = prompt.partition(" ")
    command = name.removeprefix("/")
    is_ours = name.startswith("/") and command in CLAUDE_CODE_S_OWN
    return _context(command, arguments) if is_ours and _is_meant(command, arguments) else None


def _is_meant(command: str, arguments: str) -> bool:
    """Whether several agents may be asked for."""
    is_known = command in OURS or command.startswith(SUPERCLAUDE)
    return is_known and (bool(_asked()) or any(dash in arguments for dash in _DASHES))


def _asked() -> bool | None:
    """Whether the environment lets the score decide; None where it says nothing."""
    variable = os.environ.get("CLAUDE_MULTI_AGENT")
    return None if not variable else variable.strip().lower() in _YES


def _context(command: str, arguments: str) -> str | None:
    """What to add to the conversation; None for nothing."""
    from trichrome.domain import orchestration, plans, requests, routing, superclaude

    request = requests.parse(arguments[:_MOST_BYTES])
    if not request.text:
        request = requests.Request(UNSAID.get(command, ""), request.flags, request.problems)
    is_theirs = command.startswith(SUPERCLAUDE)
    kind = superclaude.kind_of(command) if is_theirs else command
    if kind is None:
        return None
    facts = superclaude.front_matter(_theirs(command)) if is_theirs else None
    kinds = _kinds()
    routed = routing.route(request, kind=kind, facts=facts, kinds=kinds, asked=_asked() or request.flags.dry_run)
    if routed.mode == "single" and not request.flags.dry_run:
        return None
    if not request.text:
        return orchestration.NOTHING_ASKED
    if (why := _lack()) is not None:
        return orchestration.alone(why)
    planned = plans.plan(request, routed, kinds=kinds)
    return orchestration.instruct(request, routed, planned, agents=_agents())


def _lack() -> str | None:
    """Why no server can be started; None where one can, or where another way than the plugin's starts it."""
    if "CLAUDE_PLUGIN_ROOT" not in os.environ:
        return None
    folders = os.environ.get("PATH", "").split(os.pathsep)
    if any(os.access(os.path.join(folder, program), os.X_OK) for folder in folders for program in ("trichrome", "uv")):  # noqa: PTH118  pathlib is slow
        return None
    return f"neither `trichrome` nor `uv` is on the PATH; `pipx install {os.environ['CLAUDE_PLUGIN_ROOT']}` mends it"


def _agents() -> dict[str, str]:
    """The subagents of the plugin, by role: those that take a kind by themselves without any settings."""
    from trichrome.domain.routing import KINDS

    return {role: f"{PLUGIN}{role}" for role in KINDS.values()} if "CLAUDE_PLUGIN_ROOT" in os.environ else {}


def _theirs(command: str) -> str:
    """The text of a command of SuperClaude; empty where it cannot be read."""
    name = command.removeprefix(SUPERCLAUDE)
    home = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.expanduser("~/.claude")  # noqa: PTH111  pathlib is slow
    for folder in (os.path.join(os.environ.get("CLAUDE_PROJECT_DIR", "."), ".claude"), home):  # noqa: PTH118  likewise
        try:
            with open(f"{folder}/commands/sc/{name}.md", encoding="utf-8") as file:  # noqa: PTH123  likewise
                return file.read(_MOST_BYTES)
        except (OSError, UnicodeDecodeError):
            continue
    return ""


def _kinds() -> dict[str, str]:
    """The role of each kind, with roles that the project adds; the shipped ones where its settings cannot be used."""
    from trichrome.domain.routing import KINDS

    project = _project()
    if project is None:
        return dict(KINDS)
    import tomllib
    from pathlib import Path

    from trichrome.errors import TrichromeError
    from trichrome.roles import load_roles

    try:
        with open(f"{project}/.trichrome/config.toml", "rb") as file:  # noqa: PTH123  pathlib is slow
            settings = tomllib.load(file).get("roles", {})
        policies = load_roles(Path(project), settings).policies
    except (OSError, ValueError, AttributeError, TrichromeError):
        return dict(KINDS)
    return {kind: role for role, policy in policies.items() for kind in policy.kinds}


def _project() -> str | None:
    """The nearest folder with settings of ours, as far as can be told without asking git."""
    folder = os.environ.get("TRICHROME_HOME") or os.environ.get("CLAUDE_PROJECT_DIR") or os.getcwd()  # noqa: PTH109  pathlib is slow
    while True:
        if os.path.exists(f"{folder}/.trichrome/config.toml"):  # noqa: PTH110  likewise
            return folder
        parent = os.path.dirname(folder)  # noqa: PTH120  likewise
        if parent == folder:
            return None
        folder = parent


if __name__ == "__main__":
    main()
