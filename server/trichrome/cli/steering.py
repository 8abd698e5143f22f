"""What the operator decides: `amend`, `cancel`, `retry`, `approve`, `reject`, `pause`, `resume`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import Json, document, new_app, say
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.coordinator import Caller, Coordinator
    from trichrome.domain.runs import Run
    from trichrome.domain.tasks import Task

app = new_app()

TaskName = Annotated[str, typer.Argument(metavar="TASK", help="A task, such as t17.")]
Named = Annotated[
    str | None,
    typer.Argument(metavar="RUN|ROLE", help="A run, such as r3, or a role of supervised workers.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Every role that the supervisor keeps workers of.")]

_RUN: Final = re.compile(r"r\d+")


def _on_task(as_json: bool, act: Callable[[Coordinator], Task]) -> None:
    """Act on one task and say how it stands now."""
    with opened(as_json) as project:
        task = act(project.coordinator)
    if as_json:
        document({"id": task.id, "run": task.run, "kind": task.kind, "role": task.role, "state": task.state})
    else:
        say(f"{task.id} is {task.state}.")


@app.command(epilog="Example: trichrome amend t4 --priority 0")
def amend(
    task: TaskName,
    priority: Annotated[int | None, typer.Option(metavar="0-9", help="0 is urgent, 9 can wait.")] = None,
    instructions: Annotated[
        str | None, typer.Option(metavar="TEXT", help="New instructions, while nobody works on it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change a task's priority or instructions."""
    from trichrome.coordinator import OPERATOR, tasks

    _on_task(as_json, lambda c: tasks.amend(c, OPERATOR, task, priority=priority, instructions=instructions))


@app.command(epilog='Example: trichrome cancel t4 --reason "done by hand"')
def cancel(
    what: Annotated[str, typer.Argument(metavar="TASK|RUN", help="A task, such as t17, or a whole run, such as r3.")],
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; the history keeps it.")] = None,
    as_json: Json = False,
) -> None:
    """Cancel a task, or what is left of a run."""
    with opened(as_json) as project:
        from trichrome.coordinator import OPERATOR, tasks

        is_run = what.startswith("r")
        named = {"run": what} if is_run else {"task": what}
        cancelled = tasks.cancel(project.coordinator, OPERATOR, reason=reason, **named)
    if as_json:
        document(cancelled)
    else:
        say(
            f"Cancelled {', '.join(cancelled['cancelled'])}." if cancelled["cancelled"] else f"{what} was over already."
        )


@app.command(epilog="Example: trichrome retry t4")
def retry(task: TaskName, as_json: Json = False) -> None:
    """Put a failed or cancelled task back, with all its tries."""
    from trichrome.coordinator import OPERATOR, tasks

    _on_task(as_json, lambda c: tasks.retry(c, OPERATOR, task))


@app.command(epilog="Example: trichrome approve t4")
def approve(task: TaskName, as_json: Json = False) -> None:
    """Complete a task in review yourself."""
    from trichrome.coordinator import OPERATOR, reviews

    _on_task(as_json, lambda c: reviews.approve(c, OPERATOR, task))


@app.command(epilog='Example: trichrome reject t4 --reason "src/auth.py:12 still logs the token"')
def reject(
    task: TaskName,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="What is wrong; the next attempt reads it.")],
    final: Annotated[bool, typer.Option("--final", help="End the task instead of sending it back.")] = False,
    as_json: Json = False,
) -> None:
    """Send a task in review back, or end it."""
    from trichrome.coordinator import OPERATOR, reviews

    _on_task(as_json, lambda c: reviews.reject(c, OPERATOR, task, reason=reason, final=final))


def _on_run(as_json: bool, named: str | None, act: Callable[[Coordinator, Caller, str], Run], *, paused: bool) -> None:
    """Act on one run and say how it stands now; without a name, say which `paused` ones, or others, could be meant."""
    with opened(as_json) as project:
        from trichrome.coordinator import OPERATOR

        if named is None:
            raise typer.BadParameter(_which(project, paused=paused), param_hint="RUN|ROLE")
        run = act(project.coordinator, OPERATOR, named)
    if as_json:
        document({"run": run.id, "paused": run.paused})
    elif run.paused:
        say(f"{run.id} is paused: nothing more of it is claimed, what runs goes on.")
    else:
        say(f"{run.id} goes on.")


def _which(project: Project, *, paused: bool) -> str:
    from trichrome.coordinator import runs, supervision
    from trichrome.supervisor import control

    c = project.coordinator
    with c.store.reading() as view:
        known = [runs.named([run for run in view.open_runs() if run.paused is paused])]
    if control.is_running(project.data):
        halted = set(supervision.orders(c).get("paused", ()))
        workers = [f"{role} (role)" for role in sorted(_roles_of_fleet(c)) if (role in halted) is paused]
        known += [", ".join(workers)]
    kind = "is paused" if paused else "could be paused"
    told = ", ".join(filter(None, known))
    return f"say which. What {kind}: {told}." if told else f"no run and no role {kind} now."


def _roles_of_fleet(c: Coordinator) -> set[str]:
    from trichrome.coordinator import supervision

    return {worker["role"] for worker in (supervision.fleet(c) or {"workers": []})["workers"]}


def _on_roles(as_json: bool, named: str | None, *, paused: bool) -> None:
    """Let supervised workers of one role, or of all, start nothing more, or go on."""
    from trichrome.supervisor import control

    with opened(as_json) as project:
        roles = _meant_roles(project, named)
        wall = project.coordinator.clock.now().wall

        def change(orders: control.Orders) -> None:
            before = set(orders.get("paused", ()))
            orders["paused"] = sorted(before | roles if paused else before - roles)
            if not paused:
                orders["resume"] = {**orders.get("resume", {}), **dict.fromkeys(sorted(roles), wall)}

        wanted = control.give(project.coordinator, project.data, change)
    if as_json:
        document({"paused": wanted["paused"]})
    elif paused:
        say(f"Paused: {', '.join(sorted(roles))}. Its workers start nothing more; what runs goes on.")
    else:
        say(f"{', '.join(sorted(roles))}: workers go on, parked ones too.")


def _meant_roles(project: Project, named: str | None) -> set[str]:
    """The role that is named, or every role of the fleet."""
    from trichrome.supervisor import control

    if named is None:
        return _roles_of_fleet(project.coordinator)
    control.check_scale(0, named, known=project.roles.names, concurrency=None)
    return {named}


@app.command(epilog="Example: trichrome pause r3")
def pause(what: Named = None, everything: All = False, as_json: Json = False) -> None:
    """Let nothing more of a run be claimed, or let a role's supervised workers start nothing; what runs goes on."""
    from trichrome.coordinator import runs

    if _is_role(what, everything=everything):
        _on_roles(as_json, what, paused=True)
    else:
        _on_run(as_json, what, runs.pause, paused=False)


@app.command(epilog="Example: trichrome resume r3")
def resume(what: Named = None, everything: All = False, as_json: Json = False) -> None:
    """Let a paused run, or a role's paused and parked workers, go on."""
    from trichrome.coordinator import runs

    if _is_role(what, everything=everything):
        _on_roles(as_json, what, paused=False)
    else:
        _on_run(as_json, what, runs.resume, paused=True)


def _is_role(what: str | None, *, everything: bool) -> bool:
    if everything and what is not None:
        raise typer.BadParameter("give a name or --all, not both.", param_hint="RUN|ROLE")
    return everything or (what is not None and _RUN.fullmatch(what) is None)
