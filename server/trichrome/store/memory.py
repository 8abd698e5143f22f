"""The reference store: the same port over plain dictionaries, for tests and simulations.

It answers each question in the most obvious way, so that the indexed answers of the other adapters have something to
be held against. One process, one lock; nothing outlives it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from trichrome.clock import Clock
from trichrome.domain import reservations, tails
from trichrome.domain.events import Event, MessageSent, OnLeadGone, RunCreated, SessionEnded, TaskCreated
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.reservations import Hold
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, Brief, State, Task
from trichrome.store import codec, task_log
from trichrome.store.port import LiveAttempt, Principal, Recorded, Reported, Sign, TaskFilter, TaskLine, Worker
from trichrome.store.projector import project
from trichrome.store.views import FoldedTables, Views, compare, fold


@dataclass(frozen=True, slots=True)
class _Due:
    """When a delayed task may be claimed: by the boot's monotonic clock, and by the wall for another boot."""

    boot: str
    due: float
    wall: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _Lease:
    """The deadlines of an attempt, by the boot's monotonic clock."""

    attempt: int
    boot: str
    deadline: float
    ceiling: float | None
    ceiling_seconds: float | None


@dataclass(slots=True)
class _Soft:
    principals: dict[str, Principal] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    silent_from: dict[str, tuple[str, float]] = field(default_factory=dict)
    dues: dict[TaskId, _Due] = field(default_factory=dict)
    leases: dict[TaskId, _Lease] = field(default_factory=dict)
    offers: set[tuple[MessageId, str]] = field(default_factory=set)
    signs: dict[tuple[str, str, str], tuple[str, Sign]] = field(default_factory=dict)
    documents: dict[str, str] = field(default_factory=dict)


def _copied(value: Any) -> Any:
    return type(value)(*[getattr(value, name).copy() for name in value.__match_args__])


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    """Tasks in the order of claims."""
    return sorted(tasks, key=lambda task: (task.priority, number(task.id)))


