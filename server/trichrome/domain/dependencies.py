"""The graph of tasks that wait for tasks.

Tasks created before cannot wait for later ones, so only the drafts of one call can form a cycle; it is refused with
its members named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from trichrome.errors import InvalidError


def in_order(waits_for: Mapping[str, Sequence[str]]) -> list[str]:
    """Members of a graph so that each comes after what it waits for; otherwise in the order given.

    Args:
        waits_for: for each member, the members it waits for.

    Raises:
        InvalidError: `cycle`, naming the members in it.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter(waits_for)
    try:
        return list(sorter.static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise InvalidError(
            f"These tasks wait for each other: {circle}. Remove one depends_on of the circle.",
            code="cycle",
            field="depends_on",
        ) from error
