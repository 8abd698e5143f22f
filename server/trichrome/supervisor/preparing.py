"""Making the workspace of a task, before a session begins.

Whatever is said in a note reaches the prompt of a session, so it carries no name that an agent chose: no file and no
branch but `trichrome/<task>`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trichrome.domain.ids import TaskId
from trichrome.git import FILES_SECONDS
from trichrome.roles import Role
from trichrome.supervisor.branches import Branch
from trichrome.supervisor.branches import name as branch_name
from trichrome.supervisor.ground import Ground, in_the_way


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a session works.

    Attributes:
        role: the name of its role.
        path: the folder it starts in.
        branch: the branch that its work is committed to; None where it has none.
        note: what whoever works there should know, in a sentence or two.
    """

    task: TaskId
    role: str
    path: Path
    branch: str | None = None
    note: str | None = None


def prepare(
    ground: Ground, task: TaskId, role: Role, *, base_tasks: Sequence[TaskId], reviews: TaskId | None
) -> Workspace:
    """As `Workspaces.prepare`, for whoever is alone."""
    place = ground.place(role.name, task)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reason = ground.lacks()
    if role.may_write and reason is None:
        return _own(ground, task, role, place, (*base_tasks, *([reviews] if reviews else [])))
    reviewed = ground.branches.get(reviews) if reviews and reason is None else None
    if reviewed is not None:
        return _review(ground, task, role, place, reviewed)
    note = None
    if role.may_write:
        note = f"This is the project folder itself, not a copy: {reason}."
    elif reason is None:
        note = _unseen(ground, base_tasks)
    ground.clear(place)
    place.symlink_to(ground.project, target_is_directory=True)
    return Workspace(task, role.name, place, note=note)


def _own(ground: Ground, task: TaskId, role: Role, place: Path, builds_on: Sequence[TaskId]) -> Workspace:
    branch = ground.branches.get(task)
    notes: list[str] = []
    there = ground.worktrees.at(place)
    if there is not None and branch is None:  # of another log, whose tasks had these numbers too
        there.unlock()
        if (why := there.keep("work in progress") or ground.worktrees.remove(there)) is not None:
            raise in_the_way(place, why)
        there = None
    if there is None:
        ground.clear(place)
        ground.check_free(task)
        if branch is None or not branch.has_work:
            commit = _base(ground, builds_on, notes)
            if (old := ground.branches.begin(task, commit)) is not None:
                notes.append(f"A branch of another log had this name: it is {old} now.")
        ground.git.within(FILES_SECONDS).run("worktree", "add", "--quiet", str(place), branch_name(task))
    else:
        there.unlock()
        if there.branch is None or there.astray() is not None:
            notes.append("An earlier session left this folder in the middle of something: `git status` shows it.")
    if branch is not None and branch.has_work:
        notes.append("An earlier attempt left its work on this branch: go on from it.")
    return Workspace(task, role.name, ground.within(place), branch_name(task), note=" ".join(notes) or None)


def _base(ground: Ground, builds_on: Sequence[TaskId], notes: list[str]) -> str:
    """The commit that a branch begins at; what had to be left out of it is added to the notes."""
    commit = ground.branches.head()
    branches = ground.branches.all()
    for other in (branches[task] for task in builds_on if task in branches):
        if ground.branches.is_within(other.tip, commit):
            continue
        if ground.branches.is_within(commit, other.tip):
            commit = other.tip
            continue
        union = ground.branches.union(commit, other.tip, f"Merge {other.task} to build on it")
        if union.commit is not None:
            commit = union.commit
        else:
            count = len(union.conflicts)
            how = "git cannot merge it here" if union.refusal is not None else f"it conflicts in {count} file(s)"
            notes.append(f"The work of {other.task} is not in here: it is on {other.name}, and {how}.")
    return commit


def _unseen(ground: Ground, builds_on: Sequence[TaskId]) -> str | None:
    branches, spent = ground.branches.all(), ground.branches.spent()
    unseen = [branches[task].name for task in builds_on if task in branches and task not in spent]
    return f"Not merged yet, so not to be seen here: {', '.join(unseen)}." if unseen else None


def _review(ground: Ground, task: TaskId, role: Role, place: Path, reviewed: Branch) -> Workspace:
    there = ground.worktrees.at(place)
    note = f"This is the work of {reviewed.task}, branch {reviewed.name}."
    if there is None:
        ground.clear(place)
        added = ("worktree", "add", "--quiet", "--detach", str(place), reviewed.tip)
        ground.git.within(FILES_SECONDS).run(*added)
    elif there.unsafe() is None:
        there.unlock()
        there.git.within(FILES_SECONDS).run("checkout", "--quiet", "--detach", reviewed.tip)
    else:
        note = (
            f"This may be an older state of {reviewed.name}: an earlier session left something here that is nowhere "
            "else. `git status` shows it."
        )
    return Workspace(task, role.name, ground.within(place), note=note)
