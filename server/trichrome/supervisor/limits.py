"""How much a session may take of the machine, and who holds it to that.

Two watch, and either may end a session. Where this user may make control groups (cgroup v2), the kernel stops at once
what goes over. Everywhere the supervisor looks at the session's processes every second or so, which is what a person is
told about: whose memory, how many of what. A limit on the address space would break programs that reserve much and use
little, as Node and Bun do, so there is none.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from trichrome.processes import ProcessRef, is_alive, this_process

_MOUNTS: Final = Path("/proc/self/mounts")
_OWN_CGROUP: Final = Path("/proc/self/cgroup")
_THREADS_EACH: Final = 16
"""The kernel counts threads where people count processes: a group is stopped past so many a process."""
_BOMB_TASKS: Final = 4096
"""Tasks of this user, threads counted, beyond those that run when a session starts: only a fork bomb gets there."""
_REMOVE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one session may take, with everything that it started.

    Attributes:
        memory_bytes: memory that is its own; what it shares with others counts by its part.
        processes: how many of them run at a time.
        output_bytes: how much it may write to its standard output and standard error. A long session of Claude Code
            writes some megabytes.
    """

    memory_bytes: int
    processes: int
    output_bytes: int = 256 * 1024 * 1024


def exceeded(processes: Iterable[psutil.Process], limits: Limits) -> str | None:
    """Which limit a session is over, by how much, and by whom; None while it keeps them.

    What is resident is quickly known, and counts what is shared once for each. Only where that is too much is the
    memory measured.
    """
    there = list(processes)
    if len(there) > limits.processes:
        (name, most), *_ = Counter(map(_name, there)).most_common(1)
        return f"it ran {len(there)} processes and may run {limits.processes}; {most} of them are `{name}`"
    if sum(map(_resident, there)) <= limits.memory_bytes:
        return None
    held = {process: _held(process) for process in there}
    if sum(held.values()) <= limits.memory_bytes:
        return None
    most_of_it = max(there, key=held.__getitem__)
    return (
        f"it held {_mib(sum(held.values()))} of memory and may hold {_mib(limits.memory_bytes)}; "
        f"{_mib(held[most_of_it])} of it `{_name(most_of_it)}` (process {most_of_it.pid})"
    )


def written_too_much(files: Iterable[Path], limits: Limits) -> str | None:
    """How a session wrote more than it may; None while it did not."""
    written = 0
    for file in files:
        with suppress(OSError):
            written += file.stat().st_size
    if written <= limits.output_bytes:
        return None
    return f"it wrote {_mib(written)} of output and may write {_mib(limits.output_bytes)}"


def bound_forks(pid: int) -> None:
    """Let a process and all that it starts fork only so far beyond what this user runs now.

    It stops a fork bomb between two looks, where the system can set another process's limits (Linux) and the user is
    not root. The kernel counts all tasks of the user, but refuses only those who have this limit: no shell of theirs
    is any worse off.
    """
    if sys.platform != "linux":
        return
    import resource

    running = psutil.process_iter(["uids", "num_threads"])
    mine = psutil.Process().uids().real
    tasks = sum(
        each.info["num_threads"] or 0 for each in running if each.info["uids"] and each.info["uids"].real == mine
    )
    with suppress(OSError):
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NPROC)
        ours = tasks + _BOMB_TASKS
        if soft == resource.RLIM_INFINITY or ours < soft:
            resource.prlimit(pid, resource.RLIMIT_NPROC, (ours, hard))


