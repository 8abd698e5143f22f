"""Threads that blocking work is handed to, so that it blocks nothing else.

Every call of a tool crosses over and back, so that has to be cheap: `anyio.to_thread` takes about twice as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

MOST: Final = 64
"""Calls that may block at once, one thread each; a session's subagents may all wait at the same time."""

Value = TypeVar("Value")


class Threads:
    """Threads of one event loop: they begin as they are needed, and end with the process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]]] = SimpleQueue()
        self._begun = 0
        self._busy = 0
        """Threads that work, and jobs that wait for one."""

    async def run(self, work: Callable[[], Value]) -> Value:
        """Do the work in a thread. Whoever is cancelled meanwhile goes on at once; the work goes on to its end.

        Raises:
            RuntimeError: no thread can begin; the work is not done.
        """
        loop = asyncio.get_running_loop()
        if self._busy >= self._begun and self._begun < MOST:
            threading.Thread(target=self._serve, args=(loop,), daemon=True).start()
            self._begun += 1
        self._busy += 1
        outcome: asyncio.Future[tuple[Value, BaseException | None]] = loop.create_future()
        self._jobs.put((work, outcome))
        value, error = await outcome
        if error is not None:
            raise error
        return value

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work until the loop is closed."""
        while not loop.is_closed():
            work, outcome = self._jobs.get()
            value, error = None, None
            try:
                value = work()
            except BaseException as raised:  # noqa: BLE001 - whoever asked for the work gets it
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._tell, outcome, value, error)
            del work, outcome, value, error

    def _tell(self, outcome: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._busy -= 1
        if not outcome.done():
            outcome.set_result((value, error))
