"""The persist-queue package: SQLiteAckQueue with `get` and `ack`; opening it takes back what was not acknowledged."""

from __future__ import annotations

from pathlib import Path

from persistqueue import Empty, SQLiteAckQueue
from persistqueue.sqlackqueue import AckStatus

from bench.peers.store import Held, Pulled


class PersistQueue(Pulled):
    """One SQLiteAckQueue, which several threads may share."""

    def __init__(self, folder: Path) -> None:
        self._queue = SQLiteAckQueue(str(folder), multithreading=True)

    def put(self) -> str:
        return str(self._queue.put("Look."))

    def take(self) -> Held | None:
        try:
            item = self._queue.get(block=False, raw=True)
        except Empty:
            return None
        return Held(str(item["pqid"]), item["pqid"])

    def acknowledge(self, held: Held) -> bool:
        self._queue.ack(id=held.handle)
        return True

    def done(self) -> set[str]:
        return {str(item["id"]) for item in self._queue.queue() if str(item["status"]) == AckStatus.acked}

    def close(self) -> None:
        self._queue.close()


def opened(folder: Path, _slot: int) -> PersistQueue:
    return PersistQueue(folder)
