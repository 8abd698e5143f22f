"""Roles: who does which kind of work, and with what prompt, model and tools.

A role is a Claude Code subagent file plus a policy that Claude Code does not know. Two loads, because they have two
prices: `load_roles` knows names, kinds and policy without opening a single role file or importing a parser, so the
server can answer its first call from it; `Roles.read` parses one file, when its prompt or its model is wanted.

Where a role's file is: where the configuration says (`file`, so that a subagent of Claude Code can be a role), else
`<project>/.trichrome/agents/NAME.md`, else it is one that comes with the package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from trichrome.errors import InvalidError

COLORS: Final = ("red", "blue", "green", "yellow", "purple", "orange", "pink", "cyan")
"""The colours that Claude Code shows for a subagent; any other is silently dropped there."""

MODELS: Final[Mapping[str, str]] = {
    "haiku": "claude-haiku-5-5",
    "sonnet": "claude-sonnet-5-5",
    "opus": "claude-opus-5-5",
    "fable": "claude-fable-5-2",
}
"""Model aliases of Claude Code and what each stands for; a full id starts with `claude-`."""
INHERIT: Final = "inherit"
"""The model of whoever starts the role."""

_MODELS_EXPECTED: Final = f"one of {', '.join(MODELS)}, {INHERIT}, or a full model id"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_TOOL_SEPARATOR = re.compile(r",(?![^()]*\))")
_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Policy:
    """What the server and the supervisor decide by.

    Attributes:
        kinds: kinds of task that go to this role when a task names no role.
        share: usual part of a run's tasks, 0 to 1.
        may_write: whether a worker of this role gets a worktree that it may change.
        concurrency: most workers at a time; None is no limit of its own.
        model: what it runs on instead of what its file says.
    """

    kinds: tuple[str, ...] = ()
    share: float = 0.0
    may_write: bool = False
    concurrency: int | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """One role as its file and its policy describe it.

    Attributes:
        tools: Claude Code's names of the tools it may use; None leaves it all tools.
        model: an alias or a full model id; `inherit` when the file names none.
        color: how Claude Code shows it; None when the file names none.
    """

    name: str
    description: str
    prompt: str
    model: str
    color: str | None
    tools: tuple[str, ...] | None
    kinds: tuple[str, ...]
    share: float
    may_write: bool
    concurrency: int | None


Settings = Mapping[str, Mapping[str, object]]
"""The `[roles.<name>]` tables of the configuration, by name, as TOML gives them."""

SHIPPED: Final[Mapping[str, Policy]] = {
    "blue": Policy(kinds=("search", "analyze"), share=0.60),
    "green": Policy(kinds=("implement", "fix", "refactor", "test", "document"), share=0.35, may_write=True),
    "red": Policy(kinds=("review",), share=0.05),
}
"""The policies of the roles that come with the package, before configuration."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The roles of one project: their policies at hand, their files by path."""

    policies: Mapping[str, Policy]
    files: Mapping[str, Path]

    @property
    def names(self) -> tuple[str, ...]:
        """Every role, the shipped ones first."""
        return tuple(self.policies)

    def read(self, name: str) -> Role:
        """Read one role whole.

        Raises:
            InvalidError: `unknown_role`, or a role file that cannot be used, with the field at fault.
        """
        if name not in self.files:
            raise InvalidError(
                f"There is no role {name!r}. Roles: {', '.join(self.names)}. A new role is a file"
                f" .trichrome/agents/{name}.md with front matter.",
                code="unknown_role",
                field="role",
            )
        path = self.files[name]
        front, prompt = _front_matter(path)
        if front.get("name") != path.stem:
            raise _unusable(path, "name", f"must be {path.stem!r}, like the file")
        policy = self.policies[name]
        return Role(
            name=name,
            description=_text(path, front, "description"),
            prompt=prompt,
            model=policy.model or _model(path, front),
            color=_color(path, front),
            tools=_tools(path, front),
            kinds=policy.kinds,
            share=policy.share,
            may_write=policy.may_write,
            concurrency=policy.concurrency,
        )


def load_roles(project: Path | None = None, settings: Settings | None = None) -> Roles:
    """Learn which roles there are and what each takes, without reading a role file.

    A kind that the configuration gives to a role is taken from the shipped role that had it.

    Args:
        project: the project folder; None knows the shipped roles alone.
        settings: what the configuration says about roles.

    Raises:
        InvalidError: a setting that cannot be used, or one for a role that has no file.
    """
    settings = settings or {}
    files = _role_files(project, settings)
    configured = {name: _configured(name, table) for name, table in settings.items()}
    _refuse_shared_kinds(configured)
    given = {kind for changes in configured.values() for kind in changes.get("kinds", ())}

    policies: dict[str, Policy] = {}
    for name in files:
        policy = SHIPPED.get(name, Policy())
        kept = tuple(kind for kind in policy.kinds if kind not in given)
        policies[name] = replace(policy, **{"kinds": kept, **configured.get(name, {})})
    return Roles(policies=policies, files=files)


