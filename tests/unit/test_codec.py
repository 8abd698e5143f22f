"""Events as bytes: every kind comes back as it was, damage shows, what is newer is refused, what is older is upcast."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain.events import Report, RunCreated, TaskCreated
from trichrome.domain.ids import AttemptId, RunId, TaskId
from trichrome.errors import StoreTooNewError
from trichrome.store import codec

SAFE = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = (
    st.none()
    | st.booleans()
    | SAFE
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(SAFE, st.none(), max_size=2)
)
REPORTS = st.builds(
    Report, SAFE, data=JSON, artifacts=st.lists(SAFE, max_size=2).map(tuple), files=st.just(()), follow_ups=st.just(())
)
ATTEMPTS = st.builds(AttemptId, st.just(TaskId("t3")), st.integers(1, 99))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, as a strategy."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Report:
        return REPORTS
    if kind is AttemptId:
        return ATTEMPTS
    if kind is object:
        return JSON
    if origin is tuple:
        return st.lists(SAFE, max_size=3).map(tuple)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if arguments:
        return st.one_of(*(values(each) for each in arguments))
    supertype = getattr(kind, "__supertype__", kind)
    return {
        str: SAFE,
        int: st.integers(0, 2**40),
        float: st.floats(0, 1e9),
        type(None): st.none(),
    }[supertype]


def events() -> st.SearchStrategy[Any]:
    kinds = []
    for cls in codec.KINDS.values():
        hints = typing.get_type_hints(cls)
        kinds.append(st.builds(cls, **{field.name: values(hints[field.name]) for field in dataclasses.fields(cls)}))
    return st.one_of(kinds)


@given(events())
@settings(deadline=None, derandomize=True, database=None, max_examples=600)
def test_every_event_comes_back_as_it_was(event: Any) -> None:
    kind, schema, payload = codec.encode(event)

    assert codec.decode(kind, schema, payload) == event
    assert type(event).__name__ == kind


def test_a_payload_holds_only_what_differs_from_the_defaults() -> None:
    event = TaskCreated(
        task=TaskId("t1"), run=RunId("r1"), kind="search", role="blue", instructions="x", created_by="lead-1"
    )

    assert json.loads(codec.encode(event)[2]) == {
        "task": "t1",
        "run": "r1",
        "kind": "search",
        "role": "blue",
        "instructions": "x",
        "created_by": "lead-1",
    }


@pytest.mark.parametrize(("kind", "schema"), [("TaskSplit", 1), ("TaskCreated", 99)])
def test_what_only_a_newer_program_knows_is_refused(kind: str, schema: int) -> None:
    with pytest.raises(StoreTooNewError, match=kind):
        codec.decode(kind, schema, "{}")


@pytest.mark.parametrize(
    "payload", ['{"attempt":1,"worker":"w"}', '{"attempt":1,"worker":"w","principal":"p","colour":3}']
)
def test_a_payload_that_lacks_a_field_or_has_an_unknown_one_is_no_event(payload: str) -> None:
    with pytest.raises(ValueError, match="TaskClaimed"):
        codec.decode("TaskClaimed", 1, payload)


def test_an_older_schema_is_upcast_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "SCHEMAS", codec.SCHEMAS | {"RunCreated": 3})  # type: ignore[operator]
    monkeypatch.setattr(
        codec,
        "UPCASTS",
        {
            ("RunCreated", 1): lambda old: {"run": old["id"], "lead": old["lead"]},
            ("RunCreated", 2): lambda old: old | {"on_lead_gone": "pause"},
        },
    )

    assert codec.decode("RunCreated", 1, '{"id":"r1","lead":"x"}') == RunCreated(RunId("r1"), "x", "pause")


def test_the_digest_covers_every_stored_byte_and_the_digest_before() -> None:
    fields: dict[str, Any] = {
        "stream": "t1",
        "version": 2,
        "schema": 1,
        "kind": "TaskClaimed",
        "payload": "{}",
        "recorded_at": 1.5,
        "actor": "a",
        "causation": "c",
    }
    whole = codec.digest(b"before", **fields)

    others = [
        codec.digest(b"befor3", **fields),
        *(codec.digest(b"before", **(fields | {name: value})) for name, value in {
            "stream": "t2", "version": 3, "schema": 2, "kind": "X", "payload": "{ }",
            "recorded_at": 1.5000001, "actor": "b", "causation": "d",
        }.items()),
    ]  # fmt: skip

    assert len({whole, *others}) == len(others) + 1
    assert codec.digest(b"before", **fields) == whole


def test_every_kind_of_event_is_known_by_one_name() -> None:
    assert len(codec.KINDS) == len(set(codec.KINDS)) >= 26
    assert set(codec.SCHEMAS) == set(codec.KINDS)
