"""How far numbers jump over a tail that the log may have lost.

A power cut takes the last commits of a log that is not synced at each (`durability="fast"`), and damage takes more.
The numbers that were given out in them are still held outside: by workers, in their notes, in people's heads. None of
them may come to mean something else, so the next number of its kind lies above all that a tail can have held: once for
each tail that may be lost, since the last one may have held the jump over the one before (docs/decisions/0018).
"""

from __future__ import annotations

from typing import Final

from trichrome.domain.events import AttemptNumbersRaised, AttemptRescued, ContextShared, TaskClaimed, TaskCreated

LOG: Final = "log"
"""The stream of the log itself: each of its events says that a tail may be lost there."""
NUMBERS: Final = 1_000
"""The most numbers that a tail gives out where a transaction gives out one: attempts of a task, runs, messages,
versions of a note, workers. The log is synced at least every thousand pages, and no transaction writes only one."""
EVENTS: Final = 10_000
"""The most events, and so the most tasks, that a tail holds: with 200 tasks a call a thousand pages took 5,900."""

NUMBERING: Final = tuple(kind.__name__ for kind in (TaskCreated, TaskClaimed, AttemptNumbersRaised))
"""The kinds from which on a task's last attempt number is known."""
RESCUING: Final = (AttemptRescued.__name__,)
"""The kind after which a next attempt may begin, and be lost."""
SHARING: Final = (ContextShared.__name__,)
"""The kind that gives a note its next version."""
