"""How much team a request deserves: a pure score with its reasons, and what people asked for outright.

The score goes from 0 to 1. Below 0.4 one agent alone does better than a team; up to 0.7 two colours; above, all three.
Who names a role gets it, whatever else is said; a flag beats `CLAUDE_MULTI_AGENT`, and that beats the score.

All weights stand in `WEIGHTS`, each with its reason, so that number and reasons cannot drift apart. The words are
English; a request in another language is judged by its form alone: its parts, its paths, its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from trichrome.domain import superclaude, wording
from trichrome.domain.requests import Flags, Request
from trichrome.domain.superclaude import CommandFacts

Mode = Literal["single", "pair", "team"]

PAIR_FROM: Final = 0.4
TEAM_FROM: Final = 0.7
MOST_PARTS: Final = 6
"""Parts that a request is dealt out in, where `--concurrency` does not say another number."""

KINDS: Final[Mapping[str, str]] = {
    "search": "blue",
    "analyze": "blue",
    "implement": "green",
    "fix": "green",
    "refactor": "green",
    "test": "green",
    "document": "green",
    "review": "red",
}
"""The role of each kind, where the project does not say another; as the shipped roles have it."""
LOOKING: Final = frozenset({"search", "analyze", "review"})
"""Kinds that change nothing."""


class Weight(NamedTuple):
    """How much something adds to the score, and why, in words; `{}` in them is what was found."""

    weight: float
    reason: str


WEIGHTS: Final[Mapping[str, Weight]] = {
    # the kind of work
    "search": Weight(0.1, ""),
    "analyze": Weight(0.15, ""),
    "implement": Weight(0.15, ""),
    "fix": Weight(0.1, ""),
    "refactor": Weight(0.2, ""),
    "test": Weight(0.1, ""),
    "document": Weight(0.1, ""),
    "review": Weight(0.2, ""),
    "other": Weight(0.15, ""),
    "orchestrate": Weight(0.2, "the command is for work in several steps"),
    # its size
    "wide": Weight(0.2, "it spans the codebase"),
    "wider": Weight(0.1, "it says so twice"),
    "folder": Weight(0.1, "it concerns a whole folder"),
    "file": Weight(0.03, "it concerns {} files"),
    "folders": Weight(0.05, "they lie in {} folders"),
    "part": Weight(0.15, "it has {} parts that can be done side by side"),
    "long": Weight(0.15, "it is long"),
    "steps": Weight(0.15, "it has several steps"),
    "small": Weight(-0.15, "it says itself that it is small"),
    # what it takes
    "looks": Weight(0.2, "it needs both looking and changing"),
    "structure": Weight(0.15, "it changes the structure"),
    "several": Weight(0.15, "it is about more than one thing"),
    "compares": Weight(0.1, "it sets things side by side"),
    "tests": Weight(0.1, "it wants tests beside the code"),
    "documents": Weight(0.1, "it wants documentation beside the code"),
    "judged": Weight(0.15, "it asks for a second pair of eyes"),
    # what a mistake costs
    "costly": Weight(0.2, "mistakes there are costly ({})"),
    "hard": Weight(0.15, "it is easy to get wrong ({})"),
    # flags and front matter
    "complexity": Weight(1.0, "the command's complexity is {}"),
    "parallel": Weight(0.1, "--parallel is given"),
    "delegate": Weight(0.15, "--delegate is given"),
    "concurrency": Weight(0.05, "--concurrency is given"),
    "thinking": Weight(0.05, "hard thinking is asked for"),
    "careful": Weight(0.05, "it is to be checked"),
    "waves": Weight(0.15, "a mode of several steps is asked for"),
    "whole scope": Weight(0.2, "its scope is the {}"),
    "file scope": Weight(-0.2, "its scope is one file"),
}
"""What speaks for more agents, or for fewer. `file`, `folders` and `part` count for each beyond the first."""
MOST_COUNTED: Final[Mapping[str, int]] = {"file": 10, "folders": 4, "part": 4}
"""How many of them count at most."""

ANGLES: Final[Mapping[str, tuple[str, ...]]] = {
    "search": (
        "the source code itself: where it is defined and where it is used",
        "tests, examples and documentation",
        "configuration, scripts, dependencies and data",
    ),
    "analyze": (
        "structure: parts, dependencies, flow of data and control",
        "quality: correctness, error handling, tests",
        "risks: security, performance, what happens under load",
    ),
    "review": (
        "correctness: does it do what it should, also at the edges and on errors",
        "security: input, rights, secrets, what an attacker could do",
        "design: structure, names, tests, what the next reader stumbles over",
    ),
}
"""From where several agents look at what has no parts of its own."""


@dataclass(frozen=True, slots=True)
class Routing:
    """What a request deserves.

    Attributes:
        mode: one agent, two colours, or all three.
        kind: the kind of the main work.
        roles: how many tasks' worth of work each role has.
        parts: what can be done side by side, in words or as paths; the request itself where it has no parts.
        score: 0 to 1.
        reasons: why, in words.
    """

    mode: Mode
    kind: str
    roles: Mapping[str, int]
    parts: tuple[str, ...]
    score: float
    reasons: tuple[str, ...]


def route(
    request: Request,
    *,
    kind: str | None = None,
    facts: CommandFacts | None = None,
    files: Sequence[str] = (),
    kinds: Mapping[str, str] = KINDS,
    asked: bool | None = None,
) -> Routing:
    """Score a request and choose mode, roles and parts.

    Args:
        request: what somebody wants.
        kind: the kind of work, where a command says it; None, or `orchestrate`, takes it from the words.
        facts: the front matter of the command.
        files: paths that it is known to concern.
        kinds: the role of each kind.
        asked: whether the score may decide: what `CLAUDE_MULTI_AGENT` says; None and False leave it to one agent.
    """
    flags = request.flags
    main = kind if kind not in {None, superclaude.ORCHESTRATE} else wording.kind_of(request.text, others=kinds)
    assert main is not None
    parts = _parts(request, files, most=flags.concurrency or MOST_PARTS)
    score, reasons = _score(request, kind, main, facts or CommandFacts(), files, len(parts))
    mode, why = _mode(flags, score, main, asked=asked)
    if mode != "single" and len(parts) == 1 and flags.focus is None:
        parts = ANGLES.get(main, parts)[: flags.concurrency or MOST_PARTS]
    roles = _roles(mode, request, main, len(parts), kinds)
    return Routing(mode, main, roles, parts if mode != "single" else (request.text,), score, (*why, *reasons))


# --- the score --------------------------------------------------------------------------------------------------------


def _score(
    request: Request, kind: str | None, main: str, facts: CommandFacts, files: Sequence[str], parts: int
) -> tuple[float, tuple[str, ...]]:
    found = [
        (main if main in WEIGHTS else "other", 1.0, ""),
        *([(superclaude.ORCHESTRATE, 1.0, "")] if kind == superclaude.ORCHESTRATE else ()),
        *_in_words(request.text, main),
        *_in_size(request.text, files, parts),
        *_in_flags(request.flags),
    ]
    if facts.complexity is not None:
        found.append(("complexity", superclaude.COMPLEXITY[facts.complexity], facts.complexity))
    score = sum(WEIGHTS[name].weight * times for name, times, _ in found)
    told = (WEIGHTS[name].reason.format(what) for name, times, what in found if times)
    reasons = tuple(dict.fromkeys(filter(None, told)))
    return round(min(max(score, 0.0), 1.0), 2), reasons or ("it is small and simple",)


_Found = tuple[str, float, str]
"""The name of a weight, how often it counts, and what was found."""


def _in_words(text: str, main: str) -> Iterable[_Found]:
    for name in ("wide", "small", "several", "structure", "compares", "costly", "hard"):
        words = wording.found(name, text)
        if words:
            yield name, 1.0, words[0]
        if name == "wide" and len(words) > 1:
            yield "wider", 1.0, ""
    if wording.found("steps", text) or wording.has_steps(text):
        yield "steps", 1.0, ""
    changes = main not in LOOKING
    if changes and wording.found("looks", text):
        yield "looks", 1.0, ""
    if changes and main != "test" and wording.found("tests", text):
        yield "tests", 1.0, ""
    if changes and main != "document" and wording.found("documents", text):
        yield "documents", 1.0, ""
    if main != "review" and wording.found("judged", text):
        yield "judged", 1.0, ""


def _in_size(text: str, files: Sequence[str], parts: int) -> Iterable[_Found]:
    named = dict.fromkeys((*files, *wording.paths(text)))
    folders = {path.rstrip("/").rpartition("/")[0] for path in named}
    if parts > 1:
        yield "part", min(parts - 1, MOST_COUNTED["part"]), str(parts)
    elif any(map(wording.is_folder, named)):
        yield "folder", 1.0, ""
    if len(named) > max(parts, 1):  # files that are parts were counted as those
        yield "file", min(len(named) - 1, MOST_COUNTED["file"]), str(len(named))
        yield "folders", min(len(folders) - 1, MOST_COUNTED["folders"]), str(len(folders))
    if len(text.split()) > wording.LONG:
        yield "long", 1.0, ""


def _in_flags(flags: Flags) -> Iterable[_Found]:
    for name, is_given in (
        ("parallel", flags.order == "parallel"),
        ("delegate", flags.delegate is not None),
        ("concurrency", (flags.concurrency or 1) > 1),
        ("careful", flags.validate or flags.safe_mode),
        ("waves", bool({"wave", "orchestrate", "task-manage"} & set(flags.modes))),
        ("whole scope", flags.scope in {"project", "system"}),
        ("file scope", flags.scope == "file"),
    ):
        if is_given:
            yield name, 1.0, flags.scope or ""
    if flags.thinking:
        yield "thinking", flags.thinking, ""


# --- what follows -----------------------------------------------------------------------------------------------------


def _mode(flags: Flags, score: float, main: str, *, asked: bool | None) -> tuple[Mode, tuple[str, ...]]:
    """The mode, and why where it is not the score's."""
    scored: Mode = "single" if score < PAIR_FROM else "pair" if score < TEAM_FROM else "team"
    if flags.single:
        return "single", ("--single asks for one agent",)
    why: tuple[str, ...] = ()
    if wanted := _flag_for_several(flags, main):
        why = (f"{wanted} asks for several agents",)
        scored = "pair" if scored == "single" else scored
        scored = "team" if flags.comprehensive else scored
    elif not asked:
        return "single", ("nothing asks for several agents",)
    if scored == "team" and main in LOOKING:
        return "pair", (*why, "nothing is to be changed, so two colours are enough")
    return scored, why


