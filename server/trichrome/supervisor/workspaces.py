"""Where workers work: a folder for each task, and what becomes of the work in it.

`.trichrome/workspaces/<role>-agent/<task>` is

- for a role that writes, a worktree of git on the branch `trichrome/<task>`;
- for a reviewer of a task that has a branch, a worktree at the end of that branch, on no branch of its own;
- for any other role a link to the project folder: it has no tool that writes, and sees what is not committed yet;
- where git cannot be used, a link for those that write, too.

Guarantees: the user's own files, index, HEAD and stashes are never touched. Work is never lost: a folder goes away
only when all in it is committed to a branch, and a branch only when all of it is in what the user has checked out.
Each step leaves something that the next call understands, so that a crash at any line is mended by trying again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.domain import ids
from trichrome.domain.ids import TaskId
from trichrome.domain.text import one_line
from trichrome.errors import InvalidError, StoreUnavailableError
from trichrome.roles import Role
from trichrome.supervisor.branches import Branch, Branches, log_id
from trichrome.supervisor.branches import name as branch_name
from trichrome.supervisor.git import Git, GitError
from trichrome.supervisor.worktrees import Worktree, Worktrees

_FOLDER: Final = "workspaces"
_SUFFIX: Final = "-agent"
_REMOVED: Final = ".removed"
"""Where folders wait to be deleted: a name that no role has."""
_LOCK_SECONDS: Final = 60.0
_SUBJECT: Final = 72


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a session works.

    Attributes:
        role: the name of its role.
        path: the folder it starts in.
        branch: the branch that its work is committed to; None where it has none.
        is_worktree: whether the folder is its own; the project folder itself is behind it otherwise.
        note: what whoever works there should know, in a sentence or two.
    """

    task: TaskId
    role: str
    path: Path
    branch: str | None = None
    is_worktree: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class PutAway:
    """What became of a workspace.

    Attributes:
        kept: whether its folder is still there.
        branch: the branch that holds what was done; None where nothing was, or it is in no branch.
        commit: the last commit of that branch.
        changed: the paths that the branch changes.
        note: why the folder is still there.
    """

    kept: bool
    branch: str | None = None
    commit: str | None = None
    changed: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceLine:
    """A branch that is not merged, or a worktree that is left.

    Attributes:
        role: whose worktree it is; None where there is only a branch.
        path: the worktree; None where there is only a branch.
        ahead: commits that are not in what is checked out.
        changed: paths that the branch changes.
        uncommitted: paths that differ from the last commit of the worktree.
        is_spent: whether nothing is left to merge.
        age_seconds: how long ago the last commit was made, or the folder where there is no branch.
        note: what keeps the folder from being put away.
    """

    task: TaskId
    role: str | None
    branch: str | None
    path: Path | None
    ahead: int
    changed: tuple[str, ...]
    uncommitted: tuple[str, ...]
    is_spent: bool
    age_seconds: float
    note: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """A worktree that stays.

    Attributes:
        note: why.
        is_safe: whether all that is in it is also in a branch.
    """

    path: Path
    note: str
    is_safe: bool


