"""A call of git on a command line: what is asked of it, and where; pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from trichrome.domain.shell import Command
from trichrome.domain.shell_words import Word, moved

_VALUED: Final = frozenset(
    {"-c", "--attr-source", "--config-env", "--exec-path", "--git-dir", "--namespace", "--super-prefix", "--work-tree"}
)
"""Options of git itself whose value may be a word of its own."""


class GitCall(NamedTuple):
    """One call of git.

    Attributes:
        folder: where it works, as `Command.folder`.
    """

    subcommand: str
    arguments: tuple[Word, ...]
    folder: str | None


def git_call(command: Command) -> GitCall | None:
    """The call of git that a command is; None for any other command, and for one that asks git nothing."""
    if command.name != "git":
        return None
    folder = command.folder
    at = 0
    words = command.arguments
    while at < len(words) and words[at].text.startswith("-"):
        option = words[at].text
        at += 1
        if option == "-C":
            folder = moved(folder, words[at] if at < len(words) else None)
        if option == "-C" or option in _VALUED:
            at += 1
    return GitCall(words[at].text, words[at + 1 :], folder) if at < len(words) else None
