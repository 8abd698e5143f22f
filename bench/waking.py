"""Waiting and idling

A worker waits in `claim_task`, a lead in `trichrome wait`: real processes on real pipes, asleep for a while before
anything comes. Timed is from the first byte of the other one's `create_task` (or `report_result`) to the last byte of
what the waiter says. So the first holds two commits, one after the other, and the second holds one.

Floors, interleaved: two processes that do the same with hand-written statements, where the one that waits is told by a
datagram; and where it looks at SQLite's change counter every 10 ms instead.

An idle server has opened its project and is left alone. What it costs is its processor time, user and system, as the
kernel counts it, over the time that goes by. A hundred of them share one project. The quick run takes `full` alone, and
fewer servers.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar, cast

import apsw
import psutil

from bench.byhand import ByHand
from bench.measure import Aim, Figure, Scale, Spread, Taken, interleaved, percentile, ratio
from bench.place import Durability, scratch
from bench.wire import TRICHROME, Talk, environment

DURABILITIES: Final[tuple[Durability, ...]] = ("full", "fast")
ASLEEP_SECONDS: Final = (0.02, 0.07)
"""How long a waiter is left asleep before something comes for it."""
POLL_SECONDS: Final = 0.01
TOLD: Final = "by hand, told by a datagram"
POLLED: Final = "by hand, a look at the change counter every 10 ms"
WINDOW_SECONDS: Final = 4
"""How long one sample of idling takes: whoever looks around once a second has done so several times."""

Value = TypeVar("Value")


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    for durability in DURABILITIES[: scale.of(2, 1)]:
        with scratch() as folder, ExitStack() as stack:
            flags = ("--durability", durability)
            lead, worker = _servers(stack, folder, flags, (*flags, "--worker", "w1"))
            _waiting_claims(taken, durability, folder, lead, worker, rounds=scale.of(40, 5))
            _waits(taken, durability, folder, worker, rounds=scale.of(40, 5))
            if durability == "full":
                _idle(taken, lead, worker, seconds=scale.of(16, 2))
    _idle_together(taken, servers=scale.of(100, 4), seconds=scale.of(12, 2))
    return taken


# --- waking -----------------------------------------------------------------------------------------------------------


def _waiting_claims(
    taken: Taken, durability: Durability, folder: Path, lead: Talk, worker: Talk, *, rounds: int
) -> None:
    def ours() -> float:
        seconds, claimed = _first_to_last(
            cause=lambda: lead.does("create_task", kind="search", instructions="Look."),
            effect=lambda: worker.does("claim_task", wait_seconds=60),
        )
        worker.does("report_result", attempt=claimed["attempt"], outcome="completed", summary="Found it.")
        return seconds

    with _by_hand(folder, durability, "told") as told, _by_hand(folder, durability, "polled") as polled:
        samples = interleaved(rounds, {"ours": ours, "told": told.claims, "polled": polled.claims})
    says = f"from create_task to the answer of a claim_task that waits in another process ({durability})"
    _add(taken, f"waking.claim.{durability}", says, samples, {"told": TOLD, "polled": POLLED})


def _waits(taken: Taken, durability: Durability, folder: Path, worker: Talk, *, rounds: int) -> None:
    made = worker.does("create_task", tasks=[{"kind": "search", "instructions": "Look."}] * (rounds + 1))
    command = [*TRICHROME[:-1], "wait", made["run"]]
    with _started(command, env=environment(folder)) as waiter, _by_hand(folder, durability, "told") as told:
        line = _lines(waiter)
        _settle([waiter.pid])

        def ours() -> float:
            attempt = worker.does("claim_task")["attempt"]
            report = {"attempt": attempt, "outcome": "completed", "summary": "Found it."}
            return _first_to_last(cause=lambda: worker.does("report_result", **report), effect=line)[0]

        samples = interleaved(rounds, {"ours": ours, "told": told.reports})
    says = f"from report_result to the line of `trichrome wait` that tells of it ({durability})"
    _add(taken, f"waking.wait.{durability}", says, samples, {"told": TOLD})


def _add(taken: Taken, name: str, says: str, samples: Mapping[str, Sequence[float]], floors: Mapping[str, str]) -> None:
    milliseconds = {who: [sample * 1000 for sample in each] for who, each in samples.items()}
    ours = milliseconds["ours"]
    taken.add(Figure(f"{name}.p50", says, "ms", Spread.of(ours), aim=Aim("at most", 20)))
    taken.add(Figure(f"{name}.p95", f"{says}, 95 of 100 times", "ms", Spread.of([percentile(ours, 95)])))
    for floor, against in floors.items():
        theirs = milliseconds[floor]
        taken.add(
            Figure(f"{name}.{floor}", says, "ms", Spread.of(ours), Spread.of(theirs), against, ratio(ours, theirs))
        )


def _first_to_last(*, cause: Callable[[], object], effect: Callable[[], Value]) -> tuple[float, Value]:
    """Let a thread wait for an effect, cause it once all sleep: the seconds from one to the other, and the effect."""
    got: list[tuple[float, Value]] = []

    def wait() -> None:
        value = effect()
        got.append((time.perf_counter(), value))

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    time.sleep(random.uniform(*ASLEEP_SECONDS))
    begin = time.perf_counter()
    cause()
    waiter.join()
    ((end, value),) = got
    return end - begin, value


class _Pair:
    """A floor: this process writes and tells; a second one waits for that."""

    def __init__(self, place: Path, durability: Durability, line: Callable[[], bytes], tell: socket.socket) -> None:
        self._queue = ByHand(place, durability)
        self._line = line
        self._tell = tell

    def claims(self) -> float:
        def create() -> None:
            self._queue.enqueue()
            self._tell.send(b"claim")

        seconds, task = _first_to_last(cause=create, effect=self._line)
        self._queue.report(int(task))
        return seconds

    def reports(self) -> float:
        self._queue.enqueue()
        task = cast("int", self._queue.claim())

        def report() -> None:
            self._queue.report(task)
            self._tell.send(b"look")

        return _first_to_last(cause=report, effect=self._line)[0]


@contextmanager
def _by_hand(folder: Path, durability: Durability, how: str) -> Iterator[_Pair]:
    with TemporaryDirectory(dir=folder) as own, ExitStack() as stack:
        place = Path(own) / "events.db"
        ours, theirs = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        command = [sys.executable, "-m", "bench.waking", how, str(place), durability, str(theirs.fileno())]
        line = _lines(stack.enter_context(_started(command, pass_fds=[theirs.fileno()])))
        line()  # it is ready
        yield _Pair(place, durability, line, ours)


def _wait_by_hand(how: str, place: str, durability: Durability, descriptor: str) -> None:
    """The second process of a floor: waits, claims or looks, and says which task it was; again and again."""
    queue = ByHand(Path(place), durability)
    eye = apsw.Connection(place, flags=apsw.SQLITE_OPEN_READONLY)
    told = socket.socket(fileno=int(descriptor))
    print("ready", flush=True)
    while True:
        mark = eye.pragma("data_version")
        if how == "polled":
            while eye.pragma("data_version") == mark:
                time.sleep(POLL_SECONDS)
            task = queue.claim()
        elif told.recv(16) == b"claim":
            task = queue.claim()
        else:
            ((task,),) = eye.execute("select number from tasks order by ended desc limit 1")
        if task is not None:
            print(task, flush=True)


# --- idling -----------------------------------------------------------------------------------------------------------


def _idle(taken: Taken, idle: Talk, waiting: Talk, *, seconds: float) -> None:
    assert waiting.process.stdin is not None
    claim = waiting.request("tools/call", {"name": "claim_task", "arguments": {"wait_seconds": 90}})
    os.write(waiting.process.stdin.fileno(), claim)
    alone, with_waiter = _shares([[idle.process.pid], [waiting.process.pid]], seconds=seconds)
    taken.add(Figure("waking.idle", "an idle server, of one core", "%", alone, aim=Aim("at most", 0.2)))
    taken.add(Figure("waking.idle.waiting", "a server with a waiting claim, of one core", "%", with_waiter))


def _idle_together(taken: Taken, *, servers: int, seconds: float) -> None:
    with scratch() as folder, ExitStack() as stack:
        crowd = _servers(stack, folder, *[()] * servers)
        (together,) = _shares([[server.process.pid for server in crowd]], seconds=seconds)
    says = f"{servers} idle servers of one project together, of one core"
    # Fewer than a hundred share the aim of a hundred.
    taken.add(Figure("waking.idle.together", says, "%", together, aim=Aim("at most", 5 * servers / 100)))


def _shares(groups: Sequence[Sequence[int]], *, seconds: float) -> list[Spread]:
    """What groups of processes cost together, in percent of one core, once they have come to rest."""
    _settle([pid for group in groups for pid in group])
    shares: list[list[float]] = [[] for _ in groups]
    windows = max(1, int(seconds / WINDOW_SECONDS))
    for _ in range(windows):
        begin, before = time.perf_counter(), [sum(map(_processor_seconds, group)) for group in groups]
        time.sleep(seconds / windows)
        after, end = [sum(map(_processor_seconds, group)) for group in groups], time.perf_counter()
        for share, late, early in zip(shares, after, before, strict=True):
            share.append((late - early) / (end - begin) * 100)
    return [Spread.of(share) for share in shares]


def _settle(pids: Sequence[int]) -> None:
    """Wait until processes are done with starting, at most ten seconds."""
    deadline = time.monotonic() + 10
    used, before = sum(map(_processor_seconds, pids)), -1.0
    while used - before > 0.005 * len(pids) and time.monotonic() < deadline:
        time.sleep(0.5)
        before, used = used, sum(map(_processor_seconds, pids))


def _processor_seconds(pid: int) -> float:
    """User and system time of a process, all its threads; to the nanosecond where the kernel tells it so."""
    if sys.platform == "linux":
        return time.clock_gettime(~pid << 3 | 2)  # CPUCLOCK_SCHED of clock_getcpuclockid(3)
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


# --- processes --------------------------------------------------------------------------------------------------------


def _servers(stack: ExitStack, folder: Path, *flags: Sequence[str]) -> list[Talk]:
    """Servers that have opened their project, one for each set of flags, begun as many at a time as there are cores."""

    def begun(chosen: Sequence[str]) -> Talk:
        server = stack.enter_context(Talk([*TRICHROME, *chosen], folder))
        server.open()
        server.does("get_status")
        return server

    with ThreadPoolExecutor(os.cpu_count()) as starters:
        return list(starters.map(begun, flags))


@contextmanager
def _started(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env, pass_fds=pass_fds) as process:
        try:
            yield process
        finally:
            process.kill()


def _lines(process: subprocess.Popen[bytes]) -> Callable[[], bytes]:
    """What reads the next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline


if __name__ == "__main__":
    _wait_by_hand(*sys.argv[1:])  # type: ignore[arg-type]  # as `_by_hand` calls it
