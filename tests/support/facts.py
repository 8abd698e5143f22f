"""Every kind of event, as hypothesis makes them."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hypothesis import strategies as st

from trichrome.domain.events import Report
from trichrome.domain.ids import AttemptId, TaskId

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
"""What the log can hold: all but lone surrogates."""
JSON = st.recursive(
    st.none() | st.booleans() | TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=5,
)
LISTS = st.lists(TEXTS, max_size=3).map(tuple)
REPORTS = st.builds(Report, TEXTS, data=JSON, artifacts=LISTS, files=LISTS, follow_ups=LISTS)
ATTEMPTS = st.builds(AttemptId, st.integers(1, 10**17).map(lambda number: TaskId(f"t{number}")), st.integers(1, 10**17))


def _values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Report:
        return REPORTS
    if kind is AttemptId:
        return ATTEMPTS
    if kind is object:
        return JSON
    if origin is tuple:
        return LISTS
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if arguments:
        return st.one_of(*(_values(each) for each in arguments))
    supertype = getattr(kind, "__supertype__", kind)
    return {
        str: TEXTS,
        int: st.integers(0, 2**63 - 1),
        float: st.floats(0, 1e300),
        type(None): st.none(),
    }[supertype]


def events(cls: type) -> st.SearchStrategy[Any]:
    """Events of one kind."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{field.name: _values(hints[field.name]) for field in dataclasses.fields(cls)})
