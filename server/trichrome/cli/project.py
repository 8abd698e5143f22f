"""The project that a command works on: opened, or only as the place where its files are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import refusals
from trichrome.errors import InvalidError, NotFoundError, StoreUnavailableError, TrichromeError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project


MEMORY: Final = (
    'store is "memory", which ends with each command: nothing would be kept. Set it to "sqlite", or unset'
    " TRICHROME_STORE."
)
"""Why no command works on a store in memory."""

UPGRADE: Final = "Upgrade this trichrome as you installed it (README)."
"""What helps where a newer program has changed the log."""

_RUN: Final = re.compile(r"r\d+")


@contextmanager
def opened(as_json: bool) -> Iterator[Project]:
    """Open the project that is meant here, and let go of it at the end; refusals inside end the command with 1.

    Whatever the command is about, it first rescues what dead workers held: it may be the only one who looks.
    """
    with refusals(as_json):
        from trichrome.bootstrap import open_project
        from trichrome.coordinator import liveness

        project = open_project()
        try:
            if project.loaded.config.store == "memory":
                raise InvalidError(MEMORY, field="store")
            with suppress(TrichromeError):  # whoever only looks is answered by a log that takes no writes, too
                liveness.sweep(project.coordinator)
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


@dataclass(frozen=True, slots=True)
class Place:
    """A project's files, whatever state they are in."""

    project: Path

    @property
    def folder(self) -> Path:
        """The `.trichrome` folder."""
        from trichrome.config import FOLDER

        return self.project / FOLDER

    @property
    def log(self) -> Path:
        """The log's file, whether it is there or not."""
        from trichrome.config import LOG_FILE

        return self.folder / LOG_FILE

    @property
    def aside(self) -> Path:
        """The folder for what is replaced."""
        from trichrome.store.sqlite.succession import ASIDE

        return self.folder / ASIDE

    @contextmanager
    def looked_at(self) -> Iterator[Project]:
        """The project opened to be looked at, without anything being made or written.

        Raises:
            TrichromeError: it cannot be opened, or its log has an older form.
        """
        from trichrome.bootstrap import look_at

        project = look_at(self.project)
        try:
            yield project
        finally:
            project.close()

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """The project opened as every command does.

        Raises:
            TrichromeError: it cannot be opened.
        """
        from trichrome.bootstrap import open_project

        project = open_project(self.project)
        try:
            yield project
        finally:
            project.close()


def place(*, reads_settings: bool = True) -> Place:
    """The place of the project that is meant here; nothing is made.

    Raises:
        InvalidError: there is none that may be used; or, where the settings are read, they are wrong.
        StoreUnavailableError: its folder cannot be read.
    """
    from trichrome.config import check_folder, load, project_folder

    found = Place(project_folder())
    if found.folder.is_dir():
        if not os.access(found.folder, os.R_OK | os.X_OK):
            raise StoreUnavailableError(
                f"{found.folder} cannot be read, so nothing was done. Make it readable for this user (`chmod 700`), or "
                "name another project with TRICHROME_HOME; `trichrome doctor` says what it finds there."
            )
        check_folder(found.project)
    if reads_settings and load(found.project).config.store == "memory":
        raise InvalidError(MEMORY, field="store")
    return found
