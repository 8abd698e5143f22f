"""`trichrome backup` and `trichrome restore`: copies of the log, and the way back to one."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trichrome.cli.output import Json, counted, document, new_app, note, program, refusals, say, table
from trichrome.errors import NotFoundError

if TYPE_CHECKING:
    from trichrome.store.sqlite.backups import Backup
    from trichrome.store.sqlite.comparing import Difference

_SHOWN: Final = 12
"""Tasks of a kind that people are shown by name."""

app = new_app()


@app.command(epilog="Example: trichrome backup --to ~/trichrome-before-the-move.db")
def backup(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Write to this file instead of .trichrome/backups.")
    ] = None,
    lists: Annotated[bool, typer.Option("--list", help="List the backups that there are; make none.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the log as it is now, while others use it, and check the copy; or list the copies.

    What is backed up by hand stays until you remove it; automatic backups are pruned.
    """
    if to is not None and lists:
        raise typer.BadParameter("--list makes no backup, so it has no use for --to.")
    with refusals(as_json):
        from trichrome.cli.project import place
        from trichrome.store.sqlite.backups import folder_of, found

        log = place(reads_settings=False).log
        if lists:
            _list(found(folder_of(log)), as_json=as_json)
            return
        made = _made(log, None if to is None else to.expanduser().absolute())
    if as_json:
        document({"backup": _facts(made)})
        return
    say(f"Backed up {counted(made.events, 'event')}, {_size(made)}, to {made.path}")
    if made.is_whole:
        say("It was opened and checked. To go back to it: " + _back_to(made.name if to is None else str(made.path)))
    else:
        note("A chain of digests in it is broken, and so it is in the log: run `trichrome repair --check`.")


def _made(log: Path, to: Path | None) -> Backup:
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite.backups import back_up, folder_of
    from trichrome.store.sqlite.facts import is_begun
    from trichrome.store.sqlite.parts import has_bytes

    if not has_bytes(log):
        raise NotFoundError(f"There is no log at {log} yet, so there is nothing to back up.")
    if not is_begun(log):
        raise NotFoundError(f"The log at {log} holds no event yet, so there is nothing to back up.")
    with _progress() as tell:
        return back_up(log, folder_of(log), reason="asked", clock=SystemClock(), to=to, tell=tell)


@contextmanager
def _progress() -> Iterator[Callable[[float], None]]:
    """Show on a terminal how far a copy is."""
    if not sys.stderr.isatty():
        yield lambda _share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("copying", total=1.0)
        yield lambda share: progress.update(task, completed=share)


def _list(backups: list[Backup], *, as_json: bool) -> None:
    if as_json:
        document({"backups": [_facts(each) for each in backups]})
        return
    if not backups:
        say("There are no backups yet: `trichrome backup` makes one.")
        return
    rows = [
        (
            each.name,
            f"{_age(each)} old",
            counted(each.events, "event"),
            _size(each),
            "" if each.is_whole else "broken chain",
        )
        for each in backups
    ]
    table(("backup", "", "", "", ""), rows)


# --- restore ----------------------------------------------------------------------------------------------------------


