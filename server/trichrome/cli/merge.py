"""`trichrome merge`: bringing the work of a task into the branch that is checked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from trichrome.cli.output import REFUSED, Json, document, new_app, note, one_line, say
from trichrome.cli.project import check_task, opened

if TYPE_CHECKING:
    from trichrome.supervisor.conflicts import Clash
    from trichrome.supervisor.merging import Merge

app = new_app()


@app.command(epilog="Example: trichrome merge t17 --dry-run")
def merge(
    task: Annotated[str, typer.Argument(metavar="TASK", help="A completed task, such as t17.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be merged; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Merge a completed task's branch, after those it builds on."""
    with opened(as_json) as project:
        check_task(task)
        from trichrome.supervisor import merging
        from trichrome.supervisor.workspaces import Workspaces

        spaces = Workspaces(project.folder, project.data)
        merged = merging.merge(project.coordinator, spaces, task, dry_run=dry_run)
    if as_json:
        document(_facts(merged, dry_run=dry_run))
    else:
        _tell(task, merged, dry_run=dry_run)
    if merged.clash is not None:
        raise typer.Exit(REFUSED)


def _tell(task: str, merged: Merge, *, dry_run: bool) -> None:
    if merged.clash is not None:
        note(f"trichrome: {_told(merged.clash, merged.into)} (files_conflict)")
    elif not merged.steps:
        say(f"{task} has nothing to merge into {merged.into}: it changed nothing, or all of it is there.")
    for step in merged.steps:
        files = one_line(", ".join(step.files), most=200)
        say(f"{step.task} {'would be merged' if dry_run else 'is merged'} into {merged.into}. It changes {files}.")
    for left in merged.left:
        note(f"{left.path} {'would be put away first' if dry_run else 'stays'}: {left.note}.")


def _told(clash: Clash, into: str) -> str:
    told = f"{clash.branch} and {into} changed the same in {', '.join(clash.files)}. Nothing was merged."
    if clash.undone is not None:
        told += (
            f" {clash.undone} was completed, but did not bring {clash.branch} in. You can do it by hand: `git merge "
            f"{clash.branch}`."
        )
    match clash.fix_state:
        case None:
            return f"{told} `trichrome merge {clash.task}` makes a task of it."
        case "completed":
            return f"{told} {clash.fix} resolved it: `trichrome merge {clash.fix}`."
        case "failed" | "cancelled":
            return f"{told} {clash.fix} was to resolve it, but is {clash.fix_state}: `trichrome retry {clash.fix}`."
        case _:
            return f"{told} {clash.fix} is to resolve it ({clash.fix_state}); then: `trichrome merge {clash.fix}`."


def _facts(merged: Merge, *, dry_run: bool) -> dict[str, Any]:
    steps = [{"task": step.task, "branch": step.branch, "files": list(step.files)} for step in merged.steps]
    facts: dict[str, Any] = {"into": merged.into, "dry_run": dry_run, "merged": steps}
    if merged.commit is not None:
        facts["commit"] = merged.commit
    if merged.left:
        facts["left"] = [{"path": str(left.path), "note": left.note} for left in merged.left]
    if merged.clash is not None:
        clash = merged.clash
        facts["error"] = {"code": "files_conflict", "message": _told(clash, merged.into), "retryable": False}
        facts["conflict"] = {"task": clash.task, "branch": clash.branch, "files": list(clash.files)}
        if clash.fix is not None:
            facts["fix"] = {"task": clash.fix, "state": clash.fix_state}
    return facts
