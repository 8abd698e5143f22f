"""A task's life, over and over

One process creates a task, claims it and reports it, again and again, through the coordinator: what the server's tools
call. Beside it, in turns, the same statements run by hand: the same file, tables, indexes and transactions, and
nothing else. What is left between the two is what rules, values and answers cost. The leanest form by hand leaves out
what only asks (who calls, is he busy already, is the log too new for this program, what is due); a queue without these
questions keeps fewer promises.

`claim_next` reports a task and claims the next in one transaction, so a task costs two commits instead of three; it is
held against the three by hand.

With `fast`, commits are not synced one by one; with `full`, the default, each waits for the disk.
"""

from __future__ import annotations

from collections.abc import Callable

from bench.byhand import ByHand
from bench.measure import Aim, Figure, Scale, Spread, Taken, interleaved, ratio, timed
from bench.place import Durability, project, scratch
from bench.worker import Worker

_AIMS = {"fast": 0.5, "full": 0.8}


def take(scale: Scale) -> Taken:
    """Cycles a second, ours over those by hand, for each durability."""
    taken = Taken()
    for durability in ("fast", "full"):
        _take(taken, scale, durability)
    return taken


def _take(taken: Taken, scale: Scale, durability: Durability) -> None:
    cycles = scale.of(40, 15)
    with scratch() as folder, project(durability) as ours, project(durability) as chained:
        worker, next_worker = Worker(ours), Worker(chained)
        hand = ByHand(folder / "hand.db", durability)
        lean = ByHand(folder / "lean.db", durability, is_lean=True)
        works = {
            "ours": _rate(cycles, lambda: _cycle(worker)),
            "claim_next": _rate(cycles, _chain(next_worker)),
            "hand": _rate(cycles, lambda: hand.report(hand.claim() if hand.enqueue() else 0)),
            "lean": _rate(cycles, lambda: lean.report(lean.claim() if lean.enqueue() else 0)),
        }
        rates = interleaved(scale.of(60, 12), works)
        hand.close()
        lean.close()
    for name, says, against, aim in (
        ("ours", "create, claim, report", "hand", Aim("at least", _AIMS[durability])),
        ("claim_next", "create, report with claim_next", "hand", Aim("at least", 1.0)),
        ("ours", "create, claim, report", "lean", None),
    ):
        taken.add(
            Figure(
                name=f"cycles.{durability}.{name}{'.lean' if against == 'lean' else ''}",
                says=f"{says} ({durability})",
                unit="cycles/s",
                value=Spread.of(rates[name]),
                floor=Spread.of(rates[against]),
                against="the leanest by hand" if against == "lean" else "the same statements by hand",
                ratio=ratio(rates[name], rates[against]),
                aim=aim,
            )
        )


def _rate(cycles: int, work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        return cycles / timed(lambda: [work() for _ in range(cycles)])

    return run


def _cycle(worker: Worker) -> None:
    worker.enqueue()
    attempt = worker.claim()
    assert attempt is not None
    worker.report(attempt)


def _chain(worker: Worker) -> Callable[[], None]:
    held = worker.claim()

    def cycle() -> None:
        nonlocal held
        worker.enqueue()
        assert held is not None
        held = worker.report_and_claim(held)

    return cycle
