"""One server process as the log sees it: the project, the principal, and who is calling.

Nothing of the project is opened before the first call, so that a server that only lists its tools leaves no trace, and
what opens it is imported only then. A project that cannot be opened is a refusal of each call, never the end of the
server. The calls that block run in threads; this object is shared by them.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from trichrome import logs
from trichrome.domain import ids
from trichrome.domain.text import word
from trichrome.errors import InvalidError, NotPermittedError, TrichromeError
from trichrome.processes import ClientChain, this_machine, this_process

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.clock import Clock
    from trichrome.coordinator import Caller, Coordinator, liveness
    from trichrome.mcp_server.agents import Agent, Bindings
    from trichrome.mcp_server.signs import NoteSign, Signs
    from trichrome.roles import Roles
    from trichrome.store.port import Principal

CLAUDE_CODE: Final = "claude-code"
"""How Claude Code names itself to a server."""
VISIBLE_LEASE_SECONDS: Final = 60.0
"""Lease of attempts whose client can be seen: it decides nothing, it only shows a worker as suspect."""
NAMED_LEASE_SECONDS: Final = 600.0
"""Lease of a named worker, whose attempts survive client and server."""


@dataclass(slots=True)
class Session:
    """The state of one server.

    Attributes:
        chain: our ancestors up to the client, as recorded at the start.
        role: the one role it may serve; None for all.
        worker: the named worker it is.
        durability: overrides the project's setting.
        clock: overrides the machine's own.
        client_name: how the client names itself; None until it has said anything.
        signs: what its hooks told; None until one did.
        bindings: which agent makes which call, likewise.
    """

    chain: ClientChain
    role: str | None = None
    worker: str | None = None
    durability: str | None = None
    clock: Clock | None = None
    client_name: str | None = None
    principal: Principal | None = None
    signs: Signs | None = None
    bindings: Bindings | None = None
    _project: Project | None = None
    _keeper: liveness.Keeper | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)
    _has_looked_back: bool = False
    _was_prompted: bool = False
    _reminders: set[tuple[str, str]] = field(default_factory=set)
    _has_gate: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether a call has opened the project yet."""
        return self._project is not None

    @property
    def is_declared_worker(self) -> bool:
        """Whether it was started to work, so that it counts as connected before its first call."""
        return self.role is not None or self.worker is not None

    def project(self) -> Project:
        """The project, opened at the first call, with this server introduced to it.

        Raises:
            TrichromeError: it cannot be opened, or the named worker is served already; the next call tries again.
        """
        with self._opening:
            if self._project is None:
                self._project = self._opened(lambda _project, _principal: True)
            assert self._project is not None
            return self._project

    def joins(self) -> bool:
        """Whether the client has to do with the project: a call opened it, or an earlier server of the client did.

        That is looked up once, where there is a log. A client that never used the project stays unknown to it.

        Raises:
            TrichromeError: the log cannot be opened.
        """
        from trichrome import config as configuration

        with self._opening:
            if self._project is None and not self._has_looked_back:
                self._has_looked_back = True
                if (configuration.project_folder() / configuration.FOLDER / configuration.LOG_FILE).exists():
                    self._project = self._opened(_was_here)
            return self._project is not None

    def is_new_reminder(self, agent: str, text: str) -> bool:
        """Whether an agent has not been told this yet.

        What Claude Code says of earlier stops does not tell: another program's hook may have held it up.
        """
        with self._opening:
            is_new = (agent, text) not in self._reminders
            self._reminders.add((agent, text))
        return is_new

    def has_gate(self) -> bool:
        """Whether the edit gate is up: for a supervised worker, or for all where the project says so.

        Settings are read once, and only where the project has any.
        """
        from trichrome import config as configuration

        if self._has_gate is None:
            folder = configuration.project_folder()
            is_for_all = (folder / configuration.FOLDER / "config.toml").exists() and (
                configuration.load(folder).config.edit_gate == "all"
            )
            self._has_gate = is_for_all or bool(os.environ.get("TRICHROME_SUPERVISOR"))
        return self._has_gate

    def is_new_to_prompts(self) -> bool:
        """Whether this is the first prompt that this server hears of."""
        with self._opening:
            was, self._was_prompted = self._was_prompted, True
        return not was

    def _opened(self, is_wanted: Callable[[Project, Principal], bool]) -> Project | None:
        from trichrome.bootstrap import open_project
        from trichrome.coordinator import principals
        from trichrome.mcp_server.supervised import supervised

        told = supervised(os.environ)
        project = open_project(flags={"durability": self.durability}, clock=self.clock)
        try:
            self._check_names(project)
            if told is not None and self.role is not None and project.roles.policies[self.role].may_write:
                c = project.coordinator
                project = replace(project, coordinator=replace(c, senses=replace(c.senses, traces=told.traces)))
            principal = self._described(project)
            if told is not None:
                principal = replace(principal, supervisor=told.supervisor)
            if not is_wanted(project, principal):
                project.close()
                return None
            principals.introduce(project.coordinator, principal)
        except BaseException:
            project.close()
            raise
        self.principal = principal
        logs.open_log(project.data, name="server", level=project.loaded.config.log_level)
        logs.get("server").info("opened", principal=principal.id, client=self.client_name, pid=os.getpid())
        return project

    def _check_names(self, project: Project) -> None:
        if self.worker is not None:
            word(self.worker, field="TRICHROME_WORKER")
        if self.role is not None and self.role not in project.roles.names:
            raise InvalidError(
                f"TRICHROME_ROLE is {self.role[:40]!r}, which is no role here. Roles: "
                f"{', '.join(project.roles.names)}.",
                code="unknown_role",
            )

    def _described(self, project: Project) -> Principal:
        from trichrome.store.port import Principal

        machine, server = this_machine(), this_process()
        client = self.chain.client.ref if self.chain.client is not None else None
        if self.worker is not None:
            lease = NAMED_LEASE_SECONDS
        elif client is not None:
            lease = VISIBLE_LEASE_SECONDS
        else:
            lease = project.loaded.config.lease_seconds
        return Principal(
            id=secrets.token_hex(8),
            machine=(machine.host, machine.boot, machine.pid_namespace),
            server=(server.pid, server.start),
            client=(client.pid, client.start) if client is not None else None,
            session=os.environ.get("CLAUDE_CODE_SESSION_ID") if self.client_name == CLAUDE_CODE else None,
            name=self.worker,
            role=self.role,
            lease_seconds=lease,
        )

    def roles(self) -> Roles:
        """The project's roles, without opening its log: clients ask for prompts in folders that never use us.

        Raises:
            TrichromeError: a setting cannot be used.
        """
        from trichrome import config as configuration
        from trichrome.roles import load_roles

        if self._project is not None:
            return self._project.roles
        try:
            folder = configuration.project_folder()
        except InvalidError:
            return load_roles()  # outside any project, as Claude Desktop starts servers: the shipped ones
        return load_roles(folder, configuration.load(folder).config.roles)

    def position(self) -> int:
        """How far the log goes.

        Raises:
            TrichromeError: as `project`.
        """
        with self.project().coordinator.store.reading() as view:
            return view.position()

    def caller(self, agent: Agent | None = None) -> tuple[Coordinator, Caller]:
        """The project's coordinator, and who is calling.

        A client that names itself Claude Code may hold several agents. Where no hook says which of them calls, it is
        one known worker only when it was started as one. A subagent of a role serves that role and no other.

        Args:
            agent: which agent of the client it is; None where nothing tells.

        Raises:
            TrichromeError: as `project`; `not_permitted` for a subagent of another role than the session's.
        """
        from trichrome.coordinator import Caller

        project = self.project()
        assert self.principal is not None
        is_supervised = self.principal.supervisor is not None
        role = self._role_of(agent, project.roles.names)
        return project.coordinator, Caller(
            principal=self.principal.id,
            roles=None if role is None else (role,),
            agent=agent.id or None if agent is not None else None,
            known=agent is not None or self.client_name != CLAUDE_CODE or self.is_declared_worker,
            task=os.environ.get("TRICHROME_TASK") or None if is_supervised else None,
        )

    def _role_of(self, agent: Agent | None, roles: Collection[str]) -> str | None:
        own = agent.role(roles) if agent is not None else None
        if self.role is not None and own not in {None, self.role}:
            raise NotPermittedError(
                f"This session serves {self.role} alone, so its subagent of role {own} has nothing to do with tasks. "
                "End your turn."
            )
        return self.role or own

    def bind(self, tool_use: str, agent: Agent) -> None:
        """Note which agent of the client is about to make a call."""
        from trichrome.clock import SystemClock
        from trichrome.mcp_server.agents import Bindings

        if self.bindings is None:
            self.bindings = Bindings(self.clock or SystemClock())
        self.bindings.bind(tool_use, agent)

    def agent_of(self, tool_use: str) -> Agent | None:
        """Which agent of the client makes a call; None where nothing tells."""
        return self.bindings.agent_of(tool_use) if self.bindings is not None else None

    # --- keeping ------------------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Rescue what dead clients held, renew this server's leases, and note who else is gone; for one thread."""
        if self._project is None or self.principal is None:
            return
        if self._keeper is None:
            from trichrome.coordinator import evidence, liveness

            chronicle = evidence.Chronicle(self._project.coordinator, self.principal)
            duties = (self._put_signs, chronicle.look)
            self._keeper = liveness.Keeper(self._project.coordinator, self.principal, duties=duties)
        for attempt in self._keeper.keep():
            logs.get("server").info("ended", attempt=str(attempt))

    def _put_signs(self) -> None:
        """Write down what hooks told, as far as it changes the picture."""
        if self._project is None or self.principal is None or self.signs is None:
            return
        if told := self.signs.due(self.principal.id):
            from trichrome.coordinator import signs

            signs.note(self._project.coordinator, self.principal, told)
            self.signs.kept(told)

    def note_sign(self, told: NoteSign) -> None:
        """Remember what a hook of the client told of one of its agents; nothing of the project is opened for it.

        Raises:
            TrichromeError: `invalid`, `too_large`.
        """
        from trichrome.clock import SystemClock
        from trichrome.mcp_server.agents import Agent
        from trichrome.mcp_server.signs import Signs

        if self.signs is None:
            self.signs = Signs(self.clock or SystemClock())
        self.signs.note(told)
        if told.kind == "tool_started" and told.tool_use_id:
            self.bind(told.tool_use_id, Agent(told.agent_id, told.agent_type))

    def give_back(self, answer: Mapping[str, Any]) -> None:
        """Release an attempt that began with an answer which nobody read."""
        claimed = answer.get("claimed", answer)
        if self._project is None or self.principal is None or claimed.get("resumed") or not claimed.get("attempt"):
            return

        from trichrome.coordinator import attempts

        attempts.release(
            self._project.coordinator,
            ids.attempt_id(claimed["attempt"]),
            principal=self.principal.id,
            reason="its claim was never read",
        )

    def leave(self) -> None:
        """Say that this server stops, if that is still possible. Attempts go on: their client decides about them."""
        if self._project is None or self.principal is None:
            return

        from trichrome.coordinator import principals

        try:
            principals.disconnect(self._project.coordinator, self.principal.id)
        except TrichromeError as error:
            logs.get("server").warning("left without a word", error=error.message)

    def close(self) -> None:
        """Let go of the log, once no call needs it any more."""
        if self._project is not None:
            self._project.close()


def _was_here(project: Project, principal: Principal) -> bool:
    """Whether the log knows a worker of the same client through an earlier server."""
    with project.coordinator.store.reading() as view:
        return bool(view.workers_of_client(principal))
