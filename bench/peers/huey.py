"""The huey package: SqliteHuey and its own consumer. A task is acknowledged when its result is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NoReturn

from huey import SqliteHuey  # type: ignore[import-untyped]
from huey.signals import SIGNAL_COMPLETE  # type: ignore[import-untyped]

from bench.peers.store import Do, Noted, Store

_POLL_SECONDS: Final = 0.01
"""How often an idle consumer looks, at the longest; the package's own 0.1 to 10 s would only slow it down here."""


class Huey(Store):
    """One SqliteHuey; the consumer runs here, with one worker thread."""

    def __init__(self, folder: Path) -> None:
        self._huey = SqliteHuey(filename=str(folder / "huey.db"))
        self._do: Do = str
        self._noted: Noted = lambda _task, _execution: None
        self._executions: dict[str, str] = {}
        self._look = self._huey.task(context=True, name="look")(self._run)
        self._huey.signal(SIGNAL_COMPLETE)(self._completed)

    def _run(self, task: Any) -> str:
        self._executions[task.id] = execution = self._do(task.id)
        return execution

    def _completed(self, _signal: str, task: Any) -> None:
        self._noted(task.id, self._executions.pop(task.id))

    def put(self) -> str:
        task: str = self._look().id
        return task

    def cycles(self, count: int) -> None:
        for _ in range(count):
            self.put()
        left, consumer = count, self._consumer()

        def completed(_task: str, _execution: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                consumer.stop_flag.set()

        self._noted = completed
        consumer.run()

    def work(self, do: Do, noted: Noted) -> NoReturn:
        self._do, self._noted = do, noted
        self._consumer().run()
        raise RuntimeError("The consumer ended.")

    def _consumer(self) -> Any:
        return self._huey.create_consumer(
            workers=1, periodic=False, initial_delay=_POLL_SECONDS, max_delay=_POLL_SECONDS
        )

    def done(self) -> set[str]:
        return set(self._huey.all_results())

    def close(self) -> None:
        self._huey.storage.close()


def opened(folder: Path, _slot: int) -> Huey:
    return Huey(folder)
