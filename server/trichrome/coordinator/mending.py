"""What a hole in the log left half told, told to the end.

Every stream of a salvaged log is whole up to where it was cut. What one task's end means for another was appended in
one transaction, and a cut may keep the one without the other: a task waits for ever for something that is completed,
another may start though what it waited for has to be done again, a result waits for a review that is gone. Each is
found in the views, told in words, and mended by the events that are missing.

Guarantees: a whole log has nothing to mend, and is not written to; what was mended is not found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trichrome.coordinator import consequences
from trichrome.coordinator.context import OPERATOR_NAME, Coordinator
from trichrome.domain import tails
from trichrome.domain.decisions import Cancel, CompleteDependency, Release
from trichrome.domain.events import (
    AttemptAdopted,
    AttemptNumbersRaised,
    AttemptResumed,
    DependencyCompleted,
    DependencyLost,
    LogSalvaged,
    ReviewRequested,
    RunCreated,
    TaskClaimed,
    TaskCompleted,
    TaskRetried,
)
from trichrome.domain.ids import AttemptId, RunId, TaskId, number
from trichrome.domain.tasks import STATES, Task
from trichrome.store.port import Reading, Recorded, TaskFilter, Writing

_ALL: Final = 10**9


@dataclass(frozen=True, slots=True)
class _Gap:
    """Something half told.

    Attributes:
        told: what it is and what comes of it, in words.
        stream: whose it is.
        rest: what is missing there: an event or a command; or an event that is there, and whose consequences are not.
    """

    told: str
    stream: RunId | TaskId
    rest: RunCreated | DependencyLost | CompleteDependency | Release | Cancel | ReviewRequested | TaskCompleted


def missing(c: Coordinator) -> list[str]:
    """What `mend` would mend, a sentence each; none on a whole log."""
    with c.store.reading() as view:
        return [gap.told for gap in _gaps(c, view)]


def mend(c: Coordinator) -> list[str]:
    """Append what is missing; answers what was mended, a sentence each."""
    if not missing(c):
        return []
    with c.store.writing(actor="trichrome", causation="repair") as tx:
        gaps = list(_gaps(c, tx))
        for gap in gaps:
            _tell(c, tx, gap)
        if any(isinstance(gap.rest, RunCreated | ReviewRequested) for gap in gaps):
            # What came back under its old number would pass for the newest that was ever given out.
            tx.append(tails.LOG, [LogSalvaged(holes=())])
    return [gap.told for gap in gaps]


def _tell(c: Coordinator, tx: Writing, gap: _Gap) -> None:
    match gap.rest:
        case RunCreated() | DependencyLost() as event:
            tx.append(gap.stream, [event])
        case ReviewRequested() as asked:
            consequences.open_review(c, tx, _task(tx, gap.stream), asked)
            # Whoever is at it holds a number that was given out there.
            lost = tx.lost_tails(asked.review, since=()) or 1
            tx.append(asked.review, [AttemptNumbersRaised(to=lost * tails.NUMBERS)])
        case TaskCompleted() as verdict:
            consequences.judge(c, tx, _task(tx, gap.stream), verdict)
        case command:
            consequences.decide(c, tx, _task(tx, gap.stream), command)


def _task(view: Reading, name: str) -> Task:
    task = view.task(TaskId(name))
    assert task is not None
    return task


def _gaps(c: Coordinator, view: Reading) -> Iterator[_Gap]:
    """Everything half told; what tasks wait for before verdicts, since the consequences of these count on it."""
    tasks = [line.task for state in STATES for line in view.list_tasks(TaskFilter(state=state, limit=_ALL))]
    yield from _runs(c, view, tasks)
    for task in tasks:
        if task.state != "completed":
            yield from _dependencies(view, task)
    yield from _attempts(view)
    for task in tasks:
        if task.state == "in_review":
            yield from _verdict(view, task)
        elif task.reviews is not None and not task.is_final:
            yield from _review(view, task, task.reviews)


def _log(view: Reading, stream: str) -> list[Recorded]:
    return view.events(stream=stream, limit=_ALL)


# --- runs -------------------------------------------------------------------------------------------------------------


def _runs(c: Coordinator, view: Reading, tasks: Sequence[Task]) -> Iterator[_Gap]:
    """Runs that are gone though tasks of theirs are there; whoever created the oldest of these leads it again."""
    leads: dict[RunId, str] = {}
    for task in sorted(tasks, key=lambda each: (each.reviews is not None, number(each.id))):
        leads.setdefault(task.run, OPERATOR_NAME if task.reviews is not None else task.created_by)
    for run, lead in leads.items():
        if view.run(run) is None:
            yield _Gap(
                f"{run} is gone but not its tasks: it begins anew, led by {lead}",
                run,
                RunCreated(run=run, lead=lead, on_lead_gone=c.settings.on_lead_gone),
            )


# --- what tasks wait for ----------------------------------------------------------------------------------------------


def _dependencies(view: Reading, task: Task) -> Iterator[_Gap]:
    """Where a task counts more of its dependencies as open than are, or fewer."""
    known = {name: view.task(name) for name in view.brief(task.id).depends_on}
    is_open = [name for name, each in known.items() if each is not None and each.state != "completed"]
    if task.waiting_on == len(is_open):
        return
    log = _log(view, task.id)
    told = _told(log)
    if task.waiting_on < len(is_open):
        for name in sorted(is_open, key=lambda name: name not in told)[: len(is_open) - task.waiting_on]:
            yield _Gap(
                f"{task.id} counted on the result of {name}, which is lost: it waits for it again",
                task.id,
                DependencyLost(name),
            )
        return
    over = [name for name, each in known.items() if each is not None and each.state == "completed" and name not in told]
    untold = [name for name in over if _completed_after(view, name, log[0].position)]
    for name in untold[: task.waiting_on - len(is_open)]:
        yield _Gap(f"{task.id} was never told that {name} completed", task.id, CompleteDependency(name))


def _told(log: Sequence[Recorded]) -> set[TaskId]:
    """The dependencies whose completion a task's own log tells."""
    told: set[TaskId] = set()
    for each in log:
        match each.event:
            case DependencyCompleted(dependency=name):
                told.add(name)
            case DependencyLost(dependency=name):
                told.discard(name)
            case _:
                pass
    return told


