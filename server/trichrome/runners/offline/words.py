"""Words of instructions and words of code, brought together.

`authentication`, `AuthenticateUser`, `auth_token` and `login` are about one thing and share no spelling. Three steps
find that without a model: identifiers are split at humps and underscores, words are stemmed, and a short table says
which words programmers use for one concept. Equal stems weigh most, abbreviations less, concepts least.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import pairwise
from typing import Final

IDENTIFIER: Final = re.compile(r"[^\W\d]\w*")
_RUN = re.compile(r"[^\W\d_]+")

_SUFFIXES: Final = (
    *("ations", "ation", "ators", "ator", "ating", "ated", "ates", "ate"),
    *("ings", "ing", "ions", "ion", "ers", "er", "ed", "es", "s", "e"),
)
_SHORTEST_STEM: Final = 3
_WHOLE: Final = frozenset({"setting", "settings", "string", "strings"})
"""Words that would otherwise stem to another word of code: `set`, `str`."""

_CONCEPTS: Final = (
    "auth authn authz authenticate authorize login logout signin signup credential password passwd oauth jwt",
    "cache memoize lru",
    "concurrency lock mutex semaphore race thread atomic",
    "config configuration settings option preference",
    "database db sql sqlite postgres query cursor migration",
    "delete remove drop destroy purge",
    "error err exception raise throw catch fail failure",
    "http request response endpoint route",
    "log logger logging",
    "parse decode deserialize",
    "retry retries backoff timeout",
    "security secret credential password permission encrypt decrypt sanitize csrf",
    "test assert fixture mock",
)

_SHORTEST_ABBREVIATION: Final = 4
_SHORTEST_COMPOUND: Final = 5


class Kinship(IntEnum):
    """How close a word of code is to a word that was asked for; the value is its weight."""

    NONE = 0
    CONCEPT = 2
    ABBREVIATION = 3
    EQUAL = 4


def tokens(identifier: str) -> list[str]:
    """Split an identifier into lower-case words: `HTTPServer_maxSize` is http, server, max, size."""
    return [hump.lower() for run in _RUN.findall(identifier) for hump in _humps(run)]


def _humps(run: str) -> Iterator[str]:
    start = 0
    for at in range(1, len(run)):
        starts_word = run[at].isupper() and (not run[at - 1].isupper() or run[at + 1 : at + 2].islower())
        if starts_word:
            yield run[start:at]
            start = at
    yield run[start:]


def stem(word: str) -> str:
    """What is left of a lower-case English word without its ending: authentication, authenticated -> authentic."""
    if word in _WHOLE:
        return word.removesuffix("s")
    if word.endswith("ies") and len(word) > _SHORTEST_STEM + 1:
        return word[:-3] + "y"
    if word.endswith(("ss", "us")):
        return word
    for suffix in _SUFFIXES:
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) >= _SHORTEST_STEM:
            doubled = len(rest) > _SHORTEST_STEM and rest[-1] == rest[-2] and rest[-1] not in "ls"
            return rest[:-1] if doubled and suffix != "s" else rest
    return word


def _related() -> dict[str, frozenset[str]]:
    """For each word of the table, by stem, the stems of all its concepts."""
    related: dict[str, frozenset[str]] = {}
    for line in _CONCEPTS:
        stems = frozenset(map(stem, line.split()))
        for member in stems:
            related[member] = related.get(member, frozenset()) | stems
    return related


_RELATED: Final = _related()


@dataclass(frozen=True, slots=True)
class Term:
    """One word that was asked for, or one identifier of several words.

    Attributes:
        text: as it was asked for, in lower case.
        stems: the stems of its words, in order.
    """

    text: str
    stems: tuple[str, ...]
    _concept: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, word: str) -> Term:
        """The term for a word of instructions; `claim_task`, `claimTask` and `ClaimTask` are one term."""
        stems = tuple(map(stem, tokens(word)))
        concept = _RELATED.get(stems[0], frozenset()) if len(stems) == 1 else frozenset()
        return cls(text=word.lower(), stems=stems, _concept=concept)

    def kinship(self, identifier: str) -> Kinship:
        """How close an identifier comes to this term, by its closest word or pair of words."""
        words = tokens(identifier)
        if len(self.stems) > 1:
            return self._kinship_of_sequence(list(map(stem, words)))
        pairs = [left + right for left, right in pairwise(words)]
        return max(map(self._kinship_of_word, words + pairs), default=Kinship.NONE)

    def _kinship_of_sequence(self, stems: list[str]) -> Kinship:
        length = len(self.stems)
        starts = range(len(stems) - length + 1)
        found = any(tuple(stems[start : start + length]) == self.stems for start in starts)
        return Kinship.EQUAL if found else Kinship.NONE

    def _kinship_of_word(self, word: str) -> Kinship:
        stemmed = stem(word)
        if stemmed == self.stems[0]:
            return Kinship.EQUAL
        short = _SHORTEST_ABBREVIATION <= len(word) < len(self.text) / 2
        abbreviates = short and self.text.startswith(word)
        contains = len(self.text) >= _SHORTEST_COMPOUND and word.startswith(self.text)
        if abbreviates or contains:
            return Kinship.ABBREVIATION
        return Kinship.CONCEPT if stemmed in self._concept else Kinship.NONE
