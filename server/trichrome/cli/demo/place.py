"""Where the demo works: the project itself, or a copy of its files where that would be in the way.

Guarantee: work that is not the demo's is never touched. The demo's workers take any ready task of their role and fail
what needs a model, so a project with open tasks, or with workers that could take the demo's, is left alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome import config
from trichrome.bootstrap import Project, open_project
from trichrome.coordinator import queries
from trichrome.domain.tasks import FINAL
from trichrome.errors import TrichromeError
from trichrome.runners.files import Project as Files

_MOST_FILES: Final = 5_000
_MOST_BYTES: Final = 64 * 1024 * 1024
_LARGEST_FILE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """An opened project to play in.

    Attributes:
        origin: the folder that the user meant.
        why: why the project is a copy; None when it is the origin itself.
        scratch: the temporary folder around the copy.
    """

    project: Project
    origin: Path
    why: str | None = None
    scratch: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder that is worked on."""
        return self.project.folder

    @property
    def is_temporary(self) -> bool:
        """Whether it goes away at the end."""
        return self.scratch is not None

    def kept(self, report: Path) -> Path:
        """Where a report of the project will be found when the place is gone."""
        if self.scratch is None:
            return report
        return Path(shutil.copy(report, self.scratch / "report.md"))


@contextmanager
def settle(folder: Path | None, *, keep: bool, apart: str | None = None) -> Iterator[Place]:
    """Open the project of a folder (None: the one that is meant here), or a copy of it; let go of it at the end.

    Args:
        folder: what to work on.
        keep: leave the copy where it is, should there be one.
        apart: why it must be a copy; None where the project itself will do.

    Raises:
        TrichromeError: there is nothing to work on, or a setting is wrong.
    """
    origin = config.project_folder() if folder is None else config.project_folder({}, start=folder)
    place = _undisturbed(origin) if apart is None else _copy(origin, apart)
    try:
        yield place
    finally:
        place.project.close()
        if place.scratch is not None and not keep:
            shutil.rmtree(place.folder, ignore_errors=True)


def _undisturbed(origin: Path) -> Place:
    try:
        project = _opened(origin)
    except TrichromeError as error:
        return _copy(origin, error.message)
    busy = _busy(project)
    if busy is None:
        return Place(project, origin)
    project.close()
    return _copy(origin, busy)


def _opened(folder: Path) -> Project:
    return open_project(folder, flags={"store": "sqlite"})


def _busy(project: Project) -> str | None:
    status = queries.status(project.coordinator)
    if any(state not in FINAL for state in status["tasks"]):
        return "it has open tasks, which the demo's workers must not take."
    if status["workers"]:
        return "workers are connected to it, and the demo's tasks are not for them."
    return None


def _copy(origin: Path, why: str) -> Place:
    scratch = Path(tempfile.mkdtemp(prefix="trichrome-demo-"))
    folder = scratch / "project"
    folder.mkdir()
    left = _MOST_BYTES
    for name in Files(origin).names[:_MOST_FILES]:
        source, target = origin / name, folder / name
        try:
            size = source.stat().st_size
            if source.is_symlink() or not source.is_file() or size > min(_LARGEST_FILE, left):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError:
            continue  # what may not be read is not part of the demo
        left -= size
    return Place(_opened(folder), origin, why, scratch)
