"""Clients and their servers: what a Claude, its server process and the pipe between them do, without model and wire.

A server does with a call what the product's does, in the same order: it runs the tool, lets messages ride along, writes
the answer, and gives back what nobody read. It may die anywhere on the way, alone or with its client.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.simulation.answers import Answers
from tests.simulation.plan import Kind
from tests.simulation.truth import Call, Truth
from tests.simulation.world import Actor, KilledError, Machine, Process, World

from trichrome.bootstrap import Project
from trichrome.coordinator import Caller, Coordinator, liveness, messages, principals
from trichrome.errors import StoreUnavailableError, TrichromeError
from trichrome.mcp_server.session import Session
from trichrome.processes import ClientChain
from trichrome.store.port import Principal, Store

LEASE_SECONDS: Final = 600.0
NOWHERE: Final = Path()
KEEP_SECONDS: Final = 200.0
"""How often a keeper looks; the product's does every half second, which shows nothing more here."""

Tool = Callable[[Coordinator, Caller], Any]


class LostError(Exception):
    """The call got no answer: the server died, or the call was cancelled."""


@dataclass(eq=False)
class Client:
    """A client process, and the server that it has now.

    Attributes:
        is_twin: it has two servers at once, and this is one of them: somebody else to the log than the other.
    """

    world: World
    store: Store
    answers: Answers
    number: int
    kind: Kind
    machine: Machine
    process: Process
    role: str | None = None
    session: str | None = None
    is_twin: bool = False
    server: Server | None = None

    @property
    def truth(self) -> Truth:
        """What really is."""
        return self.answers.truth

    @property
    def identity(self) -> str:
        """Who it is, whatever process speaks for it: what the product has to recognise."""
        return self.session or (f"named-{self.number}" if self.kind == "named" else f"client-{self.number}")

    @property
    def name(self) -> str | None:
        """The named worker that its servers are."""
        return self.identity if self.kind == "named" else None

    def behind(self) -> tuple[Process, ...]:
        """The processes that it needs to go on."""
        server = self.server
        return (self.process,) if server is None or not server.process.is_alive else (self.process, server.process)

    def served(self) -> Server:
        """Its server; the next one, when that is gone."""
        if self.server is None or not self.server.process.is_alive:
            self.server = Server(self)
            self.world.note("starts", f"server {self.server.principal.id} of {self.identity} ({self.kind})")
        return self.server

    def call(self, tool: str, work: Tool, *, agent: str | None = None, handle: str | None = None, **asked: Any) -> Any:
        """Call a tool.

        Raises:
            TrichromeError: it refused.
            LostError: there was no answer.
            KilledError: the client died meanwhile.
        """
        server = self.served()
        call = self.answers.begin(tool, server.principal, agent, handle, asked)
        try:
            answer = server.run(work, call)
        except KilledError:
            self.answers.end(call, "lost", None)
            if not self.process.is_alive:
                raise
            raise LostError from None
        except LostError:
            self.answers.end(call, "cancelled", None)
            raise
        except TrichromeError as error:
            self.answers.end(call, "refused", error)
            raise
        self.answers.end(call, "answered", answer)
        return answer


@dataclass(eq=False)
class Server:
    """A server process of a client: a principal of its own."""

    client: Client
    process: Process = field(init=False)
    principal: Principal = field(init=False)
    coordinator: Coordinator = field(init=False)
    session: Session = field(init=False)
    calls: int = 0
    is_open: bool = False

    def __post_init__(self) -> None:
        client = self.client
        self.process = client.machine.start()
        self.coordinator = client.machine.coordinator(client.store)
        self.principal = Principal(
            id=f"p{self.process.ref[1]}",
            machine=client.machine.name,
            server=self.process.ref,
            client=None if client.kind == "unseen" else client.process.ref,
            session=client.session,
            name=client.name,
            role=client.role,
            lease_seconds=LEASE_SECONDS,
        )
        identity = client.identity
        if client.kind == "unseen" and client.session is None:
            identity = f"{identity} behind {self.principal.id}"  # nothing connects one server of it with the next
        client.truth.meet(self.principal, identity, self.process, client.process, is_twin=client.is_twin)
        self.session = Session(ClientChain(0, (), None))
        self.session.principal = self.principal
        self.session._project = Project(NOWHERE, NOWHERE, None, None, self.coordinator)  # type: ignore[arg-type]

    def caller(self, agent: str | None) -> Caller:
        """Who calls through it."""
        role = self.principal.role
        is_known = agent is not None or role is not None or self.client.kind != "session"
        return Caller(self.principal.id, None if role is None else (role,), agent, known=is_known)

    def run(self, work: Tool, call: Call) -> Any:
        """Do with a call what a server does with it."""
        world = self.client.world
        self.calls += 1
        try:
            with world.running(self.process):
                self._open()
                is_cancelled = world.happens("cancel", 0.05)
                answer = work(self.coordinator, self.caller(call.agent))
                if is_cancelled or not self.client.process.is_alive:
                    self._give_back(answer, call)
                inbox = self._inbox(call.agent)
                world.moment()  # the answer is written
                if not self.client.process.is_alive:
                    self._give_back(answer, call)
                if inbox is not None:
                    self._offer(inbox)
            world.moment()
        finally:
            self.calls -= 1
        return answer

    def _open(self) -> None:
        if not self.is_open:
            principals.introduce(self.coordinator, self.principal)
            self.is_open = True
            self.client.truth.introduced(self.principal)
            keeper = Actor(f"keeper of {self.principal.id}", self.process, lambda: (self.process,))
            self.client.world.enter(keeper, self._keep)

    def _give_back(self, answer: Any, call: Call) -> None:
        """Give back what nobody will read.

        Raises:
            LostError: always, as there is no answer.
            KilledError: nobody is left who waited for it.
        """
        if isinstance(answer, dict):
            self.client.world.note("nobody reads the answer")
            try:
                self.session.give_back(answer)
            except StoreUnavailableError:
                pass  # the product's server logs it, and the attempt is found by who holds it
            else:
                self.client.answers.unread(call, answer)
        if not self.client.process.is_alive:
            raise KilledError
        raise LostError

    def _inbox(self, agent: str | None) -> messages.Inbox | None:
        try:
            return messages.inbox(self.coordinator, self.caller(agent))
        except StoreUnavailableError:
            return None

    def _offer(self, inbox: messages.Inbox) -> None:
        self.client.answers.read(inbox)
        try:
            messages.offer(self.coordinator, inbox)
        except StoreUnavailableError:
            self.client.world.note("the offer was not noted")

    # --- beside the calls ---------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Rescue and renew, until the process ends; leave when the client is gone."""
        world, keeper = self.client.world, liveness.Keeper(self.coordinator, self.principal)
        while self.client.process.is_alive:
            due = self.client.truth.due(self.coordinator)
            try:
                keeper.keep()
            except StoreUnavailableError:
                pass
            else:
                if keeper._refusal is None:
                    self.client.truth.swept(due)
            world.sleep(KEEP_SECONDS)
        while self.calls:
            world.sleep(1.0)
        with suppress(StoreUnavailableError):
            principals.disconnect(self.coordinator, self.principal.id)
        self.process.kill()
