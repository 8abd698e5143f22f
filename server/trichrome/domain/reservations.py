"""Which paths a running attempt keeps to itself, and when two claims on paths conflict.

A pattern counts as its literal prefix up to the first wildcard; two conflict when one is a path prefix of the other.
That is coarser than matching the patterns, on purpose: it can be indexed, and it errs on the side of waiting.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from trichrome.domain.text import PATH_BYTES, PATHS_A_CALL, clean
from trichrome.errors import InvalidError

Mode = Literal["exclusive", "shared"]

_WILDCARD: Final = re.compile(r"[*?\[{]")


@dataclass(frozen=True, slots=True)
class Hold:
    """One path prefix that a live attempt holds; the empty prefix is the whole project."""

    path: str
    mode: Mode = "exclusive"

    def conflicts_with(self, other: Hold) -> bool:
        """Whether both cannot be held at once by different attempts."""
        return not (self.mode == other.mode == "shared") and overlap(self.path, other.path)


def prefix(pattern: str) -> str:
    """The path prefix that a pattern stands for: `src/api/*.py` is `src/api`; a path without wildcards is itself."""
    wildcard = _WILDCARD.search(pattern)
    literal = pattern if wildcard is None else pattern[: wildcard.start()].rpartition("/")[0]
    normal = posixpath.normpath(literal) if literal else ""
    return "" if normal == "." else normal


def overlap(one: str, other: str) -> bool:
    """Whether one path prefix contains the other."""
    if not one or not other or one == other:
        return True
    return one.startswith(other + "/") or other.startswith(one + "/")


def ancestors(path: str) -> list[str]:
    """The prefixes that contain a path, itself included: for `a/b` these are ``""``, `a` and `a/b`."""
    parts = path.split("/") if path else []
    return ["", *("/".join(parts[: n + 1]) for n in range(len(parts)))]


def paths(patterns: Iterable[str], *, field: str = "files") -> tuple[str, ...]:
    """Cleaned patterns inside the project, in the order given, each once.

    Raises:
        InvalidError: empty, absolute or climbing out of the project (`invalid`); too many or too long (`too_large`).
    """
    cleaned = dict.fromkeys(clean(pattern).strip().removeprefix("./") for pattern in patterns)
    if len(cleaned) > PATHS_A_CALL:
        raise InvalidError(
            f"{field} has {len(cleaned)} paths; the most is {PATHS_A_CALL}. Name folders instead.",
            code="too_large",
            field=field,
        )
    for path in cleaned:
        if not path or path.startswith(("/", "~")) or ".." in path.split("/"):
            raise InvalidError(
                f"{field}: {path[:80]!r} is not a path inside the project. Write it relative to the project folder.",
                field=field,
            )
        if len(path.encode()) > PATH_BYTES:
            raise InvalidError(
                f"{field}: a path is longer than {PATH_BYTES} bytes. Name its folder instead.",
                code="too_large",
                field=field,
            )
    return tuple(cleaned)


def holds(patterns: Iterable[str], mode: Mode = "exclusive") -> tuple[Hold, ...]:
    """What holding these patterns means, each prefix once."""
    return _holds(tuple(patterns), mode)


@lru_cache(maxsize=1024)
def _holds(patterns: tuple[str, ...], mode: Mode) -> tuple[Hold, ...]:
    """A task's files are asked about when it is created, judged, claimed and over."""
    return tuple(Hold(path, mode) for path in dict.fromkeys(map(prefix, patterns)))
