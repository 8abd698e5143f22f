"""The project that a command works on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import refusals
from trichrome.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project


MEMORY: Final = (
    'store is "memory", which ends with each command: nothing would be kept. Set it to "sqlite", or unset'
    " TRICHROME_STORE."
)
"""Why no command works on a store in memory."""

_RUN: Final = re.compile(r"r\d+")


@contextmanager
def opened(as_json: bool) -> Iterator[Project]:
    """Open the project that is meant here, and let go of it at the end; refusals inside end the command with 1."""
    with refusals(as_json):
        from trichrome.bootstrap import open_project

        project = open_project()
        try:
            if project.loaded.config.store == "memory":
                raise InvalidError(MEMORY, field="store")
            yield project
        finally:
            project.close()


def check_task(name: str) -> None:
    """Refuse a run where a task is wanted.

    Raises:
        NotFoundError: with the command that lists the run's tasks.
    """
    if _RUN.fullmatch(name):
        raise NotFoundError(f"{name} is a run: `trichrome list --run {name}` lists its tasks.", field="task")
