"""One session of a worker: its workspace, its process, what it says, and what its end means.

The names of sessions, folders and variables are made here and nowhere else.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from trichrome.coordinator import Coordinator, costs, supervision
from trichrome.coordinator.supervision import SessionFacts
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.text import SUMMARY_BYTES, clean, shortened
from trichrome.roles import Role
from trichrome.runners.port import Assignment, Ending, Reader, Resume, Runner, Transcript
from trichrome.supervisor import marks
from trichrome.supervisor.means import Place, SessionProcess, StartSession
from trichrome.supervisor.verdicts import AttemptEnd
from trichrome.supervisor.workspaces import PutAway, Workspace

SCRATCH: Final = "scratch"
"""The folder below `.trichrome` for what programs read at the start of a session."""
_OTHERS: Final = {
    "expired": "it took longer than its task allows",
    "rescued": "its worker was out of sight",
    "cancelled": "the task was cancelled",
}
"""How others ended an attempt, by its state."""


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
        left: numbers of its processes that could not be ended.
        put: what became of its workspace; None until it is put away.
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
    left: tuple[int, ...] = ()
    put: PutAway | None = None

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
        self.left = self.process.sweep().left
        while self.read():
            pass
        shutil.rmtree(self.scratch, ignore_errors=True)

    def ending(self, runner: Runner) -> Ending:
        """Why its program says that it is over."""
        code = self.process.poll()
        told = runner.ending(self.transcript, code=-9 if code is None else code, errors=self.process.error_tail())
        return replace(told, reason=shortened(clean(told.reason), limit=SUMMARY_BYTES))

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
            branch=self.workspace.branch if self.put is None else self.put.branch,
            said=told.said,
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
    """Start a session in a workspace; answers why there is none where it cannot be started.

    Raises:
        OSError: what it reads cannot be written; nothing is left of it.
        TrichromeError: the runner cannot describe it; likewise.
    """
    mark = secrets.token_hex(8)
    scratch = place.data / SCRATCH / f"{worker}-{mark}"
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
    process: SessionProcess | Ending | None = None
    try:
        scratch.mkdir(mode=0o700, parents=True)
        process = start(
            runner.launch(assignment),
            folder=workspace.path,
            output=output,
            errors=place.logs / worker / "errors.log",
            environment=environment,
            limits=place.limits,
        )
    finally:
        if process is None or isinstance(process, Ending):
            shutil.rmtree(scratch, ignore_errors=True)
    if isinstance(process, Ending):
        return process
    return Life(worker, task, after, mark, workspace, scratch, process, runner.reader())


def attempt_end(c: Coordinator, life: Life) -> tuple[AttemptEnd, str | None]:
    """How the attempt of a session stands, and how others ended it where they did."""
    if (held := supervision.attempt_of(c, life.worker)) is not None:
        life.attempt = held
        return "held", None
    with c.store.reading() as view:
        mine = [each for each in view.attempts(life.task) if each.number > life.after and each.worker == life.worker]
        if not mine:
            return ("unclaimed" if view.is_claimable(life.task) else "gone"), None
    life.attempt = AttemptId(life.task, mine[-1].number)
    match mine[-1].state:
        case "completed" | "failed" | "released" | "cancelled" as state:
            return state, _OTHERS.get(state)
        case state:
            return "lost", _OTHERS.get(state)


def note(reason: str, put: PutAway | None) -> str:
    """Why an attempt ended, for the next worker, with where its work is."""
    told = f"{reason[:1].upper()}{reason[1:].rstrip('.')}."
    return told if put is None or put.branch is None else f"{told} What it had done is on branch {put.branch}."
