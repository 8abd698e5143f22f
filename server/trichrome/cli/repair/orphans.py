"""What has lost its owner: attempts, servers, rows and files. Each is told with why nobody owns it any more.

Guarantee: nothing that somebody may still need is touched. A process is ended only when it is provably ours: a server
of this very project, known by process number and start, run by this user, whose client is gone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import counted
from trichrome.cli.project import Place
from trichrome.cli.repair import fleet
from trichrome.cli.repair.preparing import back_up
from trichrome.cli.repair.words import Finding, Orphan, Repair, mend

if TYPE_CHECKING:
    import psutil

    from trichrome.bootstrap import Project

_WAIT_SECONDS: Final = 5.0
"""How long a server that was asked to end may take before it is killed."""
_ROWS: Final = {
    "leases": "deadlines of attempts that are over",
    "dues": "times of tasks that are gone",
    "offers": "notes on messages that have arrived",
    "signs": "signs of life from before the machine started, or of nobody",
    "principals": "servers that left: of sessions that are over, or with nothing done in the last 30 days",
}


def findings(place: Place) -> list[Finding]:
    """Everything without an owner."""
    return [_finding(orphan) for orphan in _found(place)]


def _finding(orphan: Orphan) -> Finding:
    finding: Finding = {
        "part": "orphans",
        "state": "fail" if orphan.is_wrong else "warn",
        "found": orphan.told,
        "mend": orphan.look or mend("orphans"),
    }
    return finding if orphan.look else {**finding, "mended_by": "orphans"}


def plan(place: Place) -> Repair:
    """What `repair` would do."""
    return {"part": "orphans", "steps": [orphan.told for orphan in _found(place) if orphan.look is None]}


def repair(place: Place) -> Repair:
    """Let go of everything without an owner; answers what that was.

    Files go first, and without a backup: on a full disk they may be the room for one.
    """
    from trichrome.clock import SystemClock
    from trichrome.coordinator import liveness
    from trichrome.coordinator.principals import disconnect_gone
    from trichrome.store.sqlite import leftovers

    orphans = [orphan for orphan in _found(place) if orphan.look is None]
    steps = [orphan.told for orphan in orphans]
    _remove_traces(place)
    if any(orphan.is_logged for orphan in orphans):
        steps.insert(0, back_up(place))
        with place.opened() as project:
            steps += fleet.heal(place, project)
            for _, process in _servers(project):
                _end(process)
            leftovers.remove(place.log, SystemClock().now())
            liveness.sweep(project.coordinator)
            disconnect_gone(project.coordinator)
    return {"part": "orphans", "steps": steps}


def _found(place: Place) -> list[Orphan]:
    with place.looked_at() as project:
        found = [*_attempts(project)]
        found += [Orphan(told, is_wrong=True) for told, _ in _servers(project)]
        found += _gone(project)
        found += fleet.found(place, project)
    found += _rows(place)
    with _traces(place) as files:
        names = [file.relative_to(place.folder) for file in files]
    found += [Orphan(f"{name}: whoever was making it was killed", is_logged=False) for name in names]
    return found


def _attempts(project: Project) -> Iterator[Orphan]:
    from trichrome.coordinator import liveness

    c = project.coordinator
    with c.store.reading() as view:
        for live in view.live_attempts():
            if (why := liveness.why_gone(c, live)) is not None:
                yield Orphan(f"{live.attempt} of {live.worker}: {why}", is_wrong=True)


def _gone(project: Project) -> Iterator[Orphan]:
    from trichrome.coordinator.principals import gone_unnoted

    with project.coordinator.store.reading() as view:
        for principal in gone_unnoted(project.coordinator, view.principals()):
            told = f"server {principal.server[0]} counts as connected: it and its client are gone"
            yield Orphan(told)


def _rows(place: Place) -> Iterator[Orphan]:
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite import leftovers

    for table, rows in leftovers.count(place.log, SystemClock().now()).items():
        yield Orphan(f"{counted(rows, 'row')}: {_ROWS[table]}", is_wrong=table == "dues")


# --- files ------------------------------------------------------------------------------------------------------------


@contextmanager
def _traces(place: Place) -> Iterator[list[Path]]:
    """Files that somebody who was killed left behind, and nobody is at meanwhile; none where somebody is."""
    from trichrome.store.sqlite.replacing import SCRATCH

    locks = (place.log.with_name(f"{place.log.name}.alone"), place.folder / "backups" / ".lock")
    patterns = (f"{SCRATCH}*", "backups/*.partial*")
    with ExitStack() as held:
        is_ours = all(held.enter_context(_holding(lock)) for lock in locks)
        yield sorted(file for pattern in patterns for file in place.folder.glob(pattern)) if is_ours else []


def _remove_traces(place: Place) -> None:
    with _traces(place) as files:
        for file in files:
            if file.is_dir():
                shutil.rmtree(file, ignore_errors=True)
            else:
                file.unlink(missing_ok=True)


@contextmanager
def _holding(lock: Path) -> Iterator[bool]:
    """Hold a lock file that is there; whether nobody else holds it."""
    import fcntl

    is_ours = True
    with ExitStack() as held:
        try:
            opened = os.open(lock, os.O_RDONLY)
            held.callback(os.close, opened)
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass  # nobody has ever held it
        except (BlockingIOError, PermissionError):
            is_ours = False
        yield is_ours


# --- processes --------------------------------------------------------------------------------------------------------


def _servers(project: Project) -> list[tuple[str, psutil.Process]]:
    """Our own servers whose client is gone and that still run, as a stopped one does, with why."""
    from trichrome.coordinator.principals import is_here

    c = project.coordinator
    found: list[tuple[str, psutil.Process]] = []
    with c.store.reading() as view:
        for principal in view.principals():
            if principal.client is None or not is_here(c, principal) or c.is_alive(principal.client):
                continue
            process = _server(principal.server[0])
            if process is not None and c.is_alive(principal.server):
                why = f"its client (process {principal.client[0]}) is gone"
                found.append((f"server process {principal.server[0]}: {why}", process))
    return found


def _server(pid: int) -> psutil.Process | None:
    """The process of a number, if it is a server that this user runs."""
    import psutil

    try:
        process = psutil.Process(pid)
        is_mine = process.uids().real == os.getuid()
        words = process.cmdline()
    except psutil.Error:
        return None
    named = [(Path(program).name, argument) for program, argument in pairwise(words)]
    return process if is_mine and ("trichrome", "mcp") in named else None


def _end(process: psutil.Process) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(_WAIT_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_WAIT_SECONDS)
