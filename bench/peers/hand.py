"""A process that has one store open, and does with it what its first argument says; no other process imports a peer.

`cycles STORE FOLDER` times enqueue, take and acknowledge: for each line of seconds read it answers the rate of so long.
`fill STORE FOLDER COUNT SECONDS` adds tasks and prints their ids. `done STORE FOLDER` prints those acknowledged.
`crew STORE FOLDER ORDER` keeps workers at it, and kills them, until its input ends.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import random
import select
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from bench.peers.store import Store
from bench.peers.witness import Witness

BATCH: Final = 100
"""How many tasks are in a store while it is timed."""
_MOST_ENDS: Final = 5
"""A worker that ends by itself is started again, as anybody would; more ends than this are a mistake of ours."""


def opened(store: str, folder: Path, slot: int = 0) -> Store:
    """A store by the name of its module, with options after dashes."""
    name, *options = store.split("-")
    folder.mkdir(exist_ok=True)
    found: Store = importlib.import_module(f"bench.peers.{name}").opened(folder, slot, *options)
    return found


def cycles(store: str, folder: Path) -> None:
    """Answer rates, each of a fresh store, until the input ends."""
    for number, line in enumerate(sys.stdin):
        fresh = opened(store, folder / f"{folder.name}_{number}")
        fresh.cycles(1)
        seconds, done = 0.0, 0
        while seconds < float(line):
            begin = time.perf_counter()
            fresh.cycles(BATCH)
            seconds += time.perf_counter() - begin
            done += BATCH
        fresh.close()
        print(done / seconds, flush=True)


def fill(store: str, folder: Path, most: int, seconds: float) -> None:
    """Add tasks for a while, and say which."""
    filled = opened(store, folder)
    until = time.monotonic() + seconds
    for _ in range(most):
        print(filled.put(), flush=True)
        if time.monotonic() > until:
            break
    filled.close()


def done(store: str, folder: Path) -> None:
    """Say which tasks the store holds for acknowledged."""
    asked = opened(store, folder)
    print("\n".join(asked.done()))
    asked.close()


@dataclass
class Crew:
    """Workers of a store, as the process that forks and kills them sees them; it never opens the store itself.

    Attributes:
        workers: how many processes there are at a time.
        threads: how many workers share the store in each.
        work_seconds: how long a task takes.
        kills: how many of the processes are killed, one at a time; then all are left in peace.
        every: between what and what a kill comes, in seconds.
    """

    store: str
    folder: Path
    workers: int
    threads: int
    work_seconds: float
    kills: int
    every: tuple[float, float]

    def run(self) -> None:
        """Keep the workers at it until the input ends."""
        importlib.import_module(f"bench.peers.{self.store.partition('-')[0]}")
        witness, left, ended = Witness(self.folder), self.kills, 0
        pids = {slot: self._started(slot) for slot in range(self.workers)}
        try:
            while not select.select([sys.stdin], [], [], random.uniform(*self.every))[0]:
                if left:
                    pid = random.choice(list(pids.values()))
                    os.kill(pid, signal.SIGKILL)
                    witness.note("killed", str(left), str(pid))
                    left -= 1
                for slot, pid in pids.items():
                    if (status := _end(pid)) is not None:
                        pids[slot] = self._started(slot)
                        ended += status != -signal.SIGKILL
                if ended > _MOST_ENDS:
                    raise SystemExit(f"{self.store}: workers end by themselves")
        finally:
            for pid in pids.values():
                os.kill(pid, signal.SIGKILL)

    def _started(self, slot: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self._work(slot)
            except BaseException:  # noqa: BLE001 - the other side of a fork must not go on as the crew
                traceback.print_exc()
            finally:
                os._exit(1)
        return pid

    def _work(self, slot: int) -> None:
        witness, number = Witness(self.folder), count()

        def do(task: str) -> str:
            execution = f"{os.getpid()}.{next(number)}"
            witness.note("began", task, execution)
            time.sleep(self.work_seconds)
            return execution

        def noted(task: str, execution: str) -> None:
            witness.note("acknowledged", task, execution)

        store = opened(self.store, self.folder / "store", slot)
        for _ in range(1, self.threads):
            threading.Thread(target=store.work, args=(do, noted), daemon=True).start()
        store.work(do, noted)


def _end(pid: int) -> int | None:
    """How a worker ended; None while it lives."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found == pid else None


def main(verb: str, store: str, folder: Path, *rest: str) -> None:
    """Do what the first argument says."""
    logging.disable(logging.ERROR)  # peers log each task, and each worker that is gone
    match verb, rest:
        case "cycles", []:
            cycles(store, folder)
        case "fill", [most, seconds]:
            fill(store, folder, int(most), float(seconds))
        case "done", []:
            done(store, folder)
        case "crew", [order]:
            Crew(store, folder, **json.loads(order)).run()
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])
