"""One task's life: which command may follow which state, and what each event makes of it.

Guarantees, whatever races or crashes outside: at most one attempt is live; attempt numbers only rise; the first
report of an attempt wins; a call with an attempt that was superseded changes nothing; a task is completed at most once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    FilesReserved,
    Outcome,
    ProgressReported,
    Report,
    ResultSuperseded,
    ReviewRequested,
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
from trichrome.domain.reservations import Hold, Mode, holds
from trichrome.errors import ConflictError, InvalidError, NotFoundError, NotPermittedError, StaleAttemptError

State = Literal["blocked", "ready", "running", "in_review", "completed", "failed", "cancelled"]
AttemptState = Literal["running", "completed", "failed", "released", "rescued", "expired", "cancelled"]
Standing = Literal["owner", "successor", "stranger"]
"""What a caller is to an attempt: its owner; the next server of the same client or named worker, entitled to take it
over; or anybody else."""

STATES: Final[tuple[State, ...]] = ("blocked", "ready", "running", "in_review", "completed", "failed", "cancelled")
FINAL: Final[frozenset[State]] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One numbered try: whose it is, how it stands, and the digest of the report that ended it."""

    number: int
    worker: str
    principal: str
    state: AttemptState = "running"
    digest: str | None = None
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Feedback:
    """Why the last attempt was sent back, in the reviewer's words."""

    by: str
    summary: str
    data: object = None


@dataclass(frozen=True, slots=True)
class Brief:
    """What the worker of a task reads."""

    instructions: str
    acceptance: str | None = None
    depends_on: tuple[TaskId, ...] = ()
    feedback: Feedback | None = None


# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin the next attempt."""

    worker: str
    principal: str


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Any call that carries the handle: it goes on with the attempt, taking it over or re-opening it if need be."""

    attempt: int
    standing: Standing
    worker: str
    principal: str


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """The worker's report.

    Attributes:
        recorded: digest of the report that this very attempt already gave, if it did.
        review: the id of the review task to open, if the task asks for one.
        delay_seconds: the back-off, should the task be tried again.
    """

    attempt: int
    standing: Standing
    worker: str
    principal: str
    outcome: Outcome
    report: Report
    digest: str
    recorded: str | None = None
    retry: bool = True
    review: TaskId | None = None
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Release:
    """Give a live attempt back without a report, on the worker's behalf."""

    attempt: int
    principal: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Rescue:
    """End the attempt of a worker that is gone. `principal` is the one seen dead; if the owner changed, nothing."""

    attempt: int
    principal: str
    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Expire:
    """End an attempt that ran over its ceiling."""

    attempt: int
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class NoteProgress:
    """Leave a note on the way."""

    attempt: int
    note: str | None
    fraction: float | None


@dataclass(frozen=True, slots=True)
class ReserveFiles:
    """Hold more paths."""

    attempt: int
    paths: tuple[str, ...]
    mode: Mode


@dataclass(frozen=True, slots=True)
class CompleteDependency:
    """A task that this one waits for was completed."""

    dependency: TaskId


@dataclass(frozen=True, slots=True)
class Approve:
    """The report of `attempt` is good."""

    attempt: int
    by: str


@dataclass(frozen=True, slots=True)
class SendBack:
    """The report of `attempt` needs changes; `final` ends the task instead."""

    attempt: int
    by: str
    summary: str
    data: object = None
    review: TaskId | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants it any more."""

    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Put a failed or cancelled task back."""

    by: str


@dataclass(frozen=True, slots=True)
class Amend:
    """Change what is asked, or how soon."""

    by: str
    priority: int | None = None
    instructions: str | None = None


Command = (
    Claim
    | TakeUp
    | EndAttempt
    | Release
    | Rescue
    | Expire
    | NoteProgress
    | ReserveFiles
    | CompleteDependency
    | Approve
    | SendBack
    | Cancel
    | Retry
    | Amend
)


