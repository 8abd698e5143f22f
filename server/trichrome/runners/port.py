"""The port that every runner implements: how to start a session of a worker, and what its output means.

A session is one process that works on one task: it claims through the tools of its own server, reports, and ends.
Whoever starts sessions (the demo, the supervisor) owns the process, gives it no input, keeps what it writes in files,
and ends it with SIGTERM. A runner starts nothing and keeps nothing: its parts are pure but for the files that `launch`
writes into the session's own folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from trichrome.roles import Role


@dataclass(frozen=True, slots=True)
class Resume:
    """A session to go on with, after something outside ended it: a usage limit, an outage.

    Attributes:
        session: its id, as its transcript said it.
        reason: what ended it, in a sentence for the model.
    """

    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a session is started for.

    Attributes:
        worker: the worker that it is, such as `blue-1`.
        role: whose tasks it takes: prompt, model, tools.
        task: the one that it is to claim, by name.
        workspace: the folder that it works in.
        scratch: a folder of its own for what its program reads at the start; it goes away with the session.
        environment: variables that make its server this worker's: `TRICHROME_HOME`, `TRICHROME_WORKER`,
            `TRICHROME_ROLE`, `TRICHROME_TASK`, `TRICHROME_SUPERVISOR` and others. The runner hands them to the server
            it configures.
        note: what the model should know of its workspace; None for nothing.
        resume: the session to go on with; None begins one.
        max_cost_usd: what it may cost at most, where the program can hold such a limit; None for no limit.
    """

    worker: str
    role: Role
    task: str
    workspace: Path
    scratch: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    resume: Resume | None = None
    max_cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to be.

    Attributes:
        command: the program and its arguments; never a shell line.
        environment: variables to set on top of the starter's own.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model.

    Attributes:
        input: read by the model, what a cache gave or took excluded.
        output: written by it.
        cache_read: read from the cache.
        cache_write: put into the cache.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a session's output has told so far. Its texts are clean and bounded.

    Attributes:
        session: its id, by which it can be gone on with; None while unknown, or where the program has none.
        said: its last words, cut to some kilobytes.
        usage: tokens by model id; of this run alone, not of what it resumed.
        cost_usd: what this run cost, where the program says so for all of its usage; None where it does not.
        denials: tools that it was not allowed to use, each once.
        error: what its program said went wrong; None for nothing.
        cause: its program's own word for that, such as `authentication_failed` or `seven_day_opus`; None for none.
        status: the HTTP status of the API's last refusal; None for none.
        limit_until: when a usage limit ends, in seconds since 1970; None where nobody said.
        is_limit: whether a usage limit, or an overload of the API, ended it.
        is_ended: whether the program said that the session is over.
        transcript: the file where the program itself keeps the session; None where it keeps none.
    """

    session: str | None = None
    said: str = ""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    cost_usd: float | None = None
    denials: tuple[str, ...] = ()
    error: str | None = None
    cause: str | None = None
    status: int | None = None
    limit_until: float | None = None
    is_limit: bool = False
    is_ended: bool = False
    transcript: str | None = None


class Reader(Protocol):
    """Folds the lines of a session's output into a transcript; whatever a line holds, it does not raise."""

    @property
    def transcript(self) -> Transcript:
        """What the lines told so far."""
        ...

    def read(self, line: bytes) -> None:
        """Take in the next line of standard output."""
        ...


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a session is over.

    Attributes:
        kind: `ended` by itself, in good order, whether it reported or not; `limit`: a usage limit or an overload, no
            failure, to be gone on with later; `unusable`: no session of this runner or model can work until a person
            mends something (no binary, not logged in, no such model); `failed`: anything else.
        reason: what happened, in a sentence for people; for `unusable`, what to do about it.
        until: when a limit ends, in seconds since 1970; None where nobody said.
        scope: whom a `limit` or an `unusable` concerns: every session of the runner, or those of this model alone.
        is_forgotten: for `failed`: whether the session that was to be gone on with is not there any more. Nothing was
            tried and nothing was paid, so this counts nobody; the task needs a session that is begun anew.
    """

    kind: Literal["ended", "limit", "unusable", "failed"]
    reason: str
    until: float | None = None
    scope: Literal["fleet", "role"] = "fleet"
    is_forgotten: bool = False


class Runner(Protocol):
    """One way to have a worker."""

    @property
    def name(self) -> str:
        """What `--runner` calls it."""
        ...

    def lacks(self) -> str | None:
        """Why no session of it can be started here, and what to do about that; None when one can."""
        ...

    def launch(self, assignment: Assignment) -> Launch:
        """Describe the process of one session, and write what it reads into `assignment.scratch`."""
        ...

    def reader(self) -> Reader:
        """A reader for the output of one session."""
        ...

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        """Why a session is over.

        Args:
            transcript: what its output told.
            code: its exit code; minus the number of the signal that ended it.
            errors: the end of what it wrote to standard error.
        """
        ...
