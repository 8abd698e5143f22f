"""Workers that need no model: real processes, real MCP clients, deterministic work on the project's files.

Blue searches, green writes a Markdown report of what was found, red checks every cited line against the file. They
never pretend to more: each result says that no model was used, and a task that needs judgement fails and says so.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from trichrome.runners import telling
from trichrome.runners.port import Assignment, Ending, Launch, Transcript
from trichrome.runners.server import SAFE


@dataclass(frozen=True, slots=True)
class OfflineRunner:
    """Starts offline workers.

    Attributes:
        wait_seconds: how long one `claim_task` of a standing worker blocks for work.
        until_idle: how many waits without work end a standing worker; None keeps it until it is stopped.
        name: what `--runner` calls it.
    """

    wait_seconds: int = 30
    until_idle: int | None = None
    name: str = "offline"

    def lacks(self) -> str | None:
        """See `port.Runner`: nothing but this program is needed."""
        return None

    def launch(self, assignment: Assignment) -> Launch:
        """See `port.Runner`.

        It works on the project folder and not on the workspace: it changes no file of the project, and its reports
        must outlive the session.
        """
        project = Path(assignment.environment.get("TRICHROME_HOME", assignment.workspace))
        command = (*_command(assignment.role.name, project), "--task", assignment.task)
        return Launch(command=command, environment={**assignment.environment, **SAFE})

    def standing(self, role: str, project: Path) -> Launch:
        """Describe a worker that takes task after task. Its server takes the log from `TRICHROME_HOME`, else there."""
        command = [*_command(role, project), "--wait-seconds", str(self.wait_seconds)]
        if self.until_idle is not None:
            command += ["--until-idle", str(self.until_idle)]
        return Launch(command=tuple(command), environment={"TRICHROME_ROLE": role, **SAFE})

    def reader(self) -> telling.LineReader:
        """See `port.Runner`."""
        return telling.LineReader()

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        """See `port.Runner`."""
        return telling.ending(transcript, code=code, errors=errors)


def _command(role: str, project: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "trichrome.runners.offline", "--role", role, "--project", str(project))
