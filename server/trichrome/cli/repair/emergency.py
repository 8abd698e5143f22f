"""The log cannot be opened at all: save what can be, without questions; if that is nothing, begin anew.

Guarantee: nothing is deleted. Whatever was there lies in `.trichrome/aside` afterwards, and commands work again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from trichrome.cli.project import Place
from trichrome.cli.repair import log
from trichrome.cli.repair.checks import is_missing
from trichrome.cli.repair.words import Repair
from trichrome.files import stamps


def repair(place: Place) -> Repair:
    """Do it; a log that is whole is left alone.

    Raises:
        TrichromeError: others did not let go of the log, or the disk refused; the log is as it was.
    """
    from trichrome.store.sqlite.facts import damage

    if not place.folder.is_dir() or is_missing(place) or not damage(place.log):
        return {"part": "emergency", "steps": []}
    return {**log.succeeded(place, finish=_exported), "part": "emergency"}


def _exported(new: log.New) -> dict[str, Path]:
    """The new log as JSON lines, for whoever wants to read it without this program."""
    from trichrome.cli.events import as_object

    file = new.file.with_name(f"events-{next(stamps(time.time()))}.jsonl")
    with new.project.coordinator.store.reading() as view, file.open("x", encoding="utf-8") as lines:
        for recorded in view.events(limit=10**9):
            lines.write(json.dumps(as_object(recorded)) + "\n")
    return {"every event that was saved": file}