def _role_files(project: Path | None, settings: Settings) -> dict[str, Path]:
    """Where each role's file is. A file whose name cannot be a role's name, such as a README, is none."""
    agents = _shipped_agents()
    files = {name: agents / f"{name}.md" for name in SHIPPED}
    if project is not None:
        own = sorted((project / ".trichrome" / "agents").glob("*.md"))
        files |= {path.stem: path for path in own if _NAME.fullmatch(path.stem)}
        files |= {name: project / str(table["file"]) for name, table in settings.items() if "file" in table}
    for name in settings:
        if not _NAME.fullmatch(name):
            raise InvalidError(
                f"[roles.{name}]: a role's name is a lower-case word of letters, digits and hyphens.",
                field=f"roles.{name}",
            )
        if name not in files or not _is_file(files[name]):
            raise InvalidError(
                f"[roles.{name}] configures a role that has no file. Write .trichrome/agents/{name}.md, or say with"
                " `file` which it is.",
                code="unknown_role",
                field=f"roles.{name}",
            )
    return files


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # a name that is too long for any file


def _shipped_agents() -> Path:
    """The folder of shipped role files: in the package when installed, at the root of a checkout."""
    installed = _PACKAGE / "agents"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "agents"


def _configured(name: str, table: Mapping[str, object]) -> dict[str, Any]:
    """One `[roles.<name>]` table as changes to a policy."""
    settings = {key: value for key, value in table.items() if key != "file"}
    return {key: _setting(f"roles.{name}.{key}", key, value) for key, value in settings.items()}


def _setting(field: str, key: str, value: object) -> Any:
    match key, value:
        case "kinds", [*kinds] if all(isinstance(kind, str) and _KIND.fullmatch(kind) for kind in kinds):
            return tuple(kinds)
        case "kinds", _:
            expected = 'a list of lower-case words, such as ["search", "analyze"]'
        case "share", int() | float() if not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        case "share", _:
            expected = "a number from 0 to 1"
        case "may_write", bool():
            return value
        case "may_write", _:
            expected = "true or false"
        case "concurrency", int() if not isinstance(value, bool) and value >= 1:
            return value
        case "concurrency", _:
            expected = "a whole number from 1"
        case "model", str() if _is_model(value):
            return value
        case "model", _:
            expected = _MODELS_EXPECTED
        case _:
            raise InvalidError(
                f"{field} is not a setting of a role. Settings: kinds, share, may_write, concurrency, model, file.",
                field=field,
            )
    raise InvalidError(f"{field} must be {expected}.", field=field)


def _refuse_shared_kinds(configured: Mapping[str, Mapping[str, Any]]) -> None:
    """Each kind has one default role, so that a task without a role always goes to the same place."""
    owners: dict[str, str] = {}
    for name, changes in configured.items():
        for kind in changes.get("kinds", ()):
            if (owner := owners.setdefault(kind, name)) != name:
                raise InvalidError(
                    f"Kind {kind!r} is given to both {owner} and {name}. Remove it from one of them.",
                    field=f"roles.{name}.kinds",
                )


def _front_matter(path: Path) -> tuple[dict[str, Any], str]:
    """The YAML head of a role file, and the prompt below it."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, "file", "cannot be read as UTF-8 text") from error
    opening, _, rest = text.partition("\n")
    head, closing, prompt = rest.partition("\n---\n")
    if opening.rstrip() != "---" or not closing:
        raise _unusable(path, "file", "must begin with front matter between two lines of `---`")
    try:
        front = yaml.safe_load(head)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # The library lets through what its own readers of numbers, dates and flags stumble over.
        raise _unusable(path, "file", "has front matter that is not YAML; quote values that contain `: `") from error
    if not isinstance(front, dict):
        raise _unusable(path, "file", "must have `key: value` lines as front matter")
    if not prompt.strip():
        raise _unusable(path, "file", "must have a prompt below its front matter")
    return front, prompt.strip() + "\n"


def _text(path: Path, front: Mapping[str, Any], key: str) -> str:
    value = front.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _unusable(path, key, "must be a line of text")
    return value.strip()


def _model(path: Path, front: Mapping[str, Any]) -> str:
    model = front.get("model", INHERIT)
    if isinstance(model, str) and _is_model(model):
        return model
    raise _unusable(path, "model", f"must be {_MODELS_EXPECTED}")


def _is_model(name: str) -> bool:
    return name in MODELS or name == INHERIT or name.startswith("claude-")


def _color(path: Path, front: Mapping[str, Any]) -> str | None:
    color = front.get("color")
    if color is None or color in COLORS:
        return color
    raise _unusable(path, "color", f"must be one of {', '.join(COLORS)}")


def _tools(path: Path, front: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The allowed tools; Claude Code takes a list, or one line with commas."""
    tools = front.get("tools")
    if tools is None:
        return None
    if isinstance(tools, str):
        tools = _TOOL_SEPARATOR.split(tools)
    if not isinstance(tools, list) or not all(isinstance(tool, str) for tool in tools):
        raise _unusable(path, "tools", "must be a list of tool names, or one line with commas")
    return tuple(tool.strip() for tool in tools if tool.strip())


def _unusable(path: Path, field: str, what: str) -> InvalidError:
    subject = "it" if field == "file" else f"`{field}`"
    return InvalidError(f"The role file {path.parent.name}/{path.name} cannot be used: {subject} {what}.", field=field)
