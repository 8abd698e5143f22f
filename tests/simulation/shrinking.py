"""The smallest story that breaks the same promise: fewer faults, fewer clients, fewer tasks, fewer steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from tests.simulation.director import MakeStore
from tests.simulation.history import History, live_through
from tests.simulation.plan import Plan
from tests.simulation.store import SimulatedStore

TRIES: Final = 25
"""How many seeds of a smaller plan are tried before it counts as too small."""


def shrunk(found: History, make_store: MakeStore = SimulatedStore, *, tries: int = TRIES) -> History:
    """The smallest history found that breaks the promise that `found` breaks; at worst that one."""
    smaller: History | None = found
    while smaller is not None:
        found, smaller = smaller, _smaller(smaller, make_store, tries)
    return min([found, *_alike(found, found.plan, make_store, tries * 2)], key=lambda each: len(each.trace))


def _smaller(found: History, make_store: MakeStore, tries: int) -> History | None:
    candidates = (alike for plan in _plans(found.plan) for alike in _alike(found, plan, make_store, tries))
    return next(candidates, None)


def _plans(plan: Plan) -> Iterator[Plan]:
    for fault in sorted(plan.faults):
        yield replace(plan, faults=plan.faults - {fault})
    for kind in sorted(set(plan.kinds)):
        if len(set(plan.kinds)) > 1:
            yield replace(plan, kinds=tuple(each for each in plan.kinds if each != kind))
    for name, least in (("clients", 1), ("batches", 1), ("steps", 4)):
        if (size := getattr(plan, name)) > least:
            yield replace(plan, **{name: max(least, size // 2)})


def _alike(found: History, plan: Plan, make_store: MakeStore, tries: int) -> Iterator[History]:
    """Histories of a plan, whatever their seed, that break the same promise."""
    assert found.broken is not None
    for seed in range(tries):
        history = live_through(replace(plan, seed=seed), make_store)
        if history.broken is not None and history.broken.promise == found.broken.promise:
            yield history
