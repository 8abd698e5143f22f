"""The words of a command line, and what they mean to a command: options, their values, operands; pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

_SHORTEST_CUT: Final = 4
"""A long option that is cut shorter is not looked for."""


class Word(NamedTuple):
    """A word, without its quotes.

    Attributes:
        kind: `plain`: it is what it says; `pattern`: the shell puts the names of files in its place; `open`: what it
            will be is not known before it runs.
    """

    text: str
    kind: Literal["plain", "pattern", "open"] = "plain"


def moved(folder: str | None, to: Word | None) -> str | None:
    """The folder that a word leads to from another; None where that is not known."""
    if to is None or to.kind != "plain" or to.text in {"", "-"}:
        return None
    if to.text.startswith(("/", "~")):
        return to.text
    return None if folder is None else posixpath.join(folder, to.text)


class Given(NamedTuple):
    """What a command is given.

    Attributes:
        flags: its options: `-f`, `--force`.
        values: what those that take a value are given.
        operands: the words that are no options.
        paths: those of them after `--`; None without it.
    """

    flags: frozenset[str]
    values: Mapping[str, Word]
    operands: tuple[Word, ...]
    paths: tuple[Word, ...] | None

    def has(self, *names: str) -> bool:
        """Whether one of these options is given; a long one may be cut short, as git allows."""
        short = (flag for flag in self.flags if len(flag) > _SHORTEST_CUT)
        return any(name in self.flags for name in names) or any(
            name.startswith(flag) for flag in short for name in names
        )


def given(words: Sequence[Word], valued: str = "") -> Given:
    """A command's arguments, told apart.

    Args:
        words: the arguments.
        valued: the options that take a value, without their dashes: `"s source"`.
    """
    takes = frozenset(valued.split())
    flags: list[str] = []
    values: dict[str, Word] = {}
    operands: list[Word] = []
    rest = iter(words)
    for word in rest:
        text = word.text
        if text == "--":
            paths = tuple(rest)
            return Given(frozenset(flags), values, (*operands, *paths), paths)
        if text.startswith("--"):
            name, equals, value = text.partition("=")
            flags.append(name)
            if name[2:] in takes:
                values[name] = Word(value, word.kind) if equals else next(rest, Word(""))
        elif text.startswith("-") and len(text) > 1:
            for end, letter in enumerate(text[1:], 2):
                flags.append(f"-{letter}")
                if letter in takes:
                    values[f"-{letter}"] = Word(text[end:], word.kind) if text[end:] else next(rest, Word(""))
                    break
        else:
            operands.append(word)
    return Given(frozenset(flags), values, tuple(operands), None)


def after_options(words: Sequence[Word], valued: str = "") -> tuple[Word, ...]:
    """The words after the options of a command that another one follows.

    Args:
        words: its arguments.
        valued: the letters of the options whose value is a word of its own.
    """
    at = 0
    while at < len(words) and words[at].text.startswith("-") and len(words[at].text) > 1:
        option = words[at].text
        at += 1
        if option == "--":
            break
        if not option.startswith("--") and option[-1] in valued:
            at += 1
    return tuple(words[at:])
