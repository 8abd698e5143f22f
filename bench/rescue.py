"""Rescue

A client starts a server, and a worker behind it claims a task. Then that client is killed with `kill -9`: alone, so
that its server finds its pipe closed and leaves; or together with its server, so that nobody says a word. Timed is from
the kill to the last byte of the answer that gives the task to somebody else.

With another server alive, that is a `claim_task` that waits in it: one server, which nothing tells what happened but
the processes that are gone. Kills come at any moment between two of its looks. The floor of the same round is how long
such a claim waits for a task that is created.

With no server alive, it is the next command: a server that is started at the moment of the kill, opens the project and
claims. The floor is the same command where a task lies ready.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from bench.measure import Aim, Figure, Scale, Spread, Taken, percentile, ratio
from bench.place import scratch
from bench.wire import TRICHROME, Talk

CLIENT: Final = [sys.executable, str(Path(__file__).with_name("client.py"))]
ASLEEP_SECONDS: Final = (0.05, 0.55)
"""How long claims wait before the first of them gets something: any moment between two looks, half a second apart."""
WAIT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Samples:
    """Seconds from a kill to the claim, and those of the floor in the same round."""

    rescues: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    alone, both = _with_a_waiter(places=scale.of(10, 4), rounds=scale.of(10, 1))
    says = "from kill -9 to the answer of a claim_task that waits in another server"
    _add(taken, "rescue.waiting", says, Samples(alone.rescues + both.rescues, alone.floors + both.floors))
    against = "a task that is created"
    _compare(taken, "rescue.waiting.client", f"{says}; the client alone was killed", alone, against)
    _compare(taken, "rescue.waiting.both", f"{says}; its server was killed with it", both, against)
    nobody = _with_nobody(places=scale.of(5, 1), rounds=scale.of(4, 2))
    says = "with no server alive, from kill -9 to the answer of a claim_task in a server that is started then"
    _add(taken, "rescue.command", says, nobody)
    _compare(taken, "rescue.command.floor", says, nobody, "the same where a task lies ready")
    return taken


def _add(taken: Taken, name: str, says: str, samples: Samples) -> None:
    rescues = samples.rescues
    taken.add(Figure(f"{name}.p50", says, "s", Spread.of(rescues), aim=Aim("at most", 1)))
    slowest = Spread.of([percentile(rescues, 99)])
    taken.add(
        Figure(
            f"{name}.p99",
            f"{says}, 99 of 100 times",
            "s",
            slowest,
            aim=Aim("at most", 2),
            note=f"{len(rescues)} kills; the longest took {max(rescues):.2f} s.",
        )
    )


def _compare(taken: Taken, name: str, says: str, samples: Samples, against: str) -> None:
    rescues, floors = samples.rescues, samples.floors
    taken.add(Figure(name, says, "s", Spread.of(rescues), Spread.of(floors), against, ratio(rescues, floors)))


# --- another server is alive ------------------------------------------------------------------------------------------


def _with_a_waiter(*, places: int, rounds: int) -> tuple[Samples, Samples]:
    """Kill a client in each place, one after the other, again and again; every other one together with its server."""
    alone, both = Samples(), Samples()
    with ExitStack() as stack:
        folders = [stack.enter_context(scratch()) for _ in range(places)]
        waiters = stack.enter_context(_begun(partial(_waiter, folder) for folder in folders))
        for _ in range(rounds):
            with _begun(partial(_holder, folder) for folder in folders) as holders:
                floors = _waited(waiters, [partial(_create, holder) for holder in holders])
                rescues = _waited(
                    waiters, [_killer(holder, with_server=place % 2 == 1) for place, holder in enumerate(holders)]
                )
            for place, (rescue, floor) in enumerate(zip(rescues, floors, strict=True)):
                samples = both if place % 2 else alone
                samples.rescues.append(rescue)
                samples.floors.append(floor)
    return alone, both


def _waited(waiters: Sequence[Talk], causes: Sequence[Callable[[], object]]) -> list[float]:
    """Let all claims wait, then bring about one after the other what each waits for: the seconds it took."""
    with ThreadPoolExecutor(len(waiters)) as threads:
        waits = [threads.submit(_claimed, waiter) for waiter in waiters]
        time.sleep(random.uniform(*ASLEEP_SECONDS))
        return [_until(wait, waiter, cause) for wait, waiter, cause in zip(waits, waiters, causes, strict=True)]


def _claimed(waiter: Talk) -> tuple[float, str]:
    """Wait for a task: when it came, and its attempt."""
    attempt = waiter.does("claim_task", wait_seconds=WAIT_SECONDS)["attempt"]
    return time.perf_counter(), attempt


def _until(wait: Future[tuple[float, str]], waiter: Talk, cause: Callable[[], object]) -> float:
    """Seconds from a cause to the claim that waits for it; the task is done then."""
    begin = time.perf_counter()
    cause()
    end, attempt = wait.result()
    _report(waiter, attempt)
    return end - begin


# --- no server is alive -----------------------------------------------------------------------------------------------


def _with_nobody(*, places: int, rounds: int) -> Samples:
    """Kill whoever works in each place, and let the next command in; and another one where a task lies ready."""
    samples = Samples()
    with ExitStack() as stack:
        folders = [stack.enter_context(scratch()) for _ in range(places)]
        for _ in range(rounds):
            with _begun(partial(_holder, folder) for folder in folders) as holders:
                for folder, holder in zip(folders, holders, strict=True):
                    kill = _killer(holder, with_server=True)
                    samples.rescues.append(_next_command(folder, kill, leaves_a_task=True))
                    samples.floors.append(_next_command(folder, lambda: None))
    return samples


def _next_command(folder: Path, cause: Callable[[], object], *, leaves_a_task: bool = False) -> float:
    """Seconds from a cause to a claim of a server that is started at once after it; the task is done then."""
    begin = time.perf_counter()
    cause()
    with Talk(TRICHROME, folder) as server:
        server.open()
        attempt = server.does("claim_task")["attempt"]
        end = time.perf_counter()
        _report(server, attempt)
        if leaves_a_task:
            _create(server)
    return end - begin


# --- clients and servers ----------------------------------------------------------------------------------------------


@contextmanager
def _begun(talks: Iterable[Callable[[], Talk]]) -> Iterator[list[Talk]]:
    """Conversations that were begun as many at a time as there are cores, and end with the block."""
    with ExitStack() as stack, ThreadPoolExecutor(os.cpu_count()) as starters:
        yield list(starters.map(lambda talk: stack.enter_context(talk()), talks))


def _waiter(folder: Path) -> Talk:
    server = Talk(TRICHROME, folder)
    server.open()
    server.does("get_status")
    return server


def _holder(folder: Path) -> Talk:
    """A client of its own, whose worker holds a task."""
    client = Talk([*CLIENT, *TRICHROME], folder)
    client.open()
    _create(client)
    client.does("claim_task")
    return client


def _killer(holder: Talk, *, with_server: bool) -> Callable[[], object]:
    """What kills a client, alone or with its server."""
    client = psutil.Process(holder.process.pid)
    (server,) = client.children()

    def kill() -> None:
        client.send_signal(signal.SIGKILL)
        if with_server:
            server.send_signal(signal.SIGKILL)
        holder.process.wait()

    return kill


def _create(server: Talk) -> None:
    server.does("create_task", kind="search", instructions="Look.")


def _report(server: Talk, attempt: str) -> None:
    server.does("report_result", attempt=attempt, outcome="completed", summary="Found it.")
