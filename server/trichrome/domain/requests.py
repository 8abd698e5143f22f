"""What follows a slash command, as a person typed it: the request itself, and the flags in it.

Guarantees: any text is parsed, none raises; what is quoted stays text, to the letter; a flag that nobody here knows
stays text, since the command may know it. What cannot be meant as it stands is a problem in words, and the careful
reading holds:

- Quotes are "double", 'single', `back` and their curly forms. They open at the start of a word and close at the end of
  one; a quote that never closes is a letter like any other. Quotes around the whole request are taken off.
- `--x=1` and `--x 1` are the same; case does not count, nor do `_` for `-` and the dashes that a phone makes of `--`.
- A flag that is repeated holds once, with its last value. `--single` beats `--multi-agent`, and `--sequential` beats
  `--parallel`, each as a problem. `--no-mcp` beats flags that ask for servers, as SuperClaude has it.
- A value that a flag cannot have is a problem, and stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from trichrome.domain.superclaude import SERVER_FLAGS, SERVERS

Order = Literal["parallel", "sequential"]

MOST_AT_ONCE: Final = 15
"""The highest number that `--concurrency` takes, as in SuperClaude."""
MOST_ROUNDS: Final = 10
"""Likewise of `--iterations`."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the flags of a request say.

    Attributes:
        multi_agent: several agents are asked for.
        single: one agent is asked for.
        order: whether independent parts go side by side or one after another; None leaves it open.
        comprehensive: search, then change, then test, then review.
        review: another role judges what was made.
        budget: US dollars that the run may cost.
        dry_run: the plan and its cost, and nothing else.
        delegate: what SuperClaude would deal out to subagents: `auto`, `files`, `folders` or `tasks`.
        concurrency: the most agents at a time.
        servers: MCP servers that are asked for.
        no_mcp: no MCP server but ours.
        validate: check before reporting.
        safe_mode: the most careful way.
        loop: improve in rounds; `iterations` may say how many.
        thinking: 0, or how hard to think: 1 for `--think`, 2 for `--think-hard`, 3 for `--ultrathink`.
        personas: SuperClaude's personas, or roles, that are asked for.
        modes: SuperClaude's modes, such as `brainstorm`, `wave`, `token-efficient`.
        focus: what to look at above all; `depth`, `scope` and `type` are SuperClaude's words too.
    """

    multi_agent: bool = False
    single: bool = False
    order: Order | None = None
    comprehensive: bool = False
    review: bool = False
    budget: float | None = None
    dry_run: bool = False
    delegate: str | None = None
    concurrency: int | None = None
    servers: tuple[str, ...] = ()
    no_mcp: bool = False
    validate: bool = False
    safe_mode: bool = False
    loop: bool = False
    iterations: int | None = None
    thinking: int = 0
    personas: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    focus: str | None = None
    depth: str | None = None
    scope: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request without its flags, the flags, and in words what of them could not be meant."""

    text: str
    flags: Flags = field(default_factory=Flags)
    problems: tuple[str, ...] = ()


class _Valued(NamedTuple):
    """A flag with a value: what reads it (None for what it cannot be), what it expects, and what it is without one."""

    read: Callable[[str], Any]
    expects: str
    absent: Any = None


def _amount(value: str) -> float | None:
    found = re.fullmatch(r"\$?(\d{1,6}(?:\.\d{1,6})?)\$?", value)
    return float(found[1]) or None if found else None


def _whole(most: int) -> Callable[[str], int | None]:
    return lambda value: int(value) if re.fullmatch(r"\d{1,3}", value) and 1 <= int(value) <= most else None


def _one_of(*words: str) -> Callable[[str], str | None]:
    return lambda value: value.lower() if value.lower() in words else None


def _word(value: str) -> str | None:
    return value or None


