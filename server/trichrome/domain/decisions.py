"""Which command may follow which state of a task, and the events it brings.

Guarantees, whatever races or crashes outside: at most one attempt is live; attempt numbers only rise; the first
report of an attempt wins; a call with an attempt that was superseded changes nothing; a task is completed at most once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from trichrome.domain import tails
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
    TaskEvent,
    TaskFailed,
    TaskRetried,
)
from trichrome.domain.ids import TaskId
from trichrome.domain.reservations import Mode
from trichrome.domain.tasks import Task
from trichrome.errors import ConflictError, InvalidError, NotFoundError, NotPermittedError, StaleAttemptError

Standing = Literal["owner", "successor", "stranger"]
"""What a caller is to an attempt: its owner; the next server of the same client or named worker, entitled to take it
over; or anybody else."""

# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Begin the next attempt.

    Attributes:
        lost_tails: how often the log may have lost its tail since the task's numbers were last known.
    """

    worker: str
    principal: str
    lost_tails: int = 0


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Any call that carries the handle: it goes on with the attempt, taking it over or re-opening it if need be.

    Attributes:
        overtaken: whether a next attempt may have begun, in a tail that the log lost.
    """

    attempt: int
    standing: Standing
    worker: str
    principal: str
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class EndAttempt:
    """The worker's report.

    Attributes:
        recorded: digest of the report that this very attempt already gave, if it did.
        review: the id of the review task to open, if the task asks for one.
        delay_seconds: the back-off, should the task be tried again.
        overtaken: as of `TakeUp`.
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
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """Give a live attempt back without a report, on the worker's behalf."""

    attempt: int
    principal: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End a live attempt that its worker did not report, because the worker's session is over.

    Attributes:
        report: how it ended, in the words of whoever ended it.
        retry: whether the task may be tried again.
        delay_seconds: the back-off, should it be.
    """

    attempt: int
    principal: str
    report: Report
    retry: bool = True
    delay_seconds: float = 0.0


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
    | Fail
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
        case Fail():
            if not _is_live(task, command.attempt, command.principal):
                return []
            return [_failed(task, command, digest=None)]
        case Rescue():
            return _rescue(task, command)
        case Expire():
            return _expire(task, command)
        case NoteProgress():
            return [ProgressReported(attempt=command.attempt, note=command.note, fraction=command.fraction)]
        case ReserveFiles():
            return [FilesReserved(attempt=command.attempt, paths=command.paths, mode=command.mode)]
        case CompleteDependency():
            return [DependencyCompleted(dependency=command.dependency)] if task.waiting_on else []
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
    last_number = task.last_number + command.lost_tails * tails.NUMBERS
    raised: list[TaskEvent] = [AttemptNumbersRaised(to=last_number)] if command.lost_tails else []
    return [*raised, TaskClaimed(attempt=last_number + 1, worker=command.worker, principal=command.principal)]


def stale(task: Task, attempt: int) -> StaleAttemptError:
    """The refusal of a call with an attempt that is over, saying why."""
    last = task.attempt
    mine = f"{task.id}.{attempt}"
    stop = "Stop working on it and leave its files as they are; claim_task gives you something else."
    if last is not None and last.number > attempt:
        return StaleAttemptError(f"{mine} was superseded: {task.id}.{last.number} began since. {stop}")
    if task.state == "cancelled":
        return StaleAttemptError(f"{task.id} was cancelled. {stop}")
    how = last.state if last is not None else "over"
    return StaleAttemptError(f"{mine} is over ({how}); {task.id} is {task.state}. {stop}")


def _stranger(task: Task, attempt: int) -> NotPermittedError:
    last = task.attempt
    owner = last.worker if last is not None and last.number == attempt else "another worker"
    return NotPermittedError(
        f"{task.id}.{attempt} belongs to {owner}, not to you. Use the attempt that your claim_task answered.",
        code="not_owner",
    )


def _take_up(task: Task, command: TakeUp) -> list[TaskEvent]:
    last = task.attempt
    if last is None or command.attempt > last.number:
        raise NotFoundError(f"There is no attempt {task.id}.{command.attempt}. claim_task answers yours.")
    if command.attempt < last.number:
        raise stale(task, command.attempt)
    resumable = last.state == "rescued" and not task.is_final and not command.overtaken
    if last.state != "running" and not resumable:
        raise stale(task, command.attempt)
    if command.standing == "stranger":
        raise _stranger(task, command.attempt)
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
    if repeated and last is not None and last.number == command.attempt and last.digest == command.digest:
        return []
    taking = TakeUp(command.attempt, command.standing, command.worker, command.principal, command.overtaken)
    try:
        before = _take_up(task, taking)
    except StaleAttemptError:
        if repeated:
            raise
        if command.standing == "stranger":
            raise _stranger(task, command.attempt) from None
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
            return AttemptReleased(attempt=number, reason=report.summary, by=command.worker, digest=digest)
        case "failed":
            return _failed(task, command, digest=digest)
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


def _failed(task: Task, command: EndAttempt | Fail, *, digest: str | None) -> AttemptFailed | TaskFailed:
    """What a failed try brings; the digest is that of the worker's own report."""
    number, report, tries = command.attempt, command.report, task.tries + 1
    if command.retry and tries < task.max_attempts:
        return AttemptFailed(attempt=number, report=report, digest=digest or "", delay_seconds=command.delay_seconds)
    why = f"failed {tries} of {task.max_attempts} tries" if command.retry else "failed for good"
    return TaskFailed(reason=why, attempt=number, report=report, digest=digest)


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
