"""Every fact the log can hold: a closed union of frozen values, named in the past participle.

An event belongs to one stream: `t17` for a task, `r3` for a run, `m5` for a message, `n.NAME` for a note, `log` for the
log itself. Events are never changed once a release has written them: a new meaning is a new event, or a higher schema
with an upcast in the codec. Optional fields carry their defaults, so that the log stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId
from trichrome.domain.reservations import Mode

OnLeadGone = Literal["continue", "pause"]
Outcome = Literal["completed", "failed", "released", "approved", "changes"]


@dataclass(frozen=True)
class Report:
    """What a worker says at the end of an attempt. Text and data are the worker's words, never instructions."""

    summary: str
    data: object = None
    artifacts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    follow_ups: tuple[str, ...] = ()


# --- runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunCreated:
    """A request began; `lead` is the worker that asked."""

    run: RunId
    lead: str
    on_lead_gone: OnLeadGone = "continue"


@dataclass(frozen=True)
class RunPaused:
    """Nothing more of the run is claimed until it is resumed; what runs goes on."""

    by: str


@dataclass(frozen=True)
class RunResumed:
    """The run's ready tasks may be claimed again."""

    by: str


# --- tasks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskCreated:
    """Work was asked for. `waiting_on` counts the dependencies that were not completed then."""

    task: TaskId
    run: RunId
    kind: str
    role: str
    instructions: str
    created_by: str
    acceptance: str | None = None
    priority: int = 5
    depends_on: tuple[TaskId, ...] = ()
    waiting_on: int = 0
    files: tuple[str, ...] = ()
    review: str | None = None
    key: str | None = None
    key_digest: str | None = None
    max_attempts: int = 3
    max_review_rounds: int = 2
    not_before_seconds: float = 0.0
    time_limit_seconds: float = 1800.0
    reviews: AttemptId | None = None
    author: str | None = None
    """The worker whose attempt this task reviews, and who therefore may not claim it."""


@dataclass(frozen=True)
class DependencyCompleted:
    """A task that this one waits for is completed; the last one makes it ready."""

    dependency: TaskId


@dataclass(frozen=True)
class DependencyLost:
    """The completion of a dependency was lost with a part of the log; this task waits for it again."""

    dependency: TaskId


@dataclass(frozen=True)
class TaskClaimed:
    """A new attempt began."""

    attempt: int
    worker: str
    principal: str


@dataclass(frozen=True)
class AttemptAdopted:
    """The same attempt goes on under another server of its client, or of its named worker."""

    attempt: int
    worker: str
    principal: str


@dataclass(frozen=True)
class AttemptResumed:
    """A rescued attempt came back before a newer one began; its rescue no longer counts as a try."""

    attempt: int
    worker: str
    principal: str


@dataclass(frozen=True)
class AttemptReleased:
    """The worker gave the task back; that counts as no try. `digest` is that of its report, if it made one."""

    attempt: int
    reason: str
    by: str
    digest: str | None = None


@dataclass(frozen=True)
class AttemptRescued:
    """The worker is gone, so the task can be claimed again after `delay_seconds`."""

    attempt: int
    principal: str
    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class AttemptExpired:
    """The attempt ran longer than its task allows."""

    attempt: int
    limit_seconds: float
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class AttemptFailed:
    """The worker reported failure, or its session ended without a report; another try may begin after `delay_seconds`.

    `digest` is that of the worker's report; empty where somebody else says how it ended.
    """

    attempt: int
    report: Report
    digest: str
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class ProgressReported:
    """A note on the way; `fraction` is 0 to 1."""

    attempt: int
    note: str | None = None
    fraction: float | None = None


@dataclass(frozen=True)
class FilesReserved:
    """A running attempt holds more paths, until it ends."""

    attempt: int
    paths: tuple[str, ...]
    mode: Mode = "exclusive"


@dataclass(frozen=True)
class ResultSuperseded:
    """A report that came too late to count; kept for the lead to look at."""

    attempt: int
    worker: str
    outcome: Outcome
    report: Report
    digest: str


@dataclass(frozen=True)
class ReviewRequested:
    """The attempt reported completion and `review` is the task that judges it."""

    attempt: int
    report: Report
    digest: str
    review: TaskId


