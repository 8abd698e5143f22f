"""How much team a request deserves: a pure score with its reasons.

The score goes from 0 to 1. Below 0.4 one agent alone does better than a team; up to 0.7 two colours; above, all
three. The weights stand in one table, so that the reasons and the number cannot drift apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Mode = Literal["single", "pair", "team"]

PAIR_FROM: Final = 0.4
TEAM_FROM: Final = 0.7
MOST_PARTS: Final = 6


@dataclass(frozen=True, slots=True)
class Signal:
    """Something in a request that speaks for more agents, with its weight and the reason in words."""

    pattern: re.Pattern[str]
    weight: float
    reason: str


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)


_CHANGE: Final = _words(
    "add", "build", "change", "create", "fix", "implement", "migrate", "port", "refactor", "remove", "rename",
    "replace", "rewrite", "write",
)  # fmt: skip
_SEARCH: Final = _words(
    "analy[sz]e", "compare", "discover", "explore", "find", "how", "investigate", "list", "search", "trace", "where",
    "which",
)  # fmt: skip
_REVIEW: Final = _words("audit", "review", "security", "threat", "verify", "vulnerab\\w*")

SIGNALS: Final = (
    Signal(
        _words("across", "all", "codebase", "entire", "every", "everywhere", "repo(?:sitory)?", "whole"),
        0.2,
        "it spans the codebase",
    ),
    Signal(_words("after that", "finally", "first", "plan", "steps?", "then"), 0.15, "it has several steps"),
    Signal(
        _words("architecture", "design", "migrat\\w*", "redesign", "refactor\\w*", "rewrite"),
        0.2,
        "it changes the structure",
    ),
    Signal(
        _words("auth\\w*", "crypto\\w*", "payments?", "permissions?", "secrets?", "security", "tokens?"),
        0.2,
        "mistakes there are costly",
    ),
    Signal(_words("concurren\\w*", "deadlock", "distributed", "performance", "race"), 0.15, "it is easy to get wrong"),
    Signal(_words("coverage", "tests?"), 0.1, "it wants tests beside the code"),
    Signal(_words("audit", "review", "verify"), 0.15, "it asks for a second pair of eyes"),
)
SEARCH_AND_CHANGE_WEIGHT: Final = 0.2
PARTS_WEIGHT: Final = 0.08
FILES_WEIGHT: Final = 0.03
LENGTH_WEIGHT: Final = 0.15
LONG_REQUEST_WORDS: Final = 80
_LIST_ITEM: Final = re.compile(r"(?m)^\s*(?:[-*]|\d+[.)])\s+|;\s+|,\s+and\s+|\band also\b")


@dataclass(frozen=True, slots=True)
class Routing:
    """What a request deserves: the mode, how many parts for each role, and why."""

    mode: Mode
    roles: dict[str, int]
    score: float
    reasons: tuple[str, ...]


def route(request: str, files: Sequence[str] = ()) -> Routing:
    """Score a request and choose the roles.

    Args:
        request: what somebody wants, in words.
        files: paths it is known to concern.
    """
    score, reasons = 0.1, []
    for signal in SIGNALS:
        if signal.pattern.search(request):
            score += signal.weight
            reasons.append(signal.reason)
    searches, changes = bool(_SEARCH.search(request)), bool(_CHANGE.search(request))
    if searches and changes:
        score += SEARCH_AND_CHANGE_WEIGHT
        reasons.append("it needs both looking and changing")
    parts = 1 + len(_LIST_ITEM.findall(request))
    if parts > 1:
        score += min(parts, MOST_PARTS) * PARTS_WEIGHT
        reasons.append(f"it has about {parts} independent parts")
    if len(files) > 1:
        score += min(len(files), 10) * FILES_WEIGHT
        reasons.append(f"it concerns {len(files)} files")
    if len(request.split()) > LONG_REQUEST_WORDS:
        score += LENGTH_WEIGHT
        reasons.append("it is long")
    score = round(min(score, 1.0), 2)
    return Routing(*_roles(score, request, parts, changes=changes), score, tuple(reasons or ["it is small and simple"]))


def _roles(score: float, request: str, parts: int, *, changes: bool) -> tuple[Mode, dict[str, int]]:
    wide = max(1, min(parts, MOST_PARTS))
    reviews = bool(_REVIEW.search(request))
    if score < PAIR_FROM:
        return "single", {"green" if changes else "red" if reviews else "blue": 1}
    if score < TEAM_FROM:
        second = "green" if changes else "red"
        return "pair", {"blue": wide, second: 1}
    return "team", {"blue": max(2, wide), "green": max(1, wide // 2), "red": 1}
