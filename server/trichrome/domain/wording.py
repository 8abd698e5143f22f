"""What the words of a request say, as far as patterns can tell: kinds of work, size, risk, parts, paths.

Pure, and total: any text is read, in a time that grows with its length alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

LONG: Final = 80
"""Words from which a request is long."""
_MOST_CHARS: Final = 20_000
"""How much of a request is read."""


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)


_SIGNALS: Final[Mapping[str, re.Pattern[str]]] = {
    "wide": _words(
        "across", "all", "codebase", "code base", "entire", "every", "everything", "everywhere", "platform",
        "repo(?:sitory)?", "system", "whole",
    ),
    "steps": _words(
        "after that", "afterwards", "finally", "first", "one by one", "plan", "step by step", "steps?", "then",
    ),
    "small": _words(
        "bump", "docstring", "just", "one[- ]liner?", "one[- ]line", "quick(?:ly)?", "small",
        "this (?:function|method|line)", "tiny", "trivial", "typos?", "unused imports?",
    ),
    "structure": _words(
        "architect\\w*", "(?:re)?design\\w*", "interfaces?", "migrat\\w*", "monolith", "multi-?tenan\\w*",
        "restructur\\w*", "rewrit\\w*", "schemas?", "split", "upgrad\\w*",
    ),
    "several": _words(
        "both", "eight", "five", "four", "multiple", "nine", "seven", "several", "six", "ten", "three", "two",
    ),
    "compares": _words("compar\\w*", "differences?", "versus", "vs"),
    "costly": _words(
        "attack\\w*", "o?auth\\w*", "billing", "(?:de|en)?crypt\\w*", "encryption", "gdpr", "injection", "insecure",
        "login", "passwords?", "payments?", "permissions?", "personal data", "privacy", "production", "public",
        "roll(?:ed)? ?back", "saml", "secrets?", "security", "sso", "tenants?", "threats?", "tokens?", "vulnerab\\w*",
    ),
    "hard": _words(
        "concurren\\w*", "deadlocks?", "distributed", "flaky", "leaks?", "memory", "performance", "races?",
        "race conditions?", "slow(?:er)?",
    ),
    "looks": _words(
        "analy[sz]e", "cause", "compare", "discover", "explore", "find", "identify", "inventory", "investigate",
        "locate", "look for", "reproduce", "search", "trace",
    ),
    "tests": _words("coverage", "tests?", "tested"),
    "documents": _words("docs", "document(?:ation|ed)?", "report", "tutorial"),
    "judged": _words(
        "audit\\w*", "check the", "checked", "prove[sn]?", "review(?:ed)?", "sign(?:s|ed)? off", "sure", "verif\\w*",
    ),
}  # fmt: skip
"""What each weight of the score looks for in words."""

_HEAD: Final = (
    r"(?:^|[.:;,!?()\n\u2022*-]\s*|(?<!\w)(?:also|and|but|can|could|finally|first|have|i|it|let's|must|need|now|or|please|"
    r"should|then|to|us|we|will|you)\s+)"
)
"""What a verb follows that says what is to be done: otherwise `build` is as likely the nightly one."""


def _verbs(*verbs: str) -> str:
    return f"{_HEAD}(?:{'|'.join(verbs)})(?!\\w)"


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_CHANGES: Final[Mapping[str, re.Pattern[str]]] = {
    "refactor": _any_of(
        _verbs(
            "clean up", "extract", "migrate", "modernize", "move", "port", "refactor", "remove", "rename", "replace",
            "restructure", "rewrite", "simplify", "sort", "split", "upgrade",
        )
    ),
    "fix": _any_of(
        _verbs("correct", "debug", "fix", "harden", "mend", "patch", "repair", "resolve"),
        r"(?<!\w)(?:broken|bugs?|crash\w*|doesn't work|\w*exceptions?|fail(?:s|ed|ing)?|wrong)(?!\w)",
    ),
    "test": _any_of(_verbs("test", "(?:add|create|extend|improve|write) (?:[\\w-]+ ){0,3}tests?")),
    "document": _any_of(
        _verbs(
            "document",
            "(?:add|create|improve|update|write) (?:[\\w-]+ ){0,3}"
            "(?:changelog|docs|docstrings?|documentation|guide|manual|readme|tutorial)",
        )
    ),
    "implement": _any_of(
        _verbs(
            "add", "adjust", "allow", "build", "bump", "change", "configure", "create", "design and implement",
            "enable", "extend", "generate", "implement", "improve", "integrate", "introduce", "make", "optimi[sz]e",
            "provide", "set up", "support", "update", "write",
        )
    ),
}  # fmt: skip
"""Words of each kind that changes something."""

_LOOKS: Final[Mapping[str, re.Pattern[str]]] = {
    "review": _any_of(
        _verbs("audit", "check", "critique", "look over", "review", "verify"),
        r"(?<!\w)(?:audit of|code review|threat model)(?!\w)",
    ),
    "analyze": _any_of(
        _verbs(
            "analy[sz]e", "assess", "compare", "estimate", "explain", "how", "investigate", "understand",
            "what do(?:es)?", "why",
        )
    ),
    "search": _any_of(
        _verbs(
            "discover", "explore", "find", "is there", "list", "locate", "look for", "search", "show", "what", "where",
            "which", "who",
        )
    ),
}  # fmt: skip
"""Words of each kind that changes nothing."""


def found(name: str, text: str) -> list[str]:
    """The words in a text that one of the weights looks for, each once, in lower case."""
    return list(dict.fromkeys(each[0].lower() for each in _SIGNALS[name].finditer(text[:_MOST_CHARS])))


def kind_of(text: str, *, others: Iterable[str] = ()) -> str:
    """The kind of work that a request asks for above all.

    A word for changing something weighs more than one for looking; of equals the first in the text counts. Nothing of
    either is a question: `search`.

    Args:
        text: the request.
        others: kinds of the project's own, each of which is meant where the text begins with its name.
    """
    beginning = text[:_MOST_CHARS].lstrip()
    first = re.match(r"\w[\w-]*", beginning)
    if first is not None and first[0].lower() in set(others):
        return first[0].lower()
    return _first(_CHANGES, beginning) or _first(_LOOKS, beginning) or "search"


def _first(kinds: Mapping[str, re.Pattern[str]], text: str) -> str | None:
    """The kind whose word comes first; of two at one place the one that is listed first."""
    places = {kind: match.start() for kind, pattern in kinds.items() if (match := pattern.search(text))}
    return min(places, key=lambda kind: places[kind]) if places else None


# --- parts ------------------------------------------------------------------------------------------------------------

_PATH: Final = re.compile(
    r"(?<![\w/.:@-])(?:\.{1,2}/)?(?:[\w.-]{1,80}/){1,20}(?:[\w.*-]{1,80})?|(?<![\w/.:@-])[\w-]{1,80}\.[a-z]{1,5}(?![\w(/.])"
)
_EXTENSION: Final = re.compile(r"\.\w{1,5}\Z")
_BULLET: Final = re.compile(r"(?m)^[ \t]*(?:[-*\u2022]|\d{1,3}[.)])[ \t]+(.+)$")
_CLAUSES: Final = re.compile(r";\s+")
_AND: Final = re.compile(r",?\s+(?:and|or|und)\s+", re.IGNORECASE)
_SENTENCE: Final = re.compile(r"[.:;!?\n](?:\s|$)")
_FEWEST_ITEMS: Final = 3
"""Of two things named side by side, the second is often only how to do the first."""
_MOST_ITEM_WORDS: Final = 12
"""A longer piece between two commas is a clause, and no item of a list."""


def paths(text: str) -> list[str]:
    """The paths that a text names, each once."""
    named = (match[0].rstrip(".") for match in _PATH.finditer(text[:_MOST_CHARS]))
    return list(dict.fromkeys(path for path in named if not path.startswith(("//", "../"))))


def is_folder(path: str) -> bool:
    """Whether a path looks like a folder's: it ends with a slash, or names no file."""
    return path.endswith("/") or _EXTENSION.search(path) is None