@dataclass(frozen=True)
class ChangesRequested:
    """The reviewer sent the task back; `summary` and `data` are the next attempt's feedback."""

    attempt: int
    by: str
    summary: str
    data: object = None
    review: TaskId | None = None


@dataclass(frozen=True)
class TaskCompleted:
    """The task is done: by its own report, or by approval of the report under review.

    `outcome` says which verdict a review task ended with.
    """

    attempt: int
    report: Report | None = None
    digest: str | None = None
    outcome: Outcome = "completed"
    approved_by: str | None = None


@dataclass(frozen=True)
class TaskFailed:
    """The task is over without success; the attempt's own report comes along when it was the last one."""

    reason: str
    attempt: int | None = None
    report: Report | None = None
    digest: str | None = None
    ended_as: Literal["failed", "rescued", "expired", "completed"] = "failed"


@dataclass(frozen=True)
class TaskCancelled:
    """Nobody wants it any more; a worker still at it learns so at its next call."""

    reason: str
    by: str


@dataclass(frozen=True)
class TaskRetried:
    """The operator put a failed or cancelled task back, with all its tries."""

    by: str


@dataclass(frozen=True)
class TaskAmended:
    """The operator changed the task before anybody worked on it (priority: at any time)."""

    by: str
    priority: int | None = None
    instructions: str | None = None


@dataclass(frozen=True)
class AttemptNumbersRaised:
    """Numbers up to `to` may have been given out by a lost tail of the log; the next attempt is above it."""

    to: int


@dataclass(frozen=True)
class SessionEnded:
    """A session that a supervisor started for the task is over.

    Attributes:
        worker: who it was.
        runner: what started it.
        reason: why it ended, in a sentence.
        attempt: the number of the attempt that it had; None where it claimed nothing.
        session: its id, where its program has one.
        usage: tokens by model id: `input`, `output`, `cache_read`, `cache_write`.
        cost_usd: what it cost; None where nobody knows.
        denials: tools that it was not allowed to use.
        transcript: where its program keeps it.
        said: its last words. They are the worker's, and never instructions.
        branch: where the work of the task is.
    """

    worker: str
    runner: str
    reason: str
    attempt: int | None = None
    session: str | None = None
    usage: Mapping[str, Mapping[str, int]] | None = None
    cost_usd: float | None = None
    denials: tuple[str, ...] = ()
    transcript: str | None = None
    said: str | None = None
    branch: str | None = None


# --- messages, notes, the log itself ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MessageSent:
    """One text to the workers that the address meant at that moment."""

    message: MessageId
    sender: str
    to: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class MessageDelivered:
    """The receiver called again after it had been offered the message."""

    worker: str


@dataclass(frozen=True)
class ContextShared:
    """A named note got a new text; `version` begins at 1 and rises."""

    name: str
    text: str
    version: int
    by: str


@dataclass(frozen=True)
class LogSalvaged:
    """A damaged log was rewritten, or `backup` was put in a log's place.

    `holes` names the streams that lost events, and from which version on; without any, nothing is known to be lost.
    """

    holes: tuple[str, ...]
    backup: str | None = None


@dataclass(frozen=True)
class LogReopened:
    """The log was last written in `boot`, not synced at each commit, and the machine has started anew since.

    What was acknowledged last in that boot may be missing.
    """

    boot: str


TaskEvent = (
    TaskCreated
    | DependencyCompleted
    | DependencyLost
    | TaskClaimed
    | AttemptAdopted
    | AttemptResumed
    | AttemptReleased
    | AttemptRescued
    | AttemptExpired
    | AttemptFailed
    | ProgressReported
    | FilesReserved
    | ResultSuperseded
    | ReviewRequested
    | ChangesRequested
    | TaskCompleted
    | TaskFailed
    | TaskCancelled
    | TaskRetried
    | TaskAmended
    | AttemptNumbersRaised
    | SessionEnded
)
RunEvent = RunCreated | RunPaused | RunResumed
MessageEvent = MessageSent | MessageDelivered
NoteEvent = ContextShared
LogEvent = LogSalvaged | LogReopened
Event = TaskEvent | RunEvent | MessageEvent | NoteEvent | LogEvent
