"""Events as bytes: nothing needless in them, what is newer is refused, what is older is upcast."""

from __future__ import annotations

import json

import pytest

from trichrome.domain.events import RunCreated, SessionEnded, TaskCreated
from trichrome.domain.ids import RunId, TaskId
from trichrome.errors import StoreTooNewError
from trichrome.store import codec


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
    with pytest.raises(codec.NoEventError, match="TaskClaimed"):
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


def test_the_end_of_a_session_from_before_it_had_last_words_and_a_branch_is_read() -> None:
    old = '{"worker":"green-1","runner":"claude","reason":"it ended","attempt":1}'
    event = SessionEnded("green-1", "claude", "it ended", attempt=1)

    assert codec.decode("SessionEnded", 1, old) == event
    assert codec.encode(event) == ("SessionEnded", 1, old)


def test_last_words_and_branch_of_a_session_come_back_as_they_were() -> None:
    event = SessionEnded("green-1", "claude", "it ended", said="done; \u00e4\nbye", branch="trichrome/t1")

    assert codec.decode(*codec.encode(event)) == event


def test_every_kind_of_event_is_known_by_one_name() -> None:
    assert len(codec.KINDS) == len(set(codec.KINDS)) >= 26
    assert set(codec.SCHEMAS) == set(codec.KINDS)
