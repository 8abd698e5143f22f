"""What workers write down, and what it adds up to.

All workers of a store append to one file, one write a line: a task begun, a task that the store let them acknowledge.
The second is written after the store's call returned, so each such line is an acknowledgement that the store gave.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Event = Literal["began", "acknowledged", "killed"]
NAME: Final = "witness"


class Witness:
    """The file, as one process has it open for writing."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, event: Event, task: str, execution: str) -> None:
        """Write one line, in one write."""
        os.write(self._file, f"{event} {task} {execution}\n".encode())


def lines(folder: Path) -> list[str]:
    """The whole lines so far."""
    path = folder / NAME
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []


def executions(written: Iterable[str], event: Event) -> dict[str, set[str]]:
    """The executions of each task that came to an event."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in written:
        what, task, execution = line.split(" ")
        if what == event:
            found[task].add(execution)
    return found


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the tasks.

    Attributes:
        tasks: how many the store said that it has.
        lost: those never acknowledged, neither to a worker nor by the store's own account.
        twice: those acknowledged to more than one execution.
        again: those begun more than once, as must be when a worker dies over one.
        kills: workers killed.
    """

    tasks: int
    lost: int
    twice: int
    again: int
    kills: int


def tally(put: Collection[str], written: Collection[str], done: Collection[str]) -> Tally:
    """Count what became of tasks.

    A worker that is killed after the store took its acknowledgement and before it wrote that down leaves no line: the
    store's own account keeps such a task from counting as lost. An acknowledgement without a line is not counted at
    all, so `twice` can be too small, never too large.

    Args:
        put: the tasks that the store said it has.
        written: the witness's lines.
        done: the tasks that the store says were acknowledged.
    """
    began, acknowledged = executions(written, "began"), executions(written, "acknowledged")
    return Tally(
        tasks=len(put),
        lost=len(set(put) - set(acknowledged) - set(done)),
        twice=sum(len(each) > 1 for each in acknowledged.values()),
        again=sum(len(each) > 1 for each in began.values()),
        kills=len(executions(written, "killed")),
    )
