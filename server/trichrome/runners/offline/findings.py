"""A finding: one line of one file, cited so that anybody can check it.

Findings travel through other agents, so they are read with suspicion: what does not have the shape is left out and
counted. `quote` is the one form of a cited line: what blue reports, green prints and red compares is equal exactly
when the lines are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trichrome.domain.text import SUMMARY_BYTES
from trichrome.runners.files import visible

MAX_QUOTE: Final = 200
"""Characters of a cited line; enough to recognise it, little enough to send a hundred of them."""

MAX_PATH: Final = 1024
"""Characters of a cited path."""

FINDINGS_BYTES: Final = 12 * 1024
"""Room for the list in a result: three of them still fit into one answer of `claim_task`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One cited line.

    Attributes:
        file: path from the project folder, with `/`.
        line: from 1.
        text: the line as `quote` gives it.
        match: what made it count, in a word or two.
    """

    file: str
    line: int
    text: str
    match: str = ""

    @property
    def where(self) -> str:
        """The citation as people write it: `src/auth.py:12`."""
        return f"{self.file}:{self.line}"

    def as_data(self) -> dict[str, Any]:
        """The finding as it goes over the wire."""
        data: dict[str, Any] = {"file": self.file, "line": self.line, "text": self.text}
        if self.match:
            data["match"] = self.match
        return data


def quote(text: str) -> str:
    """Bring text into the one form in which it is cited: visible, on one line, at most `MAX_QUOTE` characters.

    Quoting twice changes nothing, so a quoted line survives every hand it goes through.
    """
    line = visible(text)
    return line if len(line) <= MAX_QUOTE else line[: MAX_QUOTE - 1] + "…"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 line`, `2 lines`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def findings_in(data: Any) -> tuple[list[Finding], int]:
    """The findings that another agent reported, and how many entries of its list were none."""
    entries = data.get("findings") if isinstance(data, Mapping) else None
    if not isinstance(entries, list):
        return [], 0
    findings = [finding for entry in entries if (finding := _finding(entry)) is not None]
    return findings, len(entries) - len(findings)


def _finding(entry: Any) -> Finding | None:
    match entry:
        case {"file": str() as file, "line": int() as line, "text": str() as text} if not isinstance(line, bool):
            if line < 1 or not 0 < len(file) <= MAX_PATH or visible(file) != file:
                return None
            return Finding(file=file, line=line, text=quote(text), match=quote(str(entry.get("match", ""))))
        case _:
            return None


def fit_text(text: str, limit: int = SUMMARY_BYTES) -> str:
    """Cut text to a number of UTF-8 bytes, with `…` where it was cut."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def fit_items(items: Iterable[dict[str, Any]], limit: int = FINDINGS_BYTES) -> list[dict[str, Any]]:
    """As many leading items as fit into a number of bytes of compact JSON, however it is escaped."""
    fitting = []
    for item in items:
        limit -= len(json.dumps(item, separators=(",", ":"))) + 1
        if limit < 0:
            break
        fitting.append(item)
    return fitting
