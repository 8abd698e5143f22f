"""What every store can do here, whatever its own package calls it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

Do = Callable[[str], str]
"""Does a task, by its id, and answers which execution that was."""
Noted = Callable[[str, str], None]
"""Is told the task and the execution after the store's call that acknowledges it has returned, and not before."""

GONE_SECONDS: Final = 1
"""How long a task is held before its worker counts as gone, where a store goes by time."""
_IDLE_SECONDS: Final = 0.005


class Store(ABC):
    """A durable store of tasks, as one process has it open, used as its documentation says."""

    @abstractmethod
    def put(self) -> str:
        """Add a task; answers its id once the store said that it has it."""

    @abstractmethod
    def cycles(self, count: int) -> None:
        """Add so many tasks, each by a call of its own; then take and acknowledge them."""

    @abstractmethod
    def work(self, do: Do, noted: Noted) -> NoReturn:
        """Take tasks, do them and acknowledge them, and bring back those of dead workers, until killed."""

    @abstractmethod
    def done(self) -> set[str]:
        """The tasks that were acknowledged, by the store's own account."""

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class Held:
    """A task in the hands of a worker, with what its store wants to see when it is acknowledged."""

    task: str
    handle: Any


class Pulled(Store):
    """A store that is asked for each task, and told of each that is done."""

    @abstractmethod
    def take(self) -> Held | None:
        """The next task; None while there is none."""

    @abstractmethod
    def acknowledge(self, held: Held) -> bool:
        """Say that a task is done; answers False if the store refused to hear it."""

    def recover(self) -> None:
        """Bring back the tasks of dead workers, where the store does not by itself."""

    def cycles(self, count: int) -> None:
        for _ in range(count):
            self.put()
        for _ in range(count):
            held = self.take()
            assert held is not None
            self.acknowledge(held)

    def work(self, do: Do, noted: Noted) -> NoReturn:
        recovered = 0.0
        while True:
            if time.monotonic() - recovered > GONE_SECONDS:
                self.recover()
                recovered = time.monotonic()
            held = self.take()
            if held is None:
                time.sleep(_IDLE_SECONDS)
                continue
            execution = do(held.task)
            if self.acknowledge(held):
                noted(held.task, execution)
