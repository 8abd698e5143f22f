"""The workers of a torture: clients in processes of their own, each with its server; whoever dies gets a next life.

Guarantee: when the `with` block is left, however it is left, every process that was started here is gone. A
client that dies with the torture's own process sees the end of its orders, and its servers see it die.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

import trichrome
from trichrome.torture.histories import Life

_NOT_INHERITED: Final = ("TRICHROME_", "CLAUDE")
_SETTINGS: Final = {
    "TRICHROME_BACKOFF_SECONDS": "0.05",
    "TRICHROME_BACKOFF_CAP_SECONDS": "0.2",
    "TRICHROME_MAX_ATTEMPTS": "1000",
}
"""No task is to fail because it was tortured, and none is to wait long for its next try."""
_CLIENT: Final = (sys.executable, "-S", "-m", "trichrome.torture.client")
"""Without site, since the client starts a thousand times and needs nothing of it."""
_LEAVE_SECONDS: Final = 10.0
"""How long those may take to leave who were told to, or were killed."""
_LOOK_SECONDS: Final = 0.02


class Worker:
    """One of the workers through all its lives.

    Attributes:
        number: its place, from 0; also that of its dials.
        lives: what each of its clients has written.
        client: the process of the present life, or of the last.
    """

    def __init__(self, number: int, crew: Crew) -> None:
        self.number = number
        self.lives: list[Life] = []
        self.client: subprocess.Popen[bytes] | None = None
        self._crew = crew
        self._servers: dict[int, psutil.Process] = {}
        self._noted = 0

    @property
    def life(self) -> Life:
        """Its present life, or its last."""
        return self.lives[-1]

    @property
    def is_alive(self) -> bool:
        """Whether its client runs, or stands still."""
        return self.client is not None and self.client.poll() is None

    @property
    def told(self) -> int:
        """How many answers its clients have read."""
        return sum(life.told for life in self.lives)

    def server(self) -> psutil.Process | None:
        """The newest of its servers that run."""
        known = (self._servers.get(pid) for pid in reversed(self.life.servers))
        return next((each for each in known if each is not None and _runs(each)), None)

    def follow(self) -> None:
        """Read what it has written since, and learn which processes it has."""
        self.life.read_on()
        for pid in self.life.servers[self._noted :]:
            with suppress(psutil.NoSuchProcess):
                self._servers[pid] = psutil.Process(pid)
        self._noted = len(self.life.servers)

    def begin(self) -> None:
        """Begin the next life; what the last one held is known to it, as to a model that is resumed."""
        name = f"{self.number}.{len(self.lives) + 1}"
        life = Life(name, self._crew.folder / f"client-{name}.jsonl")
        earlier = self.lives[-1] if self.lives else None
        config = {
            "name": name,
            "seed": self._crew.seed,
            "history": str(self._crew.folder / f"client-{name}.jsonl"),
            "errors": str(self._crew.folder / f"server-{self.number}.err"),
            "server": [*self._crew.server, str(self._crew.dials), str(self.number)],
            "calls_itself": "claude-code" if self._is_session else "torture",
            "held": earlier.held if earlier is not None and (self._is_session or self._is_named) else None,
            "former": earlier.former if earlier is not None else [],
            "reviews": self._crew.size > 1,
            "finishing": self._crew.is_finishing,
        }
        with (self._crew.folder / f"client-{self.number}.err").open("ab") as errors:
            self.client = subprocess.Popen(
                [*_CLIENT, json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=self._environment(),
                start_new_session=True,  # a Ctrl-C at the terminal is the torture's own
                bufsize=0,
            )
        self.lives.append(life)
        self._noted = 0

    @property
    def _is_session(self) -> bool:
        """Whether its lives are one Claude Code session."""
        return self.number % 4 == 1

    @property
    def _is_named(self) -> bool:
        """Whether its lives are one named worker."""
        return self.number % 4 == 3  # noqa: PLR2004 - of four workers each second one is like most clients are

    def _environment(self) -> dict[str, str]:
        """What it and its servers are started with: nothing of ours but what is said here.

        It goes by the environment, since everybody on the machine can read a command line.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        mine = {**kept, **_SETTINGS, "TRICHROME_HOME": str(self._crew.project)}
        mine["PYTHONPATH"] = str(Path(trichrome.__file__).parents[1])
        if self._is_session:
            mine["CLAUDE_CODE_SESSION_ID"] = f"torture-{self._crew.seed}-{self.number}"
        if self._is_named:
            mine["TRICHROME_WORKER"] = f"named-{self.number}"
        return mine

    def order(self, **order: object) -> bool:
        """Tell the client something; answers whether it could be told."""
        assert self.client is not None
        assert self.client.stdin is not None
        try:
            self.client.stdin.write(json.dumps(order).encode() + b"\n")
        except OSError:
            return False
        return True

    def processes(self, *, client: bool, server: bool) -> list[psutil.Process]:
        """Its present server, its client, or both."""
        found = [self.server()] if server else []
        if client and self.client is not None:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(self.client.pid))
        return [each for each in found if each is not None]

    def bury(self) -> None:
        """Let go of a client that is dead."""
        assert self.client is not None
        assert self.client.stdin is not None
        with suppress(OSError):
            self.client.stdin.close()
        self.client.wait()

    def left(self) -> list[psutil.Process]:
        """The servers of all its lives that still run."""
        return [server for server in self._servers.values() if _runs(server)]


