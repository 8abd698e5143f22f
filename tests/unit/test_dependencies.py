"""Graphs of tasks that wait for tasks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain.dependencies import in_order
from trichrome.errors import InvalidError


def test_each_comes_after_what_it_waits_for() -> None:
    assert in_order({"a": ["b"], "b": ["c"], "c": []}) == ["c", "b", "a"]


def test_without_dependencies_the_order_is_kept() -> None:
    assert in_order({"b": [], "a": [], "c": []}) == ["b", "a", "c"]


@given(st.dictionaries(st.integers(0, 8).map(str), st.lists(st.integers(0, 8).map(str), max_size=3)))
@settings(deadline=None, derandomize=True, database=None)
def test_every_graph_is_ordered_or_its_cycle_named(graph: dict[str, list[str]]) -> None:
    whole = {name: [on for on in waits if on in graph] for name, waits in graph.items()}
    try:
        order = in_order(whole)
    except InvalidError as error:
        circle = error.message.removeprefix("These tasks wait for each other: ").partition(".")[0].split(" -> ")
        pairs = list(pairwise(circle))
        assert circle[0] == circle[-1]
        assert all(b in whole[a] for a, b in pairs) or all(a in whole[b] for a, b in pairs)
    else:
        assert sorted(order) == sorted(whole)
        assert all(order.index(on) < order.index(name) for name, waits in whole.items() for on in waits)


def test_a_long_chain_is_no_problem() -> None:
    chain = {str(n): [str(n - 1)] if n else [] for n in range(5000)}

    assert in_order(chain)[-1] == "4999"


@pytest.mark.parametrize("graph", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}])
def test_cycles_are_refused(graph: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidError, match="wait for each other: a -> "):
        in_order(graph)
