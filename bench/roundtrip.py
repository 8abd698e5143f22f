"""Round trips over stdio

A call is timed from the first byte of its line written to a server's pipe to the last byte of the answer's line read,
with no client library between. Three calls: `claim_task`; `report_result`; `report_result` with `claim_next`, which is
both in one transaction.

The floor is what cannot be spared. First, the round trip of a tool that does nothing, on the bare low-level server of
the SDK (`bench/bare.py`), which answers about as many bytes. Second, twice the time of a claim in hand-written
statements (`bench/byhand.py`) with `fast` durability; for `claim_next`, twice that of a report and a claim in one
transaction. With `full` durability also 1.2 times a write of 4 KiB with `fdatasync` on the same disk. All are taken in
turns, in both eras of the protocol: 2026-07-28, which Claude Code speaks, and 2025-11-25.

A refused call (a tool that there is not) is our way in and out without any work. It costs less than the bare server's,
since that one hands every line that it reads, and every one that it writes, to another thread.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.byhand import ByHand
from bench.measure import Aim, Figure, Scale, Spread, Taken, Work, interleaved, ratio, timed
from bench.place import Durability, project, scratch
from bench.wire import BARE, TRICHROME, Era, Talk
from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain.drafts import Draft

ERAS: Final[tuple[Era, ...]] = ("2026-07-28", "2025-11-25")
DURABILITIES: Final[tuple[Durability, ...]] = ("fast", "full")
CALLS: Final = (
    ("claim", "claim_task", "claim by hand"),
    ("report", "report_result", "claim by hand"),
    ("next", "report_result with claim_next", "both by hand"),
)
"""Each call's short name and its whole one, and what by hand it is held against."""
SYNCS: Final = 1.2
SYNCED_BYTES: Final = 4096
_AT_ONCE: Final = 200
_MICRO: Final = 1e6


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    for era in ERAS:
        samples = _sampled(era, rounds=scale.of(40, 3), calls=scale.of(16, 5))
        for durability in DURABILITIES:
            _add_calls(taken, samples, era, durability)
        _add_refused(taken, samples, era)
    return taken


def _sampled(era: Era, *, rounds: int, calls: int) -> dict[str, list[float]]:
    with ExitStack() as stack:
        bare = stack.enter_context(Talk(BARE, stack.enter_context(scratch()), era=era))
        beside = stack.enter_context(scratch())
        hand = ByHand(beside / "events.db", "fast")
        stack.callback(hand.close)
        works: dict[str, Work] = {
            "no-op": lambda: _median(calls, lambda: bare.call("nothing")[0]),
            "claim by hand": lambda: _median(calls, lambda: timed(hand.claim)),
            "both by hand": lambda: _chained(hand, calls),
            "fdatasync": lambda: _synced(beside / "synced", calls),
        }
        for _ in range((rounds + 1) * (2 * calls + 1)):
            hand.enqueue()
        for durability in DURABILITIES:
            folder = stack.enter_context(scratch())
            _fill(folder, (rounds + 1) * (3 * calls + 1))
            server = stack.enter_context(Talk([*TRICHROME, "--durability", durability], folder, era=era))
            works |= _works(server, durability, calls)
        bare.open()
        return interleaved(rounds, works)


def _works(server: Talk, durability: Durability, calls: int) -> dict[str, Work]:
    server.open()
    server.call("get_status")  # opens the project
    worker = _Worker(server)
    return {
        f"claim.{durability}": lambda: _median(calls, lambda: worker.pair()[0]),
        f"report.{durability}": lambda: _median(calls, lambda: worker.pair()[1]),
        f"next.{durability}": lambda: worker.chain(calls),
        f"refused.{durability}": lambda: _median(calls, lambda: server.call("nothing")[0]),
    }


def _add_calls(taken: Taken, samples: dict[str, list[float]], era: Era, durability: Durability) -> None:
    syncs = SYNCS if durability == "full" else 0.0
    for name, call, by_hand in CALLS:
        values = samples[f"{name}.{durability}"]
        parts = zip(samples["no-op"], samples[by_hand], samples["fdatasync"], strict=True)
        floors = [nothing + 2 * hand + syncs * sync for nothing, hand, sync in parts]
        taken.add(
            Figure(
                name=f"roundtrip.{name}.{durability}.{era}",
                says=f"{call}, {durability}, {era}",
                unit="us",
                value=_spread(values),
                floor=_spread(floors),
                against=f"no-op on the bare server + 2 x {by_hand}" + (f" + {SYNCS:g} x fdatasync" if syncs else ""),
                ratio=ratio(values, floors),
                aim=Aim("at most", 1.0),
                note=_note(samples, "no-op", by_hand, *(["fdatasync"] if syncs else [])),
            )
        )


def _add_refused(taken: Taken, samples: dict[str, list[float]], era: Era) -> None:
    values = samples["refused.fast"]
    taken.add(
        Figure(
            name=f"roundtrip.refused.{era}",
            says=f"a call that is refused, {era}",
            unit="us",
            value=_spread(values),
            floor=_spread(samples["no-op"]),
            against="no-op on the bare server",
            ratio=ratio(values, samples["no-op"]),
        )
    )


def _note(samples: dict[str, list[float]], *parts: str) -> str:
    return ", ".join(f"{part} {statistics.median(samples[part]) * _MICRO:.0f} us" for part in parts)


def _spread(seconds: list[float]) -> Spread:
    return Spread.of([each * _MICRO for each in seconds])


def _median(calls: int, call: Callable[[], float]) -> float:
    return statistics.median(call() for _ in range(calls))


class _Worker:
    """Takes and reports tasks."""

    def __init__(self, server: Talk) -> None:
        self._server = server

    def pair(self) -> tuple[float, float]:
        """Seconds of a claim, and of the report that ends it."""
        claiming, claimed = self._server.call("claim_task")
        return claiming, self._report(claimed["attempt"])[0]

    def chain(self, calls: int) -> float:
        """Seconds of a report that claims the next task too."""
        attempt = self._server.call("claim_task")[1]["attempt"]
        took = []
        for _ in range(calls - 1):
            seconds, answer = self._report(attempt, claim_next=True)
            attempt = answer["claimed"]["attempt"]
            took.append(seconds)
        self._report(attempt)
        return statistics.median(took)

    def _report(self, attempt: str, **more: Any) -> tuple[float, dict[str, Any]]:
        return self._server.call("report_result", attempt=attempt, outcome="completed", summary="Found it.", **more)


def _chained(hand: ByHand, calls: int) -> float:
    """Seconds of a report and a claim in one transaction."""
    task = hand.claim()
    took = []
    for _ in range(calls):
        assert task is not None
        begin = time.perf_counter()
        task = hand.report_and_claim(task)
        took.append(time.perf_counter() - begin)
    assert task is not None
    hand.report(task)
    return statistics.median(took)


def _synced(path: Path, calls: int) -> float:
    """Seconds of a write with fdatasync."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    block = bytes(SYNCED_BYTES)

    def synced() -> None:
        os.write(descriptor, block)
        os.fdatasync(descriptor)

    try:
        return _median(calls, lambda: timed(synced))
    finally:
        os.close(descriptor)


def _fill(folder: Path, count: int) -> None:
    """Make a project with so many ready tasks."""
    with project("fast", folder) as opened:
        for begin in range(0, count, _AT_ONCE):
            drafts = [Draft(kind="search", instructions="Look.") for _ in range(min(_AT_ONCE, count - begin))]
            tasks.create(opened.coordinator, OPERATOR, drafts)
