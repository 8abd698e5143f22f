"""Which paths a tool of the client is about to write, as the edit gate looks at them.

The gate is up for workers that a supervisor started, and for people's own sessions where `edit_gate` says `all`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.domain import reservations, writes

_SHARED: Final = ("shared-context", "artifacts")
"""Folders in `.trichrome` that workers write to beside their workspace."""
_OUTSIDE: Final = (
    "{path} is outside of your workspace, {workspace}, so it was not written. What others need belongs into the "
    "workspace; what nobody needs afterwards, into {scratch}."
)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where an agent works.

    Attributes:
        root: the folder that paths of tasks are relative to: a worker's workspace, or the project folder.
        project: the project folder.
        is_bound: whether it may write nowhere else, but for scratch files and what is shared.
    """

    root: Path
    project: Path
    is_bound: bool

    def outside(self, path: Path) -> str | None:
        """Why a path may not be written because of where it is; None where it may, as far as that goes."""
        allowed = [self.root, *(self.project / ".trichrome" / name for name in _SHARED)]
        scratch = Path(tempfile.gettempdir()).resolve()
        if not path.is_relative_to(self.project):  # which may itself lie in a folder for scratch files
            allowed += [scratch, Path("/tmp").resolve(), Path("/dev")]  # noqa: S108  a place that is allowed, not used
        if not self.is_bound or any(path.is_relative_to(each) for each in allowed):
            return None
        return _OUTSIDE.format(path=path, workspace=self.root, scratch=scratch)


def ground(project: Path, environment: Mapping[str, str]) -> Ground:
    """Where the session of a server works."""
    workspace = environment.get("TRICHROME_WORKSPACE") if environment.get("TRICHROME_SUPERVISOR") else None
    return Ground(Path(workspace or project).resolve(), project.resolve(), is_bound=workspace is not None)


def named(*, file_path: str, notebook_path: str, command: str, folder: str) -> Iterator[Path]:
    """The paths that a tool is about to write, without links on the way; what cannot be told is left out."""
    found = writes.writes(command) if command else []
    words = [reservations.prefix(word.text) if word.kind == "pattern" else word.text for word in found]
    for word in (*filter(None, (file_path, notebook_path)), *words):
        yield Path(os.path.realpath(Path(folder) / Path(word).expanduser()))


def inside(paths: Iterator[Path] | list[Path], root: Path) -> list[str]:
    """Those of the paths that lie in a folder, as holds name them: the folder itself is empty."""
    return ["/".join(path.relative_to(root).parts) for path in paths if path.is_relative_to(root)]
