"""Sessions of any runner as a supervisor starts them: a process, its output in files, its ending as the runner reads it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import BOUND_SECONDS, environment

from trichrome.roles import load_roles
from trichrome.runners.port import Assignment, Ending, Runner, Transcript

STARTER = [sys.executable, "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()"]
"""A starter of its own, which can be killed under the session."""


def assignment(project: Path, scratch: Path, *, role: str = "blue", task: str = "t1") -> Assignment:
    """What a session of a first worker of a role is started for."""
    scratch.mkdir(exist_ok=True)
    worker = f"{role}-1"
    return Assignment(
        worker=worker,
        role=load_roles().read(role),
        task=task,
        workspace=project,
        scratch=scratch,
        environment={
            "TRICHROME_HOME": str(project),
            "TRICHROME_WORKER": worker,
            "TRICHROME_ROLE": role,
            "TRICHROME_TASK": task,
        },
    )


@dataclass
class Session:
    """A session's process."""

    runner: Runner
    process: subprocess.Popen[bytes]
    scratch: Path

    def over(self) -> tuple[Ending, Transcript]:
        """Why it ended, and what it told."""
        code = self.process.wait(BOUND_SECONDS * 2)
        reader = self.runner.reader()
        for line in (self.scratch / "output").read_bytes().splitlines():
            reader.read(line)
        errors = (self.scratch / "errors").read_text(errors="replace")
        return self.runner.ending(reader.transcript, code=code, errors=errors), reader.transcript

    def stop(self) -> None:
        """Ask it to leave."""
        self.process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def started(runner: Runner, given: Assignment, *under: str, **variables: str) -> Iterator[Session]:
    """Start a session, below the command `under` if one is given; what is left of it ends with the block."""
    launch = runner.launch(given)
    with (given.scratch / "output").open("wb") as output, (given.scratch / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*under, *launch.command],
            env={**environment(given.workspace), **launch.environment, **variables},
            cwd=given.workspace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield Session(runner, process, given.scratch)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(BOUND_SECONDS)
