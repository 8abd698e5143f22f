"""Hands the signals that ask to stop to a supervisor.

Guarantee: two Ctrl-C or SIGTERM end sessions at once, and nothing else does. A terminal that is closed may say so
twice, and a launcher may pass on a Ctrl-C that was sent here too: neither is a second wish.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trichrome.supervisor.supervisor import Supervisor

_WISHES: Final = (signal.SIGINT, signal.SIGTERM)
_ECHO_SECONDS: Final = 1.0
"""The same signal again within this is the same wish."""


class Signals:
    """Counts who wants the supervisor to stop, and tells it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """With a clock of seconds."""
        self._clock = clock
        self._supervisor: Supervisor | None = None
        self._wishes = 0
        self._is_stopping = False
        self._latest: dict[int, float] = {}

    def hand_to(self, supervisor: Supervisor) -> None:
        """From here on, this is the one to stop."""
        self._supervisor = supervisor

    def take(self, number: int, _frame: FrameType | None = None) -> None:
        """Take a signal; before there is a supervisor it ends the command."""
        if self._supervisor is None:
            raise KeyboardInterrupt(number)
        now = self._clock()
        if number in _WISHES and now - self._latest.get(number, -_ECHO_SECONDS) >= _ECHO_SECONDS:
            self._latest[number] = now
            self._wishes += 1
        if not self._is_stopping or self._wishes > 1:
            self._is_stopping = True
            self._supervisor.interrupt()


@contextmanager
def handed() -> Iterator[Signals]:
    """Take the signals that ask to stop, while the block runs."""
    signals = Signals()
    before = {number: signal.signal(number, signals.take) for number in (*_WISHES, signal.SIGHUP)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