def _flag_for_several(flags: Flags, main: str) -> str | None:
    if flags.multi_agent:
        return "--multi-agent"
    if flags.comprehensive:
        return "--comprehensive"
    return "--review" if flags.review and main != "review" else None


def _roles(mode: Mode, request: Request, main: str, parts: int, kinds: Mapping[str, str]) -> Mapping[str, int]:
    flags = request.flags
    look, judge = kinds.get("search", "blue"), kinds.get("review", "red")
    worker = kinds.get(main, "green")
    named = [role for each in flags.personas if (role := role_of(each, kinds)) is not None]
    if mode == "single":
        return {named[0] if named else worker: 1}
    searches = parts if flags.order == "parallel" else 1
    if main in LOOKING:
        return {worker: parts, (look if worker == judge else judge): 1}
    is_judged = flags.review or bool(wording.found("costly", request.text))
    if mode == "team" or judge in named:
        roles = {look: searches, worker: parts, judge: 1} if mode == "team" else {worker: parts, judge: 1}
    else:
        roles = {worker: parts, judge: 1} if is_judged else {look: searches, worker: parts}
    return {**dict.fromkeys(named, 1), **roles}


def role_of(persona: str, kinds: Mapping[str, str] = KINDS) -> str | None:
    """The role that a persona, an agent of SuperClaude, or a role's own name stands for; None for none."""
    if persona in kinds.values():
        return persona
    role = superclaude.ROLES.get(persona)
    return None if role == superclaude.LEAD else role


def _parts(request: Request, files: Sequence[str], *, most: int) -> tuple[str, ...]:
    """What can be done side by side: named files or folders, items of a list, or the whole."""
    named = tuple(dict.fromkeys((*files, *wording.paths(request.text))))
    if request.flags.delegate == "folders":
        named = tuple(dict.fromkeys(path.rpartition("/")[0] or path for path in named))
    items = wording.items(request.text)
    if request.flags.delegate in {"files", "folders"} or len(named) >= max(len(items), 2):
        items = named
    if len(items) < 2:  # noqa: PLR2004  a list has two
        return (request.text,)
    return _grouped(items, most)


def _grouped(items: Sequence[str], most: int) -> tuple[str, ...]:
    """The items, some of them together where there are too many."""
    groups = [items[number::most] for number in range(min(most, len(items)))]
    return tuple(", ".join(group) for group in groups)
