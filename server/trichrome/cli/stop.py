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


@app.command(epilog="Example: trichrome stop --grace 120")
def stop(
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
    from trichrome.supervisor import control

    with opened(as_json) as project:
        seconds = project.loaded.config.stop_grace_seconds if grace is None else grace
        if control.is_running(project.data):
            ordered = _order(project, force=force, grace=seconds)
            if ordered:
                _wait(project, _FORCE_SECONDS if force else seconds + _LATE_SECONDS, tells=not as_json)
        healed = _heal(project)
    if as_json:
        document({"stopped": True, **({} if healed is None else {"healed": healed})})
    else:
        say(healed or "Stopped. Nothing of it runs.")


def _order(project: Project, *, force: bool, grace: float) -> bool:
    """Tell the supervisor to stop; answers False where it has just left by itself."""
    from trichrome.errors import NotFoundError
    from trichrome.supervisor import control

    at = project.coordinator.clock.now().wall
    try:
        control.give(
            project.coordinator,
            project.data,
            lambda orders: orders.update(stop={"force": force, "grace_seconds": grace, "at": at}),
        )
    except NotFoundError:
        return False
    return True


def _wait(project: Project, seconds: float, *, tells: bool) -> None:
    """Wait until the supervisor is gone, saying what it still waits for.

    Raises:
        StoreUnavailableError: it takes too long.
    """
    import time

    from trichrome.coordinator import supervision
    from trichrome.errors import StoreUnavailableError
    from trichrome.supervisor import control

    c = project.coordinator
    watch = c.store.watch()
    deadline = time.monotonic() + seconds
    told = ""
    try:
        while control.is_running(project.data):
            mark = watch.mark()
            fleet = supervision.fleet(c) or {"workers": []}
            working = [f"{worker['name']} ({worker['task']})" for worker in fleet["workers"] if "pid" in worker]
            line = f"Waiting for {', '.join(working)}. `trichrome stop --force` does not." if working else ""
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


def _heal(project: Project) -> str | None:
    """Put away what a dead supervisor left; answers it in words, None where there was none."""
    from trichrome.supervisor import control

    with control.alone(project.coordinator, project.data):
        healed = control.heal(project.coordinator, project.folder, project.data)
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
