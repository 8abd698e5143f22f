"""Which registrations go where; nothing is written here.

A wish is one thing to have in one file: a member of a JSON object, an item of a list, or a whole file. What is there
already under our name and is not ours is never overwritten.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from trichrome.cli.integrating import jsonc, shipped
from trichrome.domain.outputs import SERVER
from trichrome.errors import ConflictError, InvalidError
from trichrome.roles import Roles

Part = Literal["claude-code", "desktop", "superclaude", "roles"]
Scope = Literal["user", "project"]
_PLUGIN: Final = "trichrome@"


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that a file should have.

    Attributes:
        kind: `member` of a JSON object, `item` of a JSON list, or the whole `file`.
        at: the path of keys to it.
    """

    file: Path
    kind: Literal["member", "item", "file"]
    value: Any
    at: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Places:
    """Where Claude Code and Claude Desktop keep their files; some of them belong to a project."""

    project: Path | None
    scope: Scope

    @property
    def home(self) -> Path:
        """The project folder.

        Raises:
            InvalidError: there is none here.
        """
        if self.project is None:
            raise InvalidError("Here is no project. Change into one, or name it with TRICHROME_HOME=/path/to/project.")
        return self.project

    @property
    def config(self) -> Path:
        """The folder with agents, skills and settings of the scope."""
        if self.scope == "project":
            return self.home / ".claude"
        return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")

    @property
    def servers(self) -> Path:
        """The file with the servers of the scope."""
        if self.scope == "project":
            return self.home / ".mcp.json"
        return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home()) / ".claude.json"

    @property
    def settings(self) -> Path:
        """The file with the hooks; a project's own is shared by people whose paths differ, so not that one."""
        return self.config / ("settings.local.json" if self.scope == "project" else "settings.json")

    @property
    def desktop(self) -> Path:
        """Claude Desktop's file."""
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Application Support" / "Claude" / "claude_desktop_config.json"
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return base / "Claude" / "claude_desktop_config.json"

    @property
    def superclaude(self) -> Path:
        """Where SuperClaude's commands are."""
        return self.config / "commands" / "sc"


def wishes(parts: set[Part], places: Places, roles: Roles) -> Iterator[Wish]:
    """What to write for these parts, each thing once."""
    if parts & {"claude-code", "superclaude"}:
        program, *arguments = shipped.command()
        named = "trichrome" if places.scope == "project" else program
        server = {"type": "stdio", "command": named, "args": arguments}
        yield Wish(places.servers, "member", server, ("mcpServers", SERVER))
        for event, group in shipped.hook_groups():
            yield Wish(places.settings, "item", group, ("hooks", event))
        for name, text in shipped.agents(roles, own=False):
            yield Wish(places.config / "agents" / name, "file", text)
    if "claude-code" in parts:
        for name, text in shipped.skills():
            yield Wish(places.config / "skills" / name, "file", text)
    if "roles" in parts:
        for name, text in shipped.agents(roles, own=True):
            yield Wish(places.home / ".claude" / "agents" / name, "file", text)
    if "desktop" in parts:
        program, *arguments = shipped.command()
        entry = {"command": program, "args": arguments, "env": {"TRICHROME_HOME": str(places.home)}}
        yield Wish(places.desktop, "member", entry, ("mcpServers", SERVER))


def check_plugin(places: Places) -> None:
    """Refuse where the plugin is on as well: every hook would run twice.

    Raises:
        ConflictError: `invalid`.
    """
    try:
        node = jsonc.find(jsonc.parse(read(places.settings) or ""), ("enabledPlugins",))
    except InvalidError:
        return  # writing there says what is wrong
    enabled = node.value if node is not None and isinstance(node.value, dict) else {}
    for name, is_on in enabled.items():
        if name.startswith(_PLUGIN) and is_on:
            raise ConflictError(
                f"The plugin {name} is enabled in {places.settings}, and both would run every hook twice. Nothing was "
                f"changed. Keep the plugin, or run `claude plugin disable {name}` first.",
                code="invalid",
            )


def fulfilled(wish: Wish, text: str | None) -> str:
    """A file's text with what is wished for in it; None is a file that is not there.

    Raises:
        InvalidError: it cannot be read as JSON.
        ConflictError: something that is not ours has our name.
    """
    if wish.kind == "file":
        if text is not None and text != wish.value:
            raise _taken(wish, "is not ours")
        return str(wish.value)
    try:
        known = jsonc.find(jsonc.parse(text or ""), wish.at)
        if wish.kind == "item":
            has = known is not None and isinstance(known.value, list) and wish.value in known.value
            return text or "" if has else jsonc.append(text or "", wish.at, wish.value)
        if known is not None and known.value != wish.value:
            raise _taken(wish, f"has a {'.'.join(wish.at)} that is not ours")
        return text or "" if known is not None else jsonc.put(text or "", wish.at, wish.value)
    except InvalidError as error:
        raise InvalidError(
            f"{wish.file} was left as it is: {error.message}. Nothing was changed. Mend it first."
        ) from None


def removed(wish: Wish, text: str) -> str:
    """A JSON file's text without what was wished for, and without what then holds nothing.

    Raises:
        InvalidError: it cannot be read as JSON.
    """
    value = wish.value if wish.kind == "item" else None
    known = jsonc.find(jsonc.parse(text), wish.at)
    if wish.kind == "member" and (known is None or known.value != wish.value):
        return text
    text = jsonc.remove(text, wish.at, value)
    at = wish.at if wish.kind == "item" else wish.at[:-1]
    while at and (empty := jsonc.find(jsonc.parse(text), at)) is not None and not empty.value and not empty.items:
        text = jsonc.remove(text, at)
        at = at[:-1]
    return text


def read(path: Path) -> str | None:
    """A file's text with its line ends as they are; None where there is none.

    Raises:
        InvalidError: it cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidError(f"{path} cannot be read: {why}. Nothing was changed.") from error


def _taken(wish: Wish, what: str) -> ConflictError:
    return ConflictError(
        f"{wish.file} {what}, so nothing was changed. Rename or remove it, or use the plugin, whose names are its own.",
        code="invalid",
    )
