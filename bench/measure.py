"""What a figure is, and how one is taken.

A time alone says how busy the machine was. So each figure is a ratio: in every round the floor and what it is held
against run one after the other, in turns as to who begins; the ratio of each round is kept, and the median of those
ratios is the figure, with the quartiles beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Work = Callable[[], float]
"""Does a piece of work and answers what it measured: seconds, bytes, a rate."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some samples, and the quartiles around it."""

    median: float
    low: float
    high: float
    samples: int = 1

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """The spread of at least one sample."""
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0])
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, len(samples))


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be at most, or at least."""

    bound: Literal["at most", "at least"]
    than: float

    def is_met(self, value: float) -> bool:
        """Whether a figure holds it."""
        return value <= self.than if self.bound == "at most" else value >= self.than

    def __str__(self) -> str:
        return f"{self.bound} {self.than:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: stable, in words with dots: `cycles.fast`.
        says: what it is, for people.
        unit: of `value` and `floor`: `us`, `1/s`, `MiB`, `tokens`, ...
        value: what was measured.
        floor: what it is held against, in the same unit; None for a plain count.
        against: what the floor is, in words.
        ratio: value over floor, by round; None for a plain count.
        aim: what the ratio (the value, where there is no floor) should be.
        note: what a reader must know to read it right.
    """

    name: str
    says: str
    unit: str
    value: Spread
    floor: Spread | None = None
    against: str = ""
    ratio: Spread | None = None
    aim: Aim | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the aim holds; None where there is none."""
        if self.aim is None:
            return None
        return self.aim.is_met((self.ratio or self.value).median)


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture: one line or group of bars a series, each of (x, y) points.

    Attributes:
        name: of the file.
        x: what the horizontal axis shows; categories when points carry text.
        y: what the vertical axis shows.
        lines: by name, the points.
        is_log: which axes are logarithmic.
    """

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float | str, float]]]
    is_log: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much work a run does: `quick` shows the way in a minute for all families, full is for the record."""

    is_quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """The count that belongs to this scale."""
        return quick if self.is_quick else full


@dataclass(slots=True)
class Taken:
    """What a family measured: lines for the table, and pictures."""

    figures: list[Figure] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)

    def add(self, figure: Figure) -> None:
        """One more line."""
        self.figures.append(figure)


def interleaved(rounds: int, works: Mapping[str, Work]) -> dict[str, list[float]]:
    """Samples of each work, one a round; who begins changes from round to round. A first round only warms up."""
    samples: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(-1, rounds):
        names = list(works)
        turn = round_ % len(names)
        for name in names[turn:] + names[:turn]:
            sample = works[name]()
            if round_ >= 0:
                samples[name].append(sample)
    return samples


def ratio(values: Iterable[float], floors: Iterable[float]) -> Spread:
    """The spread of value over floor, round by round."""
    return Spread.of([value / floor for value, floor in zip(values, floors, strict=True)])


def timed(work: Callable[[], object]) -> float:
    """Seconds that a work takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample that so many percent of the samples do not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def paced(seconds: float) -> Iterator[float]:
    """Count up the time since the first step, until so many seconds are over."""
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        yield elapsed
