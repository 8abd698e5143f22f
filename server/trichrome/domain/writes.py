"""Which files a command line of a shell writes, as far as reading it can tell; pure.

It knows redirections and the usual commands that change files. Of all else it says nothing: what a program writes by
itself is not seen.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from typing import Final

from trichrome.domain.git_calls import GitCall, git_call
from trichrome.domain.shell import Command, commands
from trichrome.domain.shell_words import Given, Word, given

_ALL: Final[Mapping[str, str]] = {
    "mkdir": "m mode",
    "mv": "S suffix",
    "rm": "",
    "rmdir": "",
    "shred": "n s",
    "tee": "",
    "touch": "d r t date reference",
    "truncate": "r s reference size",
    "unlink": "",
}
"""Commands that change all that they name, with their options that take a value."""
_LAST: Final[Mapping[str, str]] = {"cp": "S suffix", "install": "g m o S group mode owner suffix", "ln": "S suffix"}
"""Commands that change the last one alone."""
_TARGET: Final = " t target-directory"
_SCRIPTED: Final[Mapping[str, str]] = {"sed": "e f expression file", "perl": "e E"}
"""Commands that change what they name where `-i` says so; their script is an option, else the first word."""


def writes(line: str) -> list[Word]:
    """The paths that a line writes, each once, relative to where it is run, `~` or absolute.

    What is `open`, or relative to a folder that is not known, is left out; a `pattern` stands for what it matches.
    """
    found: dict[Word, None] = {}
    for command in commands(line):
        call = git_call(command)
        folder = command.folder if call is None else call.folder
        named = _of_command(command) if call is None else _of_git(call)
        for word, base in [*((each, folder) for each in named), *((each, command.folder) for each in command.outputs)]:
            if word.text and word.kind != "open" and (base is not None or word.text.startswith(("/", "~"))):
                path = word.text if word.text.startswith("~") else posixpath.join(base or "", word.text)
                found[Word(path, word.kind)] = None
    return list(found)


def _of_command(command: Command) -> Iterable[Word]:
    name = command.name
    if name in _ALL:
        told = given(command.arguments, _ALL[name] + _TARGET)
        return (*told.operands, *_targets(told))
    if name in _LAST:
        told = given(command.arguments, _LAST[name] + _TARGET)
        return _targets(told) or _copies(told.operands)
    if name in _SCRIPTED:
        return _in_place(given(command.arguments, _SCRIPTED[name]), name)
    if name == "dd":
        return [Word(word.text[3:], word.kind) for word in command.arguments if word.text.startswith("of=")]
    return ()


def _copies(operands: tuple[Word, ...]) -> tuple[Word, ...]:
    """What is made of all but the last, which may be the folder that they go to."""
    *sources, to = operands or (Word(""),)
    if posixpath.basename(to.text) not in {"", ".", ".."}:
        return (to,) if sources else ()
    return tuple(Word(posixpath.join(to.text, posixpath.basename(each.text)), each.kind) for each in sources)


def _targets(told: Given) -> tuple[Word, ...]:
    return tuple(told.values[name] for name in ("-t", "--target-directory") if name in told.values)


def _in_place(told: Given, name: str) -> tuple[Word, ...]:
    if not told.flags & {"-i", "--in-place"}:
        return ()
    files = tuple(word for word in told.operands if word.text)  # `-i ''` is how some systems spell it
    return files if told.values or name == "perl" else files[1:]


def _of_git(call: GitCall) -> tuple[Word, ...]:
    told = given(call.arguments, "s source")
    match call.subcommand:
        case "mv":
            return told.operands
        case "rm":
            return () if told.has("--cached") else told.operands
        case "restore":
            return told.operands if told.has("-W", "--worktree") or not told.has("-S", "--staged") else ()
        case "checkout":
            return told.operands[1:] if told.paths is None else told.paths
        case _:
            return ()
