"""Beside other durable stores of tasks for Python.

Each store is used through its own package, in the setting that its documentation recommends, which stands with its
figures. Two things are measured, the same way for all: how fast it is, and what it loses or acknowledges twice when
workers die.

**Speed.** One process adds 100 tasks, each by a call of its own, and then takes and acknowledges them one by one: how
many such cycles are done in a second. Each sample begins with an empty store. Trichrome is held against each at the
same durability: `full` where a store waits for the disk at every commit, `fast` where it does not.

**Truth.** A store is filled, and four workers take, do (15 ms) and acknowledge its tasks. Every 150 to 200 ms one of
them is killed with SIGKILL and another takes its place; each store's own documented way brings back what the dead one
held, with a timeout of a second where it goes by time. When nothing is left, or nothing has moved for five seconds, we
count. After the store's acknowledging call returned, and not before, the worker writes that down: so a task that was
done again because its worker died counts as nothing, and one whose acknowledgement the store accepted from two workers
counts as acknowledged twice. A task is lost when no worker was told that it is done, the store does not say so either,
and nobody gets it any more.

**Fencing.** A worker is stopped (SIGSTOP) over its task for as long as it takes the store to give that task to another,
and goes on while the other works: does the store still take its acknowledgement? Then two workers did the task, and the
one that had lost it decided the result. Trichrome never takes a task from a live worker on its own machine; for this
one its time limit of an attempt is a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, Work, interleaved, ratio
from bench.peers import postgres, truth
from bench.peers.truth import Crew
from bench.place import Durability, scratch

AHEAD: Final = Aim("at least", 1.0)
NONE: Final = Aim("at most", 0.0)
KILLS: Final = 30
_MOST_TASKS: Final = 1200
_FILL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another store.

    Attributes:
        name: of its adapter, and in the names of figures.
        package: what it is installed as.
        setting: how it is used here, for people.
        beside: Trichrome's durability that matches.
        crew: how its workers are meant to share it.
        is_aim: whether we mean to be ahead of it.
    """

    name: str
    package: str
    setting: str
    beside: Durability
    crew: Crew
    is_aim: bool = True

    @property
    def says(self) -> str:
        return f"{self.package} {version(self.package)}"


PEERS: Final = (
    Peer(
        "litequeue",
        "litequeue",
        "As it comes: WAL, synchronous NORMAL. What was held for a second is given back by its list_locked and retry.",
        "fast",
        Crew("litequeue"),
        is_aim=False,
    ),
    Peer(
        "persist_queue",
        "persist-queue",
        "SQLiteAckQueue with multithreading, as it comes: WAL, synchronous FULL. Its author supports threads, not "
        "several processes: so four threads in one process, and all four are killed at once. Opening it again takes "
        "back what was not acknowledged.",
        "full",
        Crew("persist_queue", workers=1, threads=4),
    ),
    Peer(
        "huey",
        "huey",
        "SqliteHuey as it comes: WAL, synchronous FULL; its own consumer with one worker, looking every 10 ms; a task "
        "is acknowledged when its result is stored. It says itself that it delivers at most once: what a killed "
        "consumer held is gone.",
        "full",
        Crew("huey"),
    ),
    Peer(
        "dbos",
        "dbos",
        "SQLite as it comes: rollback journal, synchronous FULL; a queue that looks every 10 ms, without a limit for "
        "speed and with one workflow a worker under kills. Speed: a workflow without a step. Under kills: one step, "
        "whose recorded result is the acknowledgement; a new executor takes the dead one's id, and so its workflows.",
        "full",
        Crew("dbos"),
    ),
    Peer(
        "procrastinate",
        "procrastinate",
        "PostgreSQL as initdb makes it, on a local socket; its own worker; its documented periodic task retries "
        "stalled jobs, every second, of workers not heard of for a second.",
        "full",
        Crew("procrastinate"),
    ),
)
_BEYOND: Final = Crew("persist_queue", workers=4)
"""What persist-queue's author does not support, and people do."""
_OURS: Final[Mapping[Durability, str]] = {"full": "trichrome-full", "fast": "trichrome-fast"}


def take(scale: Scale) -> Taken:
    """The figures of this family."""
    taken = Taken()
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        present, absent = _present(folder, stack)
        _speed(taken, present, folder, scale)
        _kills(taken, () if scale.is_quick else present, folder, scale)
        if not scale.is_quick:
            _fencing(taken, present, folder)
    taken.add(
        Figure(
            "peers.absent",
            "stores that could not be measured here",
            "",
            Spread.of([len(absent)]),
            note="; ".join(f"{name}: {why}" for name, why in absent.items()),
        )
    )
    return taken


