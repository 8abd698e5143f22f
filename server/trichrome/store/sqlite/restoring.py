"""Putting a backup in the log's place.

Guarantee: the log that was there is put aside whole, whatever state it was in. No number that it gave out is given out
again: the stream `log` says how far they jump (docs/decisions/0018). Servers that run wait, and go on with the backup;
who they are is taken over, so that none of their workers counts as gone.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from trichrome.clock import Clock
from trichrome.domain.text import one_line
from trichrome.errors import InvalidError
from trichrome.store.sqlite import tail
from trichrome.store.sqlite.backups import NoGoodLogError, content, folder_of, newest_good, of_file, turn, verify
from trichrome.store.sqlite.comparing import Difference, compare
from trichrome.store.sqlite.connection import check_version, file_name, migrate
from trichrome.store.sqlite.copying import copy
from trichrome.store.sqlite.looking import looking
from trichrome.store.sqlite.parts import size
from trichrome.store.sqlite.presence import PRESENT, take_over
from trichrome.store.sqlite.replacing import replacing
from trichrome.store.sqlite.store import SqliteStore

_WRITES: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
_TOLD: Final = 200
"""Characters of what is wrong with a backup that a refusal tells."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of it.

    Attributes:
        aside: the folder that holds the log that was there.
        lost: what it held beyond the backup; None where it cannot be read.
        absent: tables of who is there that could not be taken over from it, or not as a whole.
    """

    aside: Path
    lost: Difference | None
    absent: tuple[str, ...]


def check(source: Path, *, folder: Path) -> None:
    """Refuse what cannot be put in a log's place.

    Args:
        source: the file that would be the log.
        folder: where the log's backups are; the newest good one is named in the refusal.

    Raises:
        InvalidError: it is no log, damaged, or not what it was when it was made.
        StoreTooNewError: a newer program made it.
    """
    if not source.is_file():
        raise InvalidError(f"{source} is no file. `trichrome backup --list` names the backups that there are.")
    if faults := _faults(source):
        good = newest_good(folder)
        instead = "" if good is None else f"`trichrome restore {good.name}` would go back to the newest good one; "
        raise InvalidError(
            f"{source} is no good backup, so nothing was changed. {instead}`trichrome backup --list` names all; "
            "`trichrome repair --log` takes from them whatever is whole. What was found: "
            f"{one_line('; '.join(faults), most=_TOLD)}"
        )
    with looking(source) as log:
        check_version(log)


def _faults(source: Path) -> list[str]:
    backup = of_file(source)
    if backup is not None:
        return verify(backup)
    try:
        _, chain = content(source)
    except NoGoodLogError as error:
        return error.faults
    return chain.faults


def restore(path: Path, source: Path, *, clock: Clock) -> Restored:
    """Put a backup in the place of a log, which is put aside.

    Args:
        path: the log's file; it may be damaged, or missing.
        source: the backup, of this form or an older one.
        clock: dates it.

    Raises:
        InvalidError: as `check`; the log is as it was, as with all that is raised here.
        StoreTooNewError: as `check`.
        StoreUnavailableError: others did not let go of the log in time, or the disk refused.
    """
    folder = folder_of(path)
    with turn(folder) if folder.is_dir() else nullcontext():  # nobody prunes it meanwhile
        check(source, folder=folder)
        with replacing(path) as new:
            new.file.touch(mode=0o600)
            copy(source, new.file)
            lost = compare(path, source)
            absent = _continue(new.file, path, lost, clock, name=source.stem)
    assert new.aside is not None
    return Restored(new.aside, lost, absent)


def _continue(successor: Path, path: Path, lost: Difference | None, clock: Clock, *, name: str) -> tuple[str, ...]:
    """Make a copy of a backup what goes on from the log: of its form, beyond its numbers, with who is there.

    Answers the tables of who is there of which something may be missing.
    """
    holes = None if lost is None else lost.streams
    with closing(apsw.Connection(file_name(successor), flags=_WRITES)) as log:
        migrate(log)
        log.execute("begin immediate")
        tail.append_losses(log, holes, lost=_given_out(successor, path, lost), wall=clock.now().wall, backup=name)
        absent = take_over(log, path, PRESENT) if path.exists() else ()
        log.execute("commit")
    store = SqliteStore(successor, clock)
    try:
        store.rebuild()
    finally:
        store.close()
    return absent


def _given_out(successor: Path, path: Path, lost: Difference | None) -> int:
    """How many events the log may hold beyond the backup."""
    if lost is not None:
        return lost.positions
    return max(0, size(path) - size(successor)) // tail.BYTES_AN_EVENT
