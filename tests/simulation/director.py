"""Who starts clients, kills, stops and helps them, and makes the machine fail; the operator too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.simulation.agents import Agent, Lead
from tests.simulation.answers import Answers
from tests.simulation.clients import Client
from tests.simulation.plan import Kind, Plan
from tests.simulation.store import SimulatedStore
from tests.simulation.truth import Truth
from tests.simulation.world import Actor, World

from trichrome.coordinator import OPERATOR, Caller, Coordinator, liveness, reviews, runs, tasks
from trichrome.domain.events import LogSalvaged
from trichrome.errors import TrichromeError

MakeStore = Callable[[World], SimulatedStore]


class Director:
    """Whoever starts, kills, stops and helps; the operator too."""

    def __init__(self, plan: Plan, make_store: MakeStore) -> None:
        self.world = World(plan)
        self.draw = self.world.draw
        self.truth = Truth(self.world)
        self.answers = Answers(self.truth)
        self.store = make_store(self.world)
        self.store.recorded, self.store.committed = self.truth.recorded, self.truth.committed
        self.clients: list[Client] = []
        self.agents: list[Agent] = []

    # --- who takes part -----------------------------------------------------------------------------------------------

    def client(self, kind: Kind, role: str | None = None, session: str | None = None) -> Client:
        """A new client, with a process of its own."""
        world = self.world
        machine = world.machines[kind == "elsewhere"]
        number = max((client.number for client in self.clients), default=0) + 1
        if kind == "session" or (kind == "unseen" and self.draw.random() < 0.5):
            session = session or f"session-{number}"
        client = Client(world, self.store, self.answers, number, kind, machine, machine.start(), role, session)
        self.clients.append(client)
        return client

    def play(self, agent: Agent) -> None:
        """Let an agent begin."""
        self.agents.append(agent)
        client = agent.client
        actor = Actor(f"{client.identity}{agent.name or ''}", client.process, client.behind)
        self.world.enter(actor, agent.live)

    def employ(self, kind: Kind | None = None, role: str | None = None, session: str | None = None) -> None:
        """A client with a worker in it; or with two that a hook tells apart, or that speak through servers of their own."""
        looks: Kind = kind if kind is not None else self.draw.choice(self.world.plan.kinds)
        client = self.client(looks, role, session)
        # Who had two servers was two workers, and goes on as either of them.
        client.is_twin = any(each.is_twin and each.identity == client.identity for each in self.clients)
        shape = self.draw.random() if looks in {"seen", "session"} else 1.0
        if shape < 0.1:
            client.is_twin = True
            twin = replace(client)
            self.clients.append(twin)
            self.play(Agent(client))
            self.play(Agent(twin))
        elif shape < 0.4:
            self.play(Agent(client, "agent-a"))
            self.play(Agent(client, "agent-b"))
        else:
            self.play(Agent(client))

    # --- the story ----------------------------------------------------------------------------------------------------

    def storm(self) -> None:
        """A beginning, and a storm."""
        plan, draw = self.world.plan, self.draw
        self.lead = Lead(self.client("seen"), batches=plan.batches)
        self.play(self.lead)
        for _ in range(plan.clients):
            self.employ(role=draw.choice((None, None, None, "green", "blue")))
        for _ in range(plan.steps):
            self.world.sleep(draw.choice((0.05, 0.5, 0.5, 5.0, 30.0, 200.0, 700.0)))
            draw.choice(self.verbs())()

    def verbs(self) -> list[Callable[[], None]]:
        """What the director may do next."""
        faults = self.world.plan.faults
        chosen = [self.sweep]
        for fault, verb in (
            ("kill", self.kill),
            ("stop", self.stop),
            ("wall", self.wall),
            ("operator", self.operate),
            ("salvage", self.salvage),
        ):
            chosen += [verb, verb] if fault in faults else []
        return [*chosen, self.reboot] if "reboot" in faults else chosen

    @property
    def coordinator(self) -> Coordinator:
        """What a command started now works with."""
        return self.world.machines[0].coordinator(self.store)

    def sweep(self) -> None:
        """A command comes by, and rescues."""
        due = self.truth.due(self.coordinator)
        liveness.sweep(self.coordinator)
        self.truth.swept(due)

    def victim(self) -> Client | None:
        """A client that lives, where there is one; mostly one that works."""
        living = [client for client in self.clients if client.process.is_alive]
        working = [agent.client for agent in self.agents if agent.handle and agent.client in living]
        if working and self.draw.random() < 0.7:
            return self.draw.choice(working)
        return self.draw.choice(living) if living else None

    def kill(self) -> None:
        """A client dies, or its server, or both; somebody else may take its place."""
        client, how = self.victim(), self.draw.choice(("client", "server", "both"))
        if client is None:
            return
        server = client.server
        self.world.note("kills", f"{how} of {client.identity}")
        if server is not None and how != "client":
            server.process.kill()
        if how != "server":
            client.process.kill()
            if client is self.lead.client:
                return
            if self.draw.random() < 0.7:
                is_resumed = client.kind == "session" and self.draw.random() < 0.5
                self.employ("session" if is_resumed else None, client.role, client.session if is_resumed else None)

    def stop(self) -> None:
        """A process is stopped, or a stopped one goes on."""
        client = self.victim()
        if client is None:
            return
        chosen = self.draw.choice(client.behind())
        self.world.stopped ^= {chosen}
        is_stopped = chosen in self.world.stopped
        what = "client" if chosen is client.process else "server"
        self.world.note("stops" if is_stopped else "lets go on", f"{what} of {client.identity}")
        if is_stopped and self.draw.random() < 0.5:
            self.world.sleep(601.0)  # as long as a lease lasts; then its worker and a sweep race
            if self.draw.random() < 0.3:
                self.sweep()
            self.world.stopped.discard(chosen)
            self.sweep()

    def wall(self) -> None:
        """Somebody sets the wall clock."""
        seconds = self.draw.choice((-86_400.0, -60.0, 60.0, 3_600.0, 86_400.0))
        self.world.clock.wall += seconds
        self.world.note("sets the wall clock", f"by {seconds:g} s")

    def reboot(self) -> None:
        """The host starts again, and other clients come."""
        self.world.note("reboots")
        self.world.reboot()
        for _ in range(self.world.plan.clients):
            self.employ()

    def salvage(self) -> None:
        """A damaged log was repaired: its tail may be missing."""
        with self.store.writing(actor="operator", causation="repair") as tx:
            tx.append("log", [LogSalvaged(holes=())])

    def operate(self) -> None:
        """The operator steps in; what the rules refuse does not happen."""
        known = list(self.truth.judge.tasks) or ["t1"]
        task, run = self.draw.choice(known), self.draw.choice(list(self.truth.judge.runs) or ["r1"])
        verbs: list[Callable[[], None]] = [
            lambda: self.told("retry", tasks.retry, task),
            lambda: self.told("amend", tasks.amend, task, priority=1),
            lambda: self.told("cancel", _cancel, task),
            lambda: self.told("pause", runs.pause, run),
            lambda: self.told("resume", runs.resume, run),
            lambda: self.told("approve", reviews.approve, task),
            lambda: self.told("reject", reviews.reject, task, reason="no"),
        ]
        self.draw.choice(verbs)()

    def told(self, verb: str, act: Callable[..., Any], about: str, **more: Any) -> None:
        """The operator's call, judged like any other."""
        call = self.answers.begin(verb, None, None, None, {"about": about, **more})
        try:
            answer = act(self.coordinator, OPERATOR, about, **more)
        except TrichromeError as error:
            self.answers.end(call, "refused", error)
        else:
            self.answers.end(call, "answered", answer)


def _cancel(c: Coordinator, caller: Caller, task: str) -> Any:
    return tasks.cancel(c, caller, task=task)
