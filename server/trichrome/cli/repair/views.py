"""The views made anew from the log, while running servers wait."""

from __future__ import annotations

from trichrome.cli.project import Place
from trichrome.cli.repair.preparing import back_up
from trichrome.cli.repair.words import Repair
from trichrome.errors import StoreUnavailableError


def plan(place: Place) -> Repair:
    """What `repair` would do.

    Raises:
        TrichromeError: the log cannot be read, or is damaged itself.
    """
    from trichrome.store.sqlite import facts

    if faults := facts.damage(place.log):
        raise StoreUnavailableError(
            "The log itself is damaged, so nothing was changed. Run `trichrome repair --log` first, which tells what "
            f"it would save. What was found: {faults[0]}"
        )
    missing = facts.missing(place.log)
    differences = [] if missing else _differences(place)
    steps = [f"make what is missing in the file, and the views anew from the log: {each}" for each in missing]
    if differences:
        steps.append(f"make the views anew from the log: {len(differences)} differ from it, such as {differences[0]}")
    return {"part": "views", "steps": steps}


def _differences(place: Place) -> list[str]:
    with place.looked_at() as project:
        return project.coordinator.store.differences()


def repair(place: Place) -> Repair:
    """Make them anew; answers how that went."""
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite.rebuild import rebuild_alone

    planned = plan(place)
    if not planned["steps"]:
        return planned
    kept = back_up(place)
    rebuild_alone(place.log, SystemClock())
    return {"part": "views", "steps": [kept, *planned["steps"]]}