class Workspaces:
    """The workspaces of one project."""

    def __init__(self, project: Path, data: Path) -> None:
        """For a project folder and its `.trichrome` folder."""
        self._project = project.resolve()
        self._data = data.resolve()
        self._folder = self._data / _FOLDER
        self.git = Git(self._project)
        self.branches = Branches(self.git, log_id(self._data))
        self._worktrees = Worktrees(self.git, self._folder / _REMOVED)

    def lacks(self) -> str | None:
        """Why the project cannot have worktrees, as the end of a sentence; None when it can."""
        try:
            inside = self.git.run("rev-parse", "--is-inside-work-tree").strip()
        except GitError as error:
            return f"git cannot be used here ({error.said})"
        if inside != "true":
            return "its git repository has no files of its own (it is bare)"
        if self.git.answer("rev-parse", "--verify", "--quiet", "HEAD^{commit}") is None:
            return "its git repository has no commit yet"
        if self.git.answer("rev-parse", "--verify", "--quiet", "HEAD:./") is None:
            return "the git repository around it does not track it"
        return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only one here who changes git's branches and worktrees; within each other is fine.

        Raises:
            StoreUnavailableError: another one takes too long, or the disk refuses something.
        """
        from filelock import FileLock, Timeout

        path = self._data / "git.lock"
        lock = FileLock(path, mode=0o600, is_singleton=True)
        try:
            with lock.acquire(timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            raise StoreUnavailableError(
                f"Another command of Trichrome has been changing git's branches for {_LOCK_SECONDS:.0f} s, so nothing "
                f"was changed. Try again later; `fuser {path}` tells which process it is."
            ) from error
        except OSError as error:
            raise StoreUnavailableError(
                f"{error.filename or self._folder} cannot be read or written ({error.strerror}). No work is lost. Mend "
                "that, then try again; `trichrome workspaces` lists what there is."
            ) from error

    # --- before a session ---------------------------------------------------------------------------------------------

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
            GitError: git cannot; what is there is as it was.
            InvalidError: something that is not ours is in the way.
            StoreUnavailableError: another one is changing git's branches.
        """
        with self.alone():
            place = self._place(role.name, task)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            reason = self.lacks()
            if role.may_write and reason is None:
                return self._own(task, role, place, (*base_tasks, *([reviews] if reviews else [])))
            reviewed = self.branches.get(reviews) if reviews and reason is None else None
            if reviewed is not None:
                return self._review(task, role, place, reviewed)
            note = None
            if role.may_write:
                note = f"This is the project folder itself, not a copy: {reason}."
            elif reason is None:
                note = self._unseen(base_tasks)
            self._clear(place)
            place.symlink_to(self._project, target_is_directory=True)
            return Workspace(task, role.name, place, note=note)

    def _own(self, task: TaskId, role: Role, place: Path, builds_on: Sequence[TaskId]) -> Workspace:
        branch = self.branches.get(task)
        notes: list[str] = []
        there = self._worktrees.at(place)
        if there is not None and branch is None:  # of another log, whose tasks had these numbers too
            there.unlock()
            if (why := self._committed(there, "work in progress") or self._removed(there)) is not None:
                raise InvalidError(f"{place} is in the way, and was left as it is: {why}. Move what is in it away.")
            there = None
        if there is None:
            self._clear(place)
            self._check_free(task)
            if branch is None or not branch.has_work:
                commit = self._base(builds_on, notes)
                if (old := self.branches.begin(task, commit)) is not None:
                    notes.append(f"A branch of another log had this name: it is {old} now.")
            self.git.run("worktree", "add", "--quiet", str(place), branch_name(task))
        else:
            there.unlock()
            astray = there.astray() or ("it is on no branch" if there.branch is None else None)
            if astray is not None:
                notes.append(f"An earlier session left this folder as it is: {astray}.")
        if branch is not None and branch.has_work:
            notes.append("An earlier attempt left its work on this branch: go on from it.")
        return Workspace(
            task, role.name, self._within(place), branch_name(task), is_worktree=True, note=" ".join(notes) or None
        )

    def _check_free(self, task: TaskId) -> None:
        """Refuse to move a branch that somebody has checked out.

        Raises:
            InvalidError: it is.
        """
        for tree in self._worktrees.all():
            if tree.branch == branch_name(task):
                raise InvalidError(
                    f"The branch {tree.branch} of task {task} is checked out in {tree.path}, so no worker can work on "
                    f"it. Check out another one there: `git -C {tree.path} switch --detach`."
                )

    def _base(self, builds_on: Sequence[TaskId], notes: list[str]) -> str:
        """The commit that a branch begins at; what had to be left out of it is added to the notes."""
        commit = self.branches.head()
        branches = self.branches.all()
        for other in (branches[task] for task in builds_on if task in branches):
            if self.branches.is_within(other.tip, commit):
                continue
            if self.branches.is_within(commit, other.tip):
                commit = other.tip
                continue
            try:
                union = self.branches.union(commit, other.tip, f"Merge {other.task} to build on it")
            except GitError as error:
                notes.append(f"The work of {other.task} is not in here: {other.name} cannot be merged ({error.said}).")
                continue
            if union.commit is None:
                paths = one_line(", ".join(union.conflicts), most=200)
                notes.append(f"The work of {other.task} is not in here: {other.name} conflicts in {paths}.")
            else:
                commit = union.commit
        return commit

    def _unseen(self, builds_on: Sequence[TaskId]) -> str | None:
        branches = self.branches.all()
        unseen = [
            branches[task].name for task in builds_on if task in branches and not self.branches.is_spent(branches[task])
        ]
        return f"Not merged yet, so not to be seen here: {', '.join(unseen)}." if unseen else None

    def _review(self, task: TaskId, role: Role, place: Path, reviewed: Branch) -> Workspace:
        there = self._worktrees.at(place)
        if there is None:
            self._clear(place)
            self.git.run("worktree", "add", "--quiet", "--detach", str(place), reviewed.tip)
        elif (why := there.unsafe()) is None:
            there.unlock()
            there.git.run("checkout", "--quiet", "--detach", reviewed.tip)
        note = f"This is the work of {reviewed.task}, branch {reviewed.name}."
        if there is not None and why is not None:
            note = f"This may be an older state of {reviewed.name}: {why}."
        return Workspace(task, role.name, self._within(place), is_worktree=True, note=note)

    def _place(self, role: str, task: TaskId) -> Path:
        return self._folder / f"{role}{_SUFFIX}" / task

    def _within(self, worktree: Path) -> Path:
        """The project folder's likeness in a worktree: it may be a folder within the repository."""
        return worktree / self.git.run("rev-parse", "--show-prefix").rstrip("\n")

    def _clear(self, place: Path) -> None:
        """Make room for a worktree or a link.

        Raises:
            InvalidError: something that is not ours is there.
        """
        if (why := self._cleared(place)) is not None:
            raise InvalidError(f"{place} is in the way, and was left as it is: {why}.")

    def _cleared(self, place: Path) -> str | None:
        """Take away a link, an empty folder, a registration without a folder; answers why there is no room."""
        self._worktrees.forget(place)
        if place.is_symlink():
            place.unlink()
        elif place.exists():
            try:
                place.rmdir()
            except OSError:
                return (
                    f"it is no worktree of this repository. If the project was moved, `git worktree repair {place}` "
                    "mends it; else move it away"
                )
        return None

    # --- after a session ----------------------------------------------------------------------------------------------

    def put_away(self, workspace: Workspace, *, summary: str | None = None) -> PutAway:
        """Keep what was done, and take away what is not needed any more; nobody works in it any more.

        Args:
            workspace: as `prepare` gave it.
            summary: what was done, for the commit of what its worker did not commit.

        Raises:
            GitError: git cannot; nothing is lost.
            StoreUnavailableError: another one is changing git's branches.
        """
        with self.alone():
            return self._put_away(self._place(workspace.role, workspace.task), summary)

    def put_away_all(self, task: TaskId, *, summary: str | None = None) -> list[Left]:
        """Put away every folder of a task, as far as that is possible; answers what stays, and why.

        Raises:
            TrichromeError: as `put_away`.
        """
        with self.alone():
            mine = [(place, self._put_away(place, summary)) for place in self._places() if place.name == task]
            return [self._left(place, put.note) for place, put in mine if put.note is not None]

    def _put_away(self, place: Path, summary: str | None) -> PutAway:
        task = TaskId(place.name)
        there = self._worktrees.at(place)
        if there is None:
            note = self._cleared(place)
        else:
            there.unlock()
            note = self._committed(there, summary or "work in progress") or self._removed(there)
        branch = self._dropped(task)
        if branch is None:
            return PutAway(note is not None, note=note)
        return PutAway(note is not None, branch.name, branch.tip, tuple(self.branches.changed(branch)), note)

    def _committed(self, there: Worktree, summary: str) -> str | None:
        """Commit what is not committed to the task's branch; answers why that cannot be."""
        if there.branch is None:
            return None  # there is nothing to commit to: with anything in it, it stays
        return there.astray() or there.commit(one_line(f"{there.path.name}: {summary}", most=_SUBJECT))

    def _removed(self, there: Worktree) -> str | None:
        """Remove a worktree; answers why it has to stay."""
        return there.needed() or self._worktrees.remove(there)

    def _dropped(self, task: TaskId) -> Branch | None:
        """A task's branch, unless it was spent and is dropped now."""
        branch = self.branches.get(task) if self.lacks() is None else None
        if branch is None or any(tree.branch == branch.name for tree in self._worktrees.all()):
            return branch
        if any(place.name == task for place in self._places()) or not self.branches.is_spent(branch):
            return branch
        self.branches.drop(branch)
        return None

    def drop_spent(self, tasks: Collection[TaskId]) -> None:
        """Drop the branches of these tasks that have nothing left to merge and are nowhere checked out.

        Raises:
            TrichromeError: as `put_away`.
        """
        with self.alone():
            for task in tasks:
                self._dropped(task)

    # --- looking ------------------------------------------------------------------------------------------------------

    def listing(self) -> list[WorkspaceLine]:
        """Every branch that is not merged and every worktree that is left, oldest task first; nothing is changed."""
        if self.lacks() is not None:
            return []
        branches = self.branches.all()
        lines = [
            self._line(TaskId(tree.path.name), branches.get(TaskId(tree.path.name)), tree) for tree in self._ours()
        ]
        with_tree = {line.task for line in lines}
        waiting = [
            each for each in branches.values() if each.task not in with_tree and not self.branches.is_spent(each)
        ]
        lines += [self._line(each.task, each, None) for each in waiting]
        return sorted(lines, key=lambda line: (ids.number(line.task), line.role or ""))

    def left(self, tasks: Collection[TaskId]) -> list[Left]:
        """The worktrees of these tasks that have to stay as they are."""
        needed = [(tree.path, tree.needed()) for tree in self._ours() if tree.path.name in tasks]
        return [self._left(path, note) for path, note in needed if note is not None]

    def _left(self, place: Path, note: str) -> Left:
        there = self._worktrees.at(place)
        return Left(place, note, is_safe=there is not None and there.unsafe() is None)

    def _line(self, task: TaskId, branch: Branch | None, tree: Worktree | None) -> WorkspaceLine:
        born = branch.committed_at if branch is not None else tree.path.stat().st_mtime if tree is not None else 0.0
        return WorkspaceLine(
            task=task,
            role=tree.path.parent.name.removesuffix(_SUFFIX) if tree is not None else None,
            branch=branch.name if branch is not None else None,
            path=tree.path if tree is not None else None,
            ahead=self.branches.ahead(branch) if branch is not None else 0,
            changed=tuple(self.branches.changed(branch)) if branch is not None else (),
            uncommitted=tuple(tree.uncommitted()) if tree is not None else (),
            is_spent=branch is None or self.branches.is_spent(branch),
            age_seconds=max(0.0, time.time() - born),
            note=tree.needed() if tree is not None else None,
        )

    def _ours(self) -> list[Worktree]:
        return [tree for tree in self._worktrees.all() if self._is_ours(tree.path)]

    def _is_ours(self, place: Path) -> bool:
        is_agents = place.parent.parent == self._folder and place.parent.name.endswith(_SUFFIX)
        return is_agents and ids.is_task(place.name)

    def _places(self) -> list[Path]:
        """Every workspace on the disk or in git's list, whatever it is."""
        return sorted(filter(self._is_ours, {*self._folder.glob("*/*"), *self._worktrees.known()}))

    # --- tidying up ---------------------------------------------------------------------------------------------------

    def sweep(self, keep: Collection[TaskId]) -> list[Left]:
        """Take away what crashes left; answers what stays, and why. Nothing is committed.

        Args:
            keep: tasks whose workspaces are in use.

        Raises:
            GitError: git cannot; nothing is lost.
            StoreUnavailableError: another one is changing git's branches.
        """
        left = []
        with self.alone():
            self._worktrees.empty()
            for place in self._places():
                if place.name in keep:
                    continue
                there = self._worktrees.at(place)
                note = self._cleared(place) if there is None else self._removed(there)
                if note is not None:
                    left.append(self._left(place, note))
            if self.lacks() is None:
                self.drop_spent(self.branches.all().keys() - keep)
                self.branches.forget_bases()
        return left
