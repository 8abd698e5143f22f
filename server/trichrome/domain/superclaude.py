"""What SuperClaude's words mean here: its commands, agents, personas, servers and front matter; pure tables.

Read from SuperClaude 4.3; a test compares them with its files. Guarantee: `front_matter` answers something for any
text, and takes no more from it than the three lists it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

ORCHESTRATE: Final = "orchestrate"
"""The kind of a command that says nothing of the kind of work: its text does."""
LEAD: Final = "lead"
"""Who the session is that does the leading; no colour."""

COMMANDS: Final[Mapping[str, str]] = {
    "agent": ORCHESTRATE,
    "analyze": "analyze",
    "brainstorm": "analyze",
    "build": "fix",
    "business-panel": "analyze",
    "cleanup": "refactor",
    "design": "analyze",
    "document": "document",
    "estimate": "analyze",
    "explain": "analyze",
    "implement": "implement",
    "improve": "refactor",
    "index": "document",
    "index-repo": "search",
    "pm": ORCHESTRATE,
    "reflect": "review",
    "research": "search",
    "spawn": ORCHESTRATE,
    "spec-panel": "review",
    "task": ORCHESTRATE,
    "test": "test",
    "troubleshoot": "fix",
    "workflow": "analyze",
}
"""The kind of work of each `/sc:` command."""
UNSHARED: Final = frozenset({"git", "help", "load", "recommend", "save", "sc", "select-tool"})
"""`/sc:` commands that are about the session itself; several agents make no sense there."""

ROLES: Final[Mapping[str, str]] = {
    # agents
    "repo-index": "blue",
    "deep-research": "blue",
    "deep-research-agent": "blue",
    "root-cause-analyst": "blue",
    "requirements-analyst": "blue",
    "learning-guide": "blue",
    "socratic-mentor": "blue",
    "backend-architect": "green",
    "frontend-architect": "green",
    "devops-architect": "green",
    "python-expert": "green",
    "refactoring-expert": "green",
    "technical-writer": "green",
    "security-engineer": "red",
    "quality-engineer": "red",
    "self-review": "red",
    "system-architect": "red",
    "performance-engineer": "red",
    "business-panel-experts": "red",
    "pm-agent": LEAD,
    # personas
    "analyzer": "blue",
    "mentor": "blue",
    "educator": "blue",
    "frontend": "green",
    "backend": "green",
    "refactorer": "green",
    "devops": "green",
    "devops-engineer": "green",
    "scribe": "green",
    "architect": "red",
    "security": "red",
    "qa": "red",
    "qa-specialist": "red",
    "quality": "red",
    "performance": "red",
    "project-manager": LEAD,
}
"""The role of each of its agents and personas."""

SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "context7": ("green",),
    "sequential-thinking": ("blue", "red"),
    "magic": ("green",),
    "playwright": ("green", "red"),
    "serena": ("blue", "green", "red"),
    "morphllm-fast-apply": ("green",),
    "tavily": ("blue",),
    "chrome-devtools": ("green", "red"),
}
"""The MCP servers that it knows, by the names it registers, and the roles that use each."""
SHORT_NAMES: Final[Mapping[str, str]] = {"sequential": "sequential-thinking", "morphllm": "morphllm-fast-apply"}
"""How front matter calls two of them."""
SERVER_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "c7": ("context7",),
    "context7": ("context7",),
    "seq": ("sequential-thinking",),
    "sequential-thinking": ("sequential-thinking",),
    "magic": ("magic",),
    "morph": ("morphllm-fast-apply",),
    "morphllm": ("morphllm-fast-apply",),
    "serena": ("serena",),
    "play": ("playwright",),
    "playwright": ("playwright",),
    "chrome": ("chrome-devtools",),
    "devtools": ("chrome-devtools",),
    "tavily": ("tavily",),
    "frontend-verify": ("playwright", "chrome-devtools", "serena"),
    "all-mcp": tuple(SERVERS),
}
"""Its flags that ask for servers. `--sequential` is none of them here: it is ours, one task after another."""

COMPLEXITY: Final[Mapping[str, float]] = {
    "low": 0.0,
    "basic": 0.0,
    "standard": 0.05,
    "enhanced": 0.1,
    "advanced": 0.15,
    "high": 0.15,
    "meta": 0.2,
}
"""What a command's `complexity` adds to the score of a request."""

_MOST_LINES: Final = 40
"""Lines in which front matter must end to be read; that of the commands has ten at most."""


@dataclass(frozen=True, slots=True)
class CommandFacts:
    """What a command's front matter says of it.

    Attributes:
        complexity: a word of `COMPLEXITY`; None where it says none that is known.
        servers: MCP servers, by the names they are registered with.
        personas: its personas that have a role.
    """

    complexity: str | None = None
    servers: tuple[str, ...] = ()
    personas: tuple[str, ...] = ()


def kind_of(command: str) -> str | None:
    """The kind of work of a `/sc:` command, with or without `sc:`; None where several agents make no sense."""
    name = command.strip().lower().removeprefix("/").removeprefix("sc:")
    return None if name in UNSHARED else COMMANDS.get(name, ORCHESTRATE)


def front_matter(text: str) -> CommandFacts:
    """Read what is known of a command from the head of its file; what is not understood says nothing."""
    lines = text.removeprefix("\ufeff").splitlines()[: _MOST_LINES + 1]
    if not lines or lines[0].strip() != "---":
        return CommandFacts()
    found: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            break
        key, colon, value = line.partition(":")
        if colon and key == key.strip():  # what is indented belongs to something else
            found[key] = value
    else:
        return CommandFacts()
    complexity = found.get("complexity", "").strip().strip("'\"").lower()
    servers = (SHORT_NAMES.get(name, name) for name in _items(found.get("mcp-servers", "")))
    return CommandFacts(
        complexity=complexity if complexity in COMPLEXITY else None,
        servers=tuple(name for name in servers if name in SERVERS),
        personas=tuple(name for name in _items(found.get("personas", "")) if name in ROLES),
    )


def _items(value: str) -> list[str]:
    """The words of `[a, b]`, or of `a, b`."""
    inner = value.strip().removeprefix("[").removesuffix("]")
    return [item for each in inner.split(",") if (item := each.strip().strip("'\"").lower())]
