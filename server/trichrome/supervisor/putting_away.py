"""What becomes of a workspace after its session: its work is kept, and what nobody needs goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trichrome.domain.ids import TaskId
from trichrome.errors import ConflictError, NotFoundError
from trichrome.git import GitError
from trichrome.supervisor import artifacts
from trichrome.supervisor.branches import Branch
from trichrome.supervisor.ground import Ground
from trichrome.supervisor.worktrees import Worktree

_UNNAMED: Final = "work in progress"


@dataclass(frozen=True, slots=True)
class PutAway:
    """What became of a workspace.

    Attributes:
        kept: whether its folder is still there.
        branch: the branch that holds what was done; None where nothing was, or it is in no branch.
        changed: the paths that the branch changes.
        artifacts: where the copies of artifacts are that git ignores, relative to the project folder.
        note: why the folder is still there.
    """

    kept: bool
    branch: str | None = None
    changed: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A worktree that stays.

    Attributes:
        note: why.
        is_safe: whether all that is in it is also in a branch, or will be once it is put away.
    """

    path: Path
    note: str
    is_safe: bool


def put_away(ground: Ground, place: Path, summary: str | None, reported: Sequence[str]) -> PutAway:
    """As `Workspaces.put_away`, for whoever is alone."""
    task = TaskId(place.name)
    there = ground.worktrees.at(place)
    copies: tuple[Path, ...] = ()
    if there is None:
        note = ground.cleared(place)
    else:
        there.unlock()
        copied = artifacts.copy(ground.within(place), reported, ground.data / artifacts.FOLDER / task)
        copies = copied.paths
        note = there.keep(summary or _UNNAMED)
        if copied.why_not is not None:
            note = _held(ground, there, copied.why_not)
        note = note or ground.worktrees.remove(there)
    branch = None
    if ground.lacks() is None:
        drop_spent(ground, [task])
        branch = ground.branches.get(task)
    return PutAway(
        kept=note is not None,
        branch=branch.name if branch is not None else None,
        changed=tuple(ground.branches.changed(branch)) if branch is not None else (),
        artifacts=tuple(str(copy.relative_to(ground.data.parent)) for copy in copies),
        note=note,
    )


def _held(ground: Ground, there: Worktree, why: str) -> str:
    """Lock a worktree, so that no later sweep takes it; answers why, and how to let go of it."""
    told = f"{why}: take what you want of them, then `git worktree unlock {there.path}`"
    if there.lock is None:
        ground.git.run("worktree", "lock", "--reason", told, str(there.path))
    return told


def put_away_all(ground: Ground, task: TaskId, summary: str | None, reported: Sequence[str]) -> list[Left]:
    """As `Workspaces.put_away_all`, for whoever is alone."""
    mine = [(place, put_away(ground, place, summary, reported)) for place in ground.places() if place.name == task]
    return [_left(ground, place, put.note) for place, put in mine if put.note is not None]


def _left(ground: Ground, place: Path, note: str) -> Left:
    there = ground.worktrees.at(place)
    return Left(place, note, is_safe=there is not None and there.unsafe() is None)


def drop_spent(ground: Ground, tasks: Collection[TaskId]) -> None:
    """Drop the branches of these tasks that have nothing left to merge, are nowhere checked out and have no folder."""
    in_use = {tree.branch for tree in ground.worktrees.all()}
    with_folder = {place.name for place in ground.places()}
    for task, branch in ground.branches.spent().items():
        if task in tasks and task not in with_folder and branch.name not in in_use:
            ground.branches.drop(branch)


def drop(ground: Ground, task: TaskId) -> Branch:
    """As `Workspaces.drop`, for whoever is alone."""
    if (reason := ground.lacks()) is not None:
        raise NotFoundError(f"{task} has no branch: {reason}.", field="task")
    if (branch := ground.branches.get(task)) is None:
        raise NotFoundError(f"{task} has no branch. `trichrome workspaces` lists those that there are.", field="task")
    for left in put_away_all(ground, task, None, ()):
        raise ConflictError(
            f"{left.path} stays, so the branch of {task} was not dropped: {left.note}. Finish that there, or move what "
            "is in it away; then try again.",
            code="files_conflict",
        )
    if (kept := ground.branches.get(task)) is not None:
        ground.check_free(task)
        ground.branches.drop(kept)
    return kept or branch


def sweep(ground: Ground, keep: Collection[TaskId]) -> list[Left]:
    """As `Workspaces.sweep`, for whoever is alone."""
    ground.worktrees.empty()
    swept = [(place, _swept(ground, place)) for place in ground.places() if place.name not in keep]
    left = [_left(ground, place, note) for place, note in swept if note is not None]
    if ground.lacks() is None:
        drop_spent(ground, ground.branches.all().keys() - keep)
        ground.branches.forget_bases()
    return left


def _swept(ground: Ground, place: Path) -> str | None:
    """Take one workspace away; answers why it stays."""
    try:
        there = ground.worktrees.at(place)
        return ground.cleared(place) if there is None else ground.worktrees.remove(there)
    except GitError as error:
        return f"git cannot say what is in it: {error.said}"
