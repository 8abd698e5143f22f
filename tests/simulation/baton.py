"""Actors that take turns: each runs in a thread of its own, and only the one that holds the baton runs.

So code that knows nothing of being simulated stops in the middle of a call, at every point that says so, and others go
on meanwhile. Who runs next is chosen by the caller alone: the same choices make the same run, whatever the machine
does. Threads are carried over from history to history, as starting one costs more than a whole call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_idle: list[_Carrier] = []
"""Threads that carry nobody now."""


class _Carrier:
    """A thread, and the lock that is free when it may run."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.act: Callable[[], Baton]
        threading.Thread(target=self._carry, name="actor", daemon=True).start()

    def _carry(self) -> None:
        while True:
            self.turn.acquire()
            following = self.act()
            _idle.append(self)
            following.release()


class Baton:
    """What lets one actor run; whoever made it without `act` is the thread that runs already."""

    def __init__(self, act: Callable[[], Baton] | None = None) -> None:
        self._act = act
        self._turn: threading.Lock | None = None
        if act is None:
            self._turn = threading.Lock()
            self._turn.acquire()

    def release(self) -> None:
        """Let this actor run from here on; its thread begins with `act`, which answers who runs after it."""
        if self._turn is None:
            assert self._act is not None
            carrier = _idle.pop() if _idle else _Carrier()
            carrier.act, self._turn = self._act, carrier.turn
        self._turn.release()

    def pass_to(self, other: Baton) -> None:
        """Let another run, and stand still until this one may again."""
        assert self._turn is not None
        other.release()
        self._turn.acquire()
