"""The dbos package on SQLite: workflows on a queue, recovered by the executor that takes the dead one's id.

Under kills a workflow has one step, and that acknowledges the task: a workflow that is run again is given the step's
recorded result, so the execution that it notes is the one that the store accepted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NoReturn

from dbos import DBOS, DBOSConfig

from bench.peers.store import Do, Noted, Store

_QUEUE: Final = "tasks"
_POLL_SECONDS: Final = 0.01
"""How often a worker looks at the queue; the package's own is 1 s."""
_EXECUTED: Final[list[str]] = []
_WORKER: Final[list[tuple[Do, Noted]]] = []
"""What the registered functions, which are the module's own, work with in this process."""


@DBOS.step()
def _step(task: str) -> str:
    return _WORKER[0][0](task)


@DBOS.workflow()
def _look() -> None:
    task = DBOS.workflow_id
    assert task is not None
    execution = _step(task)
    _WORKER[0][1](task, execution)


@DBOS.workflow()
def _glance() -> None:
    """Do nothing, without a step: the least that a task can cost."""
    assert DBOS.workflow_id is not None
    _EXECUTED.append(DBOS.workflow_id)


class Dbos(Store):
    """DBOS with one system database: as an executor, or as a client that only asks."""

    def __init__(self, folder: Path, slot: int) -> None:
        self._url = f"sqlite:///{folder / 'dbos.sqlite'}"
        self._slot = slot
        self._is_up = False

    def _launch(self, executor: str | None) -> None:
        self._is_up = True
        config: DBOSConfig = {
            "name": "peers",
            "system_database_url": self._url,
            "executor_id": executor or "client",
            "application_version": "1",
            "log_level": "ERROR",
        }
        if executor is None:
            config["notification_listener_polling_interval_sec"] = _POLL_SECONDS  # it ends at its next look
        DBOS(config=config)
        if executor is None:
            DBOS.listen_queues([])
        DBOS.launch()

    def _register(self, *, worker_concurrency: int | None) -> None:
        self._launch(None)
        DBOS.register_queue(_QUEUE, worker_concurrency=worker_concurrency, polling_interval_sec=_POLL_SECONDS)

    def put(self) -> str:
        if not self._is_up:
            self._register(worker_concurrency=1)
        return DBOS.enqueue_workflow(_QUEUE, _look).workflow_id

    def cycles(self, count: int) -> None:
        if not self._is_up:
            self._register(worker_concurrency=None)
            DBOS.destroy()
            self._launch("worker")  # a worker finds the queues that are there at once, later ones a second later
        _EXECUTED.clear()
        wanted = {DBOS.enqueue_workflow(_QUEUE, _glance).workflow_id for _ in range(count)}
        while len(_EXECUTED) < count or not wanted <= self.done():
            time.sleep(_POLL_SECONDS)

    def work(self, do: Do, noted: Noted) -> NoReturn:
        _WORKER[:] = [(do, noted)]
        self._launch(f"worker-{self._slot}")
        while True:
            time.sleep(60)

    def done(self) -> set[str]:
        if not self._is_up:
            self._launch(None)
        found = DBOS.list_workflows(status="SUCCESS", load_input=False, load_output=False)
        return {workflow.workflow_id for workflow in found}

    def close(self) -> None:
        if self._is_up:
            DBOS.destroy()


def opened(folder: Path, slot: int) -> Dbos:
    return Dbos(folder, slot)
