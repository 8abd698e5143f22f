"""`trichrome workspaces`: the branches and worktrees of tasks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trichrome.cli.output import REFUSED, Json, counted, document, new_app, note, say, table
from trichrome.cli.project import check_task, opened
from trichrome.errors import ConflictError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.domain.ids import TaskId
    from trichrome.domain.tasks import Task
    from trichrome.supervisor.conflicts import Fix
    from trichrome.supervisor.workspaces import WorkspaceLine, Workspaces

app = new_app()


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the list, with what the log knows of it."""

    line: WorkspaceLine
    task: Task | None
    fix: Fix | None

    @property
    def state(self) -> str:
        return self.task.state if self.task is not None else "unknown"

    @property
    def resolver(self) -> Task | None:
        """The task that is to resolve its conflict."""
        return self.fix.task if self.fix is not None else None


@app.command(epilog="Example: trichrome workspaces --drop t4")
def workspaces(
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="TASK", help="Throw this task's branch and worktree away.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --drop: do not ask, though work is lost.")] = False,
    as_json: Json = False,
) -> None:
    """List branches of tasks that are not merged, and worktrees that are left; or drop one.

    A dropped branch whose work is merged is nothing lost. Else you are asked, and told how to get it back.
    """
    if yes and drop is None:
        raise typer.BadParameter("--yes is for --drop TASK.")
    with opened(as_json) as project:
        from trichrome.supervisor.workspaces import Workspaces

        spaces = Workspaces(project.folder, project.data)
        if drop is not None:
            _drop(project, spaces, drop, is_sure=yes, as_json=as_json)
            return
        rows = _rows(project, spaces)
    if as_json:
        document({"workspaces": [_facts(row) for row in rows]})
        return
    if rows:
        table(
            ("task", "state", "commits", "files", "age", "where"),
            [(row.line.task, row.state, *_columns(row)) for row in rows],
        )
    else:
        note("No branch waits to be merged, and no worktree is left.")
    _advise(rows)


def _rows(project: Project, spaces: Workspaces) -> list[_Row]:
    from trichrome.supervisor.conflicts import fix_of

    lines = spaces.listing()
    with project.coordinator.store.reading() as view:
        return [
            _Row(
                line,
                view.task(line.task),
                None if line.branch is None or line.is_spent else fix_of(view, spaces.branches, line.branch),
            )
            for line in lines
        ]


def _advise(rows: list[_Row]) -> None:
    waiting = [row for row in rows if not row.line.is_spent and row.resolver is None]
    for row in [row for row in waiting if row.state == "completed"][:1]:
        note(f"`trichrome merge {row.line.task}` brings {row.line.task} in, after what it builds on.")
    for row in [row for row in waiting if row.state == "cancelled"][:1]:
        task = row.line.task
        note(f"{task} is cancelled: `trichrome workspaces --drop {task}` throws away what was done for it.")


def _columns(row: _Row) -> tuple[str, str, str, str]:
    from trichrome.domain.evidence import lasting

    line = row.line
    changed = f"{len(line.changed)} changed" + (f", {len(line.uncommitted)} uncommitted" if line.uncommitted else "")
    where = [str(line.path) if line.path is not None else f"branch trichrome/{line.task}"]
    where += [line.note] if line.note else []
    if (fix := row.resolver) is not None:
        where.append(f"it conflicts, and {fix.id} ({fix.state}) is to resolve that")
    return f"{line.ahead} ahead", changed, lasting(line.age_seconds), ": ".join(where)


def _facts(row: _Row) -> dict[str, Any]:
    line, fix = row.line, row.resolver
    facts = {
        "task": line.task,
        "state": row.state,
        "role": line.role,
        "branch": line.branch.name if line.branch is not None else None,
        "path": str(line.path) if line.path is not None else None,
        "ahead": line.ahead,
        "changed": list(line.changed),
        "uncommitted": list(line.uncommitted),
        "is_unmerged": not line.is_spent,
        "age_seconds": round(line.age_seconds, 1),
        "note": line.note,
        "fix": {"task": fix.id, "state": fix.state} if fix is not None else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


# --- dropping ---------------------------------------------------------------------------------------------------------


def _drop(project: Project, spaces: Workspaces, name: str, *, is_sure: bool, as_json: bool) -> None:
    check_task(name)
    task = _free(project, name)
    lost = _lost(spaces, task)
    if lost and not is_sure:
        if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConflictError(
                f"{lost} would be lost, so nothing was changed. `trichrome workspaces --drop {task} --yes` throws that "
                "away.",
                code="files_conflict",
            )
        if not typer.confirm(f"{lost} would be lost. Throw it away?", err=True):
            note("Nothing was changed.")
            raise typer.Exit(REFUSED)
    dropped = spaces.drop(task)
    if as_json:
        document({"dropped": {"task": task, "branch": dropped.name, "commit": dropped.tip}})
        return
    say(f"Dropped {dropped.name}.")
    if lost:
        note(f"Until git tidies up, `git branch NAME {dropped.tip[:12]}` brings it back.")


def _free(project: Project, name: str) -> TaskId:
    """The task, if nobody works on it.

    Raises:
        TrichromeError: `not_found`; `files_conflict` where somebody does.
    """
    from trichrome.coordinator import supervision, tasks
    from trichrome.supervisor import control

    c = project.coordinator
    with c.store.reading() as view:
        task = tasks.existing(view, name)
    told = supervision.fleet(c) if control.is_running(project.data) else None
    is_kept = told is not None and any(worker.get("task") == task.id for worker in told["workers"])
    if is_kept or task.state == "running":
        raise ConflictError(
            f"A worker has {task.id} in hand, so nothing was changed. `trichrome cancel {task.id}` first.",
            code="files_conflict",
        )
    return task.id


def _lost(spaces: Workspaces, task: TaskId) -> str | None:
    """What is nowhere else, in words; None where nothing is."""
    mine = [line for line in spaces.listing() if line.task == task]
    commits = max((line.ahead for line in mine if not line.is_spent), default=0)
    files = sum(len(line.uncommitted) for line in mine)
    parts = [counted(commits, "commit")] if commits else []
    parts += [counted(files, "uncommitted file")] if files else []
    return f"{' and '.join(parts)} of {task}" if parts else None
