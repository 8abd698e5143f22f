"""What waits to be merged, and what is left of workspaces. Looking changes nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from trichrome.domain import ids
from trichrome.domain.ids import TaskId
from trichrome.supervisor.branches import Branch
from trichrome.supervisor.ground import Ground


@dataclass(frozen=True, slots=True)
class WorkspaceLine:
    """A branch that is not merged, or a folder that is left.

    Attributes:
        role: whose folder it is; None where there is only a branch.
        path: the folder; None where there is only a branch.
        ahead: commits that are not in what is checked out.
        changed: paths that the branch changes.
        uncommitted: paths that differ from the last commit of the worktree.
        is_spent: whether nothing is left to merge.
        age_seconds: how long ago the last commit was made, or the folder where there is no branch.
        note: what keeps the folder from being put away.
    """

    task: TaskId
    role: str | None
    branch: Branch | None
    path: Path | None
    ahead: int
    changed: tuple[str, ...]
    uncommitted: tuple[str, ...]
    is_spent: bool
    age_seconds: float
    note: str | None


def listing(ground: Ground) -> list[WorkspaceLine]:
    """As `Workspaces.listing`."""
    has_branches = ground.lacks() is None
    branches = ground.branches.all() if has_branches else {}
    spent = ground.branches.spent() if has_branches else {}
    known = {tree.path for tree in ground.ours()}
    left = [place for place in ground.places() if place in known or ground.foreign(place) is not None]
    with_folder = {place.name for place in left}
    alone = [branch for task, branch in branches.items() if task not in with_folder and task not in spent]
    lines = [_folder(ground, place, branches.get(TaskId(place.name)), spent) for place in left]
    lines += [_branch(ground, branch) for branch in alone]
    return sorted(lines, key=lambda line: (ids.number(line.task), line.role or ""))


def _branch(ground: Ground, branch: Branch) -> WorkspaceLine:
    return WorkspaceLine(
        task=branch.task,
        role=None,
        branch=branch,
        path=None,
        ahead=ground.branches.ahead(branch),
        changed=tuple(ground.branches.changed(branch)),
        uncommitted=(),
        is_spent=False,
        age_seconds=_since(branch.committed_at),
        note=None,
    )


def _folder(ground: Ground, place: Path, branch: Branch | None, spent: dict[TaskId, Branch]) -> WorkspaceLine:
    tree = ground.worktrees.at(place)
    return WorkspaceLine(
        task=TaskId(place.name),
        role=ground.role_of(place),
        branch=branch,
        path=place,
        ahead=ground.branches.ahead(branch) if branch is not None else 0,
        changed=tuple(ground.branches.changed(branch)) if branch is not None else (),
        uncommitted=tuple(tree.uncommitted()) if tree is not None else (),
        is_spent=branch is None or branch.task in spent,
        age_seconds=_since(branch.committed_at if branch is not None else place.stat().st_mtime),
        note=ground.foreign(place) if tree is None else tree.needed(),
    )


def _since(moment: float) -> float:
    return max(0.0, time.time() - moment)
