"""One history: several clients work under a storm of faults, then in calm; every promise is held against all of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.simulation.calm import calm
from tests.simulation.director import Director, MakeStore
from tests.simulation.plan import Plan, drawn
from tests.simulation.store import SimulatedStore
from tests.simulation.world import BrokenError


@dataclass(frozen=True)
class History:
    """What happened.

    Attributes:
        trace: line by line.
        broken: the promise that was broken, if one was.
        events: how many of each kind are in its log.
        calls: how many were made.
    """

    plan: Plan
    trace: list[tuple[float, str, str, Any]]
    broken: BrokenError | None
    events: Counter[str]
    calls: int


def live_through(plan: Plan | int, make_store: MakeStore = SimulatedStore) -> History:
    """Let a history happen; the same plan makes the same one."""
    plan = drawn(plan) if isinstance(plan, int) else plan
    director = Director(plan, make_store)
    world, broken = director.world, None
    try:
        director.storm()
        calm(director)
    except BrokenError as error:
        broken = error
    finally:
        world.close()
    kinds = Counter(type(each.event).__name__ for each in director.store.log)
    calls = sum(what == "calls" for _, _, what, _ in world.trace)
    return History(plan, world.trace, broken, kinds, calls)
