"""Rules broken on purpose, one at a time, to see that the simulation finds it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest
from tests.simulation.store import SimulatedStore
from tests.simulation.world import Actor, World

from trichrome.coordinator import Coordinator, attempts, consequences, liveness, principals
from trichrome.domain import decisions
from trichrome.domain.events import Event, TaskEvent
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import Task
from trichrome.mcp_server.session import Session
from trichrome.store import memory
from trichrome.store.memory import MemoryStore
from trichrome.store.port import LiveAttempt, Recorded

Patch = pytest.MonkeyPatch


class Unisolated(SimulatedStore):
    """Transactions that decide on what they read, while others write: what deferred transactions would be."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.changed = cast("Any", nullcontext())
        self._own: dict[Actor, list[Recorded]] = {}

    def record(self, stream: str, event: Event, actor: str, causation: str) -> Recorded:
        """Others may act between a decision and its event."""
        self.world.moment()
        recorded = MemoryStore.record(self, stream, event, actor, causation)
        self.world.note("event", recorded)
        self.recorded(recorded)
        self._own.setdefault(self.world.current, []).append(recorded)
        return recorded

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[Any]:
        """Nothing is undone, as nothing of it can be told from what others wrote."""
        self.before()
        yield memory._Transaction(self, actor, causation)
        self.committed(self._own.pop(self.world.current, []), actor, causation)
        self.world.moment()


class Unrolled(SimulatedStore):
    """What a transaction wrote stays, though it died in the middle."""

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[Any]:
        """Nothing is undone."""
        self.before()
        length = len(self.log)
        yield memory._Transaction(self, actor, causation)
        self.after(self.log[length:], actor, causation)


def no_fencing(patch: Patch) -> None:
    """A call with an attempt that was superseded counts."""
    fenced = decisions._take_up

    def unfenced(task: Task, command: decisions.TakeUp) -> list[TaskEvent]:
        return fenced(task, replace(command, attempt=max(command.attempt, task.last_number)))

    patch.setattr(decisions, "_take_up", unfenced)


def no_incarnation(patch: Patch) -> None:
    """A rescue ends what it saw a dead worker hold before its transaction, whoever has gone on with it since."""
    look, seen = liveness._over, list[tuple[Any, list[tuple[LiveAttempt, str | None]]]]()

    def over(c: Coordinator, view: Any) -> list[tuple[LiveAttempt, str | None]]:
        by = threading.get_ident(), c.store
        before = next((found for who, found in seen if who == by), None)
        seen[:] = [each for each in seen if each[0] != by]
        if view._causation and before is not None:
            return before
        found = look(c, view)
        if found and not view._causation:
            seen.append((by, found))
        return found

    def is_live(task: Task, attempt: int, _principal: str) -> bool:
        last = task.attempt
        return last is not None and last.number == attempt and last.state == "running"

    patch.setattr(liveness, "_over", over)
    patch.setattr(decisions, "_is_live", is_live)


def no_giving_back(patch: Patch) -> None:
    """A claim that nobody read is kept."""
    patch.setattr(Session, "give_back", lambda _session, _answer: None)


def no_memory_of_former_servers(patch: Patch) -> None:
    """A client is somebody else after its server's crash."""
    for module in (attempts, principals):
        patch.setattr(module, "former_worker", lambda _c, _tx, _caller: None)


def no_freeing(patch: Patch) -> None:
    """A completed task frees nobody."""
    patch.setattr(consequences, "_free_dependents", lambda _c, _tx, _task: None)


def leases_for_all(patch: Patch) -> None:
    """A client that can be seen is judged by its lease."""
    judged = liveness.why_gone
    patch.setattr(liveness, "why_gone", lambda c, live: "its lease ran out" if live.lapsed else judged(c, live))


def no_record_of_reports(patch: Patch) -> None:
    """A report that is repeated counts as a new one."""
    patch.setattr(attempts, "_recorded", lambda _tx, _task, _attempt: None)


def newest_first(patch: Patch) -> None:
    """The newest task is claimed first."""
    in_order = memory._Transaction.claimable

    def claimable(tx: Any, roles: Sequence[str], *, worker: str) -> TaskId | None:
        first = in_order(tx, roles, worker=worker)
        found = [
            task.id
            for task in tx._views.tasks.values()
            if task.role in roles and task.author != worker and tx.is_claimable(task.id)
        ]
        return found[-1] if found else first

    patch.setattr(memory._Transaction, "claimable", claimable)


def blind_lookouts(patch: Patch) -> None:
    """A keeper never notices that a process is gone."""
    patch.setattr(liveness.Lookout, "has_news", lambda _lookout: False)
