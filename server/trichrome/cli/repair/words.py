"""What a repair says of what it found and of what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Required, TypedDict

Part = Literal["log", "views", "orphans"]
"""What can be repaired by itself, in the order in which it has to be."""


def mend(part: Part) -> str:
    """The command that says what a repair would do; it does it with `--yes`."""
    return f"trichrome repair --{part}"


class Finding(TypedDict, total=False):
    """Something that is not as it should be; a `warn` harms nothing.

    Attributes:
        mend: the command that mends it.
        mended_by: the part of a repair that does; absent where another command does, or a person.
    """

    part: Required[str]
    state: Required[Literal["warn", "fail"]]
    found: Required[str]
    mend: Required[str]
    mended_by: Part


class Repair(TypedDict, total=False):
    """What was done, or would be.

    Attributes:
        steps: what, in words.
        lost: what could not be saved, in words.
        files: files that a person may want, by what they are.
        next: what to run now.
    """

    part: Required[str]
    steps: Required[list[str]]
    lost: list[str]
    files: dict[str, str]
    next: list[str]


@dataclass(frozen=True, slots=True)
class Orphan:
    """Something without an owner.

    Attributes:
        is_wrong: whether it holds something up; others only take room.
        is_logged: whether letting go of it may write to the log.
        look: the command for a person to look with, where nothing but a person may decide.
    """

    told: str
    is_wrong: bool = False
    is_logged: bool = True
    look: str | None = None
