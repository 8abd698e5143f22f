"""The shapes of answers, the same in tools, command line and Python. Keys that say nothing are left out."""

from __future__ import annotations

from typing import Any, Required, TypedDict

from trichrome.domain.evidence import WorkerState
from trichrome.domain.tasks import State

Handed = TypedDict("Handed", {"from": str, "text": str})
"""A message as its receiver sees it."""


class CreatedTask(TypedDict, total=False):
    """One task of a `Created`."""

    id: Required[str]
    ref: str
    state: Required[State]
    role: Required[str]


class Created(TypedDict, total=False):
    """The answer of create_task."""

    run: Required[str]
    tasks: Required[list[CreatedTask]]
    next: str


class FeedbackText(TypedDict, total=False):
    """What a reviewer asked for."""

    by: Required[str]
    summary: Required[str]
    data: object


class ReviewedText(TypedDict, total=False):
    """What a review task is to judge."""

    task: Required[str]
    attempt: Required[str]
    instructions: Required[str]
    summary: Required[str]
    acceptance: str
    data: object
    artifacts: list[str]
    files: list[str]
    branch: str


class Work(TypedDict, total=False):
    """A task as its worker reads it."""

    id: Required[str]
    kind: Required[str]
    role: Required[str]
    instructions: Required[str]
    acceptance: str
    files: list[str]
    feedback: FeedbackText
    reviews: ReviewedText


class DependencyResult(TypedDict, total=False):
    """What a task that came before brought."""

    id: Required[str]
    summary: Required[str]
    data: object
    artifacts: list[str]
    branch: str


class SaidText(TypedDict):
    """The last words of a session."""

    by: str
    words: str


class EarlierText(TypedDict, total=False):
    """How the last attempt ended that gave the task back, failed or ran too long, in the words of whoever ended it.

    `said` is there where that was not its worker.
    """

    attempt: Required[str]
    ended: Required[str]
    by: Required[str]
    summary: Required[str]
    said: SaidText


class Claimed(TypedDict, total=False):
    """The answer of claim_task."""

    attempt: Required[str | None]
    task: Work
    earlier: EarlierText
    dependencies: list[DependencyResult]
    resumed: bool
    next: Required[str]


class ReportAnswer(TypedDict, total=False):
    """The answer of report_result."""

    task: Required[str]
    state: Required[State]
    claimed: Claimed
    next: str


class Progress(TypedDict, total=False):
    """The answer of report_progress."""

    task: Required[str]
    orders: list[str]


class Held(TypedDict):
    """The answer of reserve_files."""

    held: list[str]


class Cancelled(TypedDict):
    """The answer of cancel_task."""

    cancelled: list[str]


class Sent(TypedDict):
    """The answer of send_message."""

    message: str
    to: list[str]


class NoteText(TypedDict, total=False):
    """One note; a list leaves the text out."""

    name: Required[str]
    text: str
    version: Required[int]
    by: str


class NoteList(TypedDict):
    """Every note's name."""

    notes: list[NoteText]


class NeedsHelp(TypedDict):
    """Something that cannot move without somebody."""

    id: str
    why: str
    help: str


class ChangedTask(TypedDict, total=False):
    """A task that ended since the cursor."""

    id: Required[str]
    state: Required[State]
    summary: str


class Waited(TypedDict, total=False):
    """The answer of wait."""

    cursor: Required[int]
    done: Required[bool]
    stuck: list[NeedsHelp]
    held_up: list[NeedsHelp]
    changed: Required[list[ChangedTask]]
    next: str


class AttemptLine(TypedDict, total=False):
    """One attempt of a task."""

    attempt: Required[str]
    worker: Required[str]
    state: Required[str]
    summary: str


class Result(TypedDict, total=False):
    """What an attempt brought."""

    summary: Required[str]
    data: object
    artifacts: list[str]
    files: list[str]
    follow_ups: list[str]
    branch: str


class SupersededResult(Result, total=False):
    """A result that came too late to count."""

    attempt: Required[str]
    worker: Required[str]


class TaskDetail(TypedDict, total=False):
    """The answer of get_task."""

    id: Required[str]
    run: Required[str]
    kind: Required[str]
    role: Required[str]
    state: Required[State]
    priority: Required[int]
    instructions: Required[str]
    acceptance: str
    depends_on: Required[list[str]]
    files: list[str]
    attempts: Required[list[AttemptLine]]
    result: Result
    feedback: FeedbackText
    reviews: str
    superseded: list[SupersededResult]
    history: Required[list[str]]


class TaskSummary(TypedDict, total=False):
    """One task of a list."""

    id: Required[str]
    run: Required[str]
    kind: Required[str]
    role: Required[str]
    state: Required[State]
    summary: str


class TaskPage(TypedDict, total=False):
    """The answer of list_tasks; `after` fetches the next page."""

    tasks: Required[list[TaskSummary]]
    after: str


class WorkerLine(TypedDict, total=False):
    """One worker of a status; `why` and `since_seconds` tell what shows its state, and how old that is."""

    worker: Required[str]
    role: Required[str]
    state: Required[WorkerState]
    attempt: str
    why: str
    since_seconds: int


class TaskExplained(TypedDict):
    """The answer of `explain` for a task."""

    task: str
    explanation: list[str]


class WorkerDetail(TypedDict):
    """The answer of `explain` for a worker."""

    worker: str
    state: WorkerState
    explanation: list[str]


class Status(TypedDict, total=False):
    """The answer of get_status."""

    tasks: Required[dict[State, int]]
    workers: Required[list[WorkerLine]]
    needs_you: Required[list[NeedsHelp]]
    leaderless: list[str]
    spend_usd: float


class Expected(TypedDict, total=False):
    """What routing expects a request to cost; `learned` says from how many sessions of which roles, if from any."""

    tokens: Required[int]
    usd: Required[float]
    learned: dict[str, int]


class Route(TypedDict, total=False):
    """The answer of route_task; `plan` is what create_task takes, and is missing where one agent is enough."""

    mode: Required[str]
    kind: Required[str]
    roles: Required[dict[str, int]]
    models: Required[dict[str, str]]
    score: Required[float]
    reasons: Required[list[str]]
    expected: Required[Expected]
    problems: list[str]
    plan: list[dict[str, Any]]
