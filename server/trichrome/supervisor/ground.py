"""What everything about workspaces stands on: the repository, the places of workspaces, and the lock around git."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trichrome.domain import ids
from trichrome.domain.ids import TaskId
from trichrome.domain.text import one_line
from trichrome.errors import ConflictError, StoreUnavailableError
from trichrome.git import Git, NoGitError
from trichrome.supervisor.branches import Branches
from trichrome.supervisor.branches import name as branch_name
from trichrome.supervisor.worktrees import Worktree, Worktrees

PATIENT_SECONDS: Final = 60.0
"""How long a command waits for the lock: as long as a checkout may take that a supervisor makes."""
_SOON_SECONDS: Final = 3.0
"""How long a supervisor waits for it: all its sessions wait with it, and it tries again anyway."""
_FOLDER: Final = "workspaces"
_SUFFIX: Final = "-agent"
_REMOVED: Final = ".removed"
"""Where folders wait to be deleted: a name that no role has."""


class Ground:
    """One project, as its workspaces see it. Nothing is made before something is to be changed.

    Attributes:
        project: its folder.
        data: its `.trichrome` folder.
        git: git in the project folder.
    """

    def __init__(self, project: Path, data: Path) -> None:
        """For a project folder and its `.trichrome` folder."""
        self.project = project.resolve()
        self.data = data.resolve()
        self.git = Git(self.project)
        self.branches = Branches(self.git, self.data)
        self._folder = self.data / _FOLDER
        self.worktrees = Worktrees(self.git, self._folder / _REMOVED)

    def lacks(self) -> str | None:
        """Why the project cannot have worktrees, as the end of a sentence; None when it can.

        Raises:
            GitError: there is a repository, and no git to ask about it; or git gives no answer in time.
        """
        try:
            code, inside, said = self.git.ended("rev-parse", "--is-inside-work-tree")
        except NoGitError as error:
            if any((folder / ".git").exists() for folder in (self.project, *self.project.parents)):
                raise
            return f"git could not be started ({error.said})"
        if code != 0:
            return f"git cannot be used here ({one_line(said, most=200)})"
        if inside.strip() != "true":
            return "its git repository has no files of its own (it is bare)"
        if self.git.answer("rev-parse", "--verify", "--quiet", "HEAD^{commit}") is None:
            return "its git repository has no commit yet"
        if self.git.answer("rev-parse", "--verify", "--quiet", "HEAD:./") is None:
            return "the git repository around it does not track it"
        return None

    @contextmanager
    def alone(self, seconds: float = _SOON_SECONDS) -> Iterator[None]:
        """Be the only one here who changes git's branches and worktrees; within each other is fine.

        Args:
            seconds: how long to wait for whoever is at it.

        Raises:
            StoreUnavailableError: another one takes longer, or the disk refuses something.
        """
        from filelock import FileLock, Timeout

        path = self.data / "git.lock"
        lock = FileLock(path, mode=0o600, is_singleton=True)
        try:
            with lock.acquire(timeout=seconds):
                yield
        except Timeout as error:
            raise StoreUnavailableError(
                f"Another command of Trichrome has been changing git's branches for {seconds:.0f} s, so nothing was "
                f"changed. Try again later; `fuser {path}` tells which process it is."
            ) from error
        except OSError as error:
            raise StoreUnavailableError(
                f"{error.filename or self._folder} cannot be read or written ({error.strerror}). No work is lost. Mend "
                "that, then try again; `trichrome workspaces` lists what there is."
            ) from error

    # --- places -------------------------------------------------------------------------------------------------------

    def place(self, role: str, task: TaskId) -> Path:
        """Where a role works on a task."""
        return self._folder / f"{role}{_SUFFIX}" / task

    def role_of(self, place: Path) -> str:
        """The role that a place is for."""
        return place.parent.name.removesuffix(_SUFFIX)

    def within(self, worktree: Path) -> Path:
        """The project folder's likeness in a worktree: it may be a folder within the repository."""
        return worktree / self.git.run("rev-parse", "--show-prefix").rstrip("\n")

    def ours(self) -> list[Worktree]:
        """The worktrees of tasks."""
        return [tree for tree in self.worktrees.all() if self._is_ours(tree.path)]

    def places(self) -> list[Path]:
        """Every workspace on the disk or in git's list, whatever it is."""
        return sorted(filter(self._is_ours, {*self._folder.glob("*/*"), *self.worktrees.known()}))

    def _is_ours(self, place: Path) -> bool:
        is_agents = place.parent.parent == self._folder and place.parent.name.endswith(_SUFFIX)
        return is_agents and ids.is_task(place.name)

    def foreign(self, place: Path) -> str | None:
        """Why nobody here may remove what is at a place; None where it is a worktree, a link, or nothing."""
        is_made = place.exists() and not place.is_symlink() and place not in self.worktrees.unmade()
        if not is_made or (place.is_dir() and not any(place.iterdir())) or self.worktrees.at(place) is not None:
            return None
        if (reason := self.lacks()) is not None:
            return f"what is in it cannot be told: {reason}"
        return (
            f"it is no worktree of this repository. If the project was moved, `git worktree repair {place}` mends it; "
            "else move it away"
        )

    # --- making room --------------------------------------------------------------------------------------------------

    def clear(self, place: Path) -> None:
        """Make room for a worktree or a link.

        Raises:
            ConflictError: something that is not ours is there.
        """
        if (why := self.cleared(place)) is not None:
            raise in_the_way(place, why)

    def cleared(self, place: Path) -> str | None:
        """Take away a link, an empty folder, a registration without a folder; answers why there is no room."""
        self.worktrees.forget(place)
        if (why := self.foreign(place)) is not None:
            return why
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            place.rmdir()
        return None

    def check_free(self, task: TaskId) -> None:
        """Refuse to touch a branch that somebody has checked out.

        Raises:
            ConflictError: it is.
        """
        for tree in self.worktrees.all():
            if tree.branch == branch_name(task):
                raise ConflictError(
                    f"The branch {tree.branch} of task {task} is checked out in {tree.path}, so it was left as it is. "
                    f"Check out another one there: `git -C {tree.path} switch --detach`.",
                    code="files_conflict",
                )


def in_the_way(place: Path, why: str) -> ConflictError:
    """The refusal to touch something that is where a workspace is to be."""
    return ConflictError(
        f"{place} is in the way, and was left as it is: {why}. Move what is in it away.", code="files_conflict"
    )
