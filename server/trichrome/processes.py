"""Who am I, who is my client, and is that process still alive, stopped, or at work.

Guarantees. A `ProcessRef` never means two processes, so a number that the kernel gave out again is not taken for its
first owner, and a clock that jumps changes nothing. What starts a server and then only waits for it (a shell, `uv`,
`npx`, ...) is never taken for its client; `docs/decisions/0003-who-is-the-client.md` says how the line is drawn. Where
this process cannot see the client, it says so by giving none.

A ref means something only on the `Machine` it was made on: compare the machines before asking `is_alive`.

Linux is read from /proc; other systems are asked through psutil, which is imported at the first question only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

_SHELLS = frozenset({"ash", "bash", "dash", "fish", "ksh", "sh", "zsh"})

# Programs that run another one and wait for it. None of them ever speaks to a server itself.
_LAUNCHERS = _SHELLS | frozenset(
    {
        "bunx",
        "busybox",
        "doas",
        "env",
        "npm",
        "npm-cli.js",
        "npx",
        "npx-cli.js",
        "pipx",
        "pnpm",
        "su",
        "sudo",
        "timeout",
        "uv",
        "uvx",
        "yarn",
    }
)

# Programs that stand in for somebody this process cannot see: whoever is at the other end of an ssh connection, on the
# Windows side of WSL (whose relays are all called /init), or long gone and survived by its orphans.
_STAND_INS = frozenset({"init", "launchd", "sshd", "sshd-session", "systemd"})

# Options whose value is the next argument, so that it is not what they run.
_SHELL_OPTIONS = frozenset({"--init-file", "--rcfile", "-O", "-o"})
_PYTHON_OPTIONS = frozenset({"-W", "-X"})

# Seconds within which a client that starts has started its servers.
_SERVERS_START_WITHIN = 10.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SYSCTL = "/usr/sbin/sysctl"


@dataclass(frozen=True, slots=True)
class ProcessRef:
    """A process that cannot be confused with a later one of the same number.

    Attributes:
        pid: the number, in the pid namespace of its machine.
        start: an opaque stamp of its start, blind to changes of the clock. On Linux: ticks since the boot.
    """

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a `ProcessRef` means something; equal machines see the same processes under the same numbers.

    Attributes:
        host: its name, for people. Not compared: a laptop is renamed by the network it joins.
        boot: different for every boot of every machine.
        pid_namespace: which numbering of processes; empty where a system has only one.
    """

    host: str = field(compare=False)
    boot: str
    pid_namespace: str


@dataclass(frozen=True, slots=True)
class Process:
    """One row of the table of processes.

    Attributes:
        ref: which process.
        parent: the number of its parent; 0 when that one is outside the pid namespace.
        name: what the system calls it, perhaps cut short, perhaps chosen by the process.
        argv: how it was started, or a title that it gave itself; empty when that may not be read.
        terminal: whether it belongs to a terminal.
    """

    ref: ProcessRef
    parent: int
    name: str
    argv: tuple[str, ...] = ()
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A process above a server, with the name that it had when it was recorded (for people, so not compared)."""

    ref: ProcessRef
    name: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class ClientChain:
    """What stood above a server when it started.

    Attributes:
        parent: the number of the server's parent.
        ancestors: from the parent upwards to the client; without a client, as far as could be seen.
        client: the last of `ancestors`; None when the client is not among the processes that can be seen from here.
    """

    parent: int
    ancestors: tuple[Ancestor, ...]
    client: Ancestor | None


class ProcessTable(Protocol):
    """Where facts about processes come from."""

    def me(self) -> ProcessRef:
        """The process that asks."""
        ...

    def start(self, pid: int) -> int | None:
        """The start stamp of a process that runs or is stopped; None when there is none, or only its zombie."""
        ...

    def read(self, pid: int) -> Process | None:
        """All facts about a process that runs or is stopped; None when there is none that may be looked at."""
        ...


class ProcessSenses(ProcessTable, Protocol):
    """What else can be told of processes: nobody's life hangs on it."""

    def is_stopped(self, pid: int) -> bool:
        """Whether a process does not run until somebody lets it: SIGSTOP, Ctrl-Z, a debugger."""
        ...

    def age(self, pid: int) -> float | None:
        """Seconds since a process started; None when there is none."""
        ...

    def children(self, pid: int) -> list[int]:
        """What a process started and is still its parent of; none where that cannot be told."""
        ...


