"""A new log of all that is whole in a damaged one.

Guarantee: every event whose digest holds, in the file, its WAL or a backup, is in the new log or in the file beside it;
the new log says itself which streams lost events, and from which version on. No number, position or worker's name that
the lost part may have given out is given out again. The damaged file is only read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from trichrome.clock import Clock
from trichrome.errors import StoreTooNewError, StoreUnavailableError
from trichrome.files import stamps
from trichrome.store import codec
from trichrome.store.sqlite import tail
from trichrome.store.sqlite.connection import check_version, file_name, migrate
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.gathering import COLUMNS, Gathering
from trichrome.store.sqlite.looking import looking
from trichrome.store.sqlite.pages import Remains
from trichrome.store.sqlite.parts import remove, size
from trichrome.store.sqlite.presence import PRESENT, take_over
from trichrome.store.sqlite.rebuild import rebuild_within
from trichrome.store.sqlite.soft import SoftState

_NAME_HOLDERS: Final = (
    "insert or ignore into workers (name, principal, is_taker, is_shared) "
    "select worker, principal, 1, 0 from tasks where state = 'running'"
)
"""Whoever holds an attempt is a worker, also where nothing else is known of it."""
_NUMBERED: Final = re.compile(r"(.+)-([1-9][0-9]{0,17})")
_FOUND: Final = "-found"


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of it.

    Attributes:
        kept: how many events are in the new log, by where they were found.
        holes: the streams that lost events, by the first version that is missing; a stream from 1 is gone as a whole.
        lost: how many events are not in the new log, as far as anything is known of them.
        beside: the file of events that are whole but could not be in the new log, a JSON object a line; None for none.
        left: how many those are.
        refused: how many sectors of 4 KiB the disk refused to read.
        missing: how many bytes the file is shorter than it says.
        absent: tables of who is there that could not be taken over, or not as a whole.
    """

    kept: dict[str, int]
    holes: dict[str, int]
    lost: int
    beside: Path | None
    left: int
    refused: int
    missing: int
    absent: tuple[str, ...]

    @property
    def events(self) -> int:
        """How many events are in the new log."""
        return sum(self.kept.values())


def salvage(path: Path, *, backups: Sequence[Path], to: Path, clock: Clock) -> Salvaged:
    """Make a new log of what is left of one. Nobody writes to that meanwhile, or the new log may miss it.

    Args:
        path: the damaged log's file; it may be missing, and so may its WAL.
        backups: files that may hold what it lost, the best first; they may be damaged too.
        to: the new log's file, which is not there yet. What a crash leaves behind has names that begin like it.
        clock: dates the event that tells of this.

    Raises:
        StoreTooNewError: a newer program wrote to the log; this one would not understand all of it.
        StoreUnavailableError: there is no room for the new log, its folder cannot be written, or a file not be read.
    """
    if to.exists():
        raise StoreUnavailableError(f"{to} exists, so nothing was written. Move it away, and try again.")
    with translated(to):
        try:
            return _salvaged(path, backups, to, clock)
        except BaseException:
            remove(to)
            to.with_name(to.name + _FOUND).unlink(missing_ok=True)
            raise


def _salvaged(path: Path, backups: Sequence[Path], to: Path, clock: Clock) -> Salvaged:
    _check_form(path)
    found = to.with_name(to.name + _FOUND)
    found.unlink(missing_ok=True)  # from one that was killed
    with closing(Gathering(found)) as gathering:
        with translated(path), Remains(path) as remains:
            gathering.take_log(remains)
            refused, missing = remains.refused, remains.missing
        for backup in backups:
            with translated(backup), Remains(backup) as remains:
                gathering.take_backup(remains, backup.name)
        gathering.choose()
        _check_kinds(gathering.kinds())
        holes, lost = gathering.holes(), min(gathering.lost(), _room(path, *backups))
        with closing(apsw.Connection(file_name(to))) as log:
            log.pragma("journal_mode", "wal")  # others fold a long log beside us
            log.pragma("synchronous", 0)
            migrate(log)
            gathering.put_into(log)
            log.execute("begin immediate")
            tail.append_losses(
                log,
                holes,
                lost=lost + missing // tail.BYTES_AN_EVENT,
                above=gathering.last_position(),
                wall=clock.now().wall,
            )
            absent = take_over(log, path, (*PRESENT, "leases"))
            _raise_names(log, gathering.workers())
            rebuild_within(SoftState(log, clock))
            log.execute(_NAME_HOLDERS)
            log.execute("commit")
            log.pragma("journal_mode", "delete")
        beside, left = _put_beside(gathering, _free_name(path, to, clock))
        kept = gathering.kept()
    found.unlink()
    return Salvaged(kept, holes, lost, beside, left, refused, missing, absent)


def _room(*paths: Path) -> int:
    """How many events files can have held: positions jump too, so that what is missing there need not be events."""
    return sum(map(size, paths)) // tail.BYTES_AN_EVENT


def _check_form(path: Path) -> None:
    with suppress(StoreUnavailableError, apsw.Error), looking(path) as log:
        check_version(log)


def _check_kinds(kinds: Sequence[tuple[str, int]]) -> None:
    for kind, schema in kinds:
        if schema > codec.SCHEMAS.get(kind, -1):
            raise StoreTooNewError(
                f"The log holds {kind} (schema {schema}) of a newer trichrome, so nothing was changed. Upgrade this "
                "one, and try again."
            )


def _raise_names(log: apsw.Connection, workers: Sequence[str]) -> None:
    """Let no worker be called what another one was called."""
    for name in workers:
        if (found := _NUMBERED.fullmatch(name)) is not None:
            log.execute(
                "insert into worker_names (prefix, number) values (?, ?) "
                "on conflict (prefix) do update set number = max(number, excluded.number)",
                (found[1], int(found[2])),
            )


def _free_name(path: Path, to: Path, clock: Clock) -> Path:
    names = (to.with_name(f"{path.name}.left-{stamp}.jsonl") for stamp in stamps(clock.now().wall))
    return next(free for free in names if not free.exists())


def _put_beside(gathering: Gathering, file: Path) -> tuple[Path | None, int]:
    """Write down what could not be in the log; answers where, and how much it is."""
    count = 0
    try:
        with file.open("x", encoding="utf-8") as lines:
            for position, *event, source, why in gathering.left():
                said = dict(zip(("position", *COLUMNS.split(", ")), (position, *event), strict=True))
                said |= {name: said[name].hex() for name in ("previous", "digest")}
                lines.write(json.dumps({**said, "source": source, "why": why}, ensure_ascii=False) + "\n")
                count += 1
            lines.flush()
            os.fsync(lines.fileno())
    except OSError as error:
        raise StoreUnavailableError(
            f"{file} cannot be written ({error.strerror}), so nothing was changed. Make the folder writable for this "
            "user, see that its disk is not full, and try again."
        ) from error
    finally:
        if not count:
            file.unlink(missing_ok=True)
    return (file, count) if count else (None, 0)
