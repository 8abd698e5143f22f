"""A task's state, and what each event makes of it. What may happen to it is decided in `decisions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, assert_never

from trichrome.domain.events import (
    AttemptAdopted,
    AttemptExpired,
    AttemptFailed,
    AttemptNumbersRaised,
    AttemptReleased,
    AttemptRescued,
    AttemptResumed,
    ChangesRequested,
    DependencyCompleted,
    DependencyLost,
    FilesReserved,
    ProgressReported,
    ResultSuperseded,
    ReviewRequested,
    SessionEnded,
    TaskAmended,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
    TaskFailed,
    TaskRetried,
)
from trichrome.domain.ids import AttemptId, RunId, TaskId
from trichrome.domain.reservations import Hold, holds
from trichrome.domain.values import made, replace

State = Literal["blocked", "ready", "running", "in_review", "completed", "failed", "cancelled"]
AttemptState = Literal["running", "completed", "failed", "released", "rescued", "expired", "cancelled"]

STATES: Final[tuple[State, ...]] = ("blocked", "ready", "running", "in_review", "completed", "failed", "cancelled")
FINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True)
class Attempt:
    """One numbered try: whose it is, how it stands, and the digest of the report that ended it."""

    number: int
    worker: str
    principal: str
    state: AttemptState = "running"
    digest: str | None = None
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True)
class Task:
    """What decisions about a task need; what its worker reads is a `Brief`.

    Attributes:
        tries: attempts that count toward `max_attempts`: failed, rescued, expired.
        rescues: rescues in a row; from the second on the task backs off.
        last_number: the highest attempt number ever given out; a new attempt gets the next.
        review_task: the review that is open while the task is `in_review`, else the last one.
        result: the attempt whose report is under review or is the task's result.
    """

    id: TaskId
    run: RunId
    kind: str
    role: str
    created_by: str
    state: State
    priority: int = 5
    files: tuple[str, ...] = ()
    review: str | None = None
    reviews: AttemptId | None = None
    author: str | None = None
    max_attempts: int = 3
    max_review_rounds: int = 2
    not_before_seconds: float = 0.0
    time_limit_seconds: float = 1800.0
    waiting_on: int = 0
    tries: int = 0
    rescues: int = 0
    rounds: int = 0
    last_number: int = 0
    attempt: Attempt | None = None
    review_task: TaskId | None = None
    result: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing but an operator's retry can move it."""
        return self.state in FINAL


@dataclass(frozen=True)
class Feedback:
    """Why the last attempt was sent back, in the reviewer's words."""

    by: str
    summary: str
    data: object = None


@dataclass(frozen=True)
class Brief:
    """What the worker of a task reads."""

    instructions: str
    acceptance: str | None = None
    depends_on: tuple[TaskId, ...] = ()
    feedback: Feedback | None = None


# --- folding ----------------------------------------------------------------------------------------------------------

_NOT_KEPT: Final = tuple({field.name for field in fields(TaskCreated)} - {field.name for field in fields(Task)})
"""What a task's creation says that its state does not keep; what it keeps has the same name and default in both."""


def created(event: TaskCreated) -> Task:
    """The state of a task that has just been created."""
    kept = vars(event) | {"id": event.task, "state": "blocked" if event.waiting_on else "ready"}
    for name in _NOT_KEPT:
        kept.pop(name, None)
    return made(Task, kept)