class Cgroup:
    """A control group of one session; the kernel holds its limits."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits

    @classmethod
    def make(cls, name: str, limits: Limits) -> Cgroup | None:
        """A group with these limits, once those of supervisors that are gone are removed; None where none may be made.

        Args:
            name: one that no other session of this process has.
            limits: what the kernel is to hold.
        """
        place = _place()
        if place is None:
            return None
        remove_left(place)
        me = this_process()
        folder = place / f"trichrome-{me.pid}-{me.start}-{name}"
        try:
            folder.mkdir()
            for file, value in _settings(limits, has_swap=(folder / "memory.swap.max").exists()):
                (folder / file).write_text(value)
        except OSError:
            _remove(folder)
            return None
        return cls(folder, limits)

    def add(self, pids: Iterable[int]) -> None:
        """Put processes into the group that are not in it, and with each all that it will start."""
        for pid in set(pids).difference(self.members()):
            with suppress(OSError):
                (self._folder / "cgroup.procs").write_text(str(pid))

    def members(self) -> list[int]:
        """The numbers of the processes in it."""
        with suppress(OSError):
            return [int(pid) for pid in (self._folder / "cgroup.procs").read_text().split()]
        return []

    def exceeded(self) -> str | None:
        """Which limit the kernel has held it to; None while there was no need."""
        if _count(self._folder / "memory.events", "oom_kill"):
            return f"it held more than the {_mib(self._limits.memory_bytes)} of memory that it may hold, and was killed"
        if _count(self._folder / "pids.events", "max"):
            most = _THREADS_EACH * self._limits.processes
            return f"it ran {most} threads, the most that {self._limits.processes} processes may have together"
        return None

    def remove(self) -> None:
        """End what is left in it, and remove it."""
        with suppress(OSError):
            (self._folder / "cgroup.kill").write_text("1")
        _remove(self._folder)


def remove_left(place: Path | None = None) -> None:
    """Remove the empty groups of supervisors that are gone.

    Args:
        place: where to look; None for where this process would make its own.
    """
    place = place or _place()
    for folder in place.glob("trichrome-*-*-*") if place is not None else ():
        pid, start = folder.name.split("-")[1:3]
        if not is_alive(ProcessRef(int(pid), int(start))):
            with suppress(OSError):
                folder.rmdir()


def _place() -> Path | None:
    """The nearest control group around this process in which this user may make others that hold limits."""
    for folder in _around():
        with suppress(OSError):
            if {"memory", "pids"} <= set((folder / "cgroup.subtree_control").read_text().split()):
                may = os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
                return folder if may else None
    return None


def _around() -> Iterator[Path]:
    """The control groups that this process is in, from the inside outwards; none where there is no cgroup v2."""
    with suppress(OSError):
        mounted = [line.split() for line in _MOUNTS.read_text().splitlines()]
        root = next((Path(words[1]) for words in mounted if words[2] == "cgroup2"), None)
        own = [line.removeprefix("0::/") for line in _OWN_CGROUP.read_text().splitlines() if line.startswith("0::/")]
        if root is not None and own:
            folder = root / own[0]
            yield folder
            yield from (parent for parent in folder.parents if parent.is_relative_to(root))


def _settings(limits: Limits, *, has_swap: bool) -> Iterator[tuple[str, str]]:
    yield "memory.max", str(limits.memory_bytes)
    if has_swap:
        yield "memory.swap.max", "0"
    yield "memory.oom.group", "1"  # a session without half of its processes is no use to anybody
    yield "pids.max", str(_THREADS_EACH * limits.processes)


def _count(file: Path, name: str) -> int:
    """A number of a file of `name number` lines; 0 where that cannot be read."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            key, _, number = line.partition(" ")
            if key == name:
                return int(number)
    return 0


def _remove(folder: Path) -> None:
    """Remove a group as soon as the last of its processes is gone."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        try:
            folder.rmdir()
        except OSError:
            time.sleep(0.01)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return process.name()
    return "?"


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _held(process: psutil.Process) -> int:
    """Memory of a process, with its part of what it shares; without that where the system does not tell parts."""
    try:
        memory = process.memory_full_info()
    except psutil.AccessDenied:
        return _resident(process)
    except psutil.Error:
        return 0
    return int(getattr(memory, "pss", memory.uss))


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
