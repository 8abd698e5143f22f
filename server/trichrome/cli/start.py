"""`trichrome start`: keep headless workers at work, in the foreground, behind a prompt, or detached."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trichrome.cli.output import Json, document, is_terminal, new_app, note, one_line, program, say
from trichrome.cli.project import opened
from trichrome.cli.scale import MOST, check, numbers_of

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.runners.port import Runner
    from trichrome.supervisor.supervisor import Done, Supervisor

app = new_app()

Count = Annotated[int | None, typer.Option(min=0, max=MOST, metavar="N", help="Workers of this role; 1 by default.")]

_ROLES: Final = ("blue", "green", "red")
_UP_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1
_LOG: Final = "supervisor.out"
_TAIL_LINES: Final = 20
_QUIET: Final = frozenset({"said", "put away"})
"""What the workers' logs tell, and one line an event would drown in."""


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
        bool, typer.Option("--until-idle", help="End once nothing is left to do: 0 when all is over, 1 when stuck.")
    ] = False,
    max_cost: Annotated[
        float | None, typer.Option(min=0, metavar="USD", help="Begin no session once so much is spent.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep workers that take tasks by themselves: a Claude session for each task, none while there is nothing to do.

    Ctrl-C stops: sessions may finish within the grace; a second one ends them at once.
    """
    if interactive and (detach or as_json or until_idle):
        raise typer.BadParameter("it goes without --detach, --until-idle and --json.", param_hint="--interactive")
    scale = _scale({"blue": blue, "green": green, "red": red}, role or [])
    with opened(as_json) as project:
        check(project.roles, scale)
        chosen = _runner(project, runner)
        if not detach and not interactive:
            done = _keep(
                project, chosen, scale, max_cost, until_idle=until_idle, examples=create_examples, as_json=as_json
            )
        else:
            done = None
            if interactive:
                from trichrome.cli.interactive import check_terminal

                check_terminal()
            _check_alone(project)
            if create_examples:
                _create_examples(project)
            pid = _detached(project, _arguments(scale, runner, until_idle=until_idle, max_cost=max_cost))
            if interactive:
                _converse(project)
            elif as_json:
                document({"pid": pid, "runner": chosen.name, "scale": scale})
            else:
                _tell_detached(pid, chosen, scale)
    if done is not None and done.code:
        raise typer.Exit(done.code)


def _scale(counts: dict[str, int | None], others: list[str]) -> dict[str, int]:
    """How many workers of each role: what is said, else one of each; naming another role alone means that alone."""
    named = numbers_of(others, hint="--role")
    said = {name: number for name, number in counts.items() if number is not None} | named
    return said or dict.fromkeys(_ROLES, 1)


def _runner(project: Project, wanted: str | None) -> Runner:
    from trichrome.supervisor.choice import runner

    return runner(wanted or project.loaded.config.runner)


def _create_examples(project: Project) -> None:
    from trichrome.cli import examples

    examples.create(project.coordinator)


# --- in the foreground ------------------------------------------------------------------------------------------------


def _keep(
    project: Project,
    runner: Runner,
    scale: dict[str, int],
    max_cost: float | None,
    *,
    until_idle: bool,
    examples: bool,
    as_json: bool,
) -> Done:
    from trichrome.supervisor import keeping

    told = ", ".join(f"{number} {role}" for role, number in scale.items())

    def begun(supervisor: Supervisor) -> None:
        signals.supervisor = supervisor
        if examples:
            _create_examples(project)
        if not as_json:
            say(f"Keeping {told} with {runner.name} in {project.folder}. Ctrl-C stops; `trichrome workers` shows more.")

    with handed_signals() as signals:
        done = keeping.keep(
            project,
            runner,
            scale,
            max_cost=max_cost,
            until_idle=until_idle,
            tell=[_as_document if as_json else _as_line],
            begun=begun,
        )
    for line in () if as_json else done.stuck:
        note(one_line(line))
    return done


def _as_document(worker: str, event: str, **facts: Any) -> None:
    document({"worker": worker, "event": event, **{name: value for name, value in facts.items() if value is not None}})


def _as_line(worker: str, event: str, **facts: Any) -> None:
    if event in _QUIET:
        return
    at = facts.get("attempt") or facts.get("task") or ""
    why = facts.get("reason") or facts.get("why") or ""
    cost = facts.get("cost_usd")
    money = f" (${cost:.2f})" if cost else ""
    who = facts.get("who", "") if worker != facts.get("who") else ""
    words = " ".join(filter(None, (f"{worker:<10}", event, who, at)))
    say(one_line(f"{words}: {why}{money}" if why else f"{words}{money}", most=None if is_terminal() else 400))


class _Signals:
    """Hands signals to the supervisor, once there is one."""

    def __init__(self) -> None:
        self.supervisor: Supervisor | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """One more wish to stop; before the first turn it ends the command."""
        if self.supervisor is None:
            raise KeyboardInterrupt(number)
        self.supervisor.interrupt()


@contextmanager
def handed_signals() -> Iterator[_Signals]:
    """Hand the signals that ask to stop to a supervisor, while the block runs."""
    taken = _Signals()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, taken.take) for number in wanted}
    try:
        yield taken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- detached ---------------------------------------------------------------------------------------------------------


def _arguments(scale: dict[str, int], runner: str | None, *, until_idle: bool, max_cost: float | None) -> list[str]:
    """The command line of the process that goes on."""
    arguments = [word for role, number in scale.items() for word in ("--role", f"{role}={number}")]
    arguments += ["--runner", runner] if runner is not None else []
    arguments += ["--until-idle"] if until_idle else []
    return arguments + (["--max-cost", str(max_cost)] if max_cost is not None else [])


def _check_alone(project: Project) -> None:
    """Refuse where a supervisor runs already."""
    from trichrome.supervisor import control

    with control.alone(project.coordinator, project.data):
        pass


def _detached(project: Project, arguments: list[str]) -> int:
    """Start the process that goes on, and wait until it keeps its workers; answers its number.

    Raises:
        StoreUnavailableError: it ended, or did not begin in time; with its last words.
    """
    import os
    import time

    from trichrome.coordinator import supervision
    from trichrome.errors import StoreUnavailableError

    logs = project.data / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    path = logs / _LOG
    if path.exists():
        path.replace(path.with_name(f"{_LOG}.1"))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:  # noqa: PTH123  opened with its mode
        child = subprocess.Popen(  # -P: a `json.py` in the project must not become the supervisor's
            [sys.executable, "-P", "-m", "trichrome", "start", *arguments],
            cwd=project.folder,
            env={**os.environ, "TRICHROME_HOME": str(project.folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _UP_SECONDS
    while (ended := child.poll()) is None and time.monotonic() < deadline:
        told = supervision.fleet(project.coordinator)
        if told is not None and told["supervisor"]["pid"] == child.pid:
            return child.pid
        time.sleep(_LOOK_SECONDS)
    if ended == 0:
        return child.pid  # it was told to end once nothing is left to do, and there was nothing
    if ended is None:
        child.kill()
        child.wait()
    what = "did not begin in time, and was ended" if ended is None else f"ended with {ended}"
    raise StoreUnavailableError(
        f"The supervisor {what}. Nothing is lost. Its last words: {_tail(path)} `trichrome start` without --detach "
        "shows more."
    )


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    return one_line(" ".join(lines), most=1000) or "none."


def _tell_detached(pid: int, runner: Runner, scale: dict[str, int]) -> None:
    name = program()
    say(f"Keeping {', '.join(f'{number} {role}' for role, number in scale.items())} with {runner.name}, process {pid}.")
    say(f"Watch:  {name} workers, or {name} logs --follow")
    say(f"Stop:   {name} stop")


# --- interactive ------------------------------------------------------------------------------------------------------


def _converse(project: Project) -> None:
    """The prompt; the supervisor behind it is stopped when it is left."""
    from trichrome.cli import interactive
    from trichrome.cli.stop import stop
    from trichrome.supervisor import control

    try:
        interactive.run(project)
    finally:
        if control.is_running(project.data):
            stop()
