"""What a supervisor tells the server of a session that it started, and what such a session has left of its work.

Guarantee: looking changes nothing, takes a bounded time, and never claims to have seen what it has not.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trichrome.coordinator import Traces
from trichrome.errors import InvalidError

GIT_SECONDS: Final = 10.0
"""The longest that git may take to answer."""
OUTPUT_BYTES: Final = 256 * 1024 * 1024
"""How much of a session's output is looked through."""
OURS: Final = "mcp__trichrome__"
"""How the names of our tools begin in a session's output."""
_TELLING: Final = frozenset({"said", "used", "denied"})
"""What programs tell that speak as `trichrome.runners.telling` does, besides the tools that they call."""
NO_WORK: Final = frozenset({"ToolSearch"})
"""Tools of Claude Code that only bring in others."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """What the environment of a supervised session says.

    Attributes:
        supervisor: (pid, start) of whoever started it.
        workspace: the folder it works in.
        output: the file that its standard output goes to, in lines of JSON.
    """

    supervisor: tuple[int, int]
    workspace: Path | None = None
    output: Path | None = None

    def traces(self) -> Traces:
        """What the session has left so far."""
        changed = None if self.workspace is None else is_changed(self.workspace)
        return Traces(changed, None if self.output is None or changed is not False else has_worked(self.output))


def supervised(environment: Mapping[str, str]) -> Supervised | None:
    """What a supervisor said; None where none started the session.

    Raises:
        InvalidError: nobody could have said that.
    """
    told = environment.get("TRICHROME_SUPERVISOR")
    if not told:
        return None
    pid, _, start = told.partition(":")
    try:
        supervisor = int(pid), int(start)
    except ValueError:
        raise InvalidError(
            f"TRICHROME_SUPERVISOR is {told[:40]!r}, which is not PID:START. Only `trichrome start` sets it: unset it.",
            field="TRICHROME_SUPERVISOR",
        ) from None
    workspace, output = (environment.get(f"TRICHROME_{name}") for name in ("WORKSPACE", "OUTPUT"))
    return Supervised(supervisor, Path(workspace) if workspace else None, Path(output) if output else None)


def is_changed(workspace: Path) -> bool | None:
    """Whether a worktree beside the main one has changes or commits that no other branch has; None for no worktree."""
    folders = _git(workspace, "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
    if folders is None or len(set(folders.splitlines())) == 1:
        return None
    status = _git(workspace, "status", "--porcelain")
    branch = _git(workspace, "branch", "--show-current")
    if status is None or branch is None:
        return None
    besides = [f"--exclude={branch.strip()}"] if branch.strip() else []
    own = _git(workspace, "rev-list", "--max-count=1", "HEAD", "--not", *besides, "--branches", "--remotes", "--tags")
    return None if own is None else bool(status.strip() or own.strip())


def _git(workspace: Path, *arguments: str) -> str | None:
    try:
        told = subprocess.run(
            ["git", "-C", os.fspath(workspace), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.decode(errors="replace")


def has_worked(output: Path) -> bool | None:
    """Whether a session's output tells of a tool that is not ours; None where it tells of no tools at all."""
    is_told = False
    try:
        with output.open("rb") as lines:
            for line in lines:
                for tool in _tools(line):
                    is_told = True
                    if not tool.startswith(OURS) and tool not in NO_WORK:
                        return True
                if lines.tell() > OUTPUT_BYTES:
                    return None
    except OSError:
        return None
    return False if is_told else None


def _tools(line: bytes) -> Iterator[str]:
    """The tools that one line of output says were called.

    Claude Code tells all of them in stream-json. Our own programs, and others that speak like them, tell those that are
    not ours, so whatever else they tell stands for a tool of ours.
    """
    if not line.startswith(b"{"):
        return
    try:
        told: Any = json.loads(line)
        kind = told.get("type")
        if kind == "called":
            yield str(told["tool"])
        elif kind in _TELLING:
            yield OURS
        else:
            yield from (str(each["name"]) for each in told["message"]["content"] if each["type"] == "tool_use")
    except (ValueError, LookupError, TypeError, RecursionError):
        return
