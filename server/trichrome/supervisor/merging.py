"""Bringing the work of tasks into the branch that the user has checked out.

The merge commits are made in git's own store, where no conflict can touch a file. What is left then is one
fast-forward, which git refuses before it changes anything where it would overwrite something: so either all is merged,
or everything is as it was. Only a kill or a power cut in the middle of the fast-forward can leave files half written;
`refs/trichrome/merging` says until its end where it was going to, so the next merge knows, and tells how to go back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trichrome import git
from trichrome.coordinator import Coordinator, briefing, tasks
from trichrome.domain import dependencies
from trichrome.domain.events import Report
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import State
from trichrome.domain.text import one_line
from trichrome.errors import ConflictError, InvalidError
from trichrome.store.port import Reading
from trichrome.supervisor import conflicts, forwarding
from trichrome.supervisor.branches import Branch, Branches
from trichrome.supervisor.conflicts import Clash
from trichrome.supervisor.workspaces import Left, Workspaces

_SUBJECT: Final = 72

_INSTEAD: Final[dict[State, str]] = {
    "blocked": "`trichrome explain {0}` tells what it waits for",
    "ready": "`trichrome wait {0}` waits for it",
    "running": "`trichrome wait {0}` waits for it",
    "in_review": "`trichrome approve {0}` completes it, if you do not want to wait for the review",
    "failed": "`trichrome retry {0}` has it tried again; `git merge {1}` brings in what there is",
    "cancelled": "`trichrome retry {0}` has it done after all; `git merge {1}` brings in what there is",
}


@dataclass(frozen=True, slots=True)
class Step:
    """A branch that is merged.

    Attributes:
        files: the paths that it changes.
    """

    task: TaskId
    branch: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """What a merge did, or would do.

    Attributes:
        into: the branch that is checked out.
        steps: what was merged, in this order; nothing where there is a conflict.
        commit: the commit that is checked out now; None where nothing was merged.
        clash: what stopped it.
        left: worktrees of these tasks that stay.
    """

    into: str
    steps: tuple[Step, ...] = ()
    commit: str | None = None
    clash: Clash | None = None
    left: tuple[Left, ...] = ()


def builds_on(view: Reading, task: TaskId) -> list[TaskId]:
    """Every task that one depends on, directly or through others, each after those that it depends on itself."""
    waits_for: dict[str, Sequence[TaskId]] = {}
    ahead = [task]
    while ahead:
        each = ahead.pop()
        if each not in waits_for and view.task(each) is not None:
            waits_for[each] = view.brief(each).depends_on
            ahead += waits_for[each]
    return [TaskId(each) for each in dependencies.in_order(waits_for) if each != task]


def merge(c: Coordinator, spaces: Workspaces, name: str, *, dry_run: bool = False) -> Merge:
    """Merge the branch of a completed task, after those of the tasks that it builds on: all, or none.

    What a worker left uncommitted is committed first. A conflict becomes a task, once.

    Args:
        c: the project.
        spaces: its workspaces.
        name: the task.
        dry_run: only tell; no branch, no file and no task is touched.

    Raises:
        TrichromeError: `not_found`; `invalid` where the task is not completed, or git cannot; `files_conflict` where
            changes of the user, or of a worker, are in the way. Nothing was merged.
    """
    with c.store.reading() as view:
        task = tasks.existing(view, name)
        order = [each for each in map(view.task, [*builds_on(view, task.id), task.id]) if each is not None]
        done = {each.id: briefing.result(view, each) for each in order if each.state == "completed"}
    if task.state != "completed":
        instead = _INSTEAD[task.state].format(task.id, f"trichrome/{task.id}")
        raise InvalidError(f"{task.id} is {task.state}, so nothing was merged. {_capital(instead)}.", field="task")
    if (why := spaces.lacks()) is not None:
        raise InvalidError(f"There is nothing to merge here: {why}. Workers worked in the project folder itself.")
    with spaces.alone():
        into = forwarding.into(spaces.branches)
        left = spaces.left(done) if dry_run else _put_away(spaces, done)
        if unsafe := [each for each in left if not each.is_safe]:
            raise ConflictError(
                f"{unsafe[0].path} holds work that is not in its branch: {unsafe[0].note}. Nothing was merged. Finish "
                f"that there, then run `trichrome merge {task.id}` again.",
                code="files_conflict",
            )
        plan = _Plan(spaces.branches, done)
        if plan.clash is not None:
            before = [step.task for step in plan.steps]
            clash = conflicts.handed_over(c, spaces.branches, plan.clash, plan.conflicts, before, make=not dry_run)
            return Merge(into, clash=clash, left=tuple(left))
        if plan.steps:
            forwarding.check_free(spaces.branches, plan.commit)
        if not dry_run:
            if plan.steps:
                forwarding.forward(spaces.branches, plan.commit)
            spaces.drop_spent(done)
    commit = plan.commit if plan.steps and not dry_run else None
    return Merge(into, tuple(plan.steps), commit, left=tuple(left))


def _put_away(spaces: Workspaces, done: dict[TaskId, Report | None]) -> list[Left]:
    """Keep what workers left; answers what stays."""
    left: list[Left] = []
    for task, report in done.items():
        summary, artifacts = (report.summary, report.artifacts) if report is not None else (None, ())
        left += spaces.put_away_all(task, summary=summary, artifacts=artifacts)
    return left


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


class _Plan:
    """What is to be merged, in order, made ready in git's own store; or what stops it.

    Attributes:
        commit: what is checked out, with all steps merged.
        clash: the branch that conflicts with that.
        conflicts: the paths that it conflicts in.
    """

    def __init__(self, branches: Branches, done: dict[TaskId, Report | None]) -> None:
        known, spent = branches.all(), branches.spent()
        self.commit = branches.head()
        self.steps: list[Step] = []
        self.clash: Branch | None = None
        self.conflicts: tuple[str, ...] = ()
        wanted = [known[task] for task in done if task in known and task not in spent]
        for place, branch in enumerate(wanted):
            files = tuple(branches.changed(branch))
            report = done[branch.task]
            subject = f"Merge {branch.task}: {report.summary if report is not None else ''}".rstrip(": ")
            union = branches.union(self.commit, branch.tip, one_line(subject, most=_SUBJECT))
            if union.refusal is not None:
                raise git.refusal(("merge-tree", "--write-tree", branch.name), union.refusal)
            if union.commit is not None:
                self.commit = union.commit
            elif not _comes_with(branches, branch, wanted[place + 1 :]):
                self.clash, self.conflicts = branch, union.conflicts
                return
            self.steps.append(Step(branch.task, branch.name, files))


def _comes_with(branches: Branches, branch: Branch, later: Sequence[Branch]) -> bool:
    """Whether another branch holds all of one, its conflicts resolved."""
    return any(branches.is_within(branch.tip, other.tip) for other in later)
