"""Repositories of git in temporary folders, and what may be asked about them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trichrome.config import FOLDER
from trichrome.domain.ids import TaskId
from trichrome.roles import Role
from trichrome.supervisor.workspaces import Workspace, Workspaces

GREEN, BLUE, RED = (
    Role(name, "", "", "inherit", None, None, (), 0.0, name == "green", None) for name in ("green", "blue", "red")
)


@dataclass(frozen=True)
class Repository:
    """A project folder under git, as its user has it."""

    folder: Path

    def git(self, *arguments: str, at: Path | None = None, ok: Sequence[int] = (0,)) -> str:
        """What git answers the user."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["git", "-C", str(at or self.folder), *arguments],
            env=kept | {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode in ok, done.stderr
        return done.stdout.strip()

    def write(self, **files: str) -> None:
        """Change files, not committing them."""
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def commit(self, message: str = "work", **files: str) -> str:
        """Change files and commit all; answers the commit."""
        self.write(**files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    @property
    def spaces(self) -> Workspaces:
        return Workspaces(self.folder, self.folder / FOLDER)

    @property
    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()

    @property
    def refs(self) -> list[str]:
        """Every ref of ours, without what tells logs apart."""
        found = self.git("for-each-ref", "--format=%(refname)", "refs/heads/trichrome", "refs/trichrome")
        return re.sub(r"base/\w+/", "base/", found).splitlines()

    @property
    def worktrees(self) -> list[str]:
        """The folders of all worktrees but the main one, below the workspaces."""
        lines = self.git("worktree", "list", "--porcelain").splitlines()
        below = self.folder / FOLDER / "workspaces"
        paths = [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")]
        return [str(path.relative_to(below)) for path in paths[1:]]

    @property
    def state(self) -> tuple[str, ...]:
        """All of the user's that nobody may touch: HEAD, its branch, the index, the files, the stashes."""
        files = {path.name: path.read_text() for path in sorted(self.folder.iterdir()) if path.is_file()}
        asked = (("rev-parse", "HEAD"), ("branch", "--show-current"), ("ls-files", "--stage"), ("stash", "list"))
        return (*(self.git(*each) for each in asked), str(files))

    def shown(self, path: str, *, at: str = "HEAD") -> str:
        """A committed file."""
        return self.git("show", f"{at}:{path}")

    def prepare(self, task: str, role: Role = GREEN, **more: object) -> Workspace:
        return self.spaces.prepare(TaskId(task), role, **more)  # type: ignore[arg-type]

    def work(self, task: str, builds_on: Sequence[str] = (), **files: str) -> str:
        """What a worker does: a workspace, files in it, put away; answers the branch."""
        workspace = self.prepare(task, base_tasks=builds_on)
        for name, text in files.items():
            (workspace.path / name).write_text(text)
        self.spaces.put_away(workspace, summary=f"did {task}")
        return f"trichrome/{task}"


def made(folder: Path) -> Repository:
    """A repository with a commit, a user with a name, and the project's own folder."""
    folder.mkdir(parents=True, exist_ok=True)
    repository = Repository(folder.resolve())
    repository.git("init", "--quiet", "--initial-branch", "main")
    repository.git("config", "user.name", "Ada")
    repository.git("config", "user.email", "ada@example.org")
    repository.commit("begin", a="one\n", b="one\n")
    data = repository.folder / FOLDER
    data.mkdir(mode=0o700)
    (data / ".gitignore").write_text("*\n")
    return repository
