"""What a supervisor tells the server of a session that it started, and what such a session has left of its work.

Guarantee: looking changes nothing, takes a bounded time, and never claims to have seen what it has not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.coordinator import Traces
from trichrome.domain import outputs
from trichrome.errors import InvalidError
from trichrome.git import Git, GitError

GIT_SECONDS: Final = 10.0
"""The longest that git may take to answer."""
OUTPUT_BYTES: Final = 256 * 1024 * 1024
"""How much of a session's output is looked through."""


@dataclass(frozen=True, slots=True)
class Supervised:
    """What the environment of a supervised session says.

    Attributes:
        supervisor: (pid, start) of whoever started it.
        workspace: the folder it works in.
        output: the file that its standard output goes to, in lines.
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
    git = Git(workspace, seconds=GIT_SECONDS)
    try:
        folders = git.run("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
        if len(set(folders.splitlines())) == 1:
            return None
        branch = git.run("branch", "--show-current").strip()
        besides = [f"--exclude={branch}"] if branch else []
        elsewhere = ("--not", *besides, "--branches", "--remotes", "--tags")
        return bool(git.untidy() or git.run("rev-list", "--max-count=1", "HEAD", *elsewhere).strip())
    except GitError:
        return None


def has_worked(output: Path) -> bool | None:
    """Whether a session's output tells of a tool that is not ours; None where the output cannot be seen whole."""
    try:
        with output.open("rb") as lines:
            for line in lines:
                if any(map(outputs.is_work, outputs.called(_decoded(line)))):
                    return True
                if lines.tell() > OUTPUT_BYTES:
                    return None
    except OSError:
        return None
    return False


def _decoded(line: bytes) -> object:
    """The JSON object on a line; None where there is none."""
    try:
        return json.loads(line) if line.startswith(b"{") else None
    except (ValueError, RecursionError):
        return None
