"""What a store of the log must do, as the verbs that the coordinator speaks.

Guarantees of every adapter: a transaction that returned is kept, one that raised left nothing; transactions that
write run one after another; views equal the fold of the log at every position; what is soft (deadlines, principals,
workers, offers, documents) is never compared and can be made anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from trichrome.domain.events import Event, OnLeadGone, Outcome, Report
from trichrome.domain.evidence import SignKind
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.reservations import Hold
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, Brief, State, Task


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands in the log.

    Attributes:
        position: its place in the whole log; strictly rising.
        version: its place in its stream, from 1, without gaps.
        recorded_at: seconds since 1970, for people.
        actor: the worker (or `operator`) whose call caused it.
        causation: the call that caused it.
    """

    position: int
    stream: str
    version: int
    event: Event
    recorded_at: float
    actor: str
    causation: str
    schema: int
    digest: bytes


@dataclass(frozen=True)
class Reported:
    """A report as it was kept: the one that ended its attempt, or one that came too late (`superseded`)."""

    attempt: AttemptId
    worker: str
    outcome: Outcome
    report: Report
    digest: str
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """Who the server authenticated: one pipe with the client process behind it, or a named worker.

    Attributes:
        machine: host, boot and pid namespace in which the process ids mean something.
        server: (pid, start) of the server process, (0, 0) for none.
        client: (pid, start) of the client process; None where it cannot be seen.
        session: CLAUDE_CODE_SESSION_ID when the client is Claude Code.
        name: the worker's name, given by TRICHROME_WORKER.
        role: the one role it may serve; None for all.
        lease_seconds: how long its attempts live without renewal, where the lease decides.
        supervisor: (pid, start) of the supervisor that started its client; None for none.
    """

    id: str
    machine: tuple[str, str, str]
    server: tuple[int, int]
    client: tuple[int, int] | None
    session: str | None
    name: str | None
    role: str | None
    lease_seconds: float
    connected: bool = True
    supervisor: tuple[int, int] | None = None


NOBODYS_LEASE_SECONDS: Final = 600.0
"""How long an attempt lives without renewal whose principal is not known (any more)."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A principal's agent that has spoken: its name is what tasks, messages and boards call it."""

    name: str
    principal: str
    agent: str | None
    role: str | None
    is_taker: bool = False
    """Whether it has asked for work, and so counts as a connected worker."""
    is_shared: bool = False
    """Whether several agents were seen behind it that nothing tells apart."""


@dataclass(frozen=True, slots=True)
class LiveAttempt:
    """A running attempt with what the judgement of its life needs.

    Attributes:
        lapses_in: seconds until its lease runs out; not above 0 once it has, or where it belongs to another boot.
        ceiling_in: seconds until it has run as long as its task allows; None without a ceiling, while that stands
            still, or where it belongs to another boot.
    """

    attempt: AttemptId
    worker: str
    principal: Principal | None
    lapses_in: float
    ceiling_in: float | None

    @property
    def lapsed(self) -> bool:
        """Whether its lease ran out."""
        return self.lapses_in <= 0

    @property
    def over_ceiling(self) -> bool:
        """Whether it ran longer than its task allows."""
        return self.ceiling_in is not None and self.ceiling_in <= 0


@dataclass(frozen=True, slots=True)
class Sign:
    """A sign of life that leaves no other trace: what a hook of the client told.

    Attributes:
        principal: whose hook it was.
        agent: the agent in it that the sign is of; empty for the main one.
        kind: what it did, or `transcript`: where its client writes the conversation to.
        at: when, in seconds of this boot's monotonic clock.
        detail: the tool, or the transcript's path.
    """

    principal: str
    agent: str
    kind: SignKind | Literal["transcript"]
    at: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A task in a list.

    Attributes:
        ended: position of the event that made it final; None while it is not.
    """

    task: Task
    summary: str | None
    ended: int | None


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list holds; None does not restrict. `is_open` asks for those that are not over."""

    run: RunId | None = None
    tasks: tuple[TaskId, ...] | None = None
    state: State | None = None
    role: str | None = None
    after: TaskId | None = None
    is_open: bool = False
    ended_after: int | None = None
    limit: int = 200


