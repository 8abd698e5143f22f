"""Calling git so that nothing but what was asked for happens.

Guarantees of every call: no hook of the repository runs, no editor and no prompt opens, nothing is signed, no program
is left in the background, and no `GIT_*` variable of the environment has a say. What git began it finishes: neither
Ctrl-C nor the end of this process ends it half-way.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.domain.text import one_line
from trichrome.errors import InvalidError

SECONDS: Final = 600.0
"""How long one call may take: a checkout of a large repository, on a slow disk, with a filter on every file."""

_SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",  # it would start a daemon, or a program of the repository's choice
    "core.quotePath=false",
    "core.safecrlf=false",  # `true` refuses to commit what cannot be converted back
    "commit.gpgSign=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "merge.autoStash=false",
    "rerere.enabled=false",
    "status.showUntrackedFiles=all",
    "submodule.recurse=false",
)
_SURROUNDINGS: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_EDITOR": "true",
    "GIT_OPTIONAL_LOCKS": "0",
}
_OURSELVES: Final = ("-c", "user.name=Trichrome", "-c", "user.email=trichrome@localhost")

_UNFINISHED: Final = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
}
"""What git keeps in a worktree's own folder while something is going on, and what that is."""


class GitError(InvalidError):
    """git refused, or is not there.

    Attributes:
        said: git's words, cut to a line.
    """

    def __init__(self, arguments: Sequence[str], said: str) -> None:
        self.said = one_line(said, most=300)
        super().__init__(
            f"git refused `{one_line(' '.join(arguments), most=80)}`: {self.said.rstrip('.')}. No work is lost: mend "
            "that, then try again."
        )


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder."""

    folder: Path

    def run(self, *arguments: str, told: str = "") -> str:
        """What git answers.

        Args:
            arguments: the git command.
            told: what it reads on standard input.

        Raises:
            GitError: it refuses, is not there, or gives no answer within `SECONDS`.
        """
        code, out, said = self.ended(*arguments, told=told)
        if code != 0:
            raise GitError(arguments, said or f"exit code {code}")
        return out

    def ended(self, *arguments: str, told: str = "") -> tuple[int, str, str]:
        """Run git to its end, whatever comes of it: its exit code, its answer, and its words about it.

        Raises:
            GitError: it is not there, or gives no answer within `SECONDS`.
        """
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            process = subprocess.Popen(
                ["git", "-C", str(self.folder), *settings, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=kept | _SURROUNDINGS,
                process_group=0,  # Ctrl-C at the terminal is for us
            )
        except OSError as error:
            raise GitError(arguments, f"git could not be started ({error.strerror})") from error
        with process:
            try:
                out, errors = process.communicate(os.fsencode(told), timeout=SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise GitError(arguments, f"no answer within {SECONDS:.0f} s") from None
            except KeyboardInterrupt:
                process.communicate()
                raise
        said = os.fsdecode(errors).removeprefix("fatal: ").removeprefix("error: ")
        return process.returncode, os.fsdecode(out), said

    def answer(self, *arguments: str) -> str | None:
        """What git answers, without the last newline; None where it refuses."""
        try:
            return self.run(*arguments).rstrip("\n")
        except GitError:
            return None

    def names(self, *arguments: str) -> list[str]:
        """What a command with `-z` lists."""
        return [name for name in self.run(*arguments).split("\0") if name]

    def agrees(self, *arguments: str) -> bool:
        """Whether a command that answers by its exit code says yes."""
        return self.ended(*arguments)[0] == 0

    def as_somebody(self) -> tuple[str, ...]:
        """What to put before a command that makes a commit: nothing where the user has a name, else ours."""
        has_name = self.answer("config", "user.name") and self.answer("config", "user.email")
        return () if has_name else _OURSELVES

    # --- what a worktree is in the middle of ---

    @property
    def own(self) -> Path:
        """The folder where git keeps what belongs to this worktree alone."""
        return Path(self.run("rev-parse", "--absolute-git-dir").rstrip("\n"))

    def unfinished(self) -> str | None:
        """What was begun in this worktree and neither finished nor given up, in a word."""
        own = self.own
        return next((word for name, word in _UNFINISHED.items() if (own / name).exists()), None)

    def untidy(self) -> list[str]:
        """Paths that differ from the last commit, or that git does not know and does not ignore."""
        entries = self.names("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=none")
        return [entry[3:] for entry in entries]
