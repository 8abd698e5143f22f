"""What a supervisor works with: where sessions live, how one is started, and who is told what happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trichrome.processes import ProcessRef
from trichrome.roles import Roles
from trichrome.runners.port import Ending, Launch, Runner
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.marks import Swept
from trichrome.supervisor.workspaces import Workspaces

Tell = Callable[..., None]
"""Told what happens: `tell(worker, event, **facts)`, with the worker `supervisor` for what concerns no single one."""

At = Callable[[str], None]
"""Told each named moment of a worker's life; a test may end the process there."""


class SessionProcess(Protocol):
    """A session's process, as `session.Session` is one."""

    @property
    def pid(self) -> int:
        """The number of its first process."""
        ...

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...

    def ask(self) -> None:
        """Ask it to end."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...

    def lines(self) -> list[bytes]:
        """Complete lines of its output since the last call."""
        ...

    def error_tail(self) -> str:
        """The end of its standard error."""
        ...

    def over_limit(self) -> str | None:
        """Which limit of the machine it went over."""
        ...

    def sweep(self) -> Swept:
        """End everything of it that runs; tells what even a kill does not end."""
        ...


class StartSession(Protocol):
    """Starts a session's process, as `session.Session.start` does."""

    def __call__(
        self,
        launch: Launch,
        *,
        folder: Path,
        output: Path,
        errors: Path,
        environment: Mapping[str, str],
        limits: Limits,
    ) -> SessionProcess | Ending:
        """Start it; or answer why it cannot be started."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where sessions of one project live, and on whose behalf.

    Attributes:
        project: the project folder.
        data: its `.trichrome` folder.
        supervisor: the process that looks after them.
        supervision: the mark that everything of this supervisor's life carries.
        limits: what one session may take of the machine.
    """

    project: Path
    data: Path
    supervisor: ProcessRef
    supervision: str
    limits: Limits

    @property
    def logs(self) -> Path:
        """The folder of the workers' logs."""
        return self.data / "logs"


@dataclass(frozen=True, slots=True)
class Means:
    """What a supervisor works with.

    Attributes:
        roles: the project's roles.
        runner: what starts sessions.
        place: where they live.
        workspaces: where they work.
        start: starts the process of one.
        tell: is told what happens.
        at: is told each named moment of a worker's life.
        check: is asked at each turn, to look after what the supervisor relies on; answers why it cannot go on.
    """

    roles: Roles
    runner: Runner
    place: Place
    workspaces: Workspaces
    start: StartSession
    tell: Tell
    at: At = lambda _moment: None
    check: Callable[[], str | None] = lambda: None