class Crew:
    """The workers, and where they work.

    Attributes:
        folder: where each life writes.
        project: the scratch project.
        dials: the file of the dials.
        server: the command that starts a server; the dials and the worker's number are added.
        is_finishing: lives that begin now create no more tasks.
        deaths: when each life was over.
    """

    def __init__(self, folder: Path, project: Path, dials: Path, server: Sequence[str], size: int, seed: int) -> None:
        self.folder = folder
        self.project = project
        self.dials = dials
        self.server = tuple(server)
        self.size = size
        self.seed = str(seed)
        self.is_finishing = False
        self.deaths: dict[str, float] = {}
        self.workers = [Worker(number, self) for number in range(size)]

    def count(self) -> None:
        """Note who is dead; whoever died before this was called is dead by now in `deaths`."""
        for worker in self.workers:
            if not worker.is_alive:
                self.deaths.setdefault(worker.life.name, time.monotonic())

    def follow(self) -> None:
        """Read what was written, and begin the next life of each that died."""
        self.count()
        for worker in self.workers:
            worker.follow()
            if worker.life.name in self.deaths:
                worker.bury()
                worker.follow()
                worker.begin()

    def finish(self) -> None:
        """Let nobody create more tasks."""
        self.is_finishing = True
        for worker in self.workers:
            worker.order(do="finish")

    @property
    def is_finished(self) -> bool:
        """Whether everybody has heard that nothing more is to be created, so that nothing is on its way either."""
        return all(worker.life.is_finishing for worker in self.workers)

    def leave(self) -> list[str]:
        """Tell all to leave; answers what did not in time."""
        for worker in self.workers:
            worker.order(do="leave")
        deadline = time.monotonic() + _LEAVE_SECONDS
        late = []
        for worker in self.workers:
            assert worker.client is not None
            try:
                worker.client.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                late.append(f"client {worker.life.name} did not leave")
            worker.follow()
        return late + [f"a server (process {pid}) did not leave with its client" for pid in self._still_there(deadline)]

    def _still_there(self, deadline: float) -> list[int]:
        """The servers that do not leave in time."""
        while left := [server.pid for worker in self.workers for server in worker.left()]:
            if time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
        return left

    def kill_one(self, worker: Worker, *, client: bool, server: bool) -> None:
        """Kill a worker's client, its present server, or both."""
        doomed = worker.processes(client=client, server=server)
        if client:
            self.deaths.setdefault(worker.life.name, time.monotonic())
        send(signal.SIGKILL, doomed)

    def kill(self) -> None:
        """Kill every process, wherever it stands."""
        for worker in self.workers:
            if worker.client is None:
                continue
            if worker.is_alive:
                worker.client.kill()
                self.deaths.setdefault(worker.life.name, time.monotonic())
            worker.bury()
            worker.follow()
        deadline = time.monotonic() + _LEAVE_SECONDS
        while (left := list(self._left())) and time.monotonic() < deadline:
            send(signal.SIGKILL, left)
            time.sleep(_LOOK_SECONDS)

    def _left(self) -> Iterator[psutil.Process]:
        """Whatever works on the project, be it a server that its client had no time to write down."""
        for each in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if each.environ().get("TRICHROME_HOME") == str(self.project) and _runs(each):
                    yield each


def send(number: signal.Signals, processes: Iterable[psutil.Process]) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _runs(process: psutil.Process) -> bool:
    """Whether that very process runs, or stands still; one that is dead and not yet collected does neither."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@contextmanager
def crew(folder: Path, project: Path, dials: Path, server: Sequence[str], *, size: int, seed: int) -> Iterator[Crew]:
    """Start a crew; all of it is gone with the block."""
    hands = Crew(folder, project, dials, server, size, seed)
    try:
        for worker in hands.workers:
            worker.begin()
        yield hands
    finally:
        hands.kill()
