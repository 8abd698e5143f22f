"""Blue's work: find the lines of a project that instructions ask for.

Instructions are plain words. What is between slashes and holds a regular expression's signs is one; what is quoted is
searched as it stands; `snake_case` and `camelCase` words match in either style; a path narrows the search; the other
words that say something are matched as `words` tells. The same project and instructions give the same answer.

The caller bounds the time: a regular expression may never end, and only its process can be stopped then.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from trichrome.errors import InvalidError
from trichrome.runners.files import Project, is_generated
from trichrome.runners.offline.findings import Finding, quote
from trichrome.runners.offline.words import IDENTIFIER, Kinship, Term, tokens

MAX_FINDINGS: Final = 60
MAX_PER_FILE: Final = 6
"""More from one file say less than the first from another."""

MAX_HITS: Final = 50_000
"""Where collecting stops: what matches so often is not a search."""

MAX_LINE: Final = 300
"""Characters of the longest line that is searched; a longer one is generated, or says too much to be cited."""

_LITERAL_WEIGHT: Final = 6.0
_DEFINITION_BONUS: Final = 1.5
_PATH_BONUS: Final = 1.25

_PATTERN = re.compile(r"(?<![\w/.])/((?:\\.|[^/\n])+)/(?![\w/])")
_PATTERN_SIGNS = re.compile(r"[\\()\[\]{}*+?|^$]")
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”")
_PATH = re.compile(r"[\w.-]*[/.][\w./-]*")
_DEFINITION = re.compile(
    r"\b(?:class|const|def|enum|fn|func|function|interface|let|struct|trait|type|var)\s+([^\W\d]\w*)"
)

_GRAMMAR: Final = (
    "a about after all also an and any are as at be been before but by can could do does each every for from give had"
    " has have how if in into is it its list look make me more most my need no not of on one only or our out please"
    " report search searching see show so some such than that the their them then there these they this those through"
    " to under up us was we were what when where which while who why will with within without would you your find"
    " finding found locate discover identify explore examine analyse analyze investigate check collect gather"
)
"""Words that only say that something is to be found."""

_GENERIC: Final = (
    "class classes code codebase file files folder function functions identifier identifiers implementation"
    " implementations implemented line lines method methods module modules name names occurrence occurrences part parts"
    " pattern patterns place places project related relevant repo repository source sources usage usages use used uses"
    " using variable variables way ways"
)
"""Words that name code in general: searched only where nothing better was said."""

_SAY_NOTHING: Final = frozenset(_GRAMMAR.split())
_SAY_LITTLE: Final = frozenset(_GENERIC.split())


@dataclass(frozen=True, slots=True)
class Query:
    """What instructions ask for.

    Attributes:
        scopes: files, or folders with a `/` at the end; empty is the whole project.
    """

    terms: tuple[Term, ...] = ()
    literals: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    scopes: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """What is searched for, in words."""
        return (
            *(f"/{pattern.pattern}/" for pattern in self.patterns),
            *(f'"{text}"' for text in self.literals),
            *(term.text for term in self.terms),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes:
        findings: the best, best first.
        matches: lines that matched in all; at `MAX_HITS` the search stopped.
        searched: text files that were read.
        skipped: files that were not text, too large, or generated.
    """

    query: Query
    findings: tuple[Finding, ...]
    matches: int
    searched: int
    skipped: int


@dataclass(frozen=True, slots=True)
class _Hit:
    file: str
    line: int
    text: str
    match: str
    weights: dict[str, float]
    bonus: float


def understand(instructions: str, names: tuple[str, ...]) -> Query:
    """Read a query out of instructions.

    Args:
        instructions: plain words, see the module.
        names: the project's files, to know a path when one is named.

    Raises:
        InvalidError: a regular expression that is none, or nothing to search for.
    """
    patterns: list[re.Pattern[str]] = []
    scopes: list[str] = []
    literals: list[str] = []

    def take_pattern(found: re.Match[str]) -> str:
        if not _PATTERN_SIGNS.search(found[1]):
            return found[0]
        try:
            patterns.append(re.compile(found[1]))
        except (re.error, OverflowError) as error:
            raise InvalidError(f"/{found[1]}/ is not a regular expression: {error}.", field="instructions") from error
        return " "

    def take_quoted(found: re.Match[str]) -> str:
        text = found[1] or found[2] or found[3]
        scope = _scope(text, names)
        (scopes if scope else literals).append(scope or text)
        return " "

    def take_path(found: re.Match[str]) -> str:
        scope = _scope(found[0], names)
        if scope is None:
            return found[0]
        scopes.append(scope)
        return " "

    rest = _PATTERN.sub(take_pattern, instructions)
    rest = _QUOTED.sub(take_quoted, rest)
    rest = _PATH.sub(take_path, rest)
    terms = _terms(rest, named=bool(patterns or literals))
    if not (terms or literals or patterns):
        raise InvalidError(
            "The instructions name nothing to search for. Name words, a `quoted text` or a /regular expression/.",
            field="instructions",
        )
    return Query(tuple(terms), tuple(dict.fromkeys(literals)), tuple(patterns), tuple(dict.fromkeys(scopes)))