@app.command(epilog="Example: trichrome restore --latest")
def restore(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="BACKUP", help="A backup's name, as --list has it; a log's file; or the folder where it is aside."
        ),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest backup.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be lost.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the log's place. The present log is put aside, never deleted.

    Without --yes nothing is done: it says what the log holds beyond the backup. Servers that run wait, and go on.
    """
    if (name is None) is not latest:
        raise typer.BadParameter("name one backup, or say --latest; `trichrome backup --list` names them all.")
    with refusals(as_json):
        from trichrome.cli.project import place
        from trichrome.clock import SystemClock
        from trichrome.config import open_folder
        from trichrome.store.sqlite import restoring
        from trichrome.store.sqlite.backups import folder_of
        from trichrome.store.sqlite.comparing import compare
        from trichrome.store.sqlite.presence import CALLED

        here = place(reads_settings=False)
        log, had_log = here.log, here.log.exists()
        source = _chosen(log, name)
        done = None
        if yes:
            open_folder(here.project)
            done = restoring.restore(log, source, clock=SystemClock())
        else:
            restoring.check(source, folder=folder_of(log))
        lost = compare(log, source) if done is None else done.lost
    aside = str(done.aside) if done is not None and had_log else None
    if as_json:
        document({"restored": yes, "backup": str(source), "lost": _lost(lost), **({"aside": aside} if aside else {})})
        return
    say(f"{source} {'is the log now' if yes else 'would become the log'}.")
    if had_log:
        for line in _losses(lost, is_done=yes):
            say(line)
        say(_aside(aside) if aside is not None else "The present log would be put aside, not deleted.")
    else:
        say("There was no log here." if yes else "There is no log here, so none would be put aside.")
    if done is not None and done.absent:
        who = ", ".join(CALLED[table] for table in done.absent)
        note(f"Who was there ({who}) could not be read: servers say so again at their next call.")
    if yes:
        say("Servers go on by themselves. Numbers of tasks, runs and attempts jump, so that none means two things.")
    else:
        say(f"To go on: {_back_to(name or '--latest')} --yes")


def _chosen(log: Path, name: str | None) -> Path:
    from trichrome.store.sqlite.backups import folder_of, found

    backups = found(folder_of(log))
    if name is None:
        for each in backups:
            if each.is_whole:
                return each.path
        raise NotFoundError(f"There is no backup in {folder_of(log)} to go back to. `trichrome backup` makes one.")
    for each in backups:
        if name in {each.name, each.path.name}:
            return each.path
    path = Path(name).expanduser().absolute()
    if (put_aside := path / log.name).is_file():
        return put_aside
    if path.exists():
        return path
    raise NotFoundError(f"There is no backup {name!r}, nor such a file. `trichrome backup --list` names them all.")


def _aside(folder: str) -> str:
    return f"The log that was there is in {folder}. To go back to it: {_back_to(folder)}"


def _losses(lost: Difference | None, *, is_done: bool) -> Iterator[str]:
    was = "was" if is_done else "would be"
    if lost is None:
        yield (
            f"The present log cannot be read, so nobody can tell what {was} lost. `trichrome repair --log` may "
            "save more of it than any backup holds."
        )
        return
    facts = _lost(lost)
    assert facts is not None
    if not lost.events:
        yield f"No event {was} lost: it holds all that the log holds."
    else:
        were = "were" if is_done and lost.events > 1 else was
        yield f"{counted(lost.events, 'event')} {were} lost that it does not hold."
    for what, tasks in (("created", facts["tasks_created"]), ("changed", facts["tasks_changed"])):
        if tasks:
            more = f" and {len(tasks) - _SHOWN:,} more" if len(tasks) > _SHOWN else ""
            yield f"  tasks {what} since: {', '.join(tasks[:_SHOWN])}{more}"
    if lost.returning:
        came = "came" if is_done else "would come"
        yield f"{counted(lost.returning, 'event')} {came} back that an older log held."


def _lost(lost: Difference | None) -> dict[str, Any] | None:
    if lost is None:
        return None
    tasks = {stream: version for stream, version in lost.streams.items() if stream[:1] == "t" and stream[1:].isdigit()}
    return {
        "events": lost.events,
        "tasks_created": [task for task, version in tasks.items() if version == 1],
        "tasks_changed": [task for task, version in tasks.items() if version > 1],
        "returning": lost.returning,
    }


# --- words ------------------------------------------------------------------------------------------------------------


def _facts(made: Backup) -> dict[str, Any]:
    return {
        "name": made.name,
        "path": str(made.path),
        "made_at": dt.datetime.fromtimestamp(made.made_at, dt.UTC).isoformat(),
        "reason": made.reason,
        "events": made.events,
        "position": made.position,
        "bytes": made.bytes,
        "form": made.form,
        "is_whole": made.is_whole,
    }


def _back_to(name: str) -> str:
    import shlex

    return f"{program()} restore {shlex.quote(name)}"


def _size(made: Backup) -> str:
    return f"{made.bytes / 2**20:,.1f} MiB"


def _age(made: Backup) -> str:
    from trichrome.domain.evidence import lasting

    return lasting(time.time() - made.made_at)