class ProcTable:
    """Linux: /proc, one small read a question."""

    def me(self) -> ProcessRef:
        """The process that asks, under the number that it has for itself."""
        stat = _Stat.parse(_read_start_of("/proc/self/stat"))
        return ProcessRef(os.getpid(), stat.start)

    def start(self, pid: int) -> int | None:
        """See `ProcessTable`."""
        stat = self._stat(pid)
        return None if stat is None else stat.start

    def read(self, pid: int) -> Process | None:
        """See `ProcessTable`."""
        stat = self._stat(pid)
        if stat is None:
            return None
        argv = b""
        with suppress(OSError):
            argv = _read_start_of(f"/proc/{pid}/cmdline")
        return Process(
            ref=ProcessRef(pid, stat.start),
            parent=stat.parent,
            name=stat.name.decode(errors="replace"),
            argv=tuple(argv.rstrip(b"\0").decode(errors="replace").split("\0")) if argv else (),
            terminal=stat.terminal,
        )

    def is_stopped(self, pid: int) -> bool:
        """See `ProcessSenses`."""
        stat = self._stat(pid)
        return stat is not None and stat.stopped

    def age(self, pid: int) -> float | None:
        """See `ProcessSenses`. A start is told in ticks since the boot, those of a sleeping machine included."""
        stat = self._stat(pid)
        if stat is None:
            return None
        return time.clock_gettime(time.CLOCK_BOOTTIME) - stat.start / os.sysconf("SC_CLK_TCK")

    def children(self, pid: int) -> list[int]:
        """See `ProcessSenses`. Each thread has children of its own; a kernel may be built without telling them."""
        found: list[int] = []
        for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, tasks.read_bytes().split())
        return found

    @staticmethod
    def _stat(pid: int) -> _Stat | None:
        try:
            stat = _Stat.parse(_read_start_of(f"/proc/{pid}/stat"))
        except OSError:
            return None
        return None if stat.dead else stat


class PsutilTable:
    """Any system that psutil knows.

    The stamp is psutil's own identity of a process. Its `create_time` would not do: on macOS it is corrected by the
    changes of the clock that the asking process has seen, so two askers can differ about one process.
    """

    def me(self) -> ProcessRef:
        """The process that asks."""
        import psutil

        return ProcessRef(os.getpid(), hash(psutil.Process()))

    def start(self, pid: int) -> int | None:
        """See `ProcessTable`."""
        import psutil

        try:
            process = psutil.Process(pid)
            dead = process.status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
        except psutil.NoSuchProcess:
            return None
        return None if dead else hash(process)

    def read(self, pid: int) -> Process | None:
        """See `ProcessTable`."""
        import psutil

        start = self.start(pid)
        if start is None:
            return None
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                parent, name, terminal = process.ppid(), process.name(), process.terminal()
                argv: list[str] = []
                with suppress(psutil.AccessDenied):
                    argv = process.cmdline()
        except psutil.Error:
            return None
        clean = [text.encode(errors="replace").decode() for text in (name, *argv)]
        return Process(ProcessRef(pid, start), parent, clean[0], tuple(clean[1:]), terminal is not None)

    def is_stopped(self, pid: int) -> bool:
        """See `ProcessSenses`."""
        import psutil

        try:
            return psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
        except psutil.Error:
            return False

    def age(self, pid: int) -> float | None:
        """See `ProcessSenses`. Both times are the wall's, so a clock that is set shows here."""
        import psutil

        try:
            return time.time() - psutil.Process(pid).create_time()
        except psutil.Error:
            return None

    def children(self, pid: int) -> list[int]:
        """See `ProcessSenses`."""
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.Error:
            return []


_TABLE: ProcessSenses = ProcTable() if sys.platform == "linux" else PsutilTable()


def this_process(table: ProcessTable = _TABLE) -> ProcessRef:
    """The process that asks."""
    return table.me()


def this_machine(table: ProcessTable = _TABLE) -> Machine:
    """The machine that `this_process` and `is_alive` speak about.

    A process whose /proc shows another pid namespace than its own (some sandboxes do that) can judge nobody by number
    and cannot be judged; its machine equals no other, not even that of its neighbours.
    """
    return Machine(host=os.uname().nodename, boot=_boot_id(), pid_namespace=_pid_namespace(table))


def is_alive(ref: ProcessRef, table: ProcessTable = _TABLE) -> bool:
    """Whether that very process still runs, or is stopped and may go on. A zombie is dead.

    Costs one small read: about 10 microseconds on Linux.
    """
    return table.start(ref.pid) == ref.start


def is_stopped(ref: ProcessRef, table: ProcessSenses = _TABLE) -> bool:
    """Whether that very process is there, and does not run until somebody lets it."""
    return table.is_stopped(ref.pid) and is_alive(ref, table)


def at_work(client: ProcessRef, server: ProcessRef, table: ProcessSenses = _TABLE) -> list[tuple[str, float]]:
    """What a client runs for its work: the name and the age in seconds of each child that is no server of its own.

    Nothing says of a child what it is for. But a client starts its servers together, when it starts itself, so what
    came well after our server is work; what came before it, its own launcher included, is not.
    """
    ours = table.age(server.pid)
    if ours is None or not is_alive(client, table) or not is_alive(server, table):
        return []
    ages = {pid: age for pid in table.children(client.pid) if (age := table.age(pid)) is not None}
    young = {pid: age for pid, age in ages.items() if age < ours - _SERVERS_START_WITHIN}
    return [(process.name, age) for pid, age in young.items() if (process := table.read(pid)) is not None]


def client_chain(table: ProcessTable = _TABLE) -> ClientChain:
    """Find the client of this process; to be called at its start, before anybody above can die and be replaced.

    Nobody can look at all ancestors at one moment, so it looks until two looks in a row agree. Then each of them was
    the child of the next one during the whole second look, and no number changed hands in between.
    """
    chain = _climb(table)
    while (again := _climb(table)) != chain:
        chain = again
    return chain