def _present(folder: Path, stack: ExitStack) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can be measured here, and why the others cannot."""
    present, absent = [], {}
    for peer in PEERS:
        try:
            version(peer.package)
            if peer.name == "procrastinate":
                os.environ[postgres.CONNECTION] = stack.enter_context(postgres.cluster(folder))
        except PackageNotFoundError:
            absent[peer.package] = "not installed"
        except postgres.NoPostgresError as error:
            absent[peer.package] = str(error)
        else:
            present.append(peer)
    return present, absent


# --- speed ------------------------------------------------------------------------------------------------------------


def _speed(taken: Taken, peers: Sequence[Peer], folder: Path, scale: Scale) -> None:
    stores = [*_OURS.values(), *(f"{ours}-next" for ours in _OURS.values()), *(peer.name for peer in peers)]
    seconds = 0.05 if scale.is_quick else 0.4
    with ExitStack() as stack:
        works = {store: stack.enter_context(_timed(store, folder, seconds)) for store in stores}
        rates = interleaved(scale.of(6, 1), works)
    for peer in peers:
        ours = _OURS[peer.beside]
        for suffix, words in (("", ""), ("-next", ", claiming in the call that reports")):
            taken.add(
                Figure(
                    f"peers.rate.{peer.name}{suffix.replace('-', '.')}",
                    f"cycles a second with `{peer.beside}`{words}, beside {peer.package}",
                    "1/s",
                    Spread.of(rates[f"{ours}{suffix}"]),
                    Spread.of(rates[peer.name]),
                    peer.says,
                    ratio(rates[f"{ours}{suffix}"], rates[peer.name]),
                    AHEAD if peer.is_aim else None,
                    "" if suffix else peer.setting,
                )
            )
    taken.plots.append(_plot(peers, {store: Spread.of(samples).median for store, samples in rates.items()}))


@contextmanager
def _timed(store: str, folder: Path, seconds: float) -> Iterator[Work]:
    """A process that times a store when asked to."""
    place = folder / store.replace("-", "_")
    place.mkdir()
    process = truth.hand("cycles", store, str(place))
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def rate() -> float:
        stdin.write(f"{seconds}\n")
        stdin.flush()
        if not (answer := stdout.readline()):
            raise RuntimeError(f"The process that times {store} ended.")
        return float(answer)

    try:
        yield rate
    finally:
        process.kill()
        process.communicate()


def _plot(peers: Sequence[Peer], rates: Mapping[str, float]) -> Plot:
    lines: dict[str, list[tuple[float | str, float]]] = {}
    for durability, ours in _OURS.items():
        bars = lines[f"durability {durability}"] = []
        bars += [("Trichrome", rates[ours]), ("with claim_next", rates[f"{ours}-next"])]
        bars += [(peer.package, rates[peer.name]) for peer in peers if peer.beside == durability]
    return Plot("peers", "Enqueue, take, acknowledge: one process", "", "cycles a second", lines, (False, True))


# --- kills ------------------------------------------------------------------------------------------------------------


def _kills(taken: Taken, peers: Sequence[Peer], folder: Path, scale: Scale) -> None:
    ours = Crew("trichrome-full")
    crews: list[tuple[str, str, Crew, str, Aim | None]] = [("trichrome.full", "Trichrome, `full`", ours, "", NONE)]
    if not scale.is_quick:
        says = "Trichrome, `fast`, claiming in the call that reports"
        crews.append(("trichrome.fast", says, Crew("trichrome-fast-next"), "", NONE))
    for peer in peers:
        crews.append((peer.name, peer.package, peer.crew, "", None))
        if peer.name == _BEYOND.store:
            note = "Four processes, which its author does not support; each opens the queue as it comes."
            crews.append((f"{peer.name}.processes", f"{peer.package} in four processes", _BEYOND, note, None))
    for name, says, crew, note, aim in crews:
        place = folder / f"kills_{name.replace('.', '_')}"
        place.mkdir()
        found = truth.under_kills(
            crew, place, kills=scale.of(KILLS, 6), most=scale.of(_MOST_TASKS, 150), fill_seconds=_FILL_SECONDS
        )
        told = f"{found.tasks:,} tasks, {found.kills} kills; {found.again} tasks were begun again. {note}"
        _count(taken, f"peers.lost.{name}", f"tasks lost: {says}", found.lost, told, aim)
        _count(taken, f"peers.twice.{name}", f"tasks acknowledged twice: {says}", found.twice, "", aim)


def _count(taken: Taken, name: str, says: str, count: int, note: str, aim: Aim | None) -> None:
    taken.add(Figure(name, says, "", Spread.of([count]), aim=aim, note=note.strip()))


# --- fencing ----------------------------------------------------------------------------------------------------------


def _fencing(taken: Taken, peers: Sequence[Peer], folder: Path) -> None:
    stores = {"Trichrome": "trichrome-full-limited", **{peer.package: peer.name for peer in peers}}
    works = []
    for store in stores.values():
        place = folder / f"fencing_{store.replace('-', '_')}"
        place.mkdir()
        works.append(partial(truth.is_fenced, store, place))
    with ThreadPoolExecutor(len(works)) as pool:  # each mostly waits for its store to give up on the stopped worker
        found = list(pool.map(lambda work: work(), works))
    for (package, store), is_fenced in zip(stores.items(), found, strict=True):
        is_ours = package == "Trichrome"
        if is_ours and is_fenced is None:
            raise RuntimeError("Nobody was given the task of the stopped worker, so nothing is shown.")
        _count(
            taken,
            f"peers.late.{store.partition('-')[0]}",
            f"acknowledgements taken from a worker that had lost its task: {package}",
            int(is_fenced is False),
            "It did not give the task to another." if is_fenced is None else "",
            NONE if is_ours else None,
        )
