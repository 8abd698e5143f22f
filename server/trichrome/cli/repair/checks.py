"""What is wrong with a project's log and what lies beside it; also with a log that cannot be opened.

Guarantee: nothing is made, changed or finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from trichrome.cli.project import UPGRADE, Place
from trichrome.cli.repair import orphans
from trichrome.cli.repair.preparing import begun
from trichrome.cli.repair.words import Finding, Part, mend
from trichrome.errors import StoreTooNewError

_SHOWN: Final = 5
"""The most faults of one sort that are named."""


def findings(place: Place) -> list[Finding]:
    """Everything that is wrong, the worst first; none when all is well.

    Raises:
        TrichromeError: the log cannot be read, though it may be whole.
    """
    from trichrome.store.sqlite.looking import undisturbed

    return undisturbed(lambda: _findings(place))


def _findings(place: Place) -> list[Finding]:
    from trichrome.store.sqlite import facts

    if not place.folder.is_dir():
        return []
    if begun(place):
        return [_finding("log", "a repair was interrupted after it had made the new log; any command goes on with it")]
    if is_missing(place):
        return list(_missing(place))
    if faults := facts.damage(place.log):
        return [_finding("log", _some(f"{place.log} is damaged", faults))]
    try:
        return list(_another(place)) or list(_views(place)) or [*_holes(place), *orphans.findings(place)]
    except StoreTooNewError as error:
        return [{"part": "log", "state": "fail", "found": error.message, "mend": UPGRADE}]


def of_backups(place: Place) -> list[Finding]:
    """What is wrong with the newest backup; it is read as a whole."""
    from trichrome.store.sqlite.backups import folder_of, found, verify

    for newest in found(folder_of(place.log))[:1]:
        if faults := verify(newest):
            told = _some(f"the newest one, {newest.name}, is damaged", faults)
            return [{"part": "backups", "state": "warn", "found": told, "mend": "trichrome backup"}]
    return []


def is_missing(place: Place) -> bool:
    """Whether there is no byte of a log."""
    from trichrome.store.sqlite.parts import size

    return size(place.log) == 0


def _finding(part: Part, found: str, *, state: Literal["warn", "fail"] = "fail") -> Finding:
    return {"part": part, "state": state, "found": found, "mend": mend(part), "mended_by": part}


def _some(told: str, faults: list[str]) -> str:
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"{told}: {'; '.join(faults[:_SHOWN])}{more}"


def _missing(place: Place) -> Iterator[Finding]:
    """A log that is not there is no fault, unless there was one."""
    from trichrome.store.sqlite.backups import folder_of, found, newest_good

    folder = folder_of(place.log)
    for newest in found(folder)[:1]:
        best = newest_good(folder) or newest
        how = "empty" if place.log.exists() else "missing"
        told = f"{place.log} is {how}, and there are backups of it; the newest good one is {best.name}"
        yield {"part": "log", "state": "fail", "found": told, "mend": f"trichrome restore {best.name}"}


def _another(place: Place) -> Iterator[Finding]:
    """A log that does not go on from its newest whole backup is another one, as it is where the file was removed."""
    from trichrome.store.sqlite.backups import folder_of, found
    from trichrome.store.sqlite.comparing import continues

    newest = next((each for each in found(folder_of(place.log)) if each.is_whole), None)
    if newest is not None and newest.events and continues(place.log, newest.path) is False:
        told = f"{place.log} does not go on from the backup {newest.name}, which holds {newest.events} events"
        yield {"part": "log", "state": "fail", "found": told, "mend": f"trichrome restore {newest.name}"}


def _views(place: Place) -> Iterator[Finding]:
    from trichrome.store.sqlite import facts
    from trichrome.store.sqlite.connection import version_of
    from trichrome.store.sqlite.looking import looking
    from trichrome.store.sqlite.version import LATEST

    with looking(place.log) as connection:
        form = version_of(connection)
    if form < LATEST:
        told = f"the log has form {form}; the next command brings it to form {LATEST}, and backs it up before"
        yield {"part": "form", "state": "warn", "found": told, "mend": "trichrome status"}
        return
    if missing := facts.missing(place.log):
        yield _finding("views", _some("something is missing in the file", missing))
        return
    with place.looked_at() as project:
        if faults := project.coordinator.store.differences():
            yield _finding("views", _some("views are not what the log says", faults))


def _holes(place: Place) -> Iterator[Finding]:
    from trichrome.coordinator import mending

    with place.looked_at() as project:
        if gaps := mending.missing(project.coordinator):
            yield _finding("log", _some("something was lost, and its consequences were not told", gaps))
