"""One torture from its beginning to its verdict.

Guarantee: it works in a private folder of its own, and touches nothing else; at its end, however that comes, no process
of it is left, and no file unless a promise broke or the caller wants them kept.
"""

from __future__ import annotations

import math
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from trichrome.torture.checker import check
from trichrome.torture.conductor import PATIENCE_SECONDS, Conductor
from trichrome.torture.crew import Crew, crew
from trichrome.torture.dials import Dials
from trichrome.torture.faults import Fault, plan
from trichrome.torture.follower import Follower
from trichrome.torture.histories import Call, Evidence, failure, in_order
from trichrome.torture.promises import Verdict
from trichrome.torture.world import World

SERVER: Final = (sys.executable, "-m", "trichrome.torture.server")
"""What starts a server; the dials and the worker's number are added."""
_TAIL: Final = 500
"""Characters of what a failed process said last."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Tell = Callable[[Conductor], None]
"""Is told again and again how far it is."""


class StoppedError(Exception):
    """Somebody wants the torture to end.

    Attributes:
        number: the signal that said so.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted.

    Attributes:
        faults: how many; None where only the time counts.
        seconds: for how long at most; None where only the faults count.
        server: the command that starts a server.
        patience_seconds: how long the log may stand still at the end before what is left counts as stuck.
    """

    seed: int
    workers: int = 4
    faults: int | None = None
    seconds: float | None = None
    keep: bool = False
    server: Sequence[str] = SERVER
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went.

    Attributes:
        seconds: from the first process to the last.
        done: faults that took place, by kind.
        given_up: faults that no client came to do, by kind.
        kept: where everything was kept; None when nothing was.
    """

    options: Options
    verdict: Verdict
    evidence: Evidence
    seconds: float
    done: Counter[str]
    given_up: Counter[str]
    kept: Path | None


def torture(options: Options, tell: Tell = lambda _: None, *, faults: Iterator[Fault] | None = None) -> Outcome:
    """Torture a scratch project, and judge what came of it.

    Args:
        options: what is wanted.
        tell: is told how far it is.
        faults: those to use instead of the seed's.

    Raises:
        StoppedError: somebody wants it to end; nothing is left of it.
    """
    folder = Path(tempfile.mkdtemp(prefix="trichrome-torture-"))
    keeps = options.keep
    try:
        outcome = _tortured(options, folder, tell, faults or plan(options.seed, options.faults))
        keeps = keeps or bool(outcome.verdict.broken)
    finally:
        if not keeps:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _tortured(options: Options, folder: Path, tell: Tell, faults: Iterator[Fault]) -> Outcome:
    began = time.monotonic()
    project, aside = folder / "project", folder / "aside"
    project.mkdir()
    aside.mkdir()
    dials = Dials.make(folder / "dials", options.workers)
    follower = Follower(project)
    try:
        with (
            _interruptions() as interrupted,
            crew(folder, project, folder / "dials", options.server, size=options.workers, seed=options.seed) as hands,
        ):
            conductor = Conductor(hands, dials, follower, World(project), aside)

            def told(conductor: Conductor) -> None:
                if interrupted:
                    raise StoppedError(interrupted[0])
                tell(conductor)

            until = math.inf if options.seconds is None else began + options.seconds
            conductor.conduct(faults, until, options.patience_seconds, told)
            conductor.peace(options.patience_seconds, told)
            left = hands.leave()
            follower.look_at_all(hands.count)
            deaths = dict(hands.deaths)
            evidence = _evidence(hands, conductor, follower, deaths, left)
    finally:
        follower.close()
        dials.close()
    verdict = check(evidence)
    kept = folder if options.keep or verdict.broken else None
    return Outcome(options, verdict, evidence, time.monotonic() - began, conductor.done, conductor.given_up, kept)


def _evidence(
    hands: Crew, conductor: Conductor, follower: Follower, deaths: dict[str, float], left: list[str]
) -> Evidence:
    calls = [call for worker in hands.workers for life in worker.lives for call in life.calls.values()]
    return Evidence(
        calls=in_order([*calls, *conductor.commands, *_failures(hands.folder)]),
        facts=follower.facts,
        damages=follower.damages,
        deaths=deaths,
        windows=conductor.windows,
        differences=follower.differences(),
        left_behind=left,
    )


def _failures(folder: Path) -> Iterator[Call]:
    """What clients and servers said as they failed, in the form of calls; none of them has anything else to say."""
    for file in sorted(folder.glob("*.err")):
        if said := file.read_text(encoding="utf-8", errors="replace").strip():
            yield failure(file.name, said[-_TAIL:])


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Collect signals instead of dying of them, so that nothing is started and then forgotten."""
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {}
    with suppress(ValueError):  # only the main thread may take charge of signals; others are not sent any
        before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
