"""What a check answers, and what checks know of each other."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Required, TypedDict

if TYPE_CHECKING:
    from trichrome.bootstrap import Project


class Check(TypedDict, total=False):
    """One line of the doctor's report."""

    name: Required[str]
    state: Required[Literal["ok", "warn", "fail"]]
    found: Required[str]
    advice: str


class Setting(TypedDict, total=False):
    """One setting with its value and where that came from: flag, environment, file or default."""

    name: str
    value: object
    source: str
    variable: str


@dataclass
class Visit:
    """What is known so far; a later check builds on what an earlier one found."""

    folder: Path | None = None
    project: Project | None = None
    settings: list[Setting] = field(default_factory=list)

    @property
    def log(self) -> Path | None:
        """The log's file, where there is one that this user may see."""
        from trichrome.config import FOLDER, LOG_FILE

        path = None if self.folder is None else self.folder / FOLDER / LOG_FILE
        return path if path is not None and os.path.exists(path) else None  # noqa: PTH110 - Path.exists may raise


def check(name: str, state: Literal["ok", "warn", "fail"], found: str, advice: str | None = None) -> Check:
    """One line of the report; advice is for what is not well."""
    line: Check = {"name": name, "state": state, "found": found}
    if advice is not None and state != "ok":
        line["advice"] = advice
    return line
