"""Bringing the work of tasks into the branch that the user has checked out.

The merge commits are made in git's own store, where no conflict can touch a file. What is left then is one
fast-forward, which git refuses before it changes anything where it would overwrite something: so either all is merged,
or everything is as it was. Only a kill or a power cut in the middle of the fast-forward can leave files half written;
`refs/trichrome/merging` says until its end where it was going to, so the next merge knows, and tells how to go back.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trichrome.coordinator import OPERATOR, Coordinator, briefing, tasks
from trichrome.domain import dependencies, reservations, text
from trichrome.domain.drafts import Draft
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import State, Task
from trichrome.domain.text import one_line
from trichrome.errors import ConflictError, InvalidError
from trichrome.store.port import Reading
from trichrome.supervisor.branches import Branch, Branches
from trichrome.supervisor.git import GitError
from trichrome.supervisor.workspaces import Left, Workspaces

_MERGING: Final = "refs/trichrome/merging"
_SUBJECT: Final = 72
_NAMED: Final = 20
"""Paths that a message names."""

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
class Clash:
    """A branch that cannot be merged by git alone.

    Attributes:
        files: the paths that both sides changed, each in its own way.
        fix: the task that is to resolve it; None in a dry run that found none.
        fix_state: how that task stands.
    """

    task: TaskId
    branch: str
    files: tuple[str, ...]
    fix: TaskId | None = None
    fix_state: State | None = None


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
        done = {each.id: _summary(view, each) for each in order if each.state == "completed"}
    if task.state != "completed":
        instead = _INSTEAD[task.state].format(task.id, f"trichrome/{task.id}")
        raise InvalidError(f"{task.id} is {task.state}, so nothing was merged. {_capital(instead)}.", field="task")
    if (why := spaces.lacks()) is not None:
        raise InvalidError(f"There is nothing to merge here: {why}. Workers worked in the project folder itself.")
    with spaces.alone():
        into = _into(spaces.branches)
        if dry_run:
            left = spaces.left(done)
        else:
            left = [each for one, summary in done.items() for each in spaces.put_away_all(one, summary=summary)]
        if (unsafe := [each for each in left if not each.is_safe]) and not dry_run:
            raise ConflictError(
                f"{unsafe[0].path} holds work that is not in its branch: {unsafe[0].note}. Nothing was merged. Finish "
                f"that there, then run `trichrome merge {task.id}` again.",
                code="files_conflict",
            )
        plan = _Plan(spaces.branches, into, done)
        if plan.clash is not None:
            return Merge(into, clash=_handed_over(c, task, plan, dry_run=dry_run), left=tuple(left))
        if not dry_run:
            if plan.steps:
                _brought_in(spaces.branches, plan.commit)
            spaces.drop_spent(done)
    commit = plan.commit if plan.steps and not dry_run else None
    return Merge(into, tuple(plan.steps), commit, left=tuple(left))


def _summary(view: Reading, task: Task) -> str:
    report = briefing.result(view, task)
    return report.summary if report is not None else ""


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _into(branches: Branches) -> str:
    """The branch that is checked out, if it can be merged into."""
    git = branches.git
    into = git.answer("symbolic-ref", "--quiet", "--short", "HEAD")
    if into is None:
        raise InvalidError(
            f"No branch is checked out in {git.folder}, so nothing was merged. Check one out: `git switch main`."
        )
    if (what := git.unfinished()) is not None:
        raise ConflictError(
            f"{git.folder} is in the middle of a {what}, so nothing was merged. Finish it, or give it up: `git {what} "
            f"{'reset' if what == 'bisect' else '--abort'}`.",
            code="files_conflict",
        )
    _check_cut_short(branches)
    return into


def _check_cut_short(branches: Branches) -> None:
    """Refuse to go on where an earlier fast-forward was killed while it wrote files."""
    git, head = branches.git, branches.head()
    going_to = git.answer("rev-parse", "--verify", "--quiet", _MERGING)
    if going_to is None or going_to == head or not branches.is_within(head, going_to):
        return
    half = sorted({*branches.between(head, going_to)} & {*git.untidy()})
    lock = git.own / "index.lock"
    if not half and not lock.exists():
        return
    old = [path for path in half if git.answer("cat-file", "-e", f"HEAD:{path}") is not None]
    commands = [
        f"cd {shlex.quote(git.run('rev-parse', '--show-toplevel').strip())}",
        f"rm -f {shlex.quote(str(lock))}",
        *([f"git reset --quiet -- {shlex.join(half)}"] if half else []),
        *([f"git checkout -- {shlex.join(old)}"] if old else []),
        *([f"rm -f {shlex.join(new)}"] if (new := [path for path in half if path not in old]) else []),
    ]
    raise ConflictError(
        "An earlier merge was killed while git wrote files, so nothing was merged. No work is lost: it is all in its "
        "branches. Files may be half written. If you did not change them yourself since, this puts them back: "
        f"`{' && '.join(commands)}`. Then merge again.",
        code="files_conflict",
    )


class _Plan:
    """What is to be merged, in order, made ready in git's own store; or what stops it."""

    def __init__(self, branches: Branches, into: str, done: dict[TaskId, str]) -> None:
        known = branches.all()
        self.into = into
        self.commit = branches.head()
        self.steps: list[Step] = []
        self.clash: Clash | None = None
        wanted = [known[task] for task in done if task in known and not branches.is_spent(known[task])]
        for place, branch in enumerate(wanted):
            files = tuple(branches.changed(branch))
            subject = one_line(f"Merge {branch.task}: {done[branch.task]}", most=_SUBJECT).rstrip(": ")
            union = branches.union(self.commit, branch.tip, subject)
            if union.commit is not None:
                self.commit = union.commit
            elif not _comes_with(branches, branch, wanted[place + 1 :]):
                self.clash = Clash(branch.task, branch.name, union.conflicts)
                self.clashing = branch
                return
            self.steps.append(Step(branch.task, branch.name, files))