def decide(task: Task, command: Command) -> list[TaskEvent]:
    """What a command does to a task: the events, none when it asks for what already is so.

    Raises:
        TrichromeError: the refusal, saying what the caller should do instead.
    """
    match command:
        case Claim():
            return _claim(task, command)
        case TakeUp():
            return _take_up(task, command)
        case EndAttempt():
            return _end_attempt(task, command)
        case Release():
            if not _is_live(task, command.attempt, command.principal):
                return []
            return [AttemptReleased(attempt=command.attempt, reason=command.reason, by=command.by)]
        case Rescue():
            return _rescue(task, command)
        case Expire():
            return _expire(task, command)
        case NoteProgress():
            return [ProgressReported(attempt=command.attempt, note=command.note, fraction=command.fraction)]
        case ReserveFiles():
            return [FilesReserved(attempt=command.attempt, paths=command.paths, mode=command.mode)]
        case CompleteDependency():
            return [DependencyCompleted(dependency=command.dependency)]
        case Approve():
            if not _is_under_review(task, command.attempt):
                return []
            return [TaskCompleted(attempt=command.attempt, approved_by=command.by)]
        case SendBack():
            return _send_back(task, command)
        case Cancel():
            return [] if task.is_final else [TaskCancelled(reason=command.reason, by=command.by)]
        case Retry():
            if task.state not in {"failed", "cancelled"}:
                raise InvalidError(f"{task.id} is {task.state}; only failed or cancelled tasks are retried.")
            return [TaskRetried(by=command.by)]
        case Amend():
            return _amend(task, command)
        case _:
            assert_never(command)


def _is_live(task: Task, attempt: int, principal: str) -> bool:
    last = task.attempt
    return last is not None and last.number == attempt and last.state == "running" and last.principal == principal


def _is_under_review(task: Task, attempt: int) -> bool:
    return task.state == "in_review" and task.result == attempt


def _claim(task: Task, command: Claim) -> list[TaskEvent]:
    last = task.attempt
    if task.state == "running" and last is not None:
        raise ConflictError(f"{task.id} is being worked on by {last.worker}. Claim another; claim_task chooses one.")
    if task.state == "blocked":
        raise InvalidError(f"{task.id} waits for {task.waiting_on} tasks. Claim another until they are done.")
    if task.state != "ready":
        raise InvalidError(f"{task.id} is {task.state}: there is nothing to claim in it.")
    if task.author is not None and task.author == command.worker:
        raise NotPermittedError(f"{task.id} reviews your own work ({task.reviews}). Another worker has to do it.")
    return [TaskClaimed(attempt=task.last_number + 1, worker=command.worker, principal=command.principal)]


def _stale(task: Task, attempt: int) -> StaleAttemptError:
    last = task.attempt
    mine = f"{task.id}.{attempt}"
    stop = "Stop working on it and leave its files as they are; claim_task gives you something else."
    if last is not None and last.number > attempt:
        return StaleAttemptError(f"{mine} was superseded: {task.id}.{last.number} began since. {stop}")
    if task.state == "cancelled":
        return StaleAttemptError(f"{task.id} was cancelled. {stop}")
    how = last.state if last is not None else "over"
    return StaleAttemptError(f"{mine} is over ({how}); {task.id} is {task.state}. {stop}")


def _stranger(task: Task, last: Attempt) -> NotPermittedError:
    return NotPermittedError(
        f"{task.id}.{last.number} belongs to {last.worker}, not to you. Use the attempt that your claim_task answered.",
        code="not_owner",
    )


def _take_up(task: Task, command: TakeUp) -> list[TaskEvent]:
    last = task.attempt
    if command.attempt > task.last_number or last is None:
        raise NotFoundError(f"There is no attempt {task.id}.{command.attempt}. claim_task answers yours.")
    if command.attempt < last.number:
        raise _stale(task, command.attempt)
    resumable = last.state == "rescued" and not task.is_final
    if last.state != "running" and not resumable:
        raise _stale(task, command.attempt)
    if command.standing == "stranger":
        raise _stranger(task, last)
    if resumable:
        return [AttemptResumed(attempt=last.number, worker=command.worker, principal=command.principal)]
    if command.standing == "successor":
        return [AttemptAdopted(attempt=last.number, worker=command.worker, principal=command.principal)]
    return []


def _end_attempt(task: Task, command: EndAttempt) -> list[TaskEvent]:
    repeated = command.recorded == command.digest
    if command.recorded is not None and not repeated:
        raise ConflictError(
            f"{task.id}.{command.attempt} was already reported, differently; the first report stands. "
            "If something is missing, propose a follow-up task to the lead.",
            code="already_reported",
        )
    last = task.attempt
    if repeated and last is not None and last.number == command.attempt and last.state in {"completed", "failed"}:
        return []
    taking = TakeUp(command.attempt, command.standing, command.worker, command.principal)
    try:
        before = _take_up(task, taking)
    except StaleAttemptError:
        if repeated:
            raise
        if command.standing == "stranger":
            assert last is not None
            raise _stranger(task, last) from None
        return [_superseded(command)]
    return [*before, _ended(task, command)]


