"""What comes before anything is repaired."""

from __future__ import annotations

from contextlib import suppress

from trichrome.cli.project import Place
from trichrome.errors import StoreUnavailableError


def begun(place: Place) -> list[str]:
    """What a repair that was interrupted left to be done, in words."""
    from trichrome.store.sqlite.succession import is_unfinished

    if not is_unfinished(place.log):
        return []
    return ["put the new log that an interrupted repair had made in its place"]


def prepare(place: Place) -> list[str]:
    """Bring to its end what a repair that was interrupted began, and a whole log of an older form to this one's.

    Returns:
        What was finished, in words.

    Raises:
        TrichromeError: it cannot be; nothing else was done.
    """
    from trichrome.store.sqlite.alone import finish_if_chosen

    if not place.folder.is_dir():
        return []
    finished = begun(place)
    finish_if_chosen(place.log)
    if _is_older(place):
        with place.opened():
            """It is brought up on opening, after a backup of it."""
    return finished


def _is_older(place: Place) -> bool:
    import apsw

    from trichrome.store.sqlite import facts
    from trichrome.store.sqlite.version import LATEST

    with suppress(StoreUnavailableError, apsw.Error):
        return place.log.exists() and 0 < facts.form(place.log) < LATEST and not facts.damage(place.log)
    return False


def back_up(place: Place) -> str:
    """Back the log up before it is written to; answers how to say so.

    Raises:
        StoreUnavailableError: it cannot be, so nothing should be written.
    """
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite.backups import back_up, folder_of

    made = back_up(place.log, folder_of(place.log), reason="repair", clock=SystemClock())
    return f"backed the log up as {made.name}"