def _comes_with(branches: Branches, branch: Branch, later: Sequence[Branch]) -> bool:
    """Whether another branch holds all of one, its conflicts resolved."""
    return any(branches.is_within(branch.tip, other.tip) for other in later)


def _brought_in(branches: Branches, commit: str) -> None:
    """Fast-forward what is checked out."""
    git, head = branches.git, branches.head()
    in_the_way = sorted({*branches.between(head, commit)} & {*git.untidy()})
    if in_the_way:
        raise ConflictError(
            f"These files have changes of yours that are not committed, and the merge changes them too: "
            f"{_few(in_the_way)}. Nothing was merged. Commit them, or move them away, then merge again.",
            code="files_conflict",
        )
    forward = ("merge", "--quiet", "--ff-only", "--no-overwrite-ignore", commit)
    git.run("update-ref", _MERGING, commit)
    code, _, said = git.ended(*forward)
    if code < 0:
        _check_cut_short(branches)
    git.run("update-ref", "-d", _MERGING, commit)
    if code != 0:
        raise GitError(forward, said)


def _handed_over(c: Coordinator, task: Task, plan: _Plan, *, dry_run: bool) -> Clash:
    """The conflict, with the task that is to resolve it."""
    clash, branch = plan.clash, plan.clashing
    assert clash is not None
    key = f"merge {branch.task} {branch.tip[:16]}"
    with c.store.reading() as view:
        known = view.task_by_key(key)
        fix = view.task(known[0]) if known is not None else None
    if fix is None and not dry_run:
        before = [step.task for step in plan.steps]
        draft = Draft(
            kind="fix",
            role=c.role_for_kind("fix") or task.role,
            instructions=_instructions(clash, plan.into),
            acceptance=f"`git merge-base --is-ancestor {clash.branch} HEAD` says yes, and the project's tests pass.",
            depends_on=(*before, clash.task),
            files=_nameable(clash.files),
            key=key,
        )
        made = tasks.create(c, OPERATOR, [draft], run=task.run)
        with c.store.reading() as view:
            fix = tasks.existing(view, made["tasks"][0]["id"])
    if fix is None:
        return clash
    return Clash(clash.task, clash.branch, clash.files, fix.id, fix.state)


def _instructions(clash: Clash, into: str) -> str:
    return (
        f"The branch {clash.branch} of task {clash.task} cannot be merged into {into}: both changed "
        f"{_few(clash.files)}.\n\nYour workspace begins at {into}. Run `git merge {clash.branch}` in it, resolve each "
        "conflict so that what both sides meant is kept, run the project's tests, and commit the merge. Then report "
        "what you decided for each file."
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


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more
