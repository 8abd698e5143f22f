"""The size of the queue

A claim through the coordinator, with 1,000, 100,000 and 1,000,000 tasks waiting; then with 100,000 of which the oldest
tenth cannot be claimed: they depend on a running task, or are due in a month, or would change files that the running
task holds. Each claimed task is reported and another is added, so a queue stays as long as it is; timed is the claim
alone. The floor of the first is the shortest queue, that of the others a queue of the same length that is all free.

Then the report of a task that others wait for: all of them are freed in that one transaction. The slope is what one
more of them costs; when it is the same from 100 to 1,000 as from 10 to 100, the cost is linear.

Commits are not synced one by one (`fast`) and the file is in the system's cache, so that what is left is the work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench import history
from bench.history import Head
from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, Work, interleaved, ratio
from bench.place import project, scratch
from bench.worker import Worker
from trichrome.bootstrap import Project
from trichrome.coordinator import OPERATOR, Caller, attempts, tasks
from trichrome.domain.drafts import Draft
from trichrome.domain.text import TASKS_A_CALL

CLAIMS: Final = 8
"""Claims of a sample, which is their median."""
HEADS: Final[Mapping[Head, str]] = {
    "blocked": "blocked by a running task",
    "future": "due in a month",
    "conflict": "in conflict over files",
}
DEPENDENTS: Final = (0, 10, 100, 1000)


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    if scale.is_quick:
        _queues(taken, (1_000, 5_000, 20_000), headed=5_000, rounds=10)
    else:
        _queues(taken, (1_000, 100_000, 1_000_000), headed=100_000, rounds=250)
    _dependents(taken, rounds=scale.of(40, 8))
    return taken


# --- claims -----------------------------------------------------------------------------------------------------------


def _queues(taken: Taken, counts: Sequence[int], *, headed: int, rounds: int) -> None:
    with ExitStack() as stack:
        works = {str(count): _claims(stack, count) for count in counts}
        works |= {head: _claims(stack, headed, head) for head in HEADS}
        samples = interleaved(rounds, works)
    shortest = counts[0]
    for count in counts[1:]:
        says = f"a claim, {count:,} tasks waiting"
        taken.add(_figure(f"size.{count}", says, samples[str(count)], samples[str(shortest)], f"{shortest:,} waiting"))
    for head, why in HEADS.items():
        says = f"a claim, {headed:,} tasks waiting, the oldest tenth {why}"
        taken.add(_figure(f"size.{head}", says, samples[head], samples[str(headed)], "all free"))
    points = [(count, statistics.median(samples[str(count)])) for count in counts]
    lines = {"all free": points} | {why: [(headed, statistics.median(samples[head]))] for head, why in HEADS.items()}
    taken.plots.append(Plot("size", "A claim", "tasks waiting", "microseconds", lines, is_log=(True, False)))


def _figure(name: str, says: str, values: list[float], floors: list[float], against: str) -> Figure:
    return Figure(
        name,
        says,
        "us",
        Spread.of(values),
        Spread.of(floors),
        against,
        ratio(values, floors),
        aim=Aim("at most", 1.1),
    )


def _claims(stack: ExitStack, count: int, head: Head = "free") -> Work:
    """A project with so many tasks waiting; the work claims a few, and answers what one takes, in microseconds."""
    folder: Path = stack.enter_context(scratch())
    history.ready(folder, count, head=head)
    worker = Worker(stack.enter_context(project("fast", folder)))

    def claim() -> float:
        begin = time.perf_counter()
        attempt = worker.claim()
        seconds = time.perf_counter() - begin
        assert attempt is not None
        worker.report(attempt)
        worker.enqueue()
        return seconds * 1e6

    return lambda: statistics.median(claim() for _ in range(CLAIMS))


# --- dependents -------------------------------------------------------------------------------------------------------


def _dependents(taken: Taken, *, rounds: int) -> None:
    with project("fast") as opened:
        worker = Worker(opened)
        samples = interleaved(rounds, {str(count): _completion(opened, worker, count) for count in DEPENDENTS})
    none, ten, hundred, thousand = (samples[str(count)] for count in DEPENDENTS)
    near = [(more - less) / 90 for less, more in zip(ten, hundred, strict=True)]
    far = [(more - less) / 900 for less, more in zip(hundred, thousand, strict=True)]
    each = [
        slope(list(zip(DEPENDENTS, taken_together, strict=True)))
        for taken_together in zip(none, ten, hundred, thousand, strict=True)
    ]
    taken.add(
        Figure(
            "size.dependents.slope",
            "completing a task: what one more dependent costs",
            "us",
            Spread.of(each),
            Spread.of(none),
            "the whole report, with none",
            ratio(each, none),
        )
    )
    taken.add(
        Figure(
            "size.dependents.linear",
            "what one more dependent costs, from 100 to 1,000",
            "us",
            Spread.of(far),
            Spread.of(near),
            "from 10 to 100",
            ratio(far, near),
            aim=Aim("at most", 1.1),
            note="1 is linear",
        )
    )
    medians = {count: statistics.median(samples[str(count)]) for count in DEPENDENTS}
    fitted = [(count, medians[0] + statistics.median(each) * count) for count in DEPENDENTS[1:]]
    taken.plots.append(
        Plot(
            "dependents",
            "Completing a task that others wait for",
            "dependents",
            "microseconds",
            {"measured": [(count, medians[count]) for count in DEPENDENTS[1:]], "none + slope x dependents": fitted},
            is_log=(True, True),
        )
    )


def _completion(opened: Project, worker: Worker, count: int) -> Work:
    """Completes a fresh task that so many wait for; answers what its report takes, in microseconds."""
    c, caller = opened.coordinator, Caller("bench", roles=("blue",))

    def complete() -> float:
        made = tasks.create(c, OPERATOR, [Draft(kind="search", instructions="Look.")])
        task = made["tasks"][0]["id"]
        waiting = Draft(kind="implement", instructions="Go on.", depends_on=(task,))
        for begun in range(0, count, TASKS_A_CALL):
            tasks.create(c, OPERATOR, [waiting] * min(TASKS_A_CALL, count - begun), run=made["run"])
        attempt = attempts.claim(c, caller, task=task)["attempt"]
        assert attempt is not None
        begin = time.perf_counter()
        worker.report(attempt)
        return (time.perf_counter() - begin) * 1e6

    return complete


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How steep the line is that fits points best (least squares)."""
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope
