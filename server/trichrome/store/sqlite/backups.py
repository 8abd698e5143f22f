"""Backups of a log: made while it is in use, checked, found again, and let go of when they are old.

Guarantee: what bears a backup's name was opened and found good, and the disk keeps it. A crash leaves a partial file
that nobody takes for one, and that the next backup removes. A backup is a log in one file; a file beside it (`.json`)
says what it held when it was made, so that damage to it shows.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from trichrome.clock import Clock
from trichrome.domain.text import one_line
from trichrome.errors import StoreUnavailableError
from trichrome.files import stamps, sync
from trichrome.store.sqlite.alone import sharing
from trichrome.store.sqlite.chain import Chain, walk
from trichrome.store.sqlite.comparing import continues
from trichrome.store.sqlite.connection import file_name, version_of
from trichrome.store.sqlite.copying import Tell, copy
from trichrome.store.sqlite.errors import raise_translated
from trichrome.store.sqlite.facts import page_faults
from trichrome.store.sqlite.parts import remove, size
from trichrome.version import VERSION

WAIT_SECONDS: Final = 600.0
"""How long a backup waits for another one that is being made."""
_MANIFEST: Final = ".json"
_PARTIAL: Final = ".partial"
_TOLD: Final = 200
"""Characters of what SQLite finds wrong that a refusal tells."""

Reason = Literal["asked", "schedule", "migration", "repair"]
"""Why it was made. One that somebody asked for is not pruned."""


class BackupUnderWayError(StoreUnavailableError):
    """Another backup of the same log is being made."""


class NoGoodLogError(Exception):
    """A file is no log, or a damaged one.

    Attributes:
        faults: what is wrong with it, a line each.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, and what it held when it was made.

    Attributes:
        made_at: seconds since 1970.
        position: of its last event.
        heads: as `Chain.heads`.
        is_whole: whether no chain of digests was broken.
        form: how many migrations it has had.
        bytes: its size.
        sha256: over its bytes.
        number: higher than those of all backups that were in the log's folder when it was made; the newest has the
            highest, whatever the clock said.
    """

    path: Path
    made_at: float
    reason: Reason
    events: int
    position: int
    heads: str
    is_whole: bool
    form: int
    bytes: int
    sha256: str
    number: int = 0

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.stem

    @property
    def is_automatic(self) -> bool:
        """Whether nobody asked for it."""
        return self.reason != "asked"


def folder_of(path: Path) -> Path:
    """The folder for a log's backups, beside it."""
    return path.parent / "backups"


# --- making -----------------------------------------------------------------------------------------------------------


def back_up(
    path: Path,
    folder: Path,
    *,
    reason: Reason,
    clock: Clock,
    to: Path | None = None,
    tell: Tell = lambda _share: None,
    wait_seconds: float = WAIT_SECONDS,
) -> Backup:
    """Make a backup of a log that may be in use. Whoever is alone with it would wait for himself here.

    Args:
        path: the log's file.
        folder: where its backups are.
        reason: what it is for.
        clock: says when it was made.
        to: a file of its own that is not there yet; None for a name in the folder.
        tell: is told how much of the copy is made, from 0 to 1.
        wait_seconds: how long to wait for another backup that is being made.

    Raises:
        BackupUnderWayError: another one is still being made.
        StoreUnavailableError: the log's pages are damaged, or a disk refused. The log and its other backups are as
            they were, and nothing else is left behind.
    """
    if to is not None:
        if not to.parent.is_dir():
            raise StoreUnavailableError(
                f"There is no folder {to.parent}, so nothing was written. Make it (`mkdir -p "
                f"{shlex.quote(str(to.parent))}`), or name a file elsewhere with `trichrome backup --to FILE`."
            )
        with _told(path, to.parent):
            return _made(path, _unused(to), folder, clock, reason, tell)
    with _told(path, folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        with turn(folder, seconds=wait_seconds):
            _tidy(folder)
            return _made(path, _named(folder, clock, reason), folder, clock, reason, tell)


def _made(path: Path, target: Path, folder: Path, clock: Clock, reason: Reason, tell: Tell) -> Backup:
    made_at, number = clock.now().wall, max((each.number for each in found(folder)), default=0) + 1
    partial, manifest = _partial(target), _partial(_manifest(target))
    remove(partial)
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with sharing(path):
            copy(path, partial, tell=tell)
        backup = _described(partial, target, made_at, reason, number)
        manifest.write_text(_document(backup), encoding="utf-8")
        sync(manifest)
        manifest.replace(_manifest(target))
        partial.replace(target)  # last: a manifest alone is nothing
        sync(target.parent)
    except BaseException:
        remove(partial)
        manifest.unlink(missing_ok=True)
        raise
    return backup


def _described(partial: Path, target: Path, made_at: float, reason: Reason, number: int) -> Backup:
    form, chain = content(partial)
    return Backup(
        path=target,
        made_at=made_at,
        reason=reason,
        events=chain.events,
        position=chain.position,
        heads=chain.heads,
        is_whole=not chain.faults,
        form=form,
        bytes=partial.stat().st_size,
        sha256=_digest(partial),
        number=number,
    )


def content(path: Path) -> tuple[int, Chain]:
    """The form and the events of a file that nobody writes.

    Raises:
        NoGoodLogError: its pages are damaged, or it is no log.
    """
    try:
        with closing(apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)) as log:
            if faults := page_faults(log):
                raise NoGoodLogError(faults)
            return version_of(log), walk(log)
    except apsw.SQLError as error:
        raise NoGoodLogError([f"it is no trichrome log: {error}"]) from error
    except (apsw.Error, ValueError, TypeError) as error:
        raise NoGoodLogError([f"it cannot be read: {error}"]) from error


