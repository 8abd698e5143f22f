"""Time, injected: what the wall says, and what a deadline may be built on.

Deadlines use the system-wide monotonic clock, which stands still while the machine sleeps and is blind to changes of
the wall clock; it means something only within one boot, so an instant carries the boot it belongs to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment.

    Attributes:
        wall: seconds since 1970, UTC; for people and for the log.
        monotonic: seconds on the system-wide monotonic clock of this boot.
        boot: the boot that `monotonic` belongs to.
    """

    wall: float
    monotonic: float
    boot: str


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> Instant:
        """This moment."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Instant:
        """This moment.

        `time.monotonic` is system-wide, and stands still during sleep, on Linux (CLOCK_MONOTONIC) and on macOS
        (mach_absolute_time, which is CLOCK_UPTIME_RAW; Darwin's own CLOCK_MONOTONIC would run on).
        """
        return Instant(wall=time.time(), monotonic=time.monotonic(), boot=_boot())


@cache
def _boot() -> str:
    from trichrome.processes import this_machine

    return this_machine().boot
