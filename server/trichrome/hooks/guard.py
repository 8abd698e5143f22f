"""The hook before a shell command: what a worker may not ask of git is refused, with the safe way.

Run as a plain file, so that it stands also while the server is gone. Whoever is no worker is let through at once, and
so is everybody where this cannot do its work, as under an older Python: it then says nothing and leaves with 0.
"""

from __future__ import annotations

import json
import os
import sys

WORKSPACES = "/.trichrome/workspaces/"
OF_THE_PLUGIN = "trichrome:"


def main() -> None:
    """Read the hook's input; where the command is refused, write why."""
    asked = json.load(sys.stdin)
    # Last, so that no file beside the package stands in for one of the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120  pathlib costs a tenth of the time that this may take
    folder = asked.get("cwd") or os.curdir
    if not is_worker(asked.get("agent_type") or "", folder):
        return

    from trichrome.domain.guard import refusal

    said = refusal(
        asked["tool_input"]["command"],
        is_path=lambda path: os.path.exists(os.path.join(folder, path)),  # noqa: PTH110, PTH118  likewise
    )
    if said is not None:
        decision = {"permissionDecision": "deny", "permissionDecisionReason": said}
        json.dump({"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}}, sys.stdout)


def is_worker(agent: str, folder: str) -> bool:
    """Whether whoever runs the command works on a task: a session that was started for that, or a role's subagent."""
    if agent.startswith(OF_THE_PLUGIN) or WORKSPACES in os.path.join(folder, ""):  # noqa: PTH118  likewise
        return True
    if any(os.environ.get("TRICHROME_" + name) for name in ("SUPERVISOR", "WORKER", "ROLE")):
        return True
    if not agent:
        return False

    from pathlib import Path

    from trichrome.roles import load_roles

    return agent in load_roles(Path(os.environ.get("CLAUDE_PROJECT_DIR", folder))).names


if __name__ == "__main__":
    try:  # noqa: SIM105  contextlib costs as much as all of this
        main()
    except Exception:  # noqa: BLE001, S110  whatever is wrong here is no reason to keep anybody from working
        pass