class Reading(Protocol):
    """One consistent look at the views."""

    def position(self) -> int:
        """The log's last position; 0 when it is empty."""
        ...

    def task(self, task: TaskId) -> Task | None:
        """A task's state."""
        ...

    def brief(self, task: TaskId) -> Brief:
        """What a task's worker reads."""
        ...

    def run(self, run: RunId) -> Run | None:
        """A run's state."""
        ...

    def open_runs(self, *, on_lead_gone: OnLeadGone | None = None) -> list[Run]:
        """Runs with a task that is not over, oldest first; all, or those that do this without their lead."""
        ...

    def newest_run(self, lead: str) -> RunId | None:
        """The run that this worker created last."""
        ...

    def task_by_key(self, key: str) -> tuple[TaskId, str] | None:
        """The task that was created with a key, and the digest of its content."""
        ...

    def dependents(self, task: TaskId) -> list[TaskId]:
        """Tasks that wait, or waited, for this one."""
        ...

    def attempts(self, task: TaskId) -> list[Attempt]:
        """Every attempt at a task, oldest first."""
        ...

    def reports(self, task: TaskId) -> list[Reported]:
        """Every report on a task, in the order they came."""
        ...

    def list_tasks(self, chosen: TaskFilter) -> list[TaskLine]:
        """Tasks in order of age."""
        ...

    def count_tasks(self, run: RunId | None = None) -> dict[State, int]:
        """How many tasks are in each state; states without any are left out."""
        ...

    def claimable(self, roles: Sequence[str], *, worker: str) -> TaskId | None:
        """The next task that one of these roles may claim now: by priority, then age; no review of own work."""
        ...

    def all_claimable(self, roles: Sequence[str], *, limit: int) -> list[Task]:
        """The first tasks of each role that may be claimed now, each if no other is, in the order of claims."""
        ...

    def is_claimable(self, task: TaskId) -> bool:
        """Whether it is ready, due, in a run that is not paused, and free of file conflicts."""
        ...

    def live_attempt_of(self, worker: str) -> AttemptId | None:
        """The attempt that a worker holds; the oldest, should it hold several."""
        ...

    def live_attempts(self) -> list[LiveAttempt]:
        """Every running attempt."""
        ...

    def live_attempts_of_client(self, principal: Principal) -> list[LiveAttempt]:
        """Running attempts whose worker speaks through another principal with the same client process, session or name.

        Oldest first.
        """
        ...

    def holder(self, wanted: Iterable[Hold], *, besides: TaskId) -> tuple[TaskId, str] | None:
        """The oldest task, and its worker, whose live attempt conflicts with holding these."""
        ...

    def note(self, name: str) -> Note | None:
        """A note's newest version."""
        ...

    def notes(self) -> list[Note]:
        """Every note's newest version, by name."""
        ...

    def undelivered(self, worker: str) -> list[tuple[Message, bool]]:
        """Messages that a worker has not been seen to receive, and whether each was offered to it already."""
        ...

    def events(self, *, after: int = 0, limit: int = 1000, stream: str | None = None) -> list[Recorded]:
        """Events above a position, in order."""
        ...

    def newest_events(self, stream: str, *, limit: int) -> list[Recorded]:
        """The last events of a stream, in order."""
        ...

    def lost_tails(self, stream: str, *, since: Collection[str]) -> int:
        """How often the log may have lost its tail since the newest event of these kinds in a stream.

        Each event of the stream `log` says that it may have. All of them count where there is no such event.
        """
        ...

    def principal(self, principal: str) -> Principal | None:
        """A principal that has introduced itself."""
        ...

    def principals(self) -> list[Principal]:
        """Every principal that still counts as connected."""
        ...

    def worker(self, name: str) -> Worker | None:
        """A worker by name."""
        ...

    def is_silent(self, principal: str) -> bool:
        """Whether nothing was heard of a principal for the length of its lease, or only in another boot."""
        ...

    def workers(self) -> list[Worker]:
        """Workers of connected principals, and those that hold an attempt."""
        ...

    def worker_of(self, principal: str, agent: str | None) -> Worker | None:
        """The worker that a principal's agent is."""
        ...

    def workers_of_client(self, principal: Principal) -> list[Worker]:
        """Workers of other principals with the same client process, session or name, the newest first."""
        ...

    def signs(self) -> list[Sign]:
        """Every sign of life that is kept, of this boot: the newest of its kind of each agent."""
        ...

    def spent(self, *, after: int = 0) -> float:
        """What the sessions cost that ended above a position, in US dollars; those of unknown cost count nothing."""
        ...

    def ended_sessions(self, *, limit: int) -> list[Recorded]:
        """How the sessions ended that ended last, the newest first."""
        ...

    def document(self, name: str) -> str | None:
        """A soft document: what supervisor and commands tell each other."""
        ...

    def next_moment(self) -> float | None:
        """Seconds until the next due time or deadline, at least 0; None when nothing is scheduled."""
        ...


