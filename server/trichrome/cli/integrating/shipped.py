"""What the package brings for Claude Code: subagents, slash commands, hooks, the server's own command."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from trichrome.domain.outputs import SERVER
from trichrome.hooks import FOLDER
from trichrome.hooks.table import hooks
from trichrome.roles import SHIPPED, Roles

_PACKAGE: Final = Path(__file__).resolve().parents[2]


def agents(roles: Roles, *, own: bool) -> Iterator[tuple[str, str]]:
    """The file of each role by name, with its text: those of the package, or those that the project adds."""
    for name in roles.names:
        if (name not in SHIPPED) is own:
            yield f"{name}.md", roles.files[name].read_text(encoding="utf-8")


def skills() -> Iterator[tuple[str, str]]:
    """Every slash command by the path below `skills/`, with its text."""
    for file in sorted(_folder("skills").glob("*/SKILL.md")):
        yield f"{file.parent.name}/{file.name}", file.read_text(encoding="utf-8")


def hook_groups() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every hook by its event, as a `settings.json` has it."""
    for event, groups in hooks(SERVER, str(FOLDER), python=sys.executable).items():
        for group in groups:
            yield event, group


def command() -> list[str]:
    """What starts the server from anywhere."""
    program = Path(sys.executable).parent / "trichrome"
    return [str(program), "mcp"] if program.exists() else [sys.executable, "-P", "-m", "trichrome", "mcp"]


def _folder(name: str) -> Path:
    """A folder of the package when installed, at the root of a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parents[1] / name