def _scope(text: str, names: tuple[str, ...]) -> str | None:
    """The file or folder of the project that text names; a bare word names none, it may be what is searched."""
    path = text.strip().removeprefix("./").lstrip("/").rstrip(".")
    if "/" not in path and "." not in path:
        return None
    if path in names:
        return path
    folder = path.rstrip("/") + "/"
    return folder if any(name.startswith(folder) for name in names) else None


def _terms(text: str, *, named: bool) -> list[Term]:
    """The words worth searching; beside a quoted text or a pattern, only identifiers are."""
    words = list(dict.fromkeys(word for word in IDENTIFIER.findall(text) if tokens(word)))
    identifiers = [word for word in words if len(tokens(word)) > 1]
    if named:
        return [Term.of(word) for word in identifiers]
    said = [word for word in words if word.lower() not in _SAY_NOTHING and len(word) > 1]
    specific = [word for word in said if word.lower() not in _SAY_LITTLE]
    distinct = {term.stems: term for term in map(Term.of, specific or said)}
    return list(distinct.values())


def search(project: Project, instructions: str) -> Answer:
    """Find the best lines for instructions.

    Raises:
        InvalidError: see `understand`.
    """
    query = understand(instructions, project.names)
    match = _Matcher(query)
    hits: list[_Hit] = []
    searched = skipped = 0
    for name in project.names:
        if query.scopes and not any(name == scope or name.startswith(scope) for scope in query.scopes):
            continue
        lines = None if is_generated(name) else project.read(name)
        if lines is None:
            skipped += 1
            continue
        searched += 1
        hits.extend(match.hits(name, lines))
        if len(hits) >= MAX_HITS:
            break
    return Answer(query, tuple(_best(hits)), len(hits), searched, skipped)


class _Matcher:
    """Finds hits line by line. What an identifier is worth is worked out once, however often it occurs."""

    def __init__(self, query: Query) -> None:
        self._terms = query.terms
        self._texts = tuple(re.compile(_bounded(text)) for text in query.literals) + query.patterns
        self._known: dict[str, dict[str, float]] = {}

    def hits(self, file: str, lines: tuple[str, ...]) -> Iterator[_Hit]:
        in_path = any(self._weights(part) for part in PurePosixPath(file).parts)
        for number, line in enumerate(lines, start=1):
            if len(line) > MAX_LINE:
                continue
            weights, match = self._line(line)
            if weights:
                definition = _DEFINITION.search(line)
                bonus = _PATH_BONUS if in_path else 1.0
                if definition and self._weights(definition[1]):
                    bonus *= _DEFINITION_BONUS
                yield _Hit(file, number, line, match, weights, bonus)

    def _line(self, line: str) -> tuple[dict[str, float], str]:
        """What each thing that was asked for weighs on this line, and the text that weighs most."""
        weights: dict[str, float] = {}
        best, match = 0.0, ""
        for pattern in self._texts:
            if found := pattern.search(line):
                weights[pattern.pattern] = _LITERAL_WEIGHT
                if best < _LITERAL_WEIGHT:
                    best, match = _LITERAL_WEIGHT, found[0]
        for identifier in IDENTIFIER.findall(line) if self._terms else ():
            for term, weight in self._weights(identifier).items():
                weights[term] = max(weight, weights.get(term, 0.0))
                if best < weight:
                    best, match = weight, identifier
        return weights, match

    def _weights(self, identifier: str) -> dict[str, float]:
        if identifier not in self._known:
            kinships = ((term.text, term.kinship(identifier)) for term in self._terms)
            self._known[identifier] = {text: float(kin) for text, kin in kinships if kin is not Kinship.NONE}
        return self._known[identifier]


def _bounded(text: str) -> str:
    """A literal as a pattern that does not match inside a longer word."""
    before = r"(?<!\w)" if text[0].isalnum() or text[0] == "_" else ""
    after = r"(?!\w)" if text[-1].isalnum() or text[-1] == "_" else ""
    return before + re.escape(text) + after


def _best(hits: list[_Hit]) -> Iterator[Finding]:
    """The highest ranked hits: lines about more of what was asked, and about what is rare (inverse frequency)."""
    occurrences = Counter(term for hit in hits for term in hit.weights)

    def score(hit: _Hit) -> float:
        rarity = (weight * math.log1p(len(hits) / occurrences[term]) for term, weight in hit.weights.items())
        return hit.bonus * len(hit.weights) * math.fsum(rarity)

    taken: Counter[str] = Counter()
    for hit in sorted(hits, key=lambda hit: (-score(hit), hit.file, hit.line)):
        if taken[hit.file] < MAX_PER_FILE:
            taken[hit.file] += 1
            yield Finding(hit.file, hit.line, quote(hit.text), quote(hit.match))
        if taken.total() == MAX_FINDINGS:
            break