def evolve(task: Task, event: TaskEvent) -> Task:
    """The state after an event; what the event says happened, happened."""
    match event:  # cases are tried in order, so the commonest come first
        case TaskClaimed():
            attempt = _attempt(event.attempt, event.worker, event.principal, holds=holds(task.files))
            return replace(task, state="running", attempt=attempt, last_number=event.attempt)
        case TaskCompleted():
            ended = _over(task, "completed", event.digest) if task.state == "running" else task.attempt
            return replace(task, state="completed", attempt=ended, result=event.attempt)
        case ProgressReported() | ResultSuperseded() | SessionEnded():
            return task
        case DependencyCompleted():
            left = task.waiting_on - 1
            ready: State = "ready" if task.state == "blocked" and left == 0 else task.state
            return replace(task, waiting_on=left, state=ready)
        case DependencyLost():
            waits: State = "blocked" if task.state == "ready" else task.state
            return replace(task, waiting_on=task.waiting_on + 1, state=waits)
        case TaskCreated():
            return created(event)
        case AttemptAdopted():
            return replace(task, attempt=_last(task, worker=event.worker, principal=event.principal))
        case AttemptResumed():
            resumed = _last(
                task, worker=event.worker, principal=event.principal, state="running", holds=holds(task.files)
            )
            return replace(
                task, state="running", attempt=resumed, tries=max(0, task.tries - 1), rescues=max(0, task.rescues - 1)
            )
        case AttemptReleased():
            return replace(task, state=_free(task), attempt=_over(task, "released", event.digest), rescues=0)
        case AttemptRescued():
            over = _over(task, "rescued")
            return replace(task, state=_free(task), attempt=over, tries=task.tries + 1, rescues=task.rescues + 1)
        case AttemptExpired():
            return replace(task, state=_free(task), attempt=_over(task, "expired"), tries=task.tries + 1, rescues=0)
        case AttemptFailed():
            over = _over(task, "failed", event.digest or None)
            return replace(task, state=_free(task), attempt=over, tries=task.tries + 1, rescues=0)
        case FilesReserved():
            assert task.attempt is not None
            held = tuple(dict.fromkeys((*task.attempt.holds, *holds(event.paths, event.mode))))
            return replace(task, attempt=_last(task, holds=held))
        case ReviewRequested():
            over = _over(task, "completed", event.digest)
            return replace(
                task, state="in_review", attempt=over, result=event.attempt, review_task=event.review, rescues=0
            )
        case ChangesRequested():
            return replace(task, state=_free(task), rounds=task.rounds + 1, result=None)
        case TaskFailed():
            ended = _over(task, event.ended_as, event.digest) if event.attempt is not None else task.attempt
            counted = task.tries + (event.attempt is not None)
            return replace(task, state="failed", attempt=ended, tries=counted)
        case TaskCancelled():
            ended = _over(task, "cancelled") if task.state == "running" else task.attempt
            return replace(task, state="cancelled", attempt=ended)
        case TaskRetried():
            return replace(task, state=_free(task), tries=0, rescues=0, rounds=0, result=None)
        case TaskAmended():
            return task if event.priority is None else replace(task, priority=event.priority)
        case AttemptNumbersRaised():
            return replace(task, last_number=max(task.last_number, event.to))
        case _:
            assert_never(event)


def _free(task: Task) -> State:
    """The state of a task that nobody works on; one that ran may wait again, where a result was lost."""
    return "blocked" if task.waiting_on else "ready"


def _last(
    task: Task,
    *,
    worker: str | None = None,
    principal: str | None = None,
    state: AttemptState | None = None,
    holds: Sequence[Hold] | None = None,
) -> Attempt:
    last = task.attempt
    assert last is not None, f"{task.id}: an event of an attempt before the first claim"
    return _attempt(
        last.number,
        last.worker if worker is None else worker,
        last.principal if principal is None else principal,
        last.state if state is None else state,
        last.digest,
        last.holds if holds is None else tuple(holds),
    )


def _over(task: Task, state: AttemptState, digest: str | None = None) -> Attempt:
    last = task.attempt
    assert last is not None, f"{task.id}: an attempt ended before the first claim"
    return _attempt(last.number, last.worker, last.principal, state, digest)


def _attempt(
    number: int,
    worker: str,
    principal: str,
    state: AttemptState = "running",
    digest: str | None = None,
    holds: tuple[Hold, ...] = (),
) -> Attempt:
    fields = {
        "number": number,
        "worker": worker,
        "principal": principal,
        "state": state,
        "digest": digest,
        "holds": holds,
    }
    return made(Attempt, fields)


def brief(event: TaskCreated) -> Brief:
    """What the worker of a new task reads."""
    return made(
        Brief,
        {"instructions": event.instructions, "acceptance": event.acceptance, "depends_on": event.depends_on},
    )


def evolve_brief(before: Brief, event: TaskEvent) -> Brief:
    """What the worker reads after an event; most events leave it as it is."""
    match event:
        case TaskAmended() if event.instructions is not None:
            return replace(before, instructions=event.instructions)
        case ChangesRequested():
            return replace(before, feedback=Feedback(by=event.by, summary=event.summary, data=event.data))
        case _:
            return before
