"""`python -m tests.simulation`: thousands of histories, or one of them again, line by line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Final

from tests.simulation.crowd import Sum, job
from tests.simulation.history import live_through
from tests.simulation.plan import Plan, drawn
from tests.simulation.shrinking import shrunk
from tests.simulation.telling import told

CHUNK: Final = 100
"""Histories between two signs of progress of a job."""


def many(first: int, seeds: int, jobs: int) -> int:
    """Live through many histories on several processors; answers the exit status."""
    begin, total = time.monotonic(), Sum()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        starts = range(first, first + seeds, CHUNK)
        chunks = [pool.submit(job, start, min(start + CHUNK, first + seeds)) for start in starts]
        for done in as_completed(chunks):
            total.add(done.result())
            rate = total.histories / (time.monotonic() - begin)
            sys.stderr.write(f"\r{total.histories:,} of {seeds:,} histories, {rate:,.0f} a second")
            if total.broken:
                pool.shutdown(cancel_futures=True)
                break
    seconds = time.monotonic() - begin
    sys.stderr.write("\n")
    sys.stdout.write(f"{total.histories:,} histories and {total.calls:,} calls in {seconds:,.0f} s; events:\n")
    sys.stdout.write("\n".join(total.told()) + "\n")
    return 1 if total.broken else 0


def one(plan: Plan, *, trace: bool, about: str, shrink: bool) -> int:
    """Live through one history again; answers the exit status."""
    history = live_through(plan)
    if shrink and history.broken is not None:
        history = shrunk(history)
    if trace or shrink:
        sys.stdout.write("\n".join(told(history, about=about)) + "\n")
    sys.stdout.write(f"--plan '{history.plan.as_argument()}'\n{history.broken or 'Every promise held.'}\n")
    return 0 if history.broken is None else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, and do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one's seed (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="on how many processors (all)")
    parser.add_argument("--seed", type=int, help="this history alone")
    parser.add_argument("--plan", type=Plan.from_argument, help="this history alone, as a shrunk one names itself")
    parser.add_argument("--trace", action="store_true", help="tell it line by line")
    parser.add_argument("--about", default="", help="only what concerns this task, such as t3, and the faults")
    parser.add_argument("--shrink", action="store_true", help="find the smallest history that breaks the same promise")
    given = parser.parse_args(arguments)
    if given.plan is not None or given.seed is not None:
        return one(given.plan or drawn(given.seed), trace=given.trace, about=given.about, shrink=given.shrink)
    return many(given.first, given.seeds, given.jobs)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
