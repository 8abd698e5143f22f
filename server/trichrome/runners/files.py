"""The files of a project, as far as workers without a shell may look: what git would track, and nothing outside.

Ignored files, links, binaries and large files do not exist here, so no citation, whoever wrote it, can make a worker
read a secret or a device.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import unicodedata
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

MAX_FILE_BYTES: Final = 1024 * 1024
"""A larger text file is generated or data; searching it drowns the rest."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs"})
"""Unicode categories that a terminal or a wire guard would change: control, format (bidi), surrogate."""

OWN_FOLDERS: Final = frozenset({".git", ".trichrome"})
"""Never part of the project's content, whatever a `.gitignore` says."""

UNTRACKED_FOLDERS: Final = OWN_FOLDERS | {".hg", ".svn", ".venv", "node_modules", "__pycache__"}
"""Left out where no git says what belongs to the project."""

GENERATED: Final = (
    "*.lock",
    "*.lockb",
    "*.map",
    "*.min.*",
    "*.svg",
    "go.sum",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "pnpm-lock.yaml",
)
"""Names of text that programs write for programs: it matches much and tells nothing."""

_GIT_SECONDS: Final = 30.0
_BINARY_PROBE_BYTES: Final = 8 * 1024


def is_generated(name: str) -> bool:
    """Whether a file's name says that a program wrote it, so that its lines are no findings."""
    last = PurePosixPath(name).name.lower()
    return any(fnmatchcase(last, pattern) for pattern in GENERATED)


class Project:
    """A folder whose files can be listed and read by line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lines: dict[str, tuple[str, ...] | None] = {}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Paths of the project's files from its folder, with `/`, sorted. Names that cannot be cited are left out."""
        found = _tracked(self.root) or _walked(self.root)
        return tuple(sorted(name for name in found if visible(name) == name and not OWN_FOLDERS & set(name.split("/"))))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def lines(self, name: str) -> tuple[str, ...] | None:
        """The lines of one file, as `read` gives them, kept for the next citation."""
        if name not in self._lines:
            self._lines[name] = self.read(name)
        return self._lines[name]

    def read(self, name: str) -> tuple[str, ...] | None:
        """The lines of one file; None when it is not a text file of this project."""
        return text_lines(self.root / name) if name in self._known else None


def text_lines(path: Path) -> tuple[str, ...] | None:
    """The lines of a file; None where it is none, is no text, or is too large."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE_BYTES:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    if b"\0" in content[:_BINARY_PROBE_BYTES]:
        return None
    # Not `splitlines`: editors and `file:line` count line feeds, not form feeds.
    lines = content.decode("utf-8-sig", "replace").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def _tracked(root: Path) -> set[str]:
    """What git tracks or would track; empty where git cannot say."""
    git = shutil.which("git")
    if git is None:
        return set()
    # A hook's GIT_DIR would point at another repository; fsmonitor would run a program that the repository names.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = [git, "-c", "core.fsmonitor=false", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return set()
    if done.returncode != 0:
        return set()
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def _walked(root: Path) -> Iterator[str]:
    """What every `.gitignore` on the way down lets through; a deeper one has the last word, as in git."""
    from pathspec import GitIgnoreSpec

    ignores: dict[str, GitIgnoreSpec] = {}

    def ignored(name: str) -> bool:
        verdict = None
        for folder, spec in ignores.items():
            if name.startswith(folder):
                include = spec.check_file(name.removeprefix(folder)).include
                verdict = verdict if include is None else include
        return bool(verdict)

    for folder, subfolders, files in os.walk(root):
        at = Path(folder).relative_to(root).as_posix()
        prefix = "" if at == "." else f"{at}/"
        if ".gitignore" in files:
            text = (Path(folder) / ".gitignore").read_text("utf-8", "replace")
            ignores[prefix] = GitIgnoreSpec.from_lines(text.splitlines())
        subfolders[:] = [
            name for name in sorted(subfolders) if name not in UNTRACKED_FOLDERS and not ignored(f"{prefix}{name}/")
        ]
        yield from (prefix + name for name in files if not ignored(prefix + name))


def visible(text: str) -> str:
    """Text on one line, without what cannot be seen: control and format characters, doubled spaces."""
    spaced = (" " if char.isspace() else char for char in text)
    return " ".join("".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE).split())