_SWITCHES: Final[Mapping[str, Mapping[str, Any]]] = {
    "multi-agent": {"multi_agent": True},
    "multiagent": {"multi_agent": True},
    "single": {"single": True},
    "parallel": {"parallel": True},
    "sequential": {"sequential": True},
    "comprehensive": {"comprehensive": True},
    "review": {"review": True},
    "dry-run": {"dry_run": True},
    "no-mcp": {"no_mcp": True},
    "validate": {"validate": True},
    "safe-mode": {"safe_mode": True},
    "loop": {"loop": True},
    "think": {"thinking": 1, "servers": ("sequential-thinking",)},
    "think-hard": {"thinking": 2, "servers": ("sequential-thinking", "context7")},
    "ultrathink": {"thinking": 3, "servers": tuple(SERVERS)},
    "uc": {"modes": ("token-efficient",)},
    "ultracompressed": {"modes": ("token-efficient",)},
    **{mode: {"modes": (mode,)} for mode in ("token-efficient", "brainstorm", "introspect", "task-manage")},
    "orchestrate": {"modes": ("orchestrate",)},
    **{flag: {"servers": servers} for flag, servers in SERVER_FLAGS.items()},
}
"""What each flag without a value sets."""

_VALUED: Final[Mapping[str, _Valued]] = {
    "budget": _Valued(_amount, "an amount in US dollars, such as 2.50"),
    "concurrency": _Valued(_whole(MOST_AT_ONCE), f"a number from 1 to {MOST_AT_ONCE}"),
    "iterations": _Valued(_whole(MOST_ROUNDS), f"a number from 1 to {MOST_ROUNDS}"),
    "delegate": _Valued(_one_of("auto", "files", "folders", "tasks"), "auto, files, folders or tasks", "auto"),
    "wave-mode": _Valued(_one_of("auto", "force", "off"), "auto, force or off", "auto"),
    "persona": _Valued(_word, "a persona, such as security"),
    "focus": _Valued(_word, "a word, such as security"),
    "depth": _Valued(_word, "a word, such as deep"),
    "scope": _Valued(_word, "a word, such as module"),
    "type": _Valued(_word, "a word, such as api"),
}
"""Each flag with a value."""

_PERSONA: Final = "persona-"
_CLOSERS: Final[Mapping[str, str]] = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u00ab": "\u00bb",
    "\u201e": "\u201c",
}
_AFTER_A_WORD: Final = r"(?=[\s.,;:!?)\]]|$)"
_CLOSING: Final = {opener: re.compile(re.escape(closer) + _AFTER_A_WORD) for opener, closer in _CLOSERS.items()}
_QUOTED: Final = "|".join(f"{opener}[^{closer}]*{closer}" for opener, closer in _CLOSERS.items())
_DASHES: Final = "--|[\u2012-\u2015\u2212]{1,2}"
"""What a flag begins with: phones make a long dash of two short ones."""
_FLAG: Final = re.compile(rf"(?:{_DASHES})([A-Za-z][\w-]*)(?:=({_QUOTED}|\S*))?(?=[\s,;]|$)")
_PIECE: Final = re.compile(r"\s+|\S+")


class _Token(NamedTuple):
    """A piece of what was typed: blank space, a quoted text, a word, or a flag that is known, with the value in it."""

    text: str
    flag: str | None = None
    value: str | None = None


def parse(arguments: str) -> Request:
    """Part what was typed after a slash command into the request and its flags."""
    tokens = list(_tokens(arguments))
    kept: list[str] = []
    said: dict[str, Any] = {}
    problems: list[str] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if token.flag is None:
            kept.append(token.text)
            continue
        if token.flag in _VALUED:
            at += _take_value(token, tokens[at : at + 2], said, kept, problems)
        else:
            _set(said, _switched(token.flag))
        if kept and kept[-1].isspace() and "\n" not in kept[-1]:
            kept.pop()  # the space before the flag goes with it
    return _request("".join(kept), said, problems)


