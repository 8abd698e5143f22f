"""Keeping the artifacts that a session reported and git ignores, before their worktree goes.

The names are an agent's: only regular files inside the workspace are copied, and no link is followed out of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.git import Git

FOLDER: Final = "artifacts"
_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_FILES: Final = 1000


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied.

    Attributes:
        paths: the copies.
        why_not: why nothing was; None where all is.
    """

    paths: tuple[Path, ...] = ()
    why_not: str | None = None


def copy(workspace: Path, names: Sequence[str], to: Path) -> Copied:
    """Copy what git ignores of the named files and folders.

    Args:
        workspace: the folder that the names are relative to.
        names: what a session said.
        to: the folder for the copies; made when there are any.

    Raises:
        GitError: git cannot say what it ignores.
        OSError: a copy cannot be written.
    """
    wanted = [f":(literal){path}" for path in _inside(workspace, names)]
    if not wanted:
        return Copied()
    ignored = Git(workspace).names("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *wanted)
    files = [name for name in ignored if (workspace / name).is_file() and not (workspace / name).is_symlink()]
    size = sum((workspace / name).stat().st_size for name in files)
    if size > _MOST_BYTES or len(files) > _MOST_FILES:
        return Copied(why_not=f"its artifacts are {len(files)} files of {size // 1_000_000} MB, too much to copy")
    return Copied(tuple(_copied(workspace / name, to / name) for name in files))


def _inside(workspace: Path, names: Sequence[str]) -> Iterator[Path]:
    """What of the names lies in the workspace once every link is followed, relative to it."""
    root = workspace.resolve()
    for name in names:
        try:
            path = (workspace / name).resolve()
        except (OSError, ValueError, RuntimeError):  # too long, with a NUL, links in a circle
            continue
        if path.is_relative_to(root) and path != root:
            yield path.relative_to(root)


def _copied(file: Path, copy: Path) -> Path:
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = copy.with_name(f".partial-{os.getpid()}")
    shutil.copyfile(file, partial, follow_symlinks=False)
    return partial.replace(copy)
