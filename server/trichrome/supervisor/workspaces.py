"""Where workers work: a folder for each task, and what becomes of the work in it.

`.trichrome/workspaces/<role>-agent/<task>` is

- for a role that writes, a worktree of git on the branch `trichrome/<task>`;
- for a reviewer of a task that has a branch, a worktree at the end of that branch, on no branch of its own;
- for any other role a link to the project folder: it has no tool that writes, and sees what is not committed yet;
- where there is no repository that git can be used in, a link for those that write, too.

Guarantees: the user's own files, index, HEAD and stashes are never touched. Work is never lost: a folder goes away
only when all in it is committed to a branch, and a branch only when all of it is in what the user has checked out. What
git ignores is no work, but for the artifacts that a session reported: they are copied first. Each step leaves something
that the next call understands, so that a crash at any line is mended by trying again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from trichrome.domain.ids import TaskId
from trichrome.roles import Role
from trichrome.supervisor import listing, preparing, putting_away
from trichrome.supervisor.branches import Branch, Branches
from trichrome.supervisor.ground import PATIENT_SECONDS, Ground
from trichrome.supervisor.listing import WorkspaceLine
from trichrome.supervisor.preparing import Workspace
from trichrome.supervisor.putting_away import Left, PutAway

__all__ = ["Left", "PutAway", "Workspace", "WorkspaceLine", "Workspaces"]


class Workspaces:
    """The workspaces of one project.

    What is refused for now is `retryable`: a lock that somebody holds, a full disk, a git that is missing or slow
    (`GitError`, `StoreUnavailableError`). Nothing is lost then, and the same call may go well later.
    """

    def __init__(self, project: Path, data: Path) -> None:
        """For a project folder and its `.trichrome` folder; nothing is made."""
        self._ground = Ground(project, data)

    @property
    def branches(self) -> Branches:
        """The branches of its tasks."""
        return self._ground.branches

    def lacks(self) -> str | None:
        """Why the project cannot have worktrees, as the end of a sentence; None when it can.

        Raises:
            GitError: there is a repository, and no git to ask about it; or git gives no answer in time.
        """
        return self._ground.lacks()

    def alone(self) -> AbstractContextManager[None]:
        """Be the only one here who changes git's branches and worktrees; what is called within does not wait.

        Raises:
            StoreUnavailableError: another one takes too long, or the disk refuses something.
        """
        return self._ground.alone(PATIENT_SECONDS)

    def prepare(
        self, task: TaskId, role: Role, *, base_tasks: Sequence[TaskId] = (), reviews: TaskId | None = None
    ) -> Workspace:
        """Make the workspace for a task, or find the one that an earlier session left; nobody works in it meanwhile.

        Args:
            task: what will be worked on.
            role: who will.
            base_tasks: the tasks it builds on, each after those that it builds on itself; what is not merged of
                them is brought in.
            reviews: the task whose result it reviews.

        Raises:
            GitError: retryable: git cannot now; what is there is as it was.
            StoreUnavailableError: retryable: another one is changing git's branches, or the disk refuses something.
            ConflictError: only this task is concerned, until a person acts: its branch is checked out elsewhere, or
                something that is not ours is in the way.
        """
        with self._ground.alone():
            return preparing.prepare(self._ground, task, role, base_tasks=base_tasks, reviews=reviews)

    def put_away(self, workspace: Workspace, *, summary: str | None = None, artifacts: Sequence[str] = ()) -> PutAway:
        """Keep what was done, and take away what is not needed any more; nobody works in it any more.

        Args:
            workspace: as `prepare` gave it.
            summary: what was done, for the commit of what its worker did not commit.
            artifacts: paths that the session reported, relative to the workspace; those that git ignores are copied
                to `.trichrome/artifacts/<task>`, or keep the folder where they are too large.

        Raises:
            GitError: retryable: git cannot now; nothing is lost.
            StoreUnavailableError: retryable: another one is changing git's branches, or the disk refuses something.
        """
        place = self._ground.place(workspace.role, workspace.task)
        with self._ground.alone():
            return putting_away.put_away(self._ground, place, summary, artifacts)

    def put_away_all(self, task: TaskId, *, summary: str | None = None, artifacts: Sequence[str] = ()) -> list[Left]:
        """Put away every folder of a task, as far as that is possible; answers what stays, and why.

        Raises:
            TrichromeError: as `put_away`.
        """
        with self._ground.alone():
            return putting_away.put_away_all(self._ground, task, summary, artifacts)

    def drop_spent(self, tasks: Collection[TaskId]) -> None:
        """Drop the branches of these tasks that have nothing left to merge and are nowhere checked out.

        Raises:
            TrichromeError: as `put_away`.
        """
        with self._ground.alone():
            putting_away.drop_spent(self._ground, tasks)

    def drop(self, task: TaskId) -> Branch:
        """Throw away a task's branch, merged or not, with its worktree; answers what it was.

        Raises:
            NotFoundError: it has none.
            ConflictError: it is checked out elsewhere, or its worktree has to stay; nothing was dropped.
            TrichromeError: as `put_away`.
        """
        with self._ground.alone(PATIENT_SECONDS):
            return putting_away.drop(self._ground, task)

    def listing(self) -> list[WorkspaceLine]:
        """Every branch that is not merged and every folder that is left, oldest task first; nothing is changed.

        Raises:
            GitError: there is a repository that git cannot be asked about.
        """
        return listing.listing(self._ground)

    def left(self, tasks: Collection[TaskId]) -> list[Left]:
        """The worktrees of these tasks that hold something, with whether putting them away would keep it."""
        needed = [(tree, tree.needed()) for tree in self._ground.ours() if tree.path.name in tasks]
        return [
            Left(tree.path, note, is_safe=tree.unsafe(after_commit=True) is None)
            for tree, note in needed
            if note is not None
        ]

    def sweep(self, keep: Collection[TaskId]) -> list[Left]:
        """Take away what crashes left; answers what stays, and why. Nothing is committed.

        Args:
            keep: tasks whose workspaces are in use.

        Raises:
            TrichromeError: as `put_away`.
        """
        with self._ground.alone():
            return putting_away.sweep(self._ground, keep)
