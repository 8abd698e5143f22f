"""Many processes at one log

16 and 64 processes, each with its own handle on the project, claim, report and enqueue by turns. First with 20 ms
between calls, as agents would at their very busiest; then without a pause, which no agent does, to see who starves.
The floor is the same calls as hand-written statements, behind the same gate. A third crowd writes those statements with
SQLite's busy handler alone: it shows what the gate is for.

A process's p99 is over all its calls, and the figure is the worst process's. The least share is what the slowest
process got done, over the mean. Jain's index of fairness is 1 when all get the same, 1/n when one gets everything.

At last a process takes the gate, or the write lock behind it, and is stopped by the operating system. The figure is the
time until another process's call is answered, over the deadline that we promise: 2 s at the gate, and SQLite's 5 s on
top while nobody can write. A twentieth is allowed for waking up. While the write lock is held the answer is a refusal
that may be tried again; a run fails if it is anything else, or if the next call does not go through once the stopped
process goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.crowd_worker import opened
from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, percentile, ratio
from bench.place import Durability, project, scratch
from bench.worker import Worker
from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite.connection import BUSY_MILLISECONDS
from trichrome.store.sqlite.gate import GATE_SECONDS

THINK_SECONDS: Final = 0.02
KINDS: Final = {"ours": "Trichrome", "hand": "by hand, behind the gate", "busy": "by hand, busy handler alone"}
PROMISED_SECONDS: Final = {"gate": GATE_SECONDS, "lock": GATE_SECONDS + BUSY_MILLISECONDS / 1000}
ENDS: Final = {"gate": "the call goes through", "lock": "the call is refused, to be tried again"}


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    sizes = (16,) if scale.is_quick else (16, 64)
    with scratch() as folder, crowd(max(sizes), folder) as many:
        for count in sizes:
            _thinking(taken, many, count, "full", scale)
        if not scale.is_quick:
            _thinking(taken, many, max(sizes), "fast", scale)
        closed = {count: _closed(taken, many, count, scale) for count in sizes}
    taken.plots.append(_plot(closed))
    for what in ("gate",) if scale.is_quick else ("gate", "lock"):
        _behind_the_stopped(taken, what)
    return taken


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all shares are equal, 1/n when one has everything."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def least_share(shares: Sequence[float]) -> float:
    """The least share over the mean."""
    return min(shares) * len(shares) / sum(shares) if sum(shares) else 0.0


# --- a crowd ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Done:
    """What a crowd did.

    Attributes:
        seconds: by process, how long each call took.
        refused: why calls were refused.
        rates: calls a second that were answered, by window.
    """

    seconds: list[list[float]]
    refused: list[str] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def shares(self) -> list[int]:
        """Calls, by process."""
        return [len(each) for each in self.seconds]

    @property
    def p99(self) -> float:
        """That of the worst process, in milliseconds."""
        return max(percentile(each, 99) for each in self.seconds if each) * 1000

    @property
    def longest(self) -> float:
        """The longest call, in milliseconds."""
        return max(max(each) for each in self.seconds if each) * 1000


class Crowd:
    """Processes that wait for orders."""

    def __init__(self, folder: Path, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._folder = folder
        self._processes = processes

    def call(
        self, count: int, queue: str, durability: Durability, *, seconds: float, think_seconds: float, done: Done
    ) -> None:
        """Let so many of them call for a while, all at once, and add what they did."""
        begin = time.monotonic() + 0.05
        order = {
            "queue": queue,
            "durability": durability,
            "begin": begin,
            "until": begin + seconds,
            "think_seconds": think_seconds,
        }
        called = self._processes[:count]
        for process in called:
            _tell(process, json.dumps(order))
        answers = [json.loads(_heard(process)) for process in called]
        refused = [why for answer in answers for why in answer["refused"]]
        for mine, answer in zip(done.seconds, answers, strict=True):
            mine.extend(answer["seconds"])
        done.refused.extend(refused)
        done.rates.append((sum(len(answer["seconds"]) for answer in answers) - len(refused)) / seconds)

    def by_turns(
        self, count: int, seconds: dict[str, float], durability: Durability, *, rounds: int, think_seconds: float = 0.0
    ) -> dict[str, Done]:
        """Let them call each kind of queue for so long a round; who begins changes from round to round."""
        kinds = list(seconds)
        for kind in kinds:
            with ExitStack() as stack:  # made by one, since many that make it at once wait for each other
                opened(kind, self._folder / f"{kind}-{durability}", durability, stack)
            warm = Done([[] for _ in range(count)])
            self.call(count, kind, durability, seconds=0.1, think_seconds=0, done=warm)
        done = {kind: Done([[] for _ in range(count)]) for kind in kinds}
        for round_ in range(rounds):
            turn = round_ % len(kinds)
            for kind in kinds[turn:] + kinds[:turn]:
                self.call(count, kind, durability, seconds=seconds[kind], think_seconds=think_seconds, done=done[kind])
        return done


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def crowd(count: int, folder: Path) -> Iterator[Crowd]:
    """So many processes, started and waiting; ended afterwards."""
    processes = [_started(str(folder)) for _ in range(count)]
    try:
        for process in processes:
            _heard(process)
        yield Crowd(folder, processes)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


def _started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.crowd_worker", *arguments],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- with time to think -----------------------------------------------------------------------------------------------


def _thinking(taken: Taken, many: Crowd, count: int, durability: Durability, scale: Scale) -> None:
    seconds = {"ours": 0.6, "hand": 0.3} if scale.is_quick else {"ours": 3.0, "hand": 1.5}
    done = many.by_turns(count, seconds, durability, rounds=scale.of(4, 2), think_seconds=THINK_SECONDS)
    ours, hand = done["ours"], done["hand"]
    name, says = f"crowd.{count}.think.{durability}", f"{count} processes, 20 ms between calls ({durability})"
    p99 = Spread.of([ours.p99])
    taken.add(
        Figure(
            f"{name}.p99",
            f"{says}: the worst process's p99",
            "ms",
            p99,
            Spread.of([hand.p99]),
            KINDS["hand"],
            aim=Aim("at most", 100),
            note=f"the longest call of all took {ours.longest:.0f} ms; by hand {hand.longest:.0f} ms",
        )
    )
    taken.add(
        Figure(
            f"{name}.share",
            f"{says}: the least share",
            "of the mean",
            Spread.of([least_share(ours.shares)]),
            Spread.of([least_share(hand.shares)]),
            KINDS["hand"],
            aim=Aim("at least", 0.5),
        )
    )
    taken.add(_refused(name, says, ours))


def _refused(name: str, says: str, done: Done) -> Figure:
    return Figure(
        f"{name}.refused",
        f"{says}: calls refused",
        "",
        Spread.of([len(done.refused)]),
        aim=Aim("at most", 0),
        note=", ".join(sorted(set(done.refused))),
    )


# --- without ----------------------------------------------------------------------------------------------------------


def _closed(taken: Taken, many: Crowd, count: int, scale: Scale) -> dict[str, Done]:
    each = 0.25 if scale.is_quick else 1.5
    done = many.by_turns(count, dict.fromkeys(KINDS, each), "full", rounds=scale.of(4, 1))
    ours, hand = done["ours"], done["hand"]
    name, says = f"crowd.{count}.closed", f"{count} processes without a pause (full)"
    taken.add(
        Figure(
            f"{name}.rate",
            f"{says}: calls",
            "1/s",
            Spread.of(ours.rates),
            Spread.of(hand.rates),
            KINDS["hand"],
            ratio(ours.rates, hand.rates),
        )
    )
    for kind, theirs in done.items():
        taken.add(
            Figure(
                f"{name}.p99.{kind}", f"{says}: the worst process's p99, {KINDS[kind]}", "ms", Spread.of([theirs.p99])
            )
        )
    for kind, theirs in done.items():
        taken.add(
            Figure(
                f"{name}.fairness.{kind}",
                f"{says}: Jain's fairness, {KINDS[kind]}",
                "",
                Spread.of([jain(theirs.shares)]),
                note=f"the least share is {least_share(theirs.shares):.2f} of the mean",
            )
        )
    taken.add(_refused(name, says, ours))
    return done


def _plot(closed: dict[int, dict[str, Done]]) -> Plot:
    return Plot(
        "crowd",
        "Without a pause: the worst process's p99",
        "processes",
        "milliseconds",
        {
            KINDS[kind]: [(str(count), done[kind].p99) for count, done in closed.items()]
            for kind in ("ours", "hand", "busy")
        },
        is_log=(False, True),
    )


# --- behind one that is stopped ---------------------------------------------------------------------------------------


def _behind_the_stopped(taken: Taken, what: str) -> None:
    seconds, promised = behind_the_stopped(what), PROMISED_SECONDS[what]
    taken.add(
        Figure(
            f"crowd.stopped.{what}",
            f"behind a stopped holder of the {'gate' if what == 'gate' else 'write lock'}, until {ENDS[what]}",
            "s",
            Spread.of([seconds]),
            Spread.of([promised]),
            "the deadline",
            ratio([seconds], [promised]),
            aim=Aim("at most", 1.05),
        )
    )


def behind_the_stopped(what: str) -> float:
    """Seconds that a call is kept behind a stopped holder of the `gate` or the `lock`, till its answer or its refusal.

    Raises:
        RuntimeError: it was not answered as promised, or the next call does not go through afterwards.
    """
    refused: StoreUnavailableError | None = None
    with scratch() as folder, project("fast", folder) as opened:
        ours = Worker(opened)
        with _stopped_holder(what, folder):
            begin = time.monotonic()
            try:
                ours.enqueue()
            except StoreUnavailableError as error:
                refused = error
            seconds = time.monotonic() - begin
        begin = time.monotonic()
        ours.enqueue()
        after = time.monotonic() - begin
    if (refused is not None and refused.retryable) != (what == "lock") or after > GATE_SECONDS / 2:
        raise RuntimeError(f"{what}: answered with {refused!r}; the next call took {after:.2f} s")
    return seconds


@contextmanager
def _stopped_holder(what: str, folder: Path) -> Iterator[None]:
    """Somebody holds it, and is stopped; goes on afterwards, and lets go."""
    process = _started("hold", what, str(folder))
    try:
        os.waitpid(process.pid, os.WUNTRACED)
        yield
        process.send_signal(signal.SIGCONT)
        process.wait(10)
    finally:
        process.kill()
        process.communicate()