class _Transaction(FoldedTables):
    """Reading, writing and the projector's tables, over one state."""

    def __init__(self, store: MemoryStore, actor: str, causation: str) -> None:
        super().__init__(store.views)
        self._store = store
        self._soft = store.soft
        self._actor = actor
        self._causation = causation

    # --- views, reading -----------------------------------------------------------------------------------------------

    def position(self) -> int:
        return len(self._store.log)

    def open_runs(self, *, on_lead_gone: OnLeadGone | None = None) -> list[Run]:
        moving = {task.run for task in self._views.tasks.values() if not task.is_final}
        runs = [self._views.runs.get(run) for run in sorted(moving, key=number)]
        return [run for run in runs if run is not None and on_lead_gone in {None, run.on_lead_gone}]

    def newest_run(self, lead: str) -> RunId | None:
        mine = [run.id for run in self._views.runs.values() if run.lead == lead]
        return max(mine, key=number, default=None)

    def task_by_key(self, key: str) -> tuple[TaskId, str] | None:
        return self._views.keys.get(key)

    def dependents(self, task: TaskId) -> list[TaskId]:
        return sorted((waiting for waiting, on in self._views.edges if on == task), key=number)

    def attempts(self, task: TaskId) -> list[Attempt]:
        return [attempt for handle, attempt in sorted(self._views.attempts.items()) if handle.task == task]

    def reports(self, task: TaskId) -> list[Reported]:
        return task_log.reports(task, self._said(task, task_log.REPORT_KINDS))

    def brief(self, task: TaskId) -> Brief:
        return task_log.brief(self._said(task, task_log.BRIEF_KINDS))

    def _said(self, task: TaskId, kinds: Collection[str]) -> list[Event]:
        return [each.event for each in self._store.log if each.stream == task and type(each.event).__name__ in kinds]

    def list_tasks(self, chosen: TaskFilter) -> list[TaskLine]:
        lines = []
        for task in sorted(self._views.tasks.values(), key=lambda each: number(each.id)):
            ended = self._views.ended.get(task.id)
            if (
                (chosen.run is None or task.run == chosen.run)
                and (chosen.tasks is None or task.id in chosen.tasks)
                and (chosen.state is None or task.state == chosen.state)
                and (chosen.role is None or task.role == chosen.role)
                and (chosen.after is None or number(task.id) > number(chosen.after))
                and (not chosen.is_open or ended is None)
                and (chosen.ended_after is None or (ended is not None and ended > chosen.ended_after))
            ):
                lines.append(TaskLine(task, self._summary(task), ended))
        return lines[: chosen.limit]

    def _summary(self, task: Task) -> str | None:
        for each in reversed(self.reports(task.id)):
            if not each.superseded:
                return each.report.summary
        return None

    def count_tasks(self, run: RunId | None = None) -> dict[State, int]:
        counts: dict[State, int] = {}
        for task in self._views.tasks.values():
            if run is None or task.run == run:
                counts[task.state] = counts.get(task.state, 0) + 1
        return counts

    def claimable(self, roles: Sequence[str], *, worker: str) -> TaskId | None:
        free = (task.id for task in _in_order(self._claimable(roles)) if task.author != worker)
        return next(free, None)

    def all_claimable(self, roles: Sequence[str], *, limit: int) -> list[Task]:
        return _in_order(task for role in roles for task in _in_order(self._claimable((role,)))[:limit])

    def _claimable(self, roles: Sequence[str]) -> Iterator[Task]:
        return (task for task in self._views.tasks.values() if task.role in roles and self.is_claimable(task.id))

    def is_claimable(self, task: TaskId) -> bool:
        state = self._views.tasks[task]
        run = self._views.runs.get(state.run)
        return (
            state.state == "ready"
            and task not in self._soft.dues
            and (run is None or not run.paused)
            and self.holder(reservations.holds(state.files), besides=task) is None
        )

    def live_attempt_of(self, worker: str) -> AttemptId | None:
        return next((AttemptId(task.id, last.number) for task, last in self._live() if last.worker == worker), None)

    def _live(self) -> Iterator[tuple[Task, Attempt]]:
        tasks = self._views.tasks.values()
        live = [(task, task.attempt) for task in tasks if task.attempt and task.attempt.state == "running"]
        yield from sorted(live, key=lambda each: number(each[0].id))

    def live_attempts(self) -> list[LiveAttempt]:
        now = self._store.clock.now()
        found = []
        for task, last in self._live():
            lease = self._soft.leases.get(task.id)
            this_boot = lease is not None and lease.boot == now.boot
            found.append(
                LiveAttempt(
                    AttemptId(task.id, last.number),
                    last.worker,
                    self._soft.principals.get(last.principal),
                    lapses_in=lease.deadline - now.monotonic if lease is not None and this_boot else 0.0,
                    ceiling_in=lease.ceiling - now.monotonic
                    if lease is not None and this_boot and lease.ceiling is not None
                    else None,
                )
            )
        return found

    def live_attempts_of_client(self, principal: Principal) -> list[LiveAttempt]:
        names = {worker.name for worker in self.workers_of_client(principal)}
        return [live for live in self.live_attempts() if live.worker in names]

    def holder(self, wanted: Iterable[Hold], *, besides: TaskId) -> tuple[TaskId, str] | None:
        asked = list(wanted)
        for task, last in self._live():
            if task.id != besides and any(held.conflicts_with(each) for held in last.holds for each in asked):
                return task.id, last.worker
        return None

    def note(self, name: str) -> Note | None:
        return self._views.notes.get(name)

    def notes(self) -> list[Note]:
        return [self._views.notes[name] for name in sorted(self._views.notes)]

    def undelivered(self, worker: str) -> list[tuple[Message, bool]]:
        mine = [each for each in self._views.messages.values() if worker in each.undelivered]
        return [(each, (each.id, worker) in self._soft.offers) for each in sorted(mine, key=lambda m: number(m.id))]

    def events(self, *, after: int = 0, limit: int = 1000, stream: str | None = None) -> list[Recorded]:
        chosen = (each for each in self._store.log[after:] if stream is None or each.stream == stream)
        return [each for each, _ in zip(chosen, range(limit), strict=False)]

    def newest_events(self, stream: str, *, limit: int) -> list[Recorded]:
        return [each for each in self._store.log if each.stream == stream][-limit:]

    def lost_tails(self, stream: str, *, since: Collection[str]) -> int:
        lost = 0
        for each in reversed(self._store.log if self._store.has_lost_tails() else ()):
            if each.stream == stream and type(each.event).__name__ in since:
                return lost
            lost += each.stream == tails.LOG
        return lost

    def spent(self, *, after: int = 0) -> float:
        ended = [each.event for each in self._store.log[after:] if isinstance(each.event, SessionEnded)]
        return sum(event.cost_usd or 0.0 for event in ended)

    def ended_sessions(self, *, limit: int) -> list[Recorded]:
        ended = (each for each in reversed(self._store.log) if isinstance(each.event, SessionEnded))
        return list(itertools.islice(ended, limit))

    # --- appending ----------------------------------------------------------------------------------------------------

    def append(self, stream: str, events: Sequence[Event]) -> int:
        for event in events:
            recorded = self._store.record(stream, event, self._actor, self._causation)
            project(self, recorded)
        return self.position()

    def act_as(self, actor: str) -> None:
        self._actor = actor

    def new_task(self) -> TaskId:
        return TaskId(self._next("t", self._views.tasks, TaskCreated, most=tails.EVENTS))

    def new_run(self) -> RunId:
        return RunId(self._next("r", self._views.runs, RunCreated, most=tails.NUMBERS))

    def new_message(self) -> MessageId:
        return MessageId(self._next("m", self._views.messages, MessageSent, most=tails.NUMBERS))

    def _next(self, letter: str, known: dict[Any, Any], beginning: type, *, most: int) -> str:
        newest = number(next(reversed(known), f"{letter}0"))
        lost = self.lost_tails(f"{letter}{newest}", since=(beginning.__name__,))
        return f"{letter}{newest + lost * most + 1}"

    # --- soft state ---------------------------------------------------------------------------------------------------

    def new_worker(self, prefix: str) -> str:
        self._soft.names[prefix] = self._soft.names.get(prefix, 0) + 1
        lost = self.lost_tails("", since=())
        return f"{prefix}-{self._soft.names[prefix] + lost * tails.NUMBERS}"

    def bring_forward_due(self) -> None:
        now = self._store.clock.now()
        for task, each in list(self._soft.dues.items()):
            due = each
            if each.boot != now.boot:
                left = max(0.0, min(each.seconds, each.wall - now.wall))
                due = self._soft.dues[task] = replace(each, boot=now.boot, due=now.monotonic + left)
            if due.due <= now.monotonic:
                del self._soft.dues[task]

    def delay(self, task: TaskId, seconds: float, *, since: float) -> None:
        now = self._store.clock.now()
        left = min(seconds, since + seconds - now.wall)
        self._soft.dues.pop(task, None)
        if left > 0:
            self._soft.dues[task] = _Due(now.boot, now.monotonic + left, now.wall + left, seconds)

    def end_lease(self, task: TaskId) -> None:
        self._soft.leases.pop(task, None)

    def start_lease(self, attempt: AttemptId, *, lease_seconds: float, ceiling_seconds: float | None) -> None:
        now = self._store.clock.now()
        if ceiling_seconds is None:
            self.resume_ceiling(attempt, at=now.monotonic)
        self._renew(attempt, lease_seconds=lease_seconds, ceiling_seconds=ceiling_seconds)

    def _renew(self, attempt: AttemptId, *, lease_seconds: float, ceiling_seconds: float | None = None) -> None:
        now = self._store.clock.now()
        known = self._soft.leases.get(attempt.task)
        ceiling: float | None = None
        if ceiling_seconds is not None:
            ceiling = now.monotonic + ceiling_seconds
        elif known is not None and known.attempt == attempt.number:
            ceiling_seconds = known.ceiling_seconds
            ceiling = known.ceiling
            if known.boot != now.boot and ceiling is not None and ceiling_seconds is not None:
                ceiling = now.monotonic + ceiling_seconds
        self._soft.leases[attempt.task] = _Lease(
            attempt.number, now.boot, now.monotonic + lease_seconds, ceiling, ceiling_seconds
        )

    def renew_leases(self, principal: str, *, lease_seconds: float) -> None:
        now = self._store.clock.now()
        if principal in self._soft.principals:
            self._soft.silent_from[principal] = (now.boot, now.monotonic + lease_seconds)
        for task, last in self._live():
            if last.principal == principal:
                self._renew(AttemptId(task.id, last.number), lease_seconds=lease_seconds)

    def pause_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        lease = self._soft.leases.get(attempt.task)
        if lease is not None and lease.attempt == attempt.number and lease.ceiling is not None:
            is_of_now = lease.boot == self._store.clock.now().boot
            left = max(0.0, lease.ceiling - at) if is_of_now else lease.ceiling_seconds
            self._soft.leases[attempt.task] = replace(lease, ceiling=None, ceiling_seconds=left)

    def resume_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        lease = self._soft.leases.get(attempt.task)
        if lease is None or lease.attempt != attempt.number or lease.ceiling is not None:
            return
        if lease.ceiling_seconds is not None:
            self._soft.leases[attempt.task] = replace(lease, ceiling=at + lease.ceiling_seconds)

    def signs(self) -> list[Sign]:
        boot = self._store.clock.now().boot
        return [sign for (_, _, _), (of, sign) in sorted(self._soft.signs.items()) if of == boot]

    def put_sign(self, sign: Sign) -> None:
        boot = self._store.clock.now().boot
        self._soft.signs[sign.principal, sign.agent, sign.kind] = (boot, sign)

    def drop_signs(self, principal: str, *, agent: str | None = None) -> None:
        for key in list(self._soft.signs):
            if key[0] == principal and agent in {None, key[1]}:
                del self._soft.signs[key]

    def document(self, name: str) -> str | None:
        return self._soft.documents.get(name)

    def put_document(self, name: str, text: str | None) -> None:
        if text is None:
            self._soft.documents.pop(name, None)
        else:
            self._soft.documents[name] = text

    def principal(self, principal: str) -> Principal | None:
        return self._soft.principals.get(principal)

    def principals(self) -> list[Principal]:
        return [each for each in self._soft.principals.values() if each.connected]

    def put_principal(self, principal: Principal) -> None:
        now = self._store.clock.now()
        self._soft.principals[principal.id] = principal
        self._soft.silent_from[principal.id] = (now.boot, now.monotonic + principal.lease_seconds)

    def is_silent(self, principal: str) -> bool:
        now = self._store.clock.now()
        boot, moment = self._soft.silent_from.get(principal, ("", 0.0))
        return boot != now.boot or moment <= now.monotonic

    def worker(self, name: str) -> Worker | None:
        return self._soft.workers.get(name)

    def workers(self) -> list[Worker]:
        connected = {each.id for each in self.principals()}
        holding = {each.worker for each in self.live_attempts()}
        return [each for each in self._soft.workers.values() if each.principal in connected or each.name in holding]

    def worker_of(self, principal: str, agent: str | None) -> Worker | None:
        for each in self._soft.workers.values():
            if each.principal == principal and each.agent == agent:
                return each
        return None

    def workers_of_client(self, principal: Principal) -> list[Worker]:
        def is_shared(other: Principal) -> bool:
            pairs = ((other.client, principal.client), (other.session, principal.session), (other.name, principal.name))
            return other.id != principal.id and any(one is not None and one == mine for one, mine in pairs)

        servers = {each.id for each in self._soft.principals.values() if is_shared(each)}
        return [each for each in reversed(self._soft.workers.values()) if each.principal in servers]

    def put_worker(self, worker: Worker) -> None:
        self._soft.workers[worker.name] = worker

    def offered(self, messages: Iterable[MessageId], *, worker: str) -> None:
        self._soft.offers.update((message, worker) for message in messages)

    def next_moment(self) -> float | None:
        now = self._store.clock.now()
        dues = [each.due if each.boot == now.boot else now.monotonic for each in self._soft.dues.values()]
        leases = self._soft.leases.values()
        ceilings = [each.ceiling for each in leases if each.ceiling is not None and each.boot == now.boot]
        moments = [*dues, *ceilings]
        return max(0.0, min(moments) - now.monotonic) if moments else None


