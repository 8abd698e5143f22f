"""What the demo's searches look for: what is asked, or what the project turns out to be about.

The same files give the same themes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trichrome.runners.files import Project as Files

_THEMES: Final = {
    "Find how errors and exceptions are raised": r"\b(?:raise|throw|except|catch|panic)\b",
    "Find configuration, settings and environment variables": r"environ|getenv|\bconfig|settings",
    "Find database queries and transactions": r"sqlite|\bSELECT\b|\bINSERT\b|database|cursor",
    "Find locks, threads and processes": r"\b(?:[Tt]hread|[Ll]ock|mutex|[Ss]ubprocess|spawn)",
    "Find passwords, tokens and credentials": r"password|credential|\bauth|secret|\btoken",
    "Find requests and responses": r"\bhttps?\b|[Rr]equest|[Rr]esponse|socket",
    "Find timeouts, retries and deadlines": r"timeout|retry|deadline|backoff",
    "Find tests and what they assert": r"\bassert|expect\(|def test",
    "Find files that are written or deleted": r"\bunlink|\bopen\(|write_text|writeFile|rmtree",
    'Find notes about work that is left: "TODO" "FIXME"': r"\bTODO\b|\bFIXME\b",
}
"""Each theme, and what shows that a project has to do with it."""

_SEARCHES: Final = 4
_SAMPLE: Final = 200
_FEWEST: Final = 2
_WORD: Final = re.compile(r"[A-Za-z]{6,24}")


def choose(folder: Path, query: str | None) -> list[str]:
    """The instructions of each search."""
    if query is not None:
        return [
            f"Find {query}",
            f"Find the tests of {query}",
            f"Find errors and exceptions around {query}",
            f"Find the configuration and settings of {query}",
        ]
    texts = list(_sample(Files(folder)))
    present: Counter[str] = Counter()
    for theme, pattern in _THEMES.items():
        sign = re.compile(pattern)
        present[theme] = sum(1 for text in texts if sign.search(text))
    themes = [theme for theme, files in present.most_common(_SEARCHES) if files]
    return themes if len(themes) >= _FEWEST else _frequent_words(texts) or list(_THEMES)[:1]


def _sample(files: Files) -> Iterator[str]:
    """Texts from all over the project."""
    step = max(1, len(files.names) // _SAMPLE)
    for name in files.names[::step]:
        lines = files.read(name)
        if lines is not None:
            yield "\n".join(lines)


def _frequent_words(texts: list[str]) -> list[str]:
    words = Counter(word.lower() for text in texts for word in set(_WORD.findall(text)))
    return [f'Find "{word}"' for word, _ in words.most_common(_SEARCHES - 1)]
