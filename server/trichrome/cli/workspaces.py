"""`trichrome workspaces`: the branches and worktrees of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trichrome.cli.output import Json, document, new_app, note, table
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.supervisor.workspaces import WorkspaceLine

app = new_app()


@app.command(epilog="Example: trichrome workspaces")
def workspaces(as_json: Json = False) -> None:
    """List branches of tasks that are not merged, and worktrees that are left."""
    with opened(as_json) as project:
        from trichrome.supervisor.workspaces import Workspaces

        lines = Workspaces(project.folder, project.data).listing()
        with project.coordinator.store.reading() as view:
            known = {line.task: view.task(line.task) for line in lines}
    states = {name: task.state if task is not None else "unknown" for name, task in known.items()}
    if as_json:
        document({"workspaces": [_facts(line, states[line.task]) for line in lines]})
        return
    rows = [(line.task, states[line.task], *_row(line)) for line in lines]
    if rows:
        table(("task", "state", "commits", "files", "age", "where"), rows)
    else:
        note("No branch waits to be merged, and no worktree is left.")
    if ready := [line.task for line in lines if states[line.task] == "completed" and not line.is_spent]:
        note(f"`trichrome merge {ready[0]}` brings {ready[0]} in, after what it builds on.")


def _row(line: WorkspaceLine) -> tuple[str, str, str, str]:
    from trichrome.domain.evidence import lasting

    changed = f"{len(line.changed)} changed" + (f", {len(line.uncommitted)} uncommitted" if line.uncommitted else "")
    where = str(line.path) if line.path is not None else f"branch {line.branch}"
    return f"{line.ahead} ahead", changed, lasting(line.age_seconds), where + (f": {line.note}" if line.note else "")


def _facts(line: WorkspaceLine, state: str) -> dict[str, Any]:
    facts = {
        "task": line.task,
        "state": state,
        "role": line.role,
        "branch": line.branch,
        "path": str(line.path) if line.path is not None else None,
        "ahead": line.ahead,
        "changed": list(line.changed),
        "uncommitted": list(line.uncommitted),
        "is_unmerged": not line.is_spent,
        "age_seconds": round(line.age_seconds, 1),
        "note": line.note,
    }
    return {name: value for name, value in facts.items() if value is not None}
