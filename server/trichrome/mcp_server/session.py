"""One server process as the log sees it: the project, the principal, and who is calling.

Nothing of the project is opened before the first call, so that a server that only lists its tools leaves no trace, and
what opens it is imported only then. A project that cannot be opened is a refusal of each call, never the end of the
server. The calls that block run in threads; this object is shared by them.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from trichrome import logs
from trichrome.domain import ids
from trichrome.domain.text import word
from trichrome.errors import InvalidError, TrichromeError
from trichrome.processes import ClientChain, this_machine, this_process

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.clock import Clock
    from trichrome.coordinator import Caller, Coordinator, liveness
    from trichrome.mcp_server.signs import Signs
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
    """

    chain: ClientChain
    role: str | None = None
    worker: str | None = None
    durability: str | None = None
    clock: Clock | None = None
    client_name: str | None = None
    principal: Principal | None = None
    signs: Signs | None = None
    _project: Project | None = None
    _keeper: liveness.Keeper | None = None
    _opening: threading.Lock = field(default_factory=threading.Lock)

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
                self._project = self._opened()
            return self._project

    def _opened(self) -> Project:
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

    def caller(self) -> tuple[Coordinator, Caller]:
        """The project's coordinator, and who is calling.

        A client that names itself Claude Code may hold several agents that nothing tells apart, headless or not, so
        it is one known worker only when it was started as one.

        Raises:
            TrichromeError: as `project`.
        """
        from trichrome.coordinator import Caller

        coordinator = self.project().coordinator
        assert self.principal is not None
        is_supervised = self.principal.supervisor is not None
        return coordinator, Caller(
            principal=self.principal.id,
            roles=None if self.role is None else (self.role,),
            known=self.client_name != CLAUDE_CODE or self.is_declared_worker,
            task=os.environ.get("TRICHROME_TASK") or None if is_supervised else None,
        )

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

    def note_sign(self, arguments: Mapping[str, Any] | None) -> None:
        """Remember what a hook of the client told of one of its agents; nothing of the project is opened for it.

        Raises:
            TrichromeError: `unknown_argument`, `invalid`, `too_large`.
        """
        from trichrome.clock import SystemClock
        from trichrome.mcp_server.registry import parse
        from trichrome.mcp_server.signs import NoteSign, Signs

        told = parse(NoteSign, arguments)
        if self.signs is None:
            self.signs = Signs(self.clock or SystemClock())
        self.signs.note(told)

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