def _superseded(command: EndAttempt) -> ResultSuperseded:
    return ResultSuperseded(
        attempt=command.attempt,
        worker=command.worker,
        outcome=command.outcome,
        report=command.report,
        digest=command.digest,
    )


def _ended(task: Task, command: EndAttempt) -> TaskEvent:
    number, report, digest = command.attempt, command.report, command.digest
    match command.outcome:
        case "released":
            return AttemptReleased(attempt=number, reason=report.summary, by=command.worker)
        case "failed":
            tries = task.tries + 1
            if command.retry and tries < task.max_attempts:
                return AttemptFailed(attempt=number, report=report, digest=digest, delay_seconds=command.delay_seconds)
            why = f"failed {tries} of {task.max_attempts} tries" if command.retry else "failed for good"
            return TaskFailed(reason=why, attempt=number, report=report, digest=digest)
        case "approved" | "changes":
            if task.reviews is None:
                raise InvalidError(
                    f"{task.id} is no review: end it with completed, failed or released.", field="outcome"
                )
            return TaskCompleted(attempt=number, report=report, digest=digest, outcome=command.outcome)
        case "completed":
            if task.reviews is not None:
                raise InvalidError(f"{task.id} is a review: end it with approved or changes.", field="outcome")
            if command.review is not None:
                return ReviewRequested(attempt=number, report=report, digest=digest, review=command.review)
            return TaskCompleted(attempt=number, report=report, digest=digest)
        case _:
            assert_never(command.outcome)


def _rescue(task: Task, command: Rescue) -> list[TaskEvent]:
    if not _is_live(task, command.attempt, command.principal):
        return []
    if task.tries + 1 >= task.max_attempts:
        reason = f"{command.reason}; that was the last of {task.max_attempts} tries"
        return [TaskFailed(reason=reason, attempt=command.attempt, ended_as="rescued")]
    return [
        AttemptRescued(
            attempt=command.attempt,
            principal=command.principal,
            reason=command.reason,
            delay_seconds=command.delay_seconds if task.rescues else 0.0,
        )
    ]


def _expire(task: Task, command: Expire) -> list[TaskEvent]:
    last = task.attempt
    if last is None or last.number != command.attempt or last.state != "running":
        return []
    limit = task.time_limit_seconds
    if task.tries + 1 >= task.max_attempts:
        reason = f"ran over its {limit:g} s; that was the last of {task.max_attempts} tries"
        return [TaskFailed(reason=reason, attempt=command.attempt, ended_as="expired")]
    return [AttemptExpired(attempt=command.attempt, limit_seconds=limit, delay_seconds=command.delay_seconds)]


def _send_back(task: Task, command: SendBack) -> list[TaskEvent]:
    if not _is_under_review(task, command.attempt):
        return []
    sent_back = ChangesRequested(
        attempt=command.attempt, by=command.by, summary=command.summary, data=command.data, review=command.review
    )
    if command.final:
        return [sent_back, TaskFailed(reason=f"rejected by {command.by}", ended_as="completed")]
    if task.rounds >= task.max_review_rounds:
        reason = f"changes were asked for after {task.max_review_rounds} rounds of review"
        return [sent_back, TaskFailed(reason=reason, ended_as="completed")]
    return [sent_back]


def _amend(task: Task, command: Amend) -> list[TaskEvent]:
    if task.is_final:
        raise InvalidError(f"{task.id} is {task.state}: it cannot be amended. Create a new task instead.")
    if command.instructions is not None and task.state in {"running", "in_review"}:
        raise InvalidError(
            f"{task.id} is {task.state}: its instructions stay as they are. Cancel it, or send its worker a message.",
            field="instructions",
        )
    return [TaskAmended(by=command.by, priority=command.priority, instructions=command.instructions)]


# --- folding ----------------------------------------------------------------------------------------------------------


