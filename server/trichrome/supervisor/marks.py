"""Finds processes by a mark in their environment, which every descendant inherits, and ends them.

Guarantee: neither this process nor one above it is ever found, and a number that the system gave out again is never
taken for the process that had it before.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

SUPERVISION: Final = "TRICHROME_SUPERVISION"
"""Marks everything that one life of a supervisor started."""
SESSION: Final = "TRICHROME_SESSION"
"""Marks everything that one session started."""

_QUIET_LOOKS: Final = 2
"""Looks in a row that find nothing: a process cannot be read at the moment when it becomes another program."""
_KILL_SECONDS: Final = 2.0
"""How long a killed process may take to be gone; one in the midst of a disk access takes until that is over."""
_GLANCE_SECONDS: Final = 0.02


def carrying(name: str, value: str) -> list[psutil.Process]:
    """Every running process with that variable in its environment.

    What cannot be looked into is not found: processes of other users, and what macOS protects. A program that was
    started with a cleaned environment has lost the mark.
    """
    above = psutil.Process().parents()
    spared = {os.getpid(), *(process.pid for process in above)}
    marked = (pid for pid in psutil.pids() if pid not in spared and _carries(pid, name, value))
    return [process for pid in marked if (process := running(pid)) is not None]


def running(pid: int) -> psutil.Process | None:
    """The process that has a number now; None when there is none, or only its zombie."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return process if runs(process) else None
    return None


def runs(process: psutil.Process) -> bool:
    """Whether that very process runs, or is stopped and may go on."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def end(processes: Iterable[psutil.Process], *, grace_seconds: float) -> list[psutil.Process]:
    """Ask processes to end, wait, and kill those that do not; answers those that a kill has not ended in time.

    A stopped process is let go on, so that it can do what it was asked.
    """
    asked = list(processes)
    _send(asked, signal.SIGTERM)
    _send(asked, signal.SIGCONT)
    left = _left(asked, grace_seconds)
    _send(left, signal.SIGKILL)
    return _left(left, _KILL_SECONDS)


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of processes that were to end.

    Attributes:
        ended: how many were found.
        left: the numbers of those that a kill did not end within the bound: one in the midst of a disk access that
            never comes back.
    """

    ended: int
    left: tuple[int, ...] = ()


def sweep(look: Callable[[], Iterable[psutil.Process]], *, grace_seconds: float, bound_seconds: float) -> Swept:
    """End what a look finds, and what that has started meanwhile, until nothing is left or the bound is reached.

    Only those found first get the grace: what comes later was started by something that was asked to end.
    """
    found: set[psutil.Process] = set()
    left: set[psutil.Process] = set()
    deadline = time.monotonic() + bound_seconds
    quiet = 0
    while quiet < _QUIET_LOOKS and time.monotonic() < deadline:
        left = set(look())
        quiet = 0 if left else quiet + 1
        end(left, grace_seconds=0 if found else grace_seconds)
        found |= left
    return Swept(len(found), tuple(sorted(process.pid for process in left if runs(process))))


def _carries(pid: int, name: str, value: str) -> bool:
    if sys.platform == "linux":  # a sixth of what psutil takes, for every process of the machine
        with suppress(OSError):
            return f"{name}={value}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return False
    with suppress(psutil.Error, OSError):
        return psutil.Process(pid).environ().get(name) == value
    return False


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _left(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until processes are gone; answers those that are not."""
    deadline = time.monotonic() + seconds
    while (processes := [process for process in processes if runs(process)]) and time.monotonic() < deadline:
        time.sleep(_GLANCE_SECONDS)
    return processes
