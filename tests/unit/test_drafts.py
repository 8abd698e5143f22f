"""Tasks as they are asked for."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from trichrome.domain.drafts import Draft, checked
from trichrome.errors import InvalidError

ROLES = ("blue", "green", "red")


def check(*drafts: Draft) -> list[tuple[int, Draft]]:
    return checked(drafts, roles=ROLES, role_for_kind={"search": "blue", "fix": "green"}.get)


def draft(**content: Any) -> Draft:
    return Draft(**({"kind": "search", "instructions": "find it"} | content))


def test_the_kind_chooses_the_role_unless_it_is_given() -> None:
    assert check(draft())[0][1].role == "blue"
    assert check(draft(role="red"))[0][1].role == "red"


def test_an_unknown_kind_needs_a_role() -> None:
    assert check(draft(kind="dance", role="red"))[0][1].kind == "dance"
    with pytest.raises(InvalidError) as refused:
        check(draft(kind="dance"))
    assert (refused.value.code, refused.value.field) == ("unknown_role", "role")


def test_drafts_come_after_what_they_wait_for_and_remember_their_place() -> None:
    order = check(draft(ref="c", depends_on=("b",)), draft(), draft(ref="b", depends_on=("a",)), draft(ref="a"))

    places = [place for place, _ in order]
    assert places.index(3) < places.index(2) < places.index(0)
    assert sorted(places) == [0, 1, 2, 3]


def test_text_is_cleaned_and_dependencies_are_kept_once() -> None:
    ((_, cleaned),) = check(draft(instructions="a\x00b", depends_on=("t1", "t1", "t2"), files=("./a", "a")))

    assert (cleaned.instructions, cleaned.depends_on, cleaned.files) == ("ab", ("t1", "t2"), ("a",))


@pytest.mark.parametrize("name", [field.name for field in fields(Draft) if field.name not in {"ref", "key"}])
def test_a_keys_digest_covers_every_field_of_the_content(name: str) -> None:
    other: Any = {"priority": 1, "not_before_seconds": 1.0, "time_limit_seconds": 1.0, "max_attempts": 1}
    changed = replace(draft(), **{name: other.get(name, ("x",) if name in {"depends_on", "files"} else "other")})

    assert changed.digest() != draft().digest()


def test_a_keys_digest_leaves_out_the_names_within_a_call() -> None:
    assert draft(ref="a", key="k").digest() == draft(ref="b").digest()


@pytest.mark.parametrize("priority", [0, 9])
def test_priorities_go_from_urgent_to_nine(priority: int) -> None:
    assert check(draft(priority=priority))[0][1].priority == priority


@pytest.mark.parametrize("field", ["key", "ref"])
def test_keys_and_refs_are_one_line(field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check(draft(**{field: "a\nb"}))

    assert (refused.value.code, refused.value.field) == ("invalid", field)


def test_a_misspelt_role_is_guessed() -> None:
    with pytest.raises(InvalidError, match="Did you mean blue"):
        check(draft(role="Blue"))


def test_bounds_are_told_in_figures() -> None:
    with pytest.raises(InvalidError, match="max_attempts is 0; it goes from 1 to 1,000,000"):
        check(draft(max_attempts=0))