def created(event: TaskCreated) -> Task:
    """The state of a task that has just been created."""
    return Task(
        id=event.task,
        run=event.run,
        kind=event.kind,
        role=event.role,
        created_by=event.created_by,
        state="blocked" if event.waiting_on else "ready",
        priority=event.priority,
        files=event.files,
        review=event.review,
        reviews=event.reviews,
        author=event.author,
        max_attempts=event.max_attempts,
        max_review_rounds=event.max_review_rounds,
        not_before_seconds=event.not_before_seconds,
        time_limit_seconds=event.time_limit_seconds,
        waiting_on=event.waiting_on,
    )


def evolve(task: Task, event: TaskEvent) -> Task:
    """The state after an event; what the event says happened, happened."""
    match event:
        case TaskCreated():
            return created(event)
        case DependencyCompleted():
            left = task.waiting_on - 1
            ready: State = "ready" if task.state == "blocked" and left == 0 else task.state
            return replace(task, waiting_on=left, state=ready)
        case TaskClaimed():
            attempt = Attempt(event.attempt, event.worker, event.principal, holds=holds(task.files))
            return replace(task, state="running", attempt=attempt, last_number=event.attempt)
        case AttemptAdopted():
            return replace(task, attempt=_last(task, worker=event.worker, principal=event.principal))
        case AttemptResumed():
            resumed = _last(
                task, worker=event.worker, principal=event.principal, state="running", holds=holds(task.files)
            )
            return replace(
                task, state="running", attempt=resumed, tries=task.tries - 1, rescues=max(0, task.rescues - 1)
            )
        case AttemptReleased():
            return replace(task, state="ready", attempt=_over(task, "released"), rescues=0)
        case AttemptRescued():
            over = _over(task, "rescued")
            return replace(task, state="ready", attempt=over, tries=task.tries + 1, rescues=task.rescues + 1)
        case AttemptExpired():
            return replace(task, state="ready", attempt=_over(task, "expired"), tries=task.tries + 1, rescues=0)
        case AttemptFailed():
            over = _over(task, "failed", event.digest)
            return replace(task, state="ready", attempt=over, tries=task.tries + 1, rescues=0)
        case ProgressReported() | ResultSuperseded():
            return task
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
            return replace(task, state="ready", rounds=task.rounds + 1, result=None)
        case TaskCompleted():
            ended = _over(task, "completed", event.digest) if task.state == "running" else task.attempt
            return replace(task, state="completed", attempt=ended, result=event.attempt)
        case TaskFailed():
            ended = _over(task, event.ended_as, event.digest) if event.attempt is not None else task.attempt
            counted = task.tries + (event.attempt is not None)
            return replace(task, state="failed", attempt=ended, tries=counted)
        case TaskCancelled():
            ended = _over(task, "cancelled") if task.state == "running" else task.attempt
            return replace(task, state="cancelled", attempt=ended)
        case TaskRetried():
            back: State = "blocked" if task.waiting_on else "ready"
            return replace(task, state=back, tries=0, rescues=0, rounds=0)
        case TaskAmended():
            return task if event.priority is None else replace(task, priority=event.priority)
        case AttemptNumbersRaised():
            return replace(task, last_number=max(task.last_number, event.to))
        case _:
            assert_never(event)


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
    return Attempt(
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
    return Attempt(last.number, last.worker, last.principal, state, digest)


def brief(event: TaskCreated) -> Brief:
    """What the worker of a new task reads."""
    return Brief(instructions=event.instructions, acceptance=event.acceptance, depends_on=event.depends_on)


def evolve_brief(before: Brief, event: TaskEvent) -> Brief:
    """What the worker reads after an event; most events leave it as it is."""
    match event:
        case TaskAmended() if event.instructions is not None:
            return replace(before, instructions=event.instructions)
        case ChangesRequested():
            return replace(before, feedback=Feedback(by=event.by, summary=event.summary, data=event.data))
        case _:
            return before


def backoff(tries: int, *, base_seconds: float, cap_seconds: float, jitter: float) -> float:
    """Seconds to wait before the next try: doubling from the base, capped, spread by half.

    Args:
        tries: tries that have failed before this one.
        base_seconds: the first wait.
        cap_seconds: the longest.
        jitter: 0 to 1, drawn by the caller; spreads the wait over its upper half ("equal jitter", AWS Architecture
            Blog, "Exponential Backoff And Jitter").
    """
    whole = min(cap_seconds, base_seconds * 2.0 ** min(tries, 32))
    return whole * (0.5 + 0.5 * jitter)
