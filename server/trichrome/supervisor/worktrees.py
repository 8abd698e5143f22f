"""Worktrees as git registers them: which there are, what keeps one from being removed, and removing one safely."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from trichrome.domain.ids import TaskId
from trichrome.domain.text import one_line
from trichrome.git import FILES_SECONDS, Git, GitError, NoGitError
from trichrome.supervisor.branches import name as branch_name

_SUBJECT: Final = 72
_UNMADE: Final = "initializing"
"""What git locks a worktree with until it is made: one that still says so was cut short, and nobody worked there."""


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree whose folder is there.

    Attributes:
        path: its folder.
        branch: the branch that is checked out; None where it is on none.
        lock: why somebody locked it; None where nobody did.
    """

    path: Path
    branch: str | None
    lock: str | None

    @property
    def git(self) -> Git:
        """As `Git`, in its folder."""
        return Git(self.path)

    def unlock(self) -> None:
        """Remove the locks that a killed git left, if nobody works in the folder."""
        if self.occupied() is not None:
            return
        names = ["index.lock", "HEAD.lock", *([f"refs/heads/{self.branch}.lock"] if self.branch else [])]
        asked = [part for name in names for part in ("--git-path", name)]
        for path in self.git.run("rev-parse", "--path-format=absolute", *asked).splitlines():
            Path(path).unlink(missing_ok=True)

    def astray(self) -> str | None:
        """Why its files may not be committed to its task's branch as they are; None when they may, or it is on none."""
        if (what := self.git.unfinished()) is not None:
            return f"it is in the middle of a {what}"
        own = branch_name(TaskId(self.path.name))
        if self.branch not in {own, None}:
            return f"it is on {self.branch}, not on {own}"
        return None

    def keep(self, summary: str) -> str | None:
        """Commit what is not committed to the task's branch; answers why that cannot be.

        Where it is on no branch there is nothing to commit to: with anything in it, it stays. Repositories of their
        own inside are left out.
        """
        if self.branch is None:
            return None
        if (astray := self.astray()) is not None:
            return astray
        git = self.git.within(FILES_SECONDS)
        try:
            untidy = git.untidy()
            if not untidy:
                return None
            inner = [f":(exclude,literal){path}" for path in untidy if path.endswith("/")]
            git.run("add", "--all", "--sparse", "--", ".", *inner)
            if not git.agrees("diff", "--cached", "--quiet"):
                message = one_line(f"{self.path.name}: {summary}", most=_SUBJECT)
                git.run(*git.as_somebody(), "commit", "--quiet", "--no-verify", "--message", message)
        except GitError as error:
            return f"what is in it could not be committed: {error.said}"
        return None

    def uncommitted(self) -> list[str]:
        """Paths that differ from the last commit, as far as git can say."""
        try:
            return self.git.untidy()
        except GitError:
            return []

    def unsafe(self, *, after_commit: bool = False) -> str | None:
        """What in it is not where it belongs, or nowhere else; None when nothing is.

        Args:
            after_commit: suppose that `keep` went well.
        """
        git = self.git
        try:
            if (why := self.astray()) is not None:
                return why
            is_kept = after_commit and self.branch is not None
            if untidy := [path for path in git.untidy() if not is_kept or path.endswith("/")]:
                return f"it has what is not committed: {one_line(', '.join(untidy), most=200)}"
            if self.branch is None and not git.answer("for-each-ref", "--count=1", "--contains", "HEAD"):
                return "it has commits that no branch holds"
            if (modules := git.own / "modules").is_dir() and any(modules.iterdir()):
                return "it has submodules, whose commits may be nowhere else"
        except GitError as error:
            return f"git cannot say what is in it: {error.said}"
        return None

    def occupied(self) -> str | None:
        """Who is in it, as far as this user may see; None where nobody is."""
        for process in psutil.process_iter():
            try:
                where = Path(process.cwd())
                if where == self.path or self.path in where.parents:
                    return f"process {process.pid} ({process.name()}) is in it"
            except (psutil.Error, OSError):
                continue
        return None

    def needed(self) -> str | None:
        """Why it may not be removed; None when it may."""
        locked = None if self.lock is None else f"it is locked {f'({self.lock})' if self.lock else ''}".rstrip()
        return self.unsafe() or locked or self.occupied()


@dataclass(frozen=True, slots=True)
class Worktrees:
    """The worktrees of one repository.

    Attributes:
        git: git in the repository.
        removed: where folders wait to be deleted.
    """

    git: Git
    removed: Path

    def all(self) -> list[Worktree]:
        """Those whose folder is there and whole, the main one too."""
        return [
            Worktree(path, facts.get("branch", "").removeprefix("refs/heads/") or None, facts.get("locked"))
            for path, facts in self._registered().items()
            if (path / ".git").exists() and facts.get("locked") != _UNMADE
        ]

    def known(self) -> list[Path]:
        """The folders of all that are registered, whether they are there or not."""
        return list(self._registered())

    def unmade(self) -> set[Path]:
        """The folders of those that were cut short while they were made."""
        return {path for path, facts in self._registered().items() if facts.get("locked") == _UNMADE}

    def at(self, path: Path) -> Worktree | None:
        """The one whose folder this is, if it is there and whole."""
        return next((tree for tree in self.all() if tree.path == path), None)

    def _registered(self) -> dict[Path, dict[str, str]]:
        """What git knows of each; nothing where there is no git, or no repository."""
        found = {}
        told = None
        with suppress(NoGitError):
            told = self.git.answer("worktree", "list", "--porcelain")
        for entry in (told or "").split("\n\n"):
            facts = dict((*line.partition(" ")[::2],) for line in entry.splitlines())
            found[Path(facts.get("worktree", ""))] = facts
        return found

    def remove(self, tree: Worktree) -> str | None:
        """Remove one that nobody needs; answers why it has to stay.

        The folder first moves away whole: a crash in the middle leaves a registration without a folder, which
        `forget` ends, and a folder to delete, which `empty` does.
        """
        if (why := tree.needed()) is not None:
            return why
        self.removed.mkdir(mode=0o700, parents=True, exist_ok=True)
        away = Path(tempfile.mkdtemp(dir=self.removed))
        try:
            tree.path.rename(away / tree.path.name)
        except OSError as error:
            away.rmdir()
            return f"it cannot be removed ({error.strerror})"
        self.forget(tree.path)
        _delete(away)
        return None

    def forget(self, path: Path) -> None:
        """End the registration of a worktree whose folder is gone, or was never made to its end; a locked one stays."""
        facts = self._registered().get(path)
        if facts is not None and facts.get("locked") == _UNMADE:
            self.git.run("worktree", "remove", "--force", "--force", str(path))
        elif facts is not None and "locked" not in facts and not path.exists():
            self.git.run("worktree", "remove", str(path))

    def empty(self) -> None:
        """Delete the folders that wait for it."""
        _delete(self.removed)


def _delete(folder: Path) -> None:
    """Delete a folder, with the folders in it that forbid it: caches of packages are often write-protected."""
    for current, folders, _ in os.walk(folder):
        for inner in (Path(current, name) for name in folders):
            if not inner.is_symlink():
                with suppress(OSError):
                    inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
