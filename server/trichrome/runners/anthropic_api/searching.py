"""The search of a session: lines of files that match a regular expression; pure but for reading.

The caller bounds the time: a regular expression may never end, and only its process can be stopped then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trichrome.runners.files import Project, text_lines

LINE_CHARACTERS: Final = 2_000
"""A longer line is generated, and not searched."""
OUTPUT_CHARACTERS: Final = 60_000
"""Where an answer is cut: a reader who wants more asks for less."""

NOTHING: Final = "no matches"


def search(root: str, place: str, pattern: str) -> str:
    """Matching lines as `path:number:line`, with paths from the root.

    In a folder, these are files that git would track; a file that is named may be any.

    Args:
        root: the workspace.
        place: a file or a folder in it.
        pattern: a regular expression.

    Raises:
        ValueError: it is none.
    """
    try:
        wanted = re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError(f"grep: this is not a regular expression: {error}") from error
    lines: list[str] = []
    room = OUTPUT_CHARACTERS
    for line in _matching(Path(root), Path(place), wanted):
        room -= len(line) + 1
        if room < 0:
            lines.append("There are more. Narrow the pattern, or name a path.")
            break
        lines.append(line)
    return "\n".join(lines) or NOTHING


def _matching(root: Path, place: Path, wanted: re.Pattern[str]) -> Iterator[str]:
    files = (place / name for name in Project(place).names) if place.is_dir() else (place,)
    for file in files:
        name = file.relative_to(root).as_posix()
        for number, line in enumerate(text_lines(file) or (), start=1):
            if len(line) <= LINE_CHARACTERS and wanted.search(line):
                yield f"{name}:{number}:{line}"
