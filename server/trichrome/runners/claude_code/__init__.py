"""Workers that are Claude Code: one headless session of the `claude` program a task.

A session has its role's prompt, model and tools, our server with the worker's identity, and hooks that tell what it
does. It may do what its role needs and nothing else, and nobody is asked: what is not allowed is refused at once.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from trichrome.errors import InvalidError
from trichrome.runners.claude_code import command, servers
from trichrome.runners.claude_code.endings import judge
from trichrome.runners.claude_code.stream import StreamReader
from trichrome.runners.port import Assignment, Ending, Launch, Transcript
from trichrome.runners.server import registration

PROGRAM_VARIABLE: Final = "TRICHROME_CLAUDE"
"""Names the program by its path, instead of the `claude` that the PATH or the Agent SDK has."""


class ClaudeCodeRunner:
    """Sessions of Claude Code.

    The program is the one that `TRICHROME_CLAUDE` names, else `claude` on the PATH, else the one that comes with the
    Agent SDK (the extra `claude`). Whether it is logged in shows only when a session runs.
    """

    name: str = "claude"

    def lacks(self) -> str | None:
        """See `Runner`. Starts no process."""
        if (chosen := os.environ.get(PROGRAM_VARIABLE)) and _program() is None:
            return (
                f"{PROGRAM_VARIABLE} names {chosen}, which is no program. Correct it, or unset it to use the `claude` "
                "on your PATH."
            )
        if _program() is None:
            return (
                "Claude Code is not installed here: there is no `claude` on your PATH. Install it, or run "
                f"`pip install 'trichrome[claude]'`, or name it in {PROGRAM_VARIABLE}; then run `claude` once to log "
                "in."
            )
        return None

    def launch(self, assignment: Assignment) -> Launch:
        """See `Runner`. The files are for this user alone: the servers of a user may hold keys.

        Raises:
            InvalidError: there is no program; `lacks` says why.
        """
        program = _program()
        if program is None:
            raise InvalidError(self.lacks() or "Claude Code is gone. Install it again.")
        project = Path(assignment.environment.get("TRICHROME_HOME", assignment.workspace))
        theirs = servers.wanted(assignment.role.tools or (), project)
        files = command.Files(
            servers=_written(assignment.scratch / "servers.json", registration(assignment.environment, theirs)),
            settings=_written(assignment.scratch / "settings.json", command.settings()),
        )
        return Launch(
            command=command.command(program, assignment, files, project=project),
            environment=command.environment(os.environ),
        )

    def reader(self) -> StreamReader:
        """See `Runner`."""
        return StreamReader()

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        """See `Runner`."""
        return judge(transcript, code=code, errors=errors, program=_typed())


def _program() -> Path | None:
    if chosen := os.environ.get(PROGRAM_VARIABLE):
        found = shutil.which(Path(chosen).expanduser())
    else:
        found = shutil.which("claude") or shutil.which(_bundled() or "")
    return Path(found).absolute() if found else None


def _typed() -> str:
    """What a person types to run it."""
    program = _program()
    found = shutil.which("claude")
    return "claude" if program is None or (found and Path(found).absolute() == program) else shlex.quote(str(program))


def _bundled() -> Path | None:
    """Where the Agent SDK keeps its program; looked up without importing the SDK."""
    package = find_spec("claude_agent_sdk")
    return Path(package.origin).parent / "_bundled" / "claude" if package is not None and package.origin else None


def _written(path: Path, document: dict[str, Any]) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  a descriptor carries the mode from the start
        json.dump(document, file)
    return path
