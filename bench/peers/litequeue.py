"""The litequeue package: `put`, `pop`, `done`; its `list_locked` and `retry` bring back what dead workers held."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litequeue import LiteQueue, MessageStatus  # type: ignore[import-untyped]

from bench.peers.store import GONE_SECONDS, Held, Pulled


class Litequeue(Pulled):
    """One LiteQueue in one file."""

    def __init__(self, folder: Path) -> None:
        self._queue = LiteQueue(folder / "queue.db")

    def put(self) -> str:
        return str(self._queue.put("Look.").message_id)

    def take(self) -> Held | None:
        message: Any = self._queue.pop()
        return None if message is None else Held(message.message_id, message.message_id)

    def acknowledge(self, held: Held) -> bool:
        self._queue.done(held.handle)
        return True

    def recover(self) -> None:
        for message in list(self._queue.list_locked(GONE_SECONDS)):
            self._queue.retry(message.message_id)

    def done(self) -> set[str]:
        rows = self._queue.conn.execute(
            f"select message_id from {self._queue.table} where status = ?", (MessageStatus.DONE.value,)
        )
        return {row["message_id"] for row in rows}

    def close(self) -> None:
        self._queue.close()


def opened(folder: Path, _slot: int) -> Litequeue:
    return Litequeue(folder)
