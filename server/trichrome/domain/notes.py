"""Shared context: named notes that every role can read; each version is kept in the log."""

from __future__ import annotations

from dataclasses import dataclass

from trichrome.domain import tails
from trichrome.domain.events import ContextShared
from trichrome.errors import ConflictError


@dataclass(frozen=True)
class Note:
    """The newest version of a note."""

    name: str
    text: str
    version: int
    by: str


def share(
    note: Note | None, *, name: str, text: str, by: str, expect_version: int | None, lost_tails: int = 0
) -> list[ContextShared]:
    """Put a new version; nothing when the text is the same already.

    Args:
        note: the newest version; None when there is none.
        name: which note.
        text: what it says from now on.
        by: who says so.
        expect_version: the version that the writer has read; 0 for none, None for whichever.
        lost_tails: how often the log may have lost its tail since the newest version, and newer ones with it.

    Raises:
        ConflictError: `version_conflict`, when `expect_version` (0: it must not exist) is not the newest version.
    """
    version = 0 if note is None else note.version
    if expect_version is not None and expect_version != version:
        raise ConflictError(
            f"Note {name!r} is at version {version}, not {expect_version}. Read it with share_context(name), merge "
            "your text into it, and put that.",
            code="version_conflict",
            field="expect_version",
        )
    if note is not None and note.text == text:
        return []
    return [ContextShared(name=name, text=text, version=version + lost_tails * tails.NUMBERS + 1, by=by)]


def evolve(event: ContextShared) -> Note:
    """The note after an event."""
    return Note(name=event.name, text=event.text, version=event.version, by=event.by)
