"""Shared notes keep their versions apart."""

from __future__ import annotations

import pytest

from trichrome.domain import notes
from trichrome.domain.events import ContextShared
from trichrome.domain.notes import Note
from trichrome.errors import ConflictError

NOTE = Note("plan", "one", 3, "blue-1")


def share(note: Note | None, text: str, expect: int | None = None) -> list[ContextShared]:
    return notes.share(note, name="plan", text=text, by="green-1", expect_version=expect)


def test_a_new_note_is_version_one() -> None:
    assert share(None, "x") == share(None, "x", 0) == [ContextShared("plan", "x", 1, "green-1")]


def test_a_new_text_is_the_next_version() -> None:
    (event,) = share(NOTE, "two", 3)

    assert notes.evolve(event) == Note("plan", "two", 4, "green-1")


def test_the_same_text_is_no_new_version() -> None:
    assert share(NOTE, "one") == share(NOTE, "one", 3) == []


@pytest.mark.parametrize(("note", "expect"), [(NOTE, 2), (NOTE, 4), (NOTE, 0), (None, 1)])
@pytest.mark.parametrize("text", ["one", "two"])
def test_a_writer_that_read_another_version_is_told_the_newest(note: Note | None, expect: int, text: str) -> None:
    with pytest.raises(ConflictError) as refused:
        share(note, text, expect)

    assert (refused.value.code, refused.value.field) == ("version_conflict", "expect_version")
    assert f"version {note.version if note else 0}" in refused.value.message
