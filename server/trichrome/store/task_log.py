"""What a task's own events say at length: its brief, and its reports.

These are read out of the log when they are asked for, and stand nowhere else: instructions and results are the long
part of every event, and a view of them would write each of them twice (docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from trichrome.domain import tasks
from trichrome.domain.events import (
    AttemptAdopted,
    AttemptFailed,
    AttemptResumed,
    ChangesRequested,
    Event,
    Outcome,
    Report,
    ResultSuperseded,
    ReviewRequested,
    TaskAmended,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
    TaskFailed,
)
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.tasks import Brief
from trichrome.store.port import Reported

BRIEF_KINDS: Final = tuple(kind.__name__ for kind in (TaskCreated, TaskAmended, ChangesRequested))
"""The kinds that `brief` looks at."""
ENDINGS: Final = tuple(kind.__name__ for kind in (TaskCompleted, ReviewRequested, AttemptFailed, TaskFailed))
"""The kinds that bring the report of an attempt in its time."""
REPORT_KINDS: Final = (
    *ENDINGS,
    *(kind.__name__ for kind in (ResultSuperseded, TaskClaimed, AttemptAdopted, AttemptResumed)),
)
"""The kinds that `reports` looks at."""


def brief(log: Iterable[Event]) -> Brief:
    """What the task's worker reads.

    Args:
        log: the task's events of `BRIEF_KINDS`, in order.
    """
    found: Brief | None = None
    for event in log:
        if isinstance(event, TaskCreated):
            found = tasks.brief(event)
        elif found is not None:
            found = tasks.evolve_brief(found, cast("TaskEvent", event))
    assert found is not None
    return found


def reports(task: TaskId, log: Iterable[Event]) -> list[Reported]:
    """Every report on the task, in the order they came.

    Args:
        task: which.
        log: its events of `REPORT_KINDS`, in order.
    """
    found: list[Reported] = []
    worker = ""

    def add(attempt: int | None, by: str, outcome: Outcome, report: Report | None, digest: str | None) -> None:
        if attempt is not None and report is not None:
            found.append(Reported(AttemptId(task, attempt), by, outcome, report, digest or ""))

    for said in log:
        match said:
            case TaskClaimed() | AttemptAdopted() | AttemptResumed() as begun:
                worker = begun.worker
            case TaskCompleted() as event:
                add(event.attempt, worker, event.outcome, event.report, event.digest)
            case ReviewRequested() as event:
                add(event.attempt, worker, "completed", event.report, event.digest)
            case AttemptFailed() | TaskFailed() as event:
                add(event.attempt, worker, "failed", event.report, event.digest)
            case ResultSuperseded(attempt=attempt, worker=by, outcome=outcome, report=report, digest=digest):
                found.append(Reported(AttemptId(task, attempt), by, outcome, report, digest, superseded=True))
            case _:
                pass
    return found
