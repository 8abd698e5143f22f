"""What a command line of a shell runs, as far as reading it can tell; pure.

It finds the simple commands of a line: behind `&&` and pipes, in `$(...)` and backticks, in subshells and blocks, after
`sudo` and `env`, in the script of `sh -c` or of a here-document. Guarantee: any text is read to an end, in a time that
grows with its length, and nothing raises. It is no shell, and does not claim to find everything: what is put together
while it runs, it cannot see. So it serves whoever means well, and is no wall against anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from trichrome.domain.shell_reader import DEEPEST, Raw, Reader, bare
from trichrome.domain.shell_words import Word, after_options

MOST_CHARS: Final = 100_000
"""How much of a line is read."""
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_RUNNERS: Final[Mapping[str, tuple[str, int]]] = {
    "builtin": ("", 0),
    "command": ("", 0),
    "doas": ("Cu", 0),
    "env": ("Cu", 0),
    "exec": ("a", 0),
    "ionice": ("cn", 0),
    "nice": ("n", 0),
    "nohup": ("", 0),
    "setsid": ("", 0),
    "stdbuf": ("eio", 0),
    "sudo": ("CDRTUghprtu", 0),
    "timeout": ("ks", 1),
    "xargs": ("EILPadns", 0),
}
"""Commands that run another one: their options that take a value, and how many words stand before that one."""


class Command(NamedTuple):
    """A simple command.

    Attributes:
        name: what is run, without its folder; empty where there is nothing but a redirection.
        arguments: the words after it.
        outputs: the files that its output is redirected to.
        folder: where `cd` took it before, relative to where the line began; None where that is not known.
    """

    name: str
    arguments: tuple[Word, ...]
    outputs: tuple[Word, ...]
    folder: str | None


def commands(line: str) -> list[Command]:
    """The simple commands of a line, in about the order that they run."""
    return _run(Reader(line[:MOST_CHARS], "", 0).script(), 0)


def _run(found: Sequence[Raw], depth: int) -> list[Command]:
    """The commands that are run in the end, those of scripts among them."""
    run: list[Command] = []
    for raw in found:
        words = bare(raw.words)
        while words and (runner := _RUNNERS.get(_name(words[0]))) is not None:
            valued, more = runner
            words = bare(after_options(words[1:], valued)[more:])
        command = Command(_name(words[0]) if words else "", tuple(words[1:]), tuple(raw.outputs), raw.folder)
        run.append(command)
        script = _script(command, raw.script)
        if script and depth < DEEPEST:
            run += _run(Reader(script, raw.folder, depth + 1).script(), depth + 1)
    return run


def _script(command: Command, fed: str) -> str:
    """What a shell is given to run; empty for anything else."""
    if command.name == "eval":
        return " ".join(word.text for word in command.arguments)
    if command.name not in _SHELLS:
        return ""
    for at, word in enumerate(command.arguments, 1):
        if not word.text.startswith(("-", "+")):
            return ""  # the name of a file
        if not word.text.startswith("--") and "c" in word.text:
            return next(iter(after_options(command.arguments[at:])), Word("")).text
    return fed


def _name(word: Word) -> str:
    return word.text.rpartition("/")[2]