def _completed_after(view: Reading, task: TaskId, position: int) -> bool:
    return any(isinstance(each.event, TaskCompleted) for each in _log(view, task) if each.position > position)


# --- attempts ---------------------------------------------------------------------------------------------------------


def _attempts(view: Reading) -> Iterator[_Gap]:
    """Attempts whose end is lost: their worker has begun another one since, and nobody holds two."""
    held: dict[str, list[AttemptId]] = {}
    for live in view.live_attempts():
        held.setdefault(live.worker, []).append(live.attempt)
    for worker, attempts in held.items():
        *over, newest = sorted(attempts, key=lambda attempt: _begun(view, attempt)) if len(attempts) > 1 else attempts
        for attempt in over:
            last = _task(view, attempt.task).attempt
            assert last is not None
            yield _Gap(
                f"how {attempt} ended is lost, since {worker} went on to {newest}: {attempt.task} is free again",
                attempt.task,
                Release(
                    attempt.number,
                    principal=last.principal,
                    reason="how it ended was lost with a part of the log",
                    by="trichrome",
                ),
            )


def _begun(view: Reading, attempt: AttemptId) -> int:
    """Where in the log an attempt was last taken up."""
    begins = (TaskClaimed, AttemptAdopted, AttemptResumed)
    return max(each.position for each in _log(view, attempt.task) if isinstance(each.event, begins))


# --- reviews ----------------------------------------------------------------------------------------------------------


def _verdict(view: Reading, task: Task) -> Iterator[_Gap]:
    """A task in review whose review is gone, or gave a verdict that did not reach it."""
    log = reversed(_log(view, task.id))
    asked = next(each.event for each in log if isinstance(each.event, ReviewRequested))
    review = view.task(asked.review)
    if review is None:
        yield _Gap(f"{asked.review}, the review of {task.id}, is gone: it is opened again", task.id, asked)
    elif review.state == "completed" and review.reviews == AttemptId(task.id, asked.attempt):
        ends = reversed(_log(view, review.id))
        verdict = next(each.event for each in ends if isinstance(each.event, TaskCompleted))
        yield _Gap(f"{task.id} was never told the verdict of {review.id}: {verdict.outcome}", review.id, verdict)


def _review(view: Reading, review: Task, reviewed: AttemptId) -> Iterator[_Gap]:
    """An open review that nobody waits for; one that an operator put back is wanted all the same."""
    original = view.task(reviewed.task)
    if original is not None and original.state == "in_review" and original.review_task == review.id:
        return
    if not any(isinstance(each.event, TaskRetried) for each in _log(view, review.id)):
        why = f"the result that it reviews, of {reviewed}, is lost"
        yield _Gap(f"{review.id} is cancelled: {why}", review.id, Cancel(reason=why, by="trichrome"))
