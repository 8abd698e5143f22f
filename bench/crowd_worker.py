"""One process of the crowd: makes calls when it is told to, and says how long each took."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import apsw

from bench.byhand import ByHand
from bench.place import Durability, project
from bench.worker import Worker
from trichrome.config import FOLDER, LOG_FILE
from trichrome.errors import TrichromeError
from trichrome.store.sqlite.gate import Gate


class Queue(Protocol):
    """A durable queue, as one process sees it."""

    def claim(self) -> Any:
        """Take the next task; None when there is none."""
        ...

    def report(self, claimed: Any, /) -> None:
        """Complete what was claimed."""
        ...

    def enqueue(self) -> object:
        """Add a task."""
        ...


class GatedHand:
    """The hand-written statements, each call in a turn at our gate."""

    def __init__(self, hand: ByHand, gate: Gate) -> None:
        self._hand = hand
        self._gate = gate

    def claim(self) -> int | None:
        with self._gate:
            return self._hand.claim()

    def report(self, claimed: int) -> None:
        with self._gate:
            self._hand.report(claimed)

    def enqueue(self) -> int:
        with self._gate:
            return self._hand.enqueue()


class Caller:
    """Somebody who claims, reports and enqueues by turns, so that the queue stays as long as it was."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._claimed: Any = None
        self._calls = 0

    def call(self) -> None:
        self._calls += 1
        match self._calls % 3:
            case 1:
                self._claimed = None
                self._claimed = self._queue.claim()
            case 2 if self._claimed is not None:
                self._queue.report(self._claimed)
            case _:
                self._queue.enqueue()


def opened(name: str, folder: Path, durability: Durability, stack: ExitStack) -> Queue:
    """A queue by its name: `ours`, `hand` (behind our gate), `busy` (with SQLite's busy handler alone)."""
    folder.mkdir(exist_ok=True)
    if name == "ours":
        return Worker(stack.enter_context(project(durability, folder)), name=f"bench-{os.getpid()}")
    hand = ByHand(folder / LOG_FILE, durability)
    stack.callback(hand.close)
    if name == "busy":
        return hand
    gate = Gate(folder / f"{LOG_FILE}.gate")
    stack.callback(gate.close)
    return GatedHand(hand, gate)


def called(caller: Caller, *, until: float, think_seconds: float) -> dict[str, Any]:
    """Call until a moment of the system-wide clock; answers the seconds of each call, and why any was refused."""
    seconds: list[float] = []
    refused: list[str] = []
    while (begin := time.monotonic()) < until:
        try:
            caller.call()
        except TrichromeError as error:
            refused.append(error.code)
        except apsw.Error as error:
            refused.append(type(error).__name__)
        seconds.append(time.monotonic() - begin)
        if think_seconds:
            time.sleep(think_seconds)
    return {"seconds": seconds, "refused": refused}


def obey(folder: Path, orders: Iterable[str]) -> None:
    """Carry out orders, a line of JSON each: which queue, from when, until when, how long to think between calls."""
    with ExitStack() as stack:
        callers: dict[tuple[str, Durability], Caller] = {}
        print("ready", flush=True)
        for line in orders:
            order = json.loads(line)
            name, durability, think_seconds = order["queue"], order["durability"], order["think_seconds"]
            if (name, durability) not in callers:
                queue = opened(name, folder / f"{name}-{durability}", durability, stack)
                for _ in range(3):
                    queue.enqueue()
                callers[name, durability] = Caller(queue)
            time.sleep(max(0.0, order["begin"] + random.uniform(0, think_seconds) - time.monotonic()))
            answer = called(callers[name, durability], until=order["until"], think_seconds=think_seconds)
            print(json.dumps(answer), flush=True)


def hold(what: str, folder: Path) -> None:
    """Take the gate of a project, or SQLite's write lock behind it as a writer does, and stop there."""
    log = folder / FOLDER / LOG_FILE
    with ExitStack() as stack:
        gate = Gate(log.with_name(f"{LOG_FILE}.gate"))
        stack.enter_context(gate)
        if what == "lock":
            file: Any = apsw.Connection(str(log))
            stack.callback(file.close)
            file.execute("begin immediate")
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(sys.argv[2], Path(sys.argv[3]))
    else:
        obey(Path(sys.argv[1]), sys.stdin)
