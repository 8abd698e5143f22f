"""Workers on the Messages API: one process a session, our tools over MCP, and files of the workspace; no shell."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from trichrome.roles import INHERIT, MODELS
from trichrome.runners import telling
from trichrome.runners.port import Assignment, Ending, Launch, Transcript
from trichrome.runners.prompts import opening
from trichrome.runners.server import SAFE

DEFAULT_MODEL: Final = MODELS["sonnet"]
"""What a role runs on that names no model: there is nobody here to inherit one from."""


@dataclass(frozen=True, slots=True)
class AnthropicApiRunner:
    """Starts sessions on the Messages API.

    A session has no memory: one that a limit ended is begun anew, on the same task.

    Attributes:
        name: what `--runner` calls it.
    """

    name: str = "api"

    def lacks(self) -> str | None:
        """See `port.Runner`."""
        return lacking()

    def launch(self, assignment: Assignment) -> Launch:
        """See `port.Runner`."""
        role = assignment.role
        prompt, first = assignment.scratch / "prompt.md", assignment.scratch / "opening.md"
        prompt.write_text(role.prompt, encoding="utf-8")
        first.write_text(opening(assignment), encoding="utf-8")
        model = DEFAULT_MODEL if role.model == INHERIT else MODELS.get(role.model, role.model)
        # `-P`: the workspace may hold any module name, and none of them may be imported.
        command = [sys.executable, "-P", "-m", "trichrome.runners.anthropic_api", "--model", model]
        command += ["--prompt", str(prompt), "--opening", str(first), "--workspace", str(assignment.workspace)]
        if role.may_write:
            command.append("--may-write")
        if assignment.max_cost_usd is not None:
            command += ["--max-cost-usd", f"{assignment.max_cost_usd:.6f}"]
        return Launch(command=tuple(command), environment={**assignment.environment, **SAFE})

    def reader(self) -> telling.LineReader:
        """See `port.Runner`."""
        return telling.LineReader()

    def ending(self, transcript: Transcript, *, code: int, errors: str) -> Ending:
        """See `port.Runner`."""
        return telling.ending(transcript, code=code, errors=errors)


def lacking() -> str | None:
    """What is missing here for a session, and what to do about it; None when nothing is."""
    if find_spec("anthropic") is None:
        return "The `anthropic` package is not installed. Install it: pip install 'trichrome[api]'"
    if os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN"):
        return None
    from anthropic import Anthropic, AnthropicError

    try:
        with Anthropic() as client:
            is_known = client.credentials is not None
    except AnthropicError as error:
        return f"The credentials of the Anthropic API cannot be used: {error} Mend them, or set ANTHROPIC_API_KEY."
    if is_known:
        return None
    return "There is no key for the Anthropic API. Set ANTHROPIC_API_KEY to one, and start again."