def chain_above(parent: int, read: Callable[[int], Process | None]) -> ClientChain:
    """Climb from a server's parent to the first ancestor that did more than launch it.

    Process 1 is never the client: it is the init of a machine or the first process of a container, whose end nobody
    on the same machine would live to see.

    Args:
        parent: the number of the server's parent.
        read: gives the facts about a process, or None when it cannot be seen.
    """
    ancestors: list[Ancestor] = []
    pid = parent
    while pid > 1 and (process := read(pid)) is not None:
        ancestors.append(Ancestor(process.ref, process.name))
        names = frozenset(_names(process))
        if names & _STAND_INS:
            break
        if _is_used_by_hand(process, names) or not names & _LAUNCHERS:
            return ClientChain(parent, tuple(ancestors), ancestors[-1])
        pid = process.parent
    return ClientChain(parent, tuple(ancestors), None)


def is_orphaned(chain: ClientChain, table: ProcessTable = _TABLE) -> bool:
    """Whether somebody who stood above this process at its start is gone, so that it should leave too.

    The parent alone does not tell: `sh -c 'server; true'` outlives a client that was killed, and the server's parent
    is then still that shell.
    """
    return os.getppid() != chain.parent or not all(is_alive(ancestor.ref, table) for ancestor in chain.ancestors)


@cache
def _boot_id(file: Path = _BOOT_ID, sysctl: str = _SYSCTL) -> str:
    """What tells this boot of this machine from any other, for as long as the boot lasts.

    Linux and macOS draw a random UUID at boot. Elsewhere it is the time of the boot with the name of the host, the
    only answer here that moves when the clock is set.

    Args:
        file: where Linux keeps it.
        sysctl: the program that asks macOS for it.
    """
    with suppress(OSError):
        return file.read_text(encoding="ascii").strip()

    import subprocess

    with suppress(OSError, subprocess.SubprocessError):
        # Standard input may be the pipe that a client speaks on: no child gets hold of it.
        command = [sysctl, "-n", "kern.bootsessionuuid"]
        asked = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=True)
        return asked.stdout.decode().strip()

    import psutil

    return f"{psutil.boot_time():.0f}@{os.uname().nodename}"


def _climb(table: ProcessTable) -> ClientChain:
    parent = os.getppid()
    if not is_alive(table.me(), table):  # the numbers in the table are another namespace's
        return ClientChain(parent, (), None)
    return chain_above(parent, table.read)


def _names(process: Process) -> Iterator[str]:
    """What a process may be known by: its name, its program, and the script or module of an interpreter."""
    programs = [_program(text) for text in (process.name, *process.argv[:1])]
    yield from programs
    if any(program.lower().startswith(("python", "node")) for program in programs):
        operand = _operand(process.argv, _PYTHON_OPTIONS)
        if operand is not None:
            yield _program(operand)


def _program(text: str) -> str:
    """The bare name in `/usr/bin/uv`, `-bash` (a login shell), `npm exec x` or `sshd: user` (titles)."""
    words = text.split(maxsplit=1)
    return words[0].rpartition("/")[2].lstrip("-").rstrip(":") if words else ""


def _is_used_by_hand(process: Process, names: frozenset[str]) -> bool:
    """Whether this is a shell at a terminal that was given neither a command nor a script."""
    return process.terminal and not names.isdisjoint(_SHELLS) and _operand(process.argv, _SHELL_OPTIONS) is None


def _operand(argv: tuple[str, ...], valued: frozenset[str]) -> str | None:
    """The first argument that is neither an option nor its value: a shell's command or script, Python's module."""
    arguments = iter(argv[1:])
    for argument in arguments:
        if argument in valued:
            next(arguments, None)
        elif argument and not argument.startswith(("-", "+")):
            return argument
    return None


def _pid_namespace(table: ProcessTable) -> str:
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    me = table.me()
    return namespace if is_alive(me, table) else f"{namespace} unseen by {me.pid} of {me.start}"


@dataclass(frozen=True, slots=True)
class _Stat:
    """The part of /proc/PID/stat that matters here; proc_pid_stat(5)."""

    name: bytes
    parent: int
    terminal: bool
    start: int
    dead: bool
    stopped: bool

    @staticmethod
    def parse(line: bytes) -> _Stat:
        # The name stands in parentheses and may hold any byte, parentheses and spaces included.
        opening, closing = line.index(b"("), line.rindex(b")")
        fields = line[closing + 2 :].split(None, 20)
        # A process whose first thread has ended shows as a zombie while the others work on.
        return _Stat(
            name=line[opening + 1 : closing],
            parent=int(fields[1]),
            terminal=fields[4] != b"0",
            start=int(fields[19]),
            dead=fields[0] in b"ZXx" and int(fields[17]) <= 1,
            stopped=fields[0] in b"Tt",
        )


def _read_start_of(path: str) -> bytes:
    """The first 4 KiB of a file, with nothing between it and the kernel: this is polled."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
