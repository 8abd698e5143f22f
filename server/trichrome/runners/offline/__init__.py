"""Workers that need no model: real processes, real MCP clients, deterministic work on the project's files.

Blue searches, green writes a Markdown report of what was found, red checks every cited line against the file. They
never pretend to more: each result says that no model was used, and a task that needs judgement fails and says so.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from trichrome.runners.port import Launch


@dataclass(frozen=True, slots=True)
class OfflineRunner:
    """Starts offline workers.

    Attributes:
        wait_seconds: how long one `claim_task` blocks for work.
        until_idle: how many waits without work end the worker; None keeps it until it is stopped.
    """

    wait_seconds: int = 30
    until_idle: int | None = None

    def launch(self, role: str, project: Path) -> Launch:
        """Describe one offline worker. Its own server takes the log from `TRICHROME_HOME`, else from `project`."""
        command = [sys.executable, "-m", "trichrome.runners.offline", "--role", role, "--project", str(project)]
        command += ["--wait-seconds", str(self.wait_seconds)]
        if self.until_idle is not None:
            command += ["--until-idle", str(self.until_idle)]
        return Launch(command=tuple(command), environment={"TRICHROME_ROLE": role})
