"""One session of a worker: its workspace, its process, what it says, and what its end means.

The names of sessions, folders and variables are made here and nowhere else.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from trichrome.coordinator import Coordinator, costs, supervision
from trichrome.coordinator.supervision import SessionFacts
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.text import shortened
from trichrome.processes import ProcessRef
from trichrome.roles import Role
from trichrome.runners.port import Assignment, Ending, Launch, Reader, Resume, Runner, Transcript
from trichrome.supervisor import marks
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.policy import AttemptEnd
from trichrome.supervisor.workspaces import PutAway, Workspace

SCRATCH = "scratch"
"""The folder below `.trichrome` for what programs read at the start of a session."""
_SAID_BYTES = 1500
"""How much of a session's last words goes into the reason that its attempt ended for."""


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

    def sweep(self) -> int:
        """End everything of it that runs."""
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


@dataclass(slots=True)
class Life:
    """A session from its start to its end.

    Attributes:
        worker: who it is.
        task: what it was started for.
        after: the last attempt number of the task before it.
        mark: what its processes bear.
        attempt: the attempt that it was seen to hold.
        is_recorded: whether the log has what it used.
    """

    worker: str
    task: TaskId
    after: int
    mark: str
    workspace: Workspace
    scratch: Path
    process: SessionProcess
    reader: Reader
    attempt: AttemptId | None = None
    is_recorded: bool = False

    @property
    def transcript(self) -> Transcript:
        """What its output has told so far."""
        return self.reader.transcript

    def read(self) -> bool:
        """Take in some of what it has written since the last time; true while there may be more.

        One that writes faster than this reads must not hold up the supervisor.
        """
        lines = self.process.lines()
        for line in lines:
            self.reader.read(line)
        return bool(lines)

    def leave(self) -> None:
        """End everything of it that still runs, read its last words, and remove what only it read."""
        self.process.sweep()
        while self.read():
            pass
        shutil.rmtree(self.scratch, ignore_errors=True)

    def ending(self, runner: Runner) -> Ending:
        """Why its program says that it is over."""
        code = self.process.poll()
        return runner.ending(self.transcript, code=-9 if code is None else code, errors=self.process.error_tail())

    def facts(self, runner: str, reason: str) -> SessionFacts:
        """What the log keeps of it."""
        told = self.transcript
        return SessionFacts(
            task=self.task,
            worker=self.worker,
            runner=runner,
            reason=reason,
            attempt=self.attempt,
            session=told.session,
            usage=self._usage(),
            cost_usd=told.cost_usd,
            denials=told.denials,
            transcript=told.transcript,
        )

    def cost_usd(self) -> float:
        """What it cost: as its program says, else by list prices."""
        told = self.transcript.cost_usd
        return (costs.price(self._usage()) or 0.0) if told is None else told

    def _usage(self) -> dict[str, dict[str, int]]:
        return {model: asdict(usage) for model, usage in self.transcript.usage.items()}


def begin(
    place: Place,
    runner: Runner,
    start: StartSession,
    workspace: Workspace,
    *,
    worker: str,
    role: Role,
    task: TaskId,
    after: int,
    resume: Resume | None,
    max_cost_usd: float | None,
) -> Life | Ending:
    """Start a session in a workspace; answers why there is none where it cannot be started."""
    mark = secrets.token_hex(8)
    scratch = place.data / SCRATCH / f"{worker}-{mark}"
    scratch.mkdir(mode=0o700, parents=True)
    output = place.logs / worker / "output.jsonl"
    environment = {
        "TRICHROME_HOME": str(place.project),
        "TRICHROME_WORKER": worker,
        "TRICHROME_ROLE": role.name,
        "TRICHROME_SUPERVISOR": f"{place.supervisor.pid}:{place.supervisor.start}",
        "TRICHROME_TASK": task,
        "TRICHROME_WORKSPACE": str(workspace.path),
        "TRICHROME_OUTPUT": str(output),
        marks.SUPERVISION: place.supervision,
        marks.SESSION: mark,
    }
    assignment = Assignment(
        worker=worker,
        role=role,
        task=task,
        workspace=workspace.path,
        scratch=scratch,
        environment=environment,
        note=workspace.note,
        resume=resume,
        max_cost_usd=max_cost_usd,
    )
    process = start(
        runner.launch(assignment),
        folder=workspace.path,
        output=output,
        errors=place.logs / worker / "errors.log",
        environment=environment,
        limits=place.limits,
    )
    if isinstance(process, Ending):
        shutil.rmtree(scratch, ignore_errors=True)
        return process
    return Life(worker, task, after, mark, workspace, scratch, process, runner.reader())


def attempt_end(c: Coordinator, life: Life) -> AttemptEnd:
    """How the attempt of a session that is over stands."""
    if (held := supervision.attempt_of(c, life.worker)) is not None:
        life.attempt = held
        return "held"
    with c.store.reading() as view:
        mine = [each for each in view.attempts(life.task) if each.number > life.after and each.worker == life.worker]
        if not mine:
            return "unclaimed" if view.is_claimable(life.task) else "gone"
    life.attempt = AttemptId(life.task, mine[-1].number)
    match mine[-1].state:
        case "completed" | "failed" | "released" | "cancelled" as state:
            return state
        case _:
            return "lost"


def note(reason: str, transcript: Transcript, put: PutAway | None) -> str:
    """Why an attempt ended, for the next worker: with what its session said last, and where its work is."""
    parts = [f"{reason[:1].upper()}{reason[1:].rstrip('.')}."]
    if put is not None and put.branch is not None:
        parts.append(f"What it had done is on branch {put.branch}.")
    if transcript.said.strip():
        parts.append(f"It said last: {shortened(transcript.said.strip()[-_SAID_BYTES:], limit=_SAID_BYTES)}")
    return " ".join(parts)


At = Callable[[str], None]
"""Told each named moment of a worker's life; a test may end the process there."""