def _named(folder: Path, clock: Clock, reason: Reason) -> Path:
    names = (folder / f"{stamp}-{reason}.db" for stamp in stamps(clock.now().wall))
    return next(path for path in names if not path.exists())


def _unused(target: Path) -> Path:
    for path in (target, _manifest(target)):
        if path.exists():
            raise StoreUnavailableError(f"{path} exists, so nothing was written. Name another file, or move it away.")
    return target


def _manifest(path: Path) -> Path:
    return path.with_name(path.name + _MANIFEST)


def _partial(path: Path) -> Path:
    return path.with_name(path.name + _PARTIAL)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def turn(folder: Path, *, seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Make, remove or copy backups, one program and one thread at a time; whoever has the turn may take it again.

    Raises:
        BackupUnderWayError: another one has it for too long.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock", mode=0o600, is_singleton=True)
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise BackupUnderWayError(
            f"Another backup into {folder} is being made, so nothing was begun. Try again when that is done."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _tidy(folder: Path) -> None:
    """Remove what backups left that came to no end."""
    for path in folder.glob(f"*{_PARTIAL}*"):
        path.unlink(missing_ok=True)
    for path in folder.glob(f"*{_MANIFEST}"):
        if not path.with_name(path.name.removesuffix(_MANIFEST)).exists():
            path.unlink(missing_ok=True)


@contextmanager
def _told(path: Path, place: Path) -> Iterator[None]:
    """Say whose fault it is, the log's or the place's where its backup should go."""
    try:
        yield
    except (NoGoodLogError, apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreUnavailableError(
            f"{path} is damaged, so no backup was made of it; those that there are were left as they are. `trichrome "
            f"repair --check` tells more. What was found: {one_line(str(error), most=_TOLD)}"
        ) from error
    except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, OSError) as error:
        help_ = "Free some space there" if _is_full(path, place, error) else "Make that folder writable for this user"
        raise StoreUnavailableError(
            f"No backup could be written to {place} ({error}); nothing is left of it, and the log is as it was. "
            f"{help_}, or name another place with `trichrome backup --to FILE`."
        ) from error
    except apsw.Error as error:
        raise_translated(path, error)


def _is_full(path: Path, place: Path, error: Exception) -> bool:
    """Whether there is no room for a copy; SQLite does not always say so."""
    if isinstance(error, apsw.FullError) or getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return True
    try:
        return shutil.disk_usage(place).free < size(path)
    except OSError:
        return False


# --- finding, checking, letting go ------------------------------------------------------------------------------------


def found(folder: Path) -> list[Backup]:
    """The backups in a folder, the newest first; a file without what it should hold beside it is none."""
    manifests = folder.glob(f"*{_MANIFEST}")
    backups = [backup for path in manifests if (backup := _read(path)) is not None and backup.path.exists()]
    return sorted(backups, key=lambda backup: (backup.number, backup.made_at, backup.name), reverse=True)


def of_file(path: Path) -> Backup | None:
    """The backup that a file is, wherever it was moved; None where nothing beside it says so."""
    return _read(_manifest(path))


def newest_good(folder: Path) -> Backup | None:
    """The newest backup in a folder that is whole, and as it was made; every newer one is read, too."""
    return next((each for each in found(folder) if each.is_whole and not verify(each)), None)


def verify(backup: Backup) -> list[str]:
    """What is wrong with a backup, a line each; none when it is good and as it was made."""
    try:
        faults = [] if _digest(backup.path) == backup.sha256 else ["its bytes are not those that were written"]
        form, chain = content(backup.path)
    except OSError as error:
        return [f"it cannot be read: {error.strerror}"]
    except NoGoodLogError as error:
        return error.faults
    faults += chain.faults
    said = (backup.form, backup.events, backup.position, backup.heads)
    if (form, chain.events, chain.position, chain.heads) != said:
        faults.append("it does not hold what it held when it was made")
    return faults


def prune(folder: Path, *, kept: int) -> list[Backup]:
    """Let go of automatic backups but for the newest; answers which went.

    Never of a whole one for a broken one, nor of one that no newer one continues: it may be all that is left of a log
    that was removed.

    Raises:
        BackupUnderWayError: another backup is still being made; nothing went.
    """
    with turn(folder):
        automatic = [backup for backup in found(folder) if backup.is_automatic]
        whole = [backup for backup in automatic if backup.is_whole]
        stay, old = whole[:kept], [backup for backup in automatic if not backup.is_whole][1:]
        for backup in whole[kept:]:
            is_continued = any(continues(newer.path, backup.path) for newer in reversed(stay))
            (old if is_continued else stay).append(backup)
        for backup in old:
            backup.path.unlink(missing_ok=True)
            _manifest(backup.path).unlink(missing_ok=True)
        return old


def _document(backup: Backup) -> str:
    said = {
        "made_at": dt.datetime.fromtimestamp(backup.made_at, dt.UTC).isoformat(),
        "reason": backup.reason,
        "events": backup.events,
        "position": backup.position,
        "heads": backup.heads,
        "is_whole": backup.is_whole,
        "form": backup.form,
        "bytes": backup.bytes,
        "sha256": backup.sha256,
        "number": backup.number,
        "trichrome": VERSION,
    }
    return json.dumps(said, indent=2) + "\n"


def _read(manifest: Path) -> Backup | None:
    try:
        said: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        del said["trichrome"]
        made_at = dt.datetime.fromisoformat(said.pop("made_at")).timestamp()
        return Backup(path=manifest.with_name(manifest.name.removesuffix(_MANIFEST)), made_at=made_at, **said)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
