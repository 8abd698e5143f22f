"""What every command is given: the project's parts, and who asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from trichrome.clock import Clock
from trichrome.domain.events import OnLeadGone
from trichrome.roles import load_roles
from trichrome.store.port import Store

OPERATOR_NAME: Final = "operator"
"""The actor of what a person does at the command line."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers that a project may change.

    Attributes:
        max_attempts: tries that a task gets when its creator does not say.
        time_limit_seconds: the ceiling of one attempt, likewise.
        backoff_seconds: the first wait after a failed try; it doubles from try to try.
        backoff_cap_seconds: the longest wait.
        max_review_rounds: how often a reviewer may send a task back.
        on_lead_gone: what a run does when its lead is gone.
    """

    max_attempts: int = 3
    time_limit_seconds: float = 1800.0
    backoff_seconds: float = 10.0
    backoff_cap_seconds: float = 600.0
    max_review_rounds: int = 2
    on_lead_gone: OnLeadGone = "continue"


@dataclass(frozen=True, slots=True)
class Traces:
    """What a session has left of its work; None where that cannot be seen.

    Attributes:
        changed: whether its workspace is not what it was given.
        worked: whether it used a tool that is not ours.
    """

    changed: bool | None = None
    worked: bool | None = None


@dataclass(frozen=True, slots=True)
class Senses:
    """What can be seen of this machine's processes and files besides that a process lives.

    All but `traces` is for show.

    Attributes:
        is_stopped: whether the process (pid, start) is there, and does not run until somebody lets it.
        at_work: of a client and its server, the name and the age in seconds of what the client runs for its work.
        changed_at: when a file last changed, in seconds since 1970; None where it cannot be seen.
        traces: what the one session that calls has left, where it was started to change files in a place of its own.
    """

    is_stopped: Callable[[tuple[int, int]], bool] = lambda _process: False
    at_work: Callable[[tuple[int, int], tuple[int, int]], Sequence[tuple[str, float]]] = lambda _client, _server: ()
    changed_at: Callable[[str], float | None] = lambda _path: None
    traces: Callable[[], Traces] | None = None


@dataclass(frozen=True, slots=True)
class Coordinator:
    """The parts a command works with.

    Attributes:
        roles: each role with the kinds of task it takes by itself.
        machine: (host, boot, pid namespace) of this process, or None where it plays no part.
        is_alive: whether the process (pid, start) of this machine still runs.
        senses: what else can be seen from here.
        draw: a random number from 0 to 1, for jitter.
        model_of: the model that a role runs on, as its file or its settings name it; it may raise `unknown_role`.
    """

    store: Store
    clock: Clock
    roles: Mapping[str, tuple[str, ...]]
    settings: Settings = field(default_factory=Settings)
    machine: tuple[str, str, str] | None = None
    is_alive: Callable[[tuple[int, int]], bool] = lambda _process: True
    senses: Senses = Senses()
    draw: Callable[[], float] = lambda: 0.5
    model_of: Callable[[str], str] = lambda role: load_roles().read(role).model

    def role_for_kind(self, kind: str) -> str | None:
        """The first role that takes a kind by itself."""
        return next((role for role, kinds in self.roles.items() if kind in kinds), None)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        principal: whom the server authenticated.
        roles: the roles it may serve; None for all.
        agent: the agent inside it, when a hook said so.
        known: whether `principal` and `agent` together mean one agent and no other.
        task: the one task that its session was started for, and is to end with.
    """

    principal: str
    roles: tuple[str, ...] | None = None
    agent: str | None = None
    known: bool = True
    task: str | None = None


OPERATOR: Final = Caller(principal=OPERATOR_NAME)
"""The person at the command line, and programs that use the Python API."""
