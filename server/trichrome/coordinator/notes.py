"""Shared context: named notes that all roles read and write."""

from __future__ import annotations

from trichrome.coordinator.answers import NoteList, NoteText
from trichrome.coordinator.attempts import take_up
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.domain import ids, notes, tails, text
from trichrome.errors import NotFoundError


def put(
    c: Coordinator,
    caller: Caller,
    name: str,
    content: str,
    *,
    attempt: str | None = None,
    expect_version: int | None = None,
) -> NoteText:
    """Write a note's new version. With `attempt`, only while that attempt is the caller's.

    Raises:
        TrichromeError: `version_conflict`, `stale_attempt`, `not_owner`, `invalid`, `too_large`.
    """
    cleaned = text.name(name, field="name")
    body = text.required(content, field="text", limit=text.NOTE_BYTES)
    with c.store.writing(actor=caller.principal, causation="share_context") as tx:
        if attempt is not None:
            take_up(c, tx, caller, ids.attempt_id(attempt))
        before = tx.note(cleaned)
        by = worker_for(c, tx, caller).name
        lost = tx.lost_tails(f"n.{cleaned}", since=tails.SHARING)
        events = notes.share(before, name=cleaned, text=body, by=by, expect_version=expect_version, lost_tails=lost)
        if events:
            tx.append(f"n.{cleaned}", events)
        after = tx.note(cleaned)
        assert after is not None
        return {"name": after.name, "text": after.text, "version": after.version, "by": after.by}


def get(c: Coordinator, name: str) -> NoteText:
    """A note's newest version.

    Raises:
        NotFoundError: nobody wrote it.
    """
    with c.store.reading() as view:
        note = view.note(name)
    if note is None:
        raise NotFoundError(f"There is no note {name[:80]!r}. share_context() lists them.", field="name")
    return {"name": note.name, "text": note.text, "version": note.version, "by": note.by}


def listed(c: Coordinator) -> NoteList:
    """Every note by name, without texts."""
    with c.store.reading() as view:
        return {"notes": [{"name": note.name, "version": note.version} for note in view.notes()]}