def _tokens(typed: str) -> Iterator[_Token]:
    at, unclosed = 0, set()
    while at < len(typed):
        opener = typed[at]
        if opener in _CLOSERS and opener not in unclosed:
            if closing := _CLOSING[opener].search(typed, at + 1):
                yield _Token(typed[at : closing.end()])
                at = closing.end()
                continue
            unclosed.add(opener)  # no later one closes either
        flag = _FLAG.match(typed, at)
        name = None if flag is None else flag[1].lower().replace("_", "-")
        if flag is not None and name is not None and _is_known(name):
            yield _Token(flag[0], name, flag[2])
            at = flag.end() + (typed[flag.end() : flag.end() + 1] in {",", ";"})
            continue
        piece = _PIECE.match(typed, at)
        assert piece is not None
        yield _Token(piece[0])
        at = piece.end()


def _is_known(name: str) -> bool:
    return name in _SWITCHES or name in _VALUED or (name.startswith(_PERSONA) and name != _PERSONA)


def _switched(name: str) -> Mapping[str, Any]:
    return {"personas": (name.removeprefix(_PERSONA),)} if name.startswith(_PERSONA) else _SWITCHES[name]


def _take_value(
    flag: _Token, following: list[_Token], said: dict[str, Any], kept: list[str], problems: list[str]
) -> int:
    """Read a flag's value, its own or from the tokens that follow; answers how many of those it took."""
    assert flag.flag is not None
    read, expects, absent = _VALUED[flag.flag]
    given = flag.value if flag.value is not None else _word_in(following)
    value = None if given is None else read(_unquoted(given))
    if value is not None:
        _set(said, _meant(flag.flag, value))
        return 0 if flag.value is not None else len(following)
    if flag.value is None and absent is not None:
        _set(said, _meant(flag.flag, absent))
        return 0
    told = "" if given is None else f", not {given[:40]!r}"
    problems.append(f"--{flag.flag} takes {expects}{told}. It is left out.")
    if flag.value:
        kept.append(flag.value)
    return 0


def _word_in(following: list[_Token]) -> str | None:
    """The word that stands behind a flag, after blank space; None where none does."""
    match following:
        case [blank, _Token(text=word, flag=None)] if blank.text.isspace():
            return word
        case _:
            return None


def _meant(name: str, value: Any) -> Mapping[str, Any]:
    match name:
        case "wave-mode":
            return {} if value == "off" else {"modes": ("wave",)}
        case "persona":
            return {"personas": (value.lower(),)}
        case "focus" | "depth" | "scope":
            return {name: value.lower()}
        case _:
            return {name: value}


def _set(said: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Add what a flag says to what others said: lists grow, the hardest thinking holds, else the last value."""
    for name, value in changes.items():
        if isinstance(value, tuple):
            said[name] = tuple(dict.fromkeys((*said.get(name, ()), *value)))
        elif name == "thinking":
            said[name] = max(said.get(name, 0), value)
        else:
            said[name] = value


def _request(text: str, said: dict[str, Any], problems: list[str]) -> Request:
    parallel, sequential = said.pop("parallel", False), said.pop("sequential", False)
    if said.get("single") and said.get("multi_agent"):
        problems.append("--single and --multi-agent exclude each other. One agent does it.")
        del said["multi_agent"]
    if parallel and sequential:
        problems.append("--parallel and --sequential exclude each other. One task goes after another.")
    order: Order | None = "sequential" if sequential else "parallel" if parallel else None
    if said.get("no_mcp"):
        said["servers"] = ()
    return Request(_unquoted(text.strip()), Flags(order=order, **said), tuple(problems))


def _unquoted(text: str) -> str:
    """The text without quotes around the whole of it."""
    if len(text) > 1 and (closing := _CLOSING.get(text[0])):
        first = closing.search(text, 1)
        if first is not None and first.end() == len(text):
            return text[1:-1].strip()
    return text
