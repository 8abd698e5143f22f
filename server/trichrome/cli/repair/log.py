"""A damaged log made into a new one of all that is whole, and what a hole left half told, told to the end.

Guarantee: the new log is complete before it takes the old one's place, so a crash leaves one of the two. The damaged
file is only read, then put aside with all that lies beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import counted
from trichrome.cli.project import Place
from trichrome.cli.repair import losses
from trichrome.cli.repair.preparing import back_up, begun
from trichrome.cli.repair.words import Repair
from trichrome.errors import StoreDamagedError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.store.sqlite.salvage import Salvaged

BACKUPS: Final = 3
"""How many of the newest backups are looked through for what the log lost."""


def plan(place: Place) -> Repair:
    """What `repair` would do; a damaged log is salvaged for trial, in a temporary folder.

    Raises:
        TrichromeError: the log cannot be read, nothing can be saved, or a newer program wrote it.
    """
    from trichrome.store.sqlite.facts import damage

    if steps := begun(place):
        return {"part": "log", "steps": steps}
    if not damage(place.log):
        return {"part": "log", "steps": _missing(place)}
    with (
        TemporaryDirectory(prefix="trichrome-trial-") as folder,
        salvaging(place, Path(folder) / place.log.name) as new,
    ):
        _check_any(place, new)
        return _told(new, to=place.aside)


def repair(place: Place) -> Repair:
    """Do it; answers what was done, and what is lost.

    Raises:
        TrichromeError: as `plan`; others did not let go of the log, or the disk refused. The log is as it was.
    """
    from trichrome.coordinator import mending
    from trichrome.store.sqlite.facts import damage

    if damage(place.log):
        return succeeded(place, finish=lambda new: _check_any(place, new))
    if not _missing(place):
        return {"part": "log", "steps": []}
    kept = back_up(place)
    with place.opened() as project:
        return {"part": "log", "steps": [kept, *mending.mend(project.coordinator)]}


def _missing(place: Place) -> list[str]:
    """What a log that is whole, but has holes, lacks."""
    from trichrome.coordinator import mending

    with place.looked_at() as project:
        return mending.missing(project.coordinator)


def _check_any(place: Place, new: New) -> dict[str, Path]:
    """Refuse to put an empty log in the place of a damaged one.

    Raises:
        StoreDamagedError: nothing is whole.
    """
    if not new.salvaged.events:
        raise StoreDamagedError(
            f"No event of {place.log} is whole, so nothing was changed; the file is kept as it is. `trichrome restore "
            "--latest` goes back to the newest backup; without one, `trichrome repair --emergency` begins a new log."
        )
    return {}


def succeeded(place: Place, *, finish: Callable[[New], dict[str, Path]]) -> Repair:
    """Put a new log of what is left in the place of the old one, while running servers wait.

    Args:
        place: where.
        finish: is given the new log before that; answers files that it made of it, by what they are.

    Raises:
        TrichromeError: as `repair`.
    """
    from trichrome.store.sqlite.facts import damage
    from trichrome.store.sqlite.replacing import replacing

    aside = place.aside
    with replacing(place.log) as replaced:
        if not damage(place.log):
            return {"part": "log", "steps": []}  # somebody else has repaired it meanwhile
        with salvaging(place, replaced.file) as new:
            aside.mkdir(mode=0o700, exist_ok=True)
            kept = finish(new)
            done = _told(new, to=aside)
            if new.salvaged.beside is not None:
                kept["what is whole, but could not be in the new log"] = new.salvaged.beside
            files = {what: str(file.rename(aside / file.name)) for what, file in kept.items()}
    done["files"] = {"the damaged log": str(replaced.aside), **files}
    done["next"] = ["trichrome repair --check", "trichrome status"]
    return done


def _told(new: New, *, to: Path) -> Repair:
    """What is saved and what is lost, in words."""
    from trichrome.store.sqlite.presence import CALLED

    salvaged = new.salvaged
    sources = ", ".join(f"{count:,} from {source}" for source, count in salvaged.kept.items() if count)
    saved = (
        f"save {counted(salvaged.events, 'event')} ({sources}) into a new log"
        if sources
        else "begin a new log: nothing is whole"
    )
    steps = [saved, f"keep the damaged file in {to}"]
    if salvaged.left:
        left = counted(salvaged.left, "event")
        steps.append(f"write down beside it what is whole, but not what came before it ({left})")
    lost = [*new.lost]
    if salvaged.lost:
        lost.insert(0, f"{counted(salvaged.lost, 'event')} at most")
    if salvaged.refused:
        lost.append(f"{counted(salvaged.refused, 'sector')} of 4 KiB, which the disk refused to read")
    if salvaged.absent:
        who = ", ".join(CALLED[table] for table in salvaged.absent)
        lost.append(f"who was there ({who}): servers say so again at their next call")
    return {"part": "log", "steps": [*steps, *new.mended], "lost": lost}


@dataclass(frozen=True, slots=True)
class New:
    """A new log that is complete.

    Attributes:
        salvaged: what it was made from.
        mended: what was half told in it, in words.
        lost: what it lacks, in words.
    """

    file: Path
    salvaged: Salvaged
    mended: list[str]
    lost: list[str]
    project: Project


@contextmanager
def salvaging(place: Place, file: Path) -> Iterator[New]:
    """Make a new log of what is left in a file; it is open until the end of the block."""
    from trichrome.bootstrap import open_successor
    from trichrome.clock import SystemClock
    from trichrome.coordinator import mending
    from trichrome.store.sqlite.backups import folder_of, found
    from trichrome.store.sqlite.salvage import salvage

    backups = [each.path for each in found(folder_of(place.log))[:BACKUPS]]
    salvaged = salvage(place.log, backups=backups, to=file, clock=SystemClock())
    project = open_successor(place.project, file)
    try:
        mended = mending.mend(project.coordinator)
        with project.coordinator.store.reading() as view:
            lost = losses.told(view, salvaged.holes)
        yield New(file, salvaged, mended, lost, project)
    finally:
        project.close()
