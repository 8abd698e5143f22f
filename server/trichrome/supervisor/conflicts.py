"""Conflicts of branches, and the tasks that resolve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trichrome.coordinator import OPERATOR, Coordinator, tasks
from trichrome.domain import reservations, text
from trichrome.domain.drafts import Draft
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import State, Task
from trichrome.errors import InvalidError
from trichrome.store.port import Reading
from trichrome.supervisor.branches import Branch, Branches


@dataclass(frozen=True, slots=True)
class Clash:
    """A branch that cannot be merged by git alone.

    Attributes:
        files: the paths that both sides changed, each in its own way.
        fix: the task that is to resolve it; None in a dry run that found none.
        fix_state: how that task stands.
        undone: a task that was to resolve it, and was completed without.
    """

    task: TaskId
    branch: str
    files: tuple[str, ...]
    fix: TaskId | None = None
    fix_state: State | None = None
    undone: TaskId | None = None


@dataclass(frozen=True, slots=True)
class Fix:
    """How the conflict of a branch stands.

    Attributes:
        key: the key of the task that is to resolve it, made or not.
        task: that task; None where it is not made yet.
        undone: the one before it, which was completed without bringing the branch in.
    """

    key: str
    task: Task | None = None
    undone: TaskId | None = None


def fix_of(view: Reading, branches: Branches, branch: Branch) -> Fix:
    """The task that is to resolve the conflict of a branch as it is now."""
    first = f"merge {branch.task} {branch.tip[:16]}"
    fix = Fix(first)
    while (known := view.task_by_key(fix.key)) is not None and (task := view.task(known[0])) is not None:
        resolved = branches.get(task.id)
        if task.state != "completed" or (resolved is not None and branches.is_within(branch.tip, resolved.tip)):
            return Fix(fix.key, task, fix.undone)
        fix = Fix(f"{first} after {task.id}", undone=task.id)
    return fix


def handed_over(
    c: Coordinator, branches: Branches, branch: Branch, files: tuple[str, ...], after: Sequence[TaskId], *, make: bool
) -> Clash:
    """A conflict, with the task that is to resolve it.

    Args:
        c: the project.
        branches: its branches.
        branch: the one that conflicts.
        files: in what.
        after: the tasks whose branches are merged before it.
        make: whether to make the task where there is none.
    """
    with c.store.reading() as view:
        fix = fix_of(view, branches, branch)
        of = tasks.existing(view, branch.task)
    task = fix.task
    if task is None and make:
        draft = Draft(
            kind="fix",
            role=c.role_for_kind("fix") or of.role,
            instructions=_instructions(branch, len(files)),
            acceptance=f"`git merge-base --is-ancestor {branch.name} HEAD` says yes, and the project's tests pass.",
            depends_on=(*after, branch.task),
            files=_nameable(files),
            key=fix.key,
        )
        made = tasks.create(c, OPERATOR, [draft], run=of.run)
        with c.store.reading() as view:
            task = tasks.existing(view, made["tasks"][0]["id"])
    state = task.state if task is not None else None
    return Clash(branch.task, branch.name, files, task.id if task is not None else None, state, fix.undone)


def _instructions(branch: Branch, files: int) -> str:
    """What to do; without the names of files, which agents chose."""
    return (
        f"The branch {branch.name} of task {branch.task} cannot be merged into what is checked out in the project: "
        f"both changed {files} file(s), each in its own way.\n\nYour workspace begins at what is checked out. Run "
        f"`git merge {branch.name}` in it, which names the files. Resolve each conflict so that what both sides meant "
        "is kept, run the project's tests, and commit the merge. Then report what you decided for each file."
    )


def _nameable(paths: Sequence[str]) -> tuple[str, ...]:
    """The paths that a task may reserve, as many as it may."""
    named: list[str] = []
    for path in paths[: text.PATHS_A_CALL]:
        try:
            named += reservations.paths([path])
        except InvalidError:
            continue
    return tuple(dict.fromkeys(named))
