"""Which runner `--runner` means. Never one that the user did not mean: without Claude there is a refusal."""

from __future__ import annotations

from typing import Final

from trichrome.config import RUNNERS
from trichrome.errors import InvalidError
from trichrome.runners.port import Runner

AUTO: Final = "auto"


def runner(name: str) -> Runner:
    """The runner of a name; `auto` is Claude Code where it is installed, else the Messages API where there is a key.

    Raises:
        InvalidError: there is no such runner, or nothing to start its sessions with.
    """
    if name != AUTO:
        chosen = _named(name)
        if (lacking := chosen.lacks()) is not None:
            raise InvalidError(f"{lacking} Nothing was started.", field="runner")
        return chosen
    lacking_each = {}
    for each in ("claude", "api"):
        chosen = _named(each)
        if (lacking := chosen.lacks()) is None:
            return chosen
        lacking_each[each] = lacking
    raise InvalidError(
        f"There is no Claude here to start. {lacking_each['claude']} {lacking_each['api']} Nothing was started. To try"
        " Trichrome without a model: `trichrome start --runner offline`.",
        field="runner",
    )


def _named(name: str) -> Runner:
    from trichrome.runners.script import PREFIX, ScriptRunner

    if name.startswith(PREFIX):
        return ScriptRunner(name.removeprefix(PREFIX))
    match name:
        case "claude":
            from trichrome.runners.claude_code import ClaudeCodeRunner

            return ClaudeCodeRunner()
        case "api":
            from trichrome.runners.anthropic_api import AnthropicApiRunner

            return AnthropicApiRunner()
        case "offline":
            from trichrome.runners.offline import OfflineRunner

            return OfflineRunner()
        case _:
            raise InvalidError(f"There is no runner {name[:80]!r}. Choose {RUNNERS}.", field="runner")
