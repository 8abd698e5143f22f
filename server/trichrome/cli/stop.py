"""`trichrome stop` and `restart`: end the supervisor with all its sessions, or a session for a fresh one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import Json, document, new_app, note, say
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.bootstrap import Project

app = new_app()

_LOOK_SECONDS: Final = 0.2
_FORCE_SECONDS: Final = 60.0
"""How long a supervisor may take to end what it killed, before a stop says that it hangs."""
_LATE_SECONDS: Final = 60.0
"""How much longer than its grace a stop may take, likewise."""


@app.command(epilog="Example: trichrome stop --grace 120", context_settings={"allow_extra_args": True})
def stop(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="End every session at once.")] = False,
    grace: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="How long sessions may finish; by default stop_grace_seconds."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop the supervisor and all its sessions, and wait until nothing of them runs.

    Sessions may finish what they are at for the grace; what is not done then is given back with a note for the next
    worker. Where the supervisor was killed, what it left is ended and put away.
    """
    if context.args:
        raise typer.BadParameter(
            "stop ends all workers. `trichrome restart blue-1` ends the session of one, `trichrome scale blue=0` keeps "
            "fewer.",
            param_hint=context.args[0],
        )
    with opened(as_json) as project:
        end_all(project, force=force, grace=grace, as_json=as_json)


def end_all(project: Project, *, force: bool = False, grace: float | None = None, as_json: bool = False) -> None:
    """End the project's supervisor and all its sessions, put away what a dead one left, and tell it.

    Args:
        project: whose supervisor.
        force: give no grace.
        grace: how long sessions may finish, in seconds; None for what the settings say.
        as_json: tell it to a program.

    Raises:
        StoreUnavailableError: it does not leave in time.
    """
    from trichrome.supervisor import control

    seconds = project.loaded.config.stop_grace_seconds if grace is None else grace
    if was_running := control.is_running(project.data):
        _wait(project, force=force, grace=seconds, tells=not as_json)
    healed = _heal(project)
    if as_json:
        document({"stopped": was_running or healed is not None, **({} if healed is None else {"healed": healed})})
    else:
        say(healed or ("Stopped. Nothing of it runs." if was_running else "No supervisor runs here."))


def _order(project: Project, *, force: bool, grace: float) -> None:
    """Tell the supervisor to stop, unless it knows, or has just left by itself."""
    from contextlib import suppress

    from trichrome.errors import NotFoundError
    from trichrome.supervisor import control

    at = project.coordinator.clock.now().wall
    with suppress(NotFoundError):
        control.give(
            project.coordinator,
            project.data,
            lambda orders: orders.update(stop={"force": force, "grace_seconds": grace, "at": at}),
        )


def _wait(project: Project, *, force: bool, grace: float, tells: bool) -> None:
    """Have the supervisor stop, and wait until it is gone, saying what it still waits for.

    Raises:
        StoreUnavailableError: it takes too long.
    """
    import time

    from trichrome.coordinator import supervision
    from trichrome.errors import StoreUnavailableError
    from trichrome.supervisor import control

    c = project.coordinator
    watch = c.store.watch()
    deadline = time.monotonic() + (_FORCE_SECONDS if force else grace + _LATE_SECONDS)
    told = ""
    _order(project, force=force, grace=grace)
    try:
        while control.is_running(project.data):
            mark = watch.mark()
            if "stop" not in supervision.orders(c):  # one that has just begun forgets what was wanted before
                _order(project, force=force, grace=grace)
            fleet = supervision.fleet(c) or {"workers": []}
            working = ", ".join(
                f"{worker['name']} ({worker['task']})" for worker in fleet["workers"] if "pid" in worker
            )
            line = _waiting(working, grace, force=force) if working else ""
            if tells and line and line != told:
                note(line)
                told = line
            if time.monotonic() > deadline:
                pid = fleet["supervisor"]["pid"] if "supervisor" in fleet else "unknown"
                raise StoreUnavailableError(
                    f"The supervisor (process {pid}) has not left in time. Nothing is lost: `kill -9 {pid}`, then "
                    "`trichrome stop` again puts away what it leaves."
                )
            watch.sleep(mark, at_most_seconds=_LOOK_SECONDS)
    finally:
        watch.close()


def _waiting(working: str, grace: float, *, force: bool) -> str:
    if force or not grace:
        return f"Ending {working}."
    return f"Waiting for {working}, {grace:g} s at most. `trichrome stop --force` ends it at once."


def _heal(project: Project) -> str | None:
    """Put away what a dead supervisor left; answers it in words, None where there was none."""
    from trichrome.supervisor import control, healing

    with control.alone(project.coordinator, project.data):
        healed = healing.heal(project.coordinator, project.folder, project.data)
    return None if healed is None else healed.told()


@app.command(epilog="Example: trichrome restart blue-1")
def restart(
    worker: Annotated[
        str | None, typer.Argument(metavar="[WORKER]", help="A worker, such as blue-1; by default all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """End a worker's session for a fresh one, and let it go on when it is parked.

    What its session was at is given back, with a note, and does not count as a try.
    """
    from trichrome.coordinator import supervision
    from trichrome.supervisor import control

    with opened(as_json) as project:
        c = project.coordinator
        at = c.clock.now().wall
        if worker is not None and control.is_running(project.data):
            control.check_worker(c, worker)
        names = (
            [worker]
            if worker is not None
            else [each["name"] for each in (supervision.fleet(c) or {"workers": []})["workers"]]
        )
        control.give(
            c,
            project.data,
            lambda orders: orders.update(restart={**orders.get("restart", {}), **dict.fromkeys(names, at)}),
        )
    if as_json:
        document({"restarted": names})
    else:
        say(f"Restarting {', '.join(names) or 'nobody'}. `trichrome workers` shows how they stand.")
