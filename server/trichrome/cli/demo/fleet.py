"""The demo's workers: real processes, each in a session of its own.

Guarantee: when the `with` block is left, however it is left, each worker and all that it started is gone, within a
bound. A signal only sets a mark that the block looks at, so that no process can be started and then forgotten. Should
this process be killed, the workers see it within a second or two and leave by themselves.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

from trichrome.runners.offline import OfflineRunner
from trichrome.supervisor.session import inherited

WAIT_SECONDS: Final = 10
IDLE_WAITS: Final = 7
"""A worker whose demo was killed leaves after so many waits; a demo is over before."""
_GRACE_SECONDS: Final = 5.0
_KILL_SECONDS: Final = 5.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TAIL_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Process:
    """One worker's process, and the file that it writes its own log to."""

    role: str
    popen: subprocess.Popen[bytes]
    log: Path


class Fleet:
    """The workers, and whether somebody wants the demo to end.

    Attributes:
        interrupted_by: the signal that asked for it; None while nobody has.
    """

    def __init__(self) -> None:
        self.interrupted_by: int | None = None
        self._processes: list[Process] = []

    def start(self, role: str, project: Path, data: Path) -> None:
        """Start one worker of a role on a project."""
        launch = OfflineRunner(wait_seconds=WAIT_SECONDS, until_idle=IDLE_WAITS).standing(role, project)
        logs = data / "logs"
        logs.mkdir(mode=0o700, exist_ok=True)
        path = logs / f"demo-{role}-{len(self._processes) + 1}.txt"
        with path.open("wb") as log:
            popen = subprocess.Popen(
                launch.command,
                cwd=project,
                env={**inherited(), **launch.environment, "TRICHROME_HOME": str(project), "TRICHROME_STORE": "sqlite"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._processes.append(Process(role, popen, path))

    def trouble(self) -> str | None:
        """What ended a worker, in its own last words; None while all are there."""
        for process in self._processes:
            code = process.popen.poll()
            if code is not None:
                said = process.log.read_bytes()[-_TAIL_BYTES:].decode("utf-8", "replace").strip().splitlines()
                return f"a {process.role} worker left with {code}: {said[-1] if said else 'without a word'}"
        return None

    def stop(self) -> None:
        """Ask each worker to leave, and end what has not left within the grace."""
        started = self._all()
        for process in self._processes:
            process.popen.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, deadline - time.monotonic()))
        _, left = psutil.wait_procs(started | self._all(), timeout=max(0.0, deadline - time.monotonic()))
        for each in left:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(left, timeout=_KILL_SECONDS)

    def _all(self) -> set[psutil.Process]:
        """Each worker that runs, with all that it started."""
        found: set[psutil.Process] = set()
        for process in self._processes:
            if process.popen.poll() is None:
                with suppress(psutil.NoSuchProcess):
                    worker = psutil.Process(process.popen.pid)
                    found |= {worker, *worker.children(recursive=True)}
        return found

    def mark(self, number: int, _frame: FrameType | None) -> None:
        """Remember that somebody wants the demo to end."""
        self.interrupted_by = number


@contextmanager
def fleet() -> Iterator[Fleet]:
    """Take charge of signals and workers, until the block is left."""
    workers = Fleet()
    before = {number: signal.signal(number, workers.mark) for number in _SIGNALS}
    try:
        yield workers
    finally:
        workers.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
