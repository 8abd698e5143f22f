"""The project that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trichrome.cli.output import refusals

if TYPE_CHECKING:
    from trichrome.bootstrap import Project


@contextmanager
def opened(as_json: bool) -> Iterator[Project]:
    """Open the project that is meant here, and let go of it at the end; refusals inside end the command with 1."""
    with refusals(as_json):
        from trichrome.bootstrap import open_project

        project = open_project()
        try:
            yield project
        finally:
            project.close()
