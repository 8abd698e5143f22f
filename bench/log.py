"""The log at a million events

A log of a million events, as a project would have written it: runs of about 20 tasks, several at a time, with
dependencies, files, reviews, progress, failures, rescues, messages and notes. Its views are thrown away and made anew
from nothing, as `trichrome repair --views` does. The floor is what any rebuild has to do: read every event, in order,
and parse its JSON. From 100,000 events on two processes fold the log while another writes the tables, so how many cores
there are makes a difference; the floor has one.

`doctor` checks a log by another road: every digest and chain, then the fold of all events in memory, held against every
row of the views. It is timed on a tenth of the log.

Sizes are pages that the tables and indexes fill, as SQLite's `dbstat` counts them. A typical task's life is one
`create_task` with 400 characters of instructions, one claim, and one report with a summary of 300.

SQLite's write-ahead log (WAL) is brought home into the file by whoever commits, as far as no reader still needs it. A
writer creates, claims and reports without a pause, as no agent could. In the middle third of the time a reader holds on
to what it saw first. While it does, nothing that is newer can be brought home, and the WAL grows by all that is
written; afterwards it has to come back. Then the same with two readers that take turns, so that there is always one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Final

import apsw

from bench import history
from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, interleaved, paced, ratio, timed
from bench.place import project, scratch
from bench.worker import Worker
from trichrome.bootstrap import Project
from trichrome.clock import SystemClock
from trichrome.config import FOLDER, LOG_FILE
from trichrome.coordinator import OPERATOR, Caller, attempts, tasks
from trichrome.domain.drafts import Draft
from trichrome.store import codec
from trichrome.store.sqlite.folding import fold

AIM: Final = 200_000
"""Events a second that a rebuild should fold."""
LIMIT_MEBIBYTES: Final = 64
"""What the WAL's file is cut back to, at the latest when it begins anew (`journal_size_limit`)."""
TURN_SECONDS: Final = 0.05
"""How long a reader holds on when it takes turns with another."""
_EVERY: Final = "select position, stream, kind, payload from events order by position"
_SENTENCE: Final = (
    "Read what opens a session, and say for each caller whether it is checked first; name file and line. "
)


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    events = scale.of(1_000_000, 20_000)
    with scratch() as folder:
        history.mixed(folder, events)
        _rebuilds(taken, folder, events, rounds=3, aim=None if scale.is_quick else Aim("at least", AIM))
        _bytes_an_event(taken, folder, events)
    with scratch() as folder:
        history.mixed(folder, events // 10)
        _differences(taken, folder, events // 10, rounds=3)
    _bytes_a_task(taken, lives=scale.of(1000, 200))
    _wal(taken, seconds=scale.of(7, 1))
    return taken


# --- folding ----------------------------------------------------------------------------------------------------------


def _rebuilds(taken: Taken, folder: Path, events: int, *, rounds: int, aim: Aim | None) -> None:
    with project("full", folder) as opened:
        rebuild = opened.coordinator.store.rebuild
        samples = interleaved(
            rounds,
            {
                "rate": lambda: events / timed(rebuild),
                "floor": lambda: events / timed(lambda: _read(folder, json.loads)),
            },
        )
    rate, floor = samples["rate"], samples["floor"]
    says = f"views made anew from {events:,} events"
    note = f"{os.cpu_count()} cores; one process that only folds: {_shares(folder, events)}"
    taken.add(Figure("log.rebuild", says, "1/s", Spread.of(rate), aim=aim, note=note))
    taken.add(
        Figure(
            "log.rebuild.floor",
            f"{says}, against reading them",
            "1/s",
            Spread.of(rate),
            Spread.of(floor),
            "every event read, its JSON parsed",
            ratio(rate, floor),
        )
    )


def _differences(taken: Taken, folder: Path, events: int, *, rounds: int) -> None:
    with project("full", folder) as opened:
        store = opened.coordinator.store

        def check() -> float:
            begin = time.perf_counter()
            assert store.differences() == []
            return events / (time.perf_counter() - begin)

        floor = lambda: events / timed(lambda: _read(folder, json.loads))  # noqa: E731 - one line says it
        samples = interleaved(rounds, {"check": check, "floor": floor})
    taken.add(
        Figure(
            "log.differences",
            f"{events:,} events and all views checked against each other",
            "1/s",
            Spread.of(samples["check"]),
            Spread.of(samples["floor"]),
            "every event read, its JSON parsed",
            ratio(samples["check"], samples["floor"]),
        )
    )


def _read(folder: Path, parse: Callable[[str], object]) -> None:
    with _connection(folder) as log:
        for _, _, _, payload in log.execute(_EVERY):
            parse(payload)


def _shares(folder: Path, events: int) -> str:
    """Where the time of a fold goes that nobody writes down."""

    def decoded() -> None:
        for kind, schema, payload in log.execute("select kind, schema, payload from events order by position"):
            codec.decode(kind, schema, payload)

    with _connection(folder) as log:
        reading = timed(lambda: _read(folder, len))
        decoding = timed(decoded) - reading
        whole = timed(lambda: fold(log, SystemClock().now(), lambda *_: None))
    shares = {"reading": reading, "decoding": decoding, "folding": whole - reading - decoding}
    parts = ", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in shares.items())
    return f"{events / whole:,.0f} a second ({parts})"


@contextmanager
def _connection(folder: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(folder / FOLDER / LOG_FILE), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield connection
    finally:
        connection.close()


# --- sizes ------------------------------------------------------------------------------------------------------------


def _bytes_an_event(taken: Taken, folder: Path, events: int) -> None:
    sizes = _sizes(folder)
    taken.add(
        Figure(
            "log.bytes.event",
            f"file, an event, {events:,} events",
            "bytes",
            Spread.of([sum(sizes.values()) / events]),
            note=_largest(sizes, events),
        )
    )


def _bytes_a_task(taken: Taken, *, lives: int) -> None:
    with scratch() as folder:
        with project("fast", folder) as opened:
            before = _sizes(folder)
            _live(opened, lives)
        sizes = {name: size - before.get(name, 0) for name, size in _sizes(folder).items()}
    taken.add(
        Figure(
            "log.bytes.task",
            "file, a task created, claimed and reported",
            "bytes",
            Spread.of([sum(sizes.values()) / lives]),
            note=_largest(sizes, lives),
        )
    )


def _live(opened: Project, lives: int) -> None:
    """Typical lives of tasks, one after another."""
    coordinator, worker = opened.coordinator, Caller("size", roles=("blue",))
    instructions, summary = (_SENTENCE * 4)[:400], (_SENTENCE * 3)[:300]
    run = None
    for _ in range(lives):
        run = tasks.create(coordinator, OPERATOR, [Draft(kind="search", instructions=instructions)], run=run)["run"]
        attempt = attempts.claim(coordinator, worker)["attempt"]
        assert attempt is not None
        attempts.report(coordinator, worker, attempt, "completed", summary, files=["src/session.py"])


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of the pages of each table and index."""
    with _connection(folder) as log:
        return dict(log.execute("select name, sum(pgsize) from dbstat where aggregate = true group by name"))


def _largest(sizes: dict[str, int], by: int, count: int = 5) -> str:
    ordered = sorted(((name, size) for name, size in sizes.items() if size > 0), key=lambda each: -each[1])[:count]
    return ", ".join(
        f"{name.replace('idx_events_stream_version', 'index of events')} {size / by:,.0f}" for name, size in ordered
    )


# --- the write-ahead log ----------------------------------------------------------------------------------------------

Samples = list[tuple[float, float]]
"""Seconds since the beginning, MiB of the WAL's file then."""


def _wal(taken: Taken, *, seconds: float) -> None:
    third = seconds / 3
    lines: dict[str, Samples] = {}
    for name, turns in {
        "nobody reads": (),
        "a reader holds on": (seconds,),
        "two readers by turns": (TURN_SECONDS, TURN_SECONDS),
    }.items():
        with scratch() as folder, project("fast", folder) as opened:
            lines[name] = _written(opened, folder, third, turns)
    alone, held, turned = lines.values()
    bound = Aim("at most", LIMIT_MEBIBYTES)
    for name, says, samples, aim in (
        ("alone", "largest WAL, a writer that never stops", alone, bound),
        ("held", f"largest WAL while a reader holds on for {third:.2g} s", held, None),
        ("held.after", "WAL after it let go", held[-1:], bound),
        ("turns", f"largest WAL, two readers by turns for {third:.2g} s", turned, None),
        ("turns.after", "WAL after they left", turned[-1:], bound),
    ):
        largest = max(size for _, size in samples)
        taken.add(Figure(f"log.wal.{name}", says, "MiB", Spread.of([largest]), aim=aim))
    thinned = {name: samples[:: max(1, len(samples) // 200)] for name, samples in lines.items()}
    taken.plots.append(Plot("wal", "The WAL under a writer that never stops", "seconds", "MiB", thinned))


def _written(opened: Project, folder: Path, third: float, turns: Sequence[float]) -> Samples:
    """Write for three times so long, with readers in the middle; answers the WAL's size over time."""
    worker, wal = Worker(opened), folder / FOLDER / f"{LOG_FILE}-wal"
    samples: Samples = []
    begin, end = Event(), Event()
    with ThreadPoolExecutor() as readers:
        for number, turn in enumerate(turns):
            readers.submit(_look, folder, begin, end, turn, after=turn * number / len(turns))
        try:
            for elapsed in paced(third * 3):
                if elapsed >= third:
                    begin.set()
                if elapsed >= third * 2:
                    end.set()
                worker.enqueue()
                attempt = worker.claim()
                assert attempt is not None
                worker.report(attempt)
                samples.append((elapsed, wal.stat().st_size / 2**20))
        finally:
            end.set()
            begin.set()
    return samples


def _look(folder: Path, begin: Event, end: Event, turn: float, *, after: float) -> None:
    """Hold on to what the log was for a turn, then look anew, from one event to the other."""
    with _connection(folder) as log:
        begin.wait()
        end.wait(after)
        while not end.is_set():
            log.execute("begin")
            log.execute("select count(*) from runs").fetchall()
            end.wait(turn)
            log.execute("rollback")