def items(text: str) -> tuple[str, ...]:
    """The items of the longest list in a text: lines with bullets, clauses, or names between commas."""
    read = text[:_MOST_CHARS]
    bullets = [match[1].strip() for match in _BULLET.finditer(read)]
    if len(bullets) > 1:
        return tuple(bullets)
    lists = [_named_in(sentence) for sentence in _SENTENCE.split(read)]
    clauses = [clause.strip() for clause in _CLAUSES.split(read)]
    return max((*lists, tuple(clauses)), key=len)


def _named_in(sentence: str) -> tuple[str, ...]:
    """The items of `a, b and c` in a sentence; nothing where fewer are named, or where they are steps."""
    pieces = _pieces(sentence)
    is_long = any(len(piece.split()) > _MOST_ITEM_WORDS for piece in pieces)
    if "," not in sentence or len(pieces) < _FEWEST_ITEMS or is_long or any(map(_is_step, pieces[1:])):
        return ()
    return tuple(pieces)


def has_steps(text: str) -> bool:
    """Whether a sentence of a text says to do one thing, another and a third."""
    sentences = _SENTENCE.split(text[:_MOST_CHARS])
    return any(sum(map(_is_step, _pieces(sentence))) >= _FEWEST_ITEMS for sentence in sentences)


def _pieces(sentence: str) -> list[str]:
    return [piece.strip() for piece in _AND.sub(", ", sentence).split(",") if piece.strip()]


def _is_step(piece: str) -> bool:
    return any(pattern.match(piece) for pattern in (*_CHANGES.values(), *_LOOKS.values()))