class _MemoryWatch:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def mark(self) -> object:
        return self._store.commits

    def sleep(self, mark: object, *, at_most_seconds: float) -> None:
        with self._store.changed:
            self._store.changed.wait_for(lambda: self._store.commits != mark, timeout=at_most_seconds)

    def close(self) -> None:
        pass


class MemoryStore:
    """The port over dictionaries."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.log: list[Recorded] = []
        self.views = Views()
        self.soft = _Soft()
        self.changed = threading.Condition()
        self.commits = 0
        self._heads: dict[str, tuple[int, bytes]] = {}

    def record(self, stream: str, event: Event, actor: str, causation: str) -> Recorded:
        """Put one event at the log's end, through the codec as a file would."""
        version, previous = self._heads.get(stream, (0, codec.NO_DIGEST))
        kind, schema, payload = codec.encode(event)
        wall = self.clock.now().wall
        digest = codec.digest(
            previous,
            stream=stream,
            version=version + 1,
            schema=schema,
            kind=kind,
            payload=payload,
            recorded_at=wall,
            actor=actor,
            causation=causation,
        )
        decoded = codec.decode(kind, schema, payload)
        recorded = Recorded(len(self.log) + 1, stream, version + 1, decoded, wall, actor, causation, schema, digest)
        self.log.append(recorded)
        self._heads[stream] = (version + 1, digest)
        return recorded

    def has_lost_tails(self) -> bool:
        """Whether the log says anywhere that it may have lost a tail."""
        return tails.LOG in self._heads

    @contextmanager
    def reading(self) -> Iterator[_Transaction]:
        """One consistent look."""
        with self.changed:
            yield _Transaction(self, "", "")

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[_Transaction]:
        """All of it on return, nothing of it on an exception."""
        with self.changed:
            views, soft, heads, length = _copied(self.views), _copied(self.soft), self._heads.copy(), len(self.log)
            try:
                yield _Transaction(self, actor, causation)
            except BaseException:
                self.views, self.soft, self._heads = views, soft, heads
                del self.log[length:]
                raise
            if (len(self.log), self.soft) != (length, soft):
                self.commits += 1
            self.changed.notify_all()

    def has_claimable(self, roles: Sequence[str]) -> bool:
        """Whether a claim is worth trying."""
        with self.reading() as view:
            return view.claimable(roles, worker="") is not None

    def has_undelivered(self) -> bool:
        """Whether anybody has a message waiting."""
        with self.changed:
            return any(message.undelivered for message in self.views.messages.values())

    def watch(self) -> _MemoryWatch:
        """Begin to watch for changes."""
        return _MemoryWatch(self)

    def rebuild(self) -> None:
        """Make the views anew from the log."""
        with self.changed:
            self.views = fold(self.log)

    def differences(self) -> list[str]:
        """Where views and log disagree."""
        with self.changed:
            return compare(self.views, fold(self.log))

    def back_up_if_due(self) -> None:
        """Nothing: what is in memory ends with the program."""

    def close(self) -> None:
        """Nothing to let go of."""
