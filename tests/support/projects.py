"""A whole project at the coordinator's level, whose clock and processes obey the test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from tests.support.clocks import ManualClock

from trichrome.coordinator import (
    OPERATOR,
    Caller,
    Coordinator,
    Senses,
    Settings,
    Traces,
    attempts,
    liveness,
    messages,
    principals,
    tasks,
)
from trichrome.domain.drafts import Draft
from trichrome.domain.tasks import Task
from trichrome.store.memory import MemoryStore
from trichrome.store.port import Principal, Store
from trichrome.store.sqlite import SqliteStore

StoreKind = Literal["memory", "sqlite"]
STORES: Final[tuple[StoreKind, ...]] = ("memory", "sqlite")
ROLES: Final = {
    "blue": ("search", "analyze"),
    "green": ("implement", "fix", "refactor", "test", "document"),
    "red": ("review",),
}
Process = tuple[int, int]
LEASE_SECONDS: Final = 600.0


@dataclass
class Worker:
    """Somebody who calls, through one server."""

    project: Project
    caller: Caller

    @property
    def name(self) -> str:
        with self.project.store.reading() as view:
            worker = view.worker_of(self.caller.principal, self.caller.agent)
        assert worker is not None
        return worker.name

    def agent(self, agent: str | None, *, known: bool = True) -> Worker:
        """Another agent behind the same server."""
        return Worker(self.project, replace(self.caller, agent=agent, known=known))

    def claim(self, **arguments: Any) -> Any:
        return attempts.claim(self.project.coordinator, self.caller, **arguments)

    def take(self, **arguments: Any) -> str:
        """Claim, and be given something: the attempt's handle."""
        answer = self.claim(**arguments)
        assert answer["attempt"] is not None, answer["next"]
        return str(answer["attempt"])

    def report(self, attempt: str, outcome: Any = "completed", summary: str = "done", **arguments: Any) -> Any:
        return attempts.report(self.project.coordinator, self.caller, attempt, outcome, summary, **arguments)

    def progress(self, attempt: str, **arguments: Any) -> Any:
        return attempts.progress(self.project.coordinator, self.caller, attempt, **arguments)

    def reserve(self, attempt: str, *paths: str, **arguments: Any) -> Any:
        return attempts.reserve(self.project.coordinator, self.caller, attempt, paths, **arguments)

    def create(self, kind: str = "search", instructions: str = "find it", **content: Any) -> str:
        """Create one task; answers its id."""
        run = content.pop("run", None)
        made = self.create_all(Draft(kind=kind, instructions=instructions, **content), run=run)
        return str(made["tasks"][0]["id"])

    def create_all(self, *drafts: Draft, run: str | None = None) -> Any:
        return tasks.create(self.project.coordinator, self.caller, drafts, run=run)

    def cancel(self, **arguments: Any) -> Any:
        return tasks.cancel(self.project.coordinator, self.caller, **arguments)

    def send(self, to: str, text: str) -> Any:
        return messages.send(self.project.coordinator, self.caller, to, text)

    def inbox(self) -> Any:
        """Call, and read the whole answer: what rides on it leaves."""
        found = messages.inbox(self.project.coordinator, self.caller)
        if found is None:
            return []
        messages.offer(self.project.coordinator, found)
        return found.handed


@dataclass
class Project:
    """A store with everything around it injected."""

    store: Store
    clock: ManualClock
    settings: Settings = field(default_factory=Settings)
    alive: set[Process] = field(default_factory=set)
    stopped: set[Process] = field(default_factory=set)
    changed_at: dict[str, float] = field(default_factory=dict)
    at_work: dict[Process, list[tuple[str, float]]] = field(default_factory=dict)
    traces: Traces | None = None
    jitter: float = 0.5
    _pids: int = 100
    _principals: int = 0

    @property
    def machine(self) -> tuple[str, str, str]:
        return ("here", self.clock.boot, "pid:[1]")

    @property
    def coordinator(self) -> Coordinator:
        return Coordinator(
            store=self.store,
            clock=self.clock,
            roles=ROLES,
            settings=self.settings,
            machine=self.machine,
            is_alive=self.alive.__contains__,
            senses=Senses(
                is_stopped=self.stopped.__contains__,
                at_work=lambda client, _server: self.at_work.get(client, ()),
                changed_at=self.changed_at.get,
                traces=None if (left := self.traces) is None else lambda: left,
            ),
            draw=lambda: self.jitter,
        )

    def process(self) -> Process:
        """A process that lives until `kill`."""
        self._pids += 1
        process = (self._pids, self._pids * 7)
        self.alive.add(process)
        return process

    def kill(self, *processes: Process | None) -> None:
        """What `kill -9` does."""
        self.alive.difference_update(process for process in processes if process is not None)

    def join(
        self,
        role: str | None = None,
        *,
        client: Process | Literal["new", "unseen"] = "new",
        session: str | None = None,
        name: str | None = None,
        machine: tuple[str, str, str] | None = None,
        known: bool = True,
        lease_seconds: float = LEASE_SECONDS,
        supervisor: Process | None = None,
        task: str | None = None,
    ) -> Worker:
        """A new server, introduced, for a new client or a given one."""
        self._principals += 1
        principal = Principal(
            id=f"p{self._principals}",
            machine=machine or self.machine,
            server=self.process(),
            client=self.process() if client == "new" else None if client == "unseen" else client,
            session=session,
            name=name,
            role=role,
            lease_seconds=lease_seconds,
            supervisor=supervisor,
        )
        principals.introduce(self.coordinator, principal)
        roles = None if role is None else (role,)
        caller = Caller(principal=principal.id, roles=roles, known=known, task=task)
        return Worker(self, caller)

    def principal(self, worker: Worker) -> Principal:
        with self.store.reading() as view:
            found = view.principal(worker.caller.principal)
        assert found is not None
        return found

    def kill_server(self, worker: Worker) -> Process | None:
        """The server dies; answers its client, for a next server."""
        principal = self.principal(worker)
        self.kill(principal.server)
        return principal.client

    def kill_client(self, worker: Worker) -> None:
        """Client and server die."""
        principal = self.principal(worker)
        self.kill(principal.server, principal.client)

    def sweep(self) -> list[str]:
        return [str(attempt) for attempt in liveness.sweep(self.coordinator)]

    @property
    def operator(self) -> Worker:
        return Worker(self, OPERATOR)

    def task(self, task: str) -> Task:
        with self.store.reading() as view:
            found = view.task(task)  # type: ignore[arg-type]
        assert found is not None
        return found

    def state(self, task: str) -> str:
        return self.task(task).state

    def kinds(self, stream: str) -> list[str]:
        """The names of a stream's events, in order."""
        with self.store.reading() as view:
            return [type(each.event).__name__ for each in view.events(stream=stream)]


def open_store(kind: StoreKind, folder: Path, clock: ManualClock) -> Store:
    """An empty store of a kind; what is durable lies in `folder`."""
    return MemoryStore(clock) if kind == "memory" else SqliteStore(folder / "events.db", clock, durability="fast")
