"""Events as bytes: all come back, and bytes that are none are refused in the one documented way."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.facts import TEXTS, events
from tests.support.nasty import examples, mutated, spoiled

from trichrome.domain.events import Report
from trichrome.domain.ids import AttemptId
from trichrome.errors import StoreTooNewError
from trichrome.store import codec

KINDS = pytest.mark.parametrize("kind", codec.KINDS)
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
"""Names and digits of the log; none holds a NUL."""
FIELDS = {
    "stream": PLAIN,
    "version": st.integers(1, 2**63),
    "schema": st.integers(1, 99),
    "kind": PLAIN,
    "payload": st.text(max_size=9).map(json.dumps),
    "recorded_at": st.floats(0, 1e10),
    "actor": PLAIN,
    "causation": PLAIN,
    "previous": st.just(b"") | st.binary(min_size=32, max_size=32),
}
STORED = st.fixed_dictionaries(FIELDS)


def decoded(kind: str, payload: str) -> object:
    """The event that a payload is, checked for all its fields; None for one that is refused."""
    with suppress(codec.NoEventError):
        event = codec.decode(kind, codec.SCHEMAS[kind], payload)
        for part in (event, getattr(event, "report", None)):
            if isinstance(part, codec.KINDS[kind] | Report):
                assert all(hasattr(part, field.name) for field in dataclasses.fields(part))
        reviews: Any = getattr(event, "reviews", None)
        assert reviews is None or isinstance(reviews, AttemptId)
        return event
    return None


@KINDS
@examples(12)
@given(st.data())
def test_every_event_comes_back_as_it_was(kind: str, data: st.DataObject) -> None:
    event = data.draw(events(codec.KINDS[kind]))

    named, schema, payload = codec.encode(event)

    assert (named, codec.decode(named, schema, payload)) == (kind, event)
    assert "\n" not in payload


@KINDS
@examples(15)
@given(st.data())
def test_a_changed_payload_is_an_event_or_refused(kind: str, data: st.DataObject) -> None:
    _, _, payload = codec.encode(data.draw(events(codec.KINDS[kind])))

    changed = json.dumps(data.draw(mutated(json.loads(payload))))
    spoilt = data.draw(spoiled(payload.encode())).decode("utf-8", "replace")

    for each in (changed, spoilt):
        decoded(kind, each)


@pytest.mark.parametrize(
    "payload",
    ["", "null", "5", '"x"', "[]", "[[1]]", "{", '{"report":5}', '{"report":{}}', "[" * 10**5, "\ud83d", "NaN"],
)
def test_what_is_no_payload_of_any_kind_is_refused(payload: str) -> None:
    assert [kind for kind in codec.KINDS if decoded(kind, payload) is not None] == []


@pytest.mark.parametrize("kind", [kind for kind, cls in codec.KINDS.items() if "report" in cls.__match_args__])
@pytest.mark.parametrize("report", [5, "x", [], {}, {"summary": "x", "more": 1}, {"summary": "x", "files": 5}])
def test_a_report_of_another_form_is_refused(kind: str, report: object) -> None:
    fields = dict.fromkeys(codec._REQUIRED[kind], 1) | {"report": report}

    assert decoded(kind, json.dumps(fields)) is None


@examples(40)
@given(TEXTS, st.integers(1, 9))
def test_a_kind_or_schema_that_is_not_known_is_of_a_newer_program(kind: str, more: int) -> None:
    with pytest.raises(StoreTooNewError):
        codec.decode(f"{kind}!", more, "{}")
    with pytest.raises(StoreTooNewError):
        codec.decode("TaskClaimed", codec.SCHEMAS["TaskClaimed"] + more, "{}")


@examples(300)
@given(STORED, STORED, st.sampled_from([*FIELDS, "all"]))
def test_the_digest_changes_with_each_field(one: dict[str, Any], other: dict[str, Any], field: str) -> None:
    changed = other if field == "all" else one | {field: other[field]}

    assert (codec.digest(**changed) == codec.digest(**one)) == (changed == one)
