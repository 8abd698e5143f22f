"""Calling git so that nothing but what was asked for happens.

Guarantees of every call: no hook of the repository runs, no editor and no prompt opens, nothing is signed, no program
is left in the background, and no `GIT_*` variable of the environment has a say. What git began it finishes: neither
Ctrl-C nor the end of this process ends it half-way. A git that takes longer than its bound is asked to end first, since
it then takes its locks and half-made worktrees along.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trichrome.domain.text import one_line
from trichrome.errors import InvalidError

LOOKING_SECONDS: Final = 20.0
"""How long a call may take that looks, or changes a ref: the status of a large worktree, read from a cold disk."""
FILES_SECONDS: Final = 90.0
"""How long a call may take that writes or stores the files of one worktree; whoever keeps workers waits meanwhile."""
MERGING_SECONDS: Final = 600.0
"""How long a call may take that writes the user's files: cut short, it leaves them half written."""
_ENDING_SECONDS: Final = 2.0
"""How long a git that was asked to end may take to tidy up."""

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
    """git refused, or gave no answer in time.

    It is retryable: a lock of another git, a full disk or a slow one may be gone at the next try. What can be told to
    last is refused in other words, before git is asked.

    Attributes:
        said: git's words, cut to a line.
    """

    retryable = True

    def __init__(self, message: str, *, said: str) -> None:
        super().__init__(message)
        self.said = said


class NoGitError(GitError):
    """git is not installed, or not on the PATH."""


def refusal(arguments: Sequence[str], words: str) -> GitError:
    """The error for a command of git that it refused in these words."""
    said = one_line(words, most=300)
    return GitError(
        f"git refused `{one_line(' '.join(arguments), most=80)}`: {said.rstrip('.')}. No work is lost: mend that, then "
        "try again.",
        said=said,
    )


@dataclass(frozen=True, slots=True)
class Git:
    """git in one folder.

    Attributes:
        seconds: how long one call may take.
    """

    folder: Path
    seconds: float = LOOKING_SECONDS

    def within(self, seconds: float) -> Git:
        """The same, for calls that may take so long."""
        return replace(self, seconds=seconds)

    def run(self, *arguments: str, told: str = "") -> str:
        """What git answers.

        Args:
            arguments: the git command.
            told: what it reads on standard input.

        Raises:
            GitError: it refuses, is not there, or gives no answer in time.
        """
        code, out, said = self.ended(*arguments, told=told)
        if code != 0:
            raise refusal(arguments, said or f"exit code {code}")
        return out

    def ended(self, *arguments: str, told: str = "") -> tuple[int, str, str]:
        """Run git to its end, whatever comes of it: its exit code, its answer, and its words about it.

        Raises:
            NoGitError: it is not there.
            GitError: it gives no answer in time.
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
        except (FileNotFoundError, PermissionError) as error:
            said = error.strerror or str(error)
            told = f"git could not be started ({said}). Nothing was changed. Install it, or put it on the PATH."
            raise NoGitError(told, said=said) from error
        except OSError as error:
            raise refusal(arguments, f"git could not be started ({error.strerror})") from error
        with process:
            try:
                out, errors = process.communicate(os.fsencode(told), timeout=self.seconds)
            except subprocess.TimeoutExpired:
                _end(process)
                raise refusal(arguments, f"no answer within {self.seconds:.0f} s") from None
            except KeyboardInterrupt:
                process.communicate()
                raise
        said = os.fsdecode(errors).removeprefix("fatal: ").removeprefix("error: ")
        return process.returncode, os.fsdecode(out), said

    def answer(self, *arguments: str) -> str | None:
        """What git answers, without the last newline; None where it refuses.

        Raises:
            GitError: it is not there, or gives no answer in time.
        """
        code, out, _ = self.ended(*arguments)
        return out.rstrip("\n") if code == 0 else None

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


def _end(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_ENDING_SECONDS)
            return
