"""What goes wrong, how often, and in which order: all of it drawn from the seed.

Guarantee: the same seed gives the same faults in the same order, whatever happens. Where each one strikes, in the
middle of which call, is up to real processes, and differs from run to run.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

By = Literal["outside", "client", "world"]
"""Who does it: the conductor to one worker, a client to itself at an exact moment, or the conductor to all."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        share: how many of a hundred faults are of it, about.
        by: who does it.
        shortest: of those that are held for a while, the shortest time in seconds.
        longest: and the longest.
    """

    share: float
    by: By
    shortest: float = 0.0
    longest: float = 0.0


KINDS: Final[Mapping[str, Kind]] = {
    "server killed": Kind(7, "outside"),
    "client killed": Kind(6, "outside"),
    "server and client killed": Kind(4, "outside"),
    "server stopped": Kind(7, "outside", 0.2, 1.5),
    "client stopped": Kind(7, "outside", 0.2, 1.5),
    "server and client stopped": Kind(5, "outside", 0.2, 1.5),
    "clock jumped": Kind(7, "outside"),
    "clock ran slow": Kind(4, "outside", 0.5, 3.0),
    "server killed within a call": Kind(3, "client"),
    "pipes closed": Kind(2, "client"),
    "input half-closed": Kind(2, "client"),
    "answers refused": Kind(2, "client"),
    "half a message, then death": Kind(2, "client"),
    "client died before it read": Kind(3, "client"),
    "call cancelled": Kind(7, "client"),
    "report repeated": Kind(9, "client"),
    "report changed": Kind(8, "client"),
    "report late": Kind(6, "client"),
    "two servers of one client": Kind(2, "client"),
    "disk full": Kind(1.5, "world", 0.2, 1.0),
    "disk read-only": Kind(1.5, "world", 0.2, 1.0),
    "disk failing": Kind(1.5, "world", 0.2, 1.0),
    "log locked": Kind(0.7, "world", 0.3, 6.5),
    "backup": Kind(0.8, "world"),
    "views rebuilt": Kind(0.8, "world"),
    "pages overwritten": Kind(0.3, "world"),
    "write-ahead log cut": Kind(0.3, "world"),
}
"""Every kind by its name."""

DAMAGES: Final = frozenset({"pages overwritten", "write-ahead log cut"})
"""Those that spoil the log's file."""
DISKS: Final = frozenset({"disk full", "disk read-only", "disk failing"})
"""Those of the disk under it."""
_A_DECK: Final = 400
"""Faults that are dealt at once where only the time ends the torture."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the plan.

    Attributes:
        number: its place, from 1.
        seconds: how long it is held, where it is.
        chance: seed of whatever else it draws: its victim among those at work, the pages, the moment.
    """

    number: int
    kind: str
    seconds: float
    chance: int

    @property
    def by(self) -> By:
        """Who does it."""
        return KINDS[self.kind].by


def plan(seed: int, count: int | None) -> Iterator[Fault]:
    """The faults of a seed: so many, or without an end. Each kind occurs, as far as there is room."""
    chance = random.Random(f"{seed}")
    number = 0
    while count is None or number < count:
        for kind in _dealt(chance, _A_DECK if count is None else count):
            number += 1
            held = chance.uniform(KINDS[kind].shortest, KINDS[kind].longest)
            yield Fault(number, kind, round(held, 3), chance.randrange(2**32))


def _dealt(chance: random.Random, count: int) -> list[str]:
    """So many kinds in a random order: each by its share, and each once at least where there is room."""
    whole = sum(kind.share for kind in KINDS.values())
    deck = Counter({name: max(1, round(kind.share / whole * count)) for name, kind in KINDS.items()})
    while deck.total() > count:
        deck[deck.most_common(1)[0][0]] -= 1
    while deck.total() < count:
        deck[chance.choices(list(KINDS), [kind.share for kind in KINDS.values()])[0]] += 1
    dealt = list(deck.elements())
    chance.shuffle(dealt)
    return dealt
