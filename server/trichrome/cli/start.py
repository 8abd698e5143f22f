"""`trichrome start`: keep headless workers at work, in the foreground, behind a prompt, or detached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.numbers import MOST, check, numbers_of
from trichrome.cli.output import Json, document, new_app, program, say
from trichrome.cli.project import opened
from trichrome.cli.starting import Wanted

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.supervisor.supervisor import Done

app = new_app()

Count = Annotated[int | None, typer.Option(min=0, max=MOST, metavar="N", help="Workers of this role; 1 by default.")]

_ROLES: Final = ("blue", "green", "red")


@app.command(epilog="Example: trichrome start --blue 3 --green 2 --red 1 --detach")
def start(
    blue: Count = None,
    green: Count = None,
    red: Count = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="NAME=N", help="Workers of another role; may be repeated.")
    ] = None,
    runner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto, claude, api, offline or script:COMMAND; auto by default."),
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="A prompt beside a live board.")] = False,
    create_examples: Annotated[
        bool, typer.Option("--create-examples", help="Create a few tasks to see the workers at work.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Give the shell back; the workers go on.")] = False,
    until_idle: Annotated[
        bool,
        typer.Option(
            "--until-idle",
            help="End once nothing is left to do: 0 when all is over, 1 when something is stuck, or failed.",
        ),
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Begin no session once so much is spent.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", hidden=True)  # of the detached process: the workers' logs tell what they do
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep workers that take tasks by themselves: a Claude session for each task, none while there is nothing to do.

    Ctrl-C stops: sessions may finish within the grace; a second one ends them at once.
    """
    if interactive and (detach or as_json or until_idle):
        raise typer.BadParameter("it goes without --detach, --until-idle and --json.", param_hint="--interactive")
    scale = _scale({"blue": blue, "green": green, "red": red}, role or [])
    with opened(as_json) as project:
        from trichrome.supervisor import choice

        check(project.roles, scale)
        chosen = choice.runner(runner or project.loaded.config.runner)
        wanted = Wanted(chosen, scale, max_cost, until_idle)
        done: Done | None = None
        if detach:
            pid = _detached(project, wanted, runner, examples=create_examples)
            if as_json:
                document({"pid": pid, "runner": chosen.name, "scale": scale})
            else:
                _tell_detached(pid, wanted)
        elif interactive:
            _converse(project, wanted, runner, examples=create_examples)
        else:
            from trichrome.cli.starting import foreground

            begun = (lambda: _create_examples(project)) if create_examples else (lambda: None)
            done = foreground.keep(project, wanted, begun=begun, quiet=quiet, as_json=as_json)
    if done is not None and done.code:
        raise typer.Exit(done.code)


def _scale(counts: dict[str, int | None], others: list[str]) -> dict[str, int]:
    """How many workers of each role: what is said, else one of each; naming some leaves out the others."""
    named = numbers_of(others, hint="--role")
    said = {name: number for name, number in counts.items() if number is not None} | named
    if said and not any(said.values()):
        raise typer.BadParameter("that keeps no worker. Give a role at least one.", param_hint="--blue/--green/--red")
    return said or dict.fromkeys(_ROLES, 1)


def _create_examples(project: Project) -> None:
    from trichrome.cli import examples

    examples.create(project.coordinator)


def _detached(project: Project, wanted: Wanted, runner: str | None, *, examples: bool) -> int:
    """Start the process that goes on; where a supervisor runs already, neither it nor an example is made."""
    from trichrome.cli.starting import detached
    from trichrome.supervisor import control

    with control.alone(project.coordinator, project.data):
        pass
    if examples:
        _create_examples(project)
    return detached.begin(project, wanted, runner=runner)


def _tell_detached(pid: int, wanted: Wanted) -> None:
    name = program()
    say(f"Keeping {wanted.told()}, process {pid}.")
    say(f"Watch:  {name} workers, or {name} logs --follow")
    say(f"Stop:   {name} stop")


def _converse(project: Project, wanted: Wanted, runner: str | None, *, examples: bool) -> None:
    """The prompt; the supervisor behind it is stopped when it is left."""
    from trichrome.cli import interactive
    from trichrome.cli.stop import end_all
    from trichrome.supervisor import control

    interactive.check_terminal()
    _detached(project, wanted, runner, examples=examples)
    try:
        interactive.run(project)
    finally:
        if control.is_running(project.data):
            end_all(project)