class Writing(Reading, Protocol):
    """One transaction that may append."""

    def append(self, stream: str, events: Sequence[Event]) -> int:
        """Append to a stream and fold into the views; answers the last position."""
        ...

    def act_as(self, actor: str) -> None:
        """Record what is appended from here on as this worker's doing."""
        ...

    def new_task(self) -> TaskId:
        """The next task's id."""
        ...

    def new_run(self) -> RunId:
        """The next run's id."""
        ...

    def new_message(self) -> MessageId:
        """The next message's id."""
        ...

    def new_worker(self, prefix: str) -> str:
        """A worker name that was never given out: `blue-1`."""
        ...

    def bring_forward_due(self) -> None:
        """Let tasks whose time has come be claimed."""
        ...

    def put_principal(self, principal: Principal) -> None:
        """Remember a principal, or what changed about it; it was heard of now."""
        ...

    def put_worker(self, worker: Worker) -> None:
        """Remember a worker, or what changed about it."""
        ...

    def start_lease(self, attempt: AttemptId, *, lease_seconds: float, ceiling_seconds: float | None) -> None:
        """Begin a lease, or renew it at a call of its worker; with a ceiling, begin that too.

        Whoever calls waits for nobody: a ceiling that stood still runs on.
        """
        ...

    def renew_leases(self, principal: str, *, lease_seconds: float) -> None:
        """Renew the lease of every attempt of a principal, which was heard of now; what stands still goes on to."""
        ...

    def pause_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        """Let the ceiling of an attempt stand still from a moment of this boot on; once is enough."""
        ...

    def resume_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        """Let a ceiling that stands still run on from a moment of this boot, with what was left of it."""
        ...

    def put_sign(self, sign: Sign) -> None:
        """Keep a sign of life of this boot in place of the last of its kind."""
        ...

    def drop_signs(self, principal: str, *, agent: str | None = None) -> None:
        """Forget the signs of a principal, or of one agent in it."""
        ...

    def put_document(self, name: str, text: str | None) -> None:
        """Keep a soft document in place of the last of its name; None forgets it."""
        ...

    def offered(self, messages: Iterable[MessageId], *, worker: str) -> None:
        """Note that messages ride on the answer that is about to be given."""
        ...


class Watch(Protocol):
    """One waiter's eye on the log; belongs to one thread."""

    def mark(self) -> object:
        """The change mark; read it before the state, so that no change falls between."""
        ...

    def sleep(self, mark: object, *, at_most_seconds: float) -> None:
        """Return when the log has changed since the mark, or the time is over."""
        ...

    def close(self) -> None:
        """Stop watching."""
        ...


class Store(Protocol):
    """The log, its views and its soft state."""

    def reading(self) -> AbstractContextManager[Reading]:
        """Look at one consistent state.

        Raises:
            StoreUnavailableError: the log cannot be read.
            StoreTooNewError: a newer program has raised the log's minimum version.
        """
        ...

    def writing(self, *, actor: str, causation: str) -> AbstractContextManager[Writing]:
        """Decide and append in one transaction: all of it on return, nothing of it on an exception.

        Raises:
            StoreUnavailableError: the log cannot be written.
            StoreTooNewError: a newer program has raised the log's minimum version.
        """
        ...

    def has_claimable(self, roles: Sequence[str]) -> bool:
        """Whether a claim is worth trying: a hint, without a transaction, that one of these roles has work now."""
        ...

    def has_undelivered(self) -> bool:
        """Whether anybody has a message waiting: a hint, without a transaction."""
        ...

    def watch(self) -> Watch:
        """Begin to watch for changes."""
        ...

    def rebuild(self) -> None:
        """Make the views anew from the log, in one transaction."""
        ...

    def differences(self) -> list[str]:
        """Where views and log disagree, a line each; none when all is well."""
        ...

    def back_up_if_due(self) -> None:
        """Begin an automatic backup where it is time for one, and do not wait for it."""
        ...

    def close(self) -> None:
        """Let go of the log."""
        ...
