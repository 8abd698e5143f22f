"""Many histories, and what came of them together; a module of its own, so that other processes can import it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import current_process

from tests.simulation.history import live_through


@dataclass
class Sum:
    """What came of many histories."""

    histories: int = 0
    calls: int = 0
    events: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Sum) -> None:
        """Add what came of others."""
        self.histories += other.histories
        self.calls += other.calls
        self.events += other.events
        self.broken += other.broken

    def told(self) -> list[str]:
        """What came of them, in lines."""
        lines = [f"  {number:10,} {kind}" for kind, number in self.events.most_common()]
        for seed, why in sorted(self.broken):
            lines += [f"Seed {seed}: {why}", f"Again, line by line: python -m tests.simulation --seed {seed} --trace"]
        return lines if self.broken else [*lines, "Every promise held."]


def run(first: int, after: int) -> Sum:
    """Live through the histories of these seeds."""
    total = Sum()
    for seed in range(first, after):
        history = live_through(seed)
        total.histories += 1
        total.calls += history.calls
        total.events.update(history.events)
        if history.broken is not None:
            total.broken.append((seed, str(history.broken)))
            break
    return total


@contextmanager
def on_one_processor(number: int) -> Iterator[None]:
    """Keep this process on one processor: its threads take turns, and a turn passes three times as fast there."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(here)[number % len(here)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, here)


def job(first: int, after: int) -> Sum:
    """As `run`, in a process of a pool."""
    number = current_process().name.rpartition("-")[2]
    with on_one_processor(int(number)):
        return run(first, after)
