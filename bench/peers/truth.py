"""What becomes of tasks whose workers are killed, or stopped for too long; the same for every store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peers import witness
from bench.peers.witness import Tally

ROOT: Final = Path(__file__).parents[2]
WORK_SECONDS: Final = 0.015
"""How long a task takes under kills."""
EVERY_SECONDS: Final = (0.15, 0.2)
"""Between what and what a kill comes."""
_QUIET_SECONDS: Final = 1.0
"""When nothing was acknowledged for so long, the store is asked for its own account."""
_STUCK_SECONDS: Final = 5.0
"""What has not come back after so long without any progress never will: each store's own timeout is 1 s here."""
_SECOND_SECONDS: Final = 0.7
"""How long the second worker takes over the task of a stopped one: less than any store's timeout here."""
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Crew:
    """How the workers of a store are meant to share it: in several processes, or as threads of one."""

    store: str
    workers: int = 4
    threads: int = 1


def hand(*arguments: str) -> subprocess.Popen[str]:
    """A process that has a store open, and obeys."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.peers.hand", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _asked(*arguments: str) -> list[str]:
    """What it prints."""
    process = hand(*arguments)
    said, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed")
    return said.split()


@contextmanager
def _at_work(crew: Crew, folder: Path, *, kills: int, work_seconds: float) -> Iterator[None]:
    """Keep a crew at the store of a folder, and under fire for so many kills."""
    order = {
        "workers": crew.workers,
        "threads": crew.threads,
        "work_seconds": work_seconds,
        "kills": kills,
        "every": EVERY_SECONDS,
    }
    process = hand("crew", crew.store, str(folder), json.dumps(order))
    try:
        yield
    finally:
        process.communicate()  # its input ends, and so do its workers
    if process.returncode != 0:
        raise RuntimeError(f"The crew of {crew.store} failed.")


def under_kills(crew: Crew, folder: Path, *, kills: int, most: int, fill_seconds: float) -> Tally:
    """Fill a store, let a crew under fire empty it, and count."""
    store = str(folder / "store")
    put = _asked("fill", crew.store, store, str(most), str(fill_seconds))
    with _at_work(crew, folder, kills=kills, work_seconds=WORK_SECONDS):
        done = _emptied(crew.store, folder, set(put))
    return witness.tally(put, witness.lines(folder), done)


def _emptied(store: str, folder: Path, put: set[str]) -> set[str]:
    """Wait until each task is acknowledged, or nothing moves any more; answers the store's own account at the end."""
    seen, since, asked = 0, time.monotonic(), False
    while True:
        time.sleep(_LOOK_SECONDS)
        acknowledged = witness.executions(witness.lines(folder), "acknowledged")
        if len(acknowledged) != seen:
            seen, since, asked = len(acknowledged), time.monotonic(), False
        quiet = time.monotonic() - since
        is_over = put <= set(acknowledged) or quiet > _STUCK_SECONDS
        if is_over or (quiet > _QUIET_SECONDS and not asked):
            done, asked = set(_asked("done", store, str(folder / "store"))), True
            if is_over or put <= set(acknowledged) | done:
                return done


def is_fenced(store: str, folder: Path) -> bool | None:
    """Stop a worker over its task until another has it, then let it go on: whether the store refuses it then.

    None when the store did not give the task to another.
    """
    crew = Crew(store, workers=1)
    (task,) = _asked("fill", store, str(folder / "store"), "1", "0")
    with _at_work(crew, folder, kills=0, work_seconds=0.3):
        (first,) = _executions(folder, "began", task, enough=1)
        worker = int(first.split(".")[0])
        os.kill(worker, signal.SIGSTOP)
        with _at_work(crew, folder, kills=0, work_seconds=_SECOND_SECONDS):
            others = _executions(folder, "began", task, enough=2) - {first}
            os.kill(worker, signal.SIGCONT)
            acknowledged = _executions(folder, "acknowledged", task, enough=2, within_seconds=2 * _SECOND_SECONDS)
    return first not in acknowledged if others else None


def _executions(
    folder: Path, event: witness.Event, task: str, *, enough: int, within_seconds: float = _STUCK_SECONDS
) -> set[str]:
    """The executions of a task that came to an event, once there are enough, or when the time is over."""
    until = time.monotonic() + within_seconds
    while True:
        found = witness.executions(witness.lines(folder), event).get(task, set())
        if len(found) >= enough or time.monotonic() > until:
            return found
        time.sleep(_LOOK_SECONDS)
