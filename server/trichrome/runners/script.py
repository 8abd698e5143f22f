"""Any program as a worker: `--runner 'script:COMMAND'` starts it once a task, so that other agents can join.

The command is split as a shell would and started without one, in the session's workspace, with the session's
`TRICHROME_*` variables (docs/supervisor.md), `TRICHROME_TASK` among them, and two more:

    TRICHROME_PROMPT       a file: the role's prompt, and what this session is for
    TRICHROME_MCP_CONFIG   a file: an mcp.json that names our server, with this worker's identity

It claims and reports through that server. What it writes to standard output is what it says, or lines as `telling`
describes them; its exit code counts as told there. SIGTERM asks it to leave: it may release its attempt, and whoever
started it does that for it otherwise.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.runners import telling
from trichrome.runners.port import Assignment, Ending, Launch, Transcript
from trichrome.runners.prompts import opening
from trichrome.runners.server import registration

PREFIX: Final = "script:"
"""What `--runner` begins with."""


@dataclass(frozen=True, slots=True)
class ScriptRunner:
    """Starts one command for each task.

    Attributes:
        command: the command line, to be split as a shell would.
        name: what `--runner` calls it.
    """

    command: str
    name: str = "script"

    def lacks(self) -> str | None:
        """See `port.Runner`."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            return f"`{PREFIX}{self.command}` is not a command line: {error}. Mend its quotes."
        if not words:
            return f"`{PREFIX}` names no command. Write one behind it, such as `{PREFIX}python my_agent.py`."
        if shutil.which(words[0]) is None:
            return f"There is no program {words[0]!r}. Install it, or give its whole path behind `{PREFIX}`."
        return None

    def launch(self, assignment: Assignment) -> Launch:
        """See `port.Runner`. The program is found from here; its arguments are as they were given."""
        program, *arguments = shlex.split(self.command)
        prompt, config = assignment.scratch / "prompt.md", assignment.scratch / "mcp.json"
        prompt.write_text(f"{assignment.role.prompt}\n{opening(assignment)}\n", encoding="utf-8")
        config.write_text(json.dumps(registration(assignment.environment), indent=2), encoding="utf-8")
        return Launch(
            command=(str(Path(shutil.which(program) or program).absolute()), *arguments),
            environment={
                **assignment.environment,
                "TRICHROME_PROMPT": str(prompt),
                "TRICHROME_MCP_CONFIG": str(config),
            },
        )

    def reader(self) -> telling.LineReader:
        """See `port.Runner`."""
        return telling.LineReader()

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        """See `port.Runner`."""
        return telling.ending(transcript, code=code, errors=errors)
