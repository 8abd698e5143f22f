"""A successor for the log's file, put in its place while servers run.

Guarantee: nothing is deleted, and at every moment, whatever crashes, either the old file is the log or the successor
is, never a mixture: no WAL or journal of the old file lies beside the new one, and nobody makes an empty file between.
Who opens the log finishes what a crash interrupted. Running servers find their file aside, and open the new one.

The moment that decides is the rename of the successor into the folder that will hold the old file: from then on it
will be the log. All names are on one file system. The caller is alone with the log (`alone.py`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trichrome.errors import StoreUnavailableError
from trichrome.files import stamps, sync
from trichrome.store.sqlite.parts import has_bytes, parts_of

ASIDE: Final = "aside"
"""The folder beside the log for files that were the log once, each with its own in a folder named by the time."""
_SUCCESSOR: Final = "successor"

Identity = tuple[int, int]
"""Which file it is, whatever it is called: device and inode."""


def identity(name: str) -> Identity | None:
    """Which file bears a name now; None for none."""
    try:
        found = os.stat(name)  # noqa: PTH116 - once a transaction, at a third of the time of Path.stat
    except OSError:
        return None
    return found.st_dev, found.st_ino


def succeed(path: Path, successor: Path) -> Path:
    """Put a log's files aside, and a successor in their place.

    Args:
        path: the log's file; it may be missing.
        successor: a complete log in one file, closed, in the same file system.

    Returns:
        The folder that holds the old files now.

    Raises:
        StoreUnavailableError: the disk or the folder refused. The old file is still the log, or the next opening
            finishes what is left to do.
    """
    _check_whole(successor)
    with told(path):
        place = _made_place(path)
        sync(successor)
        successor.rename(place / _SUCCESSOR)
        sync(place)
        sync(successor.parent)
    finish(path)
    return place


def is_unfinished(path: Path) -> bool:
    """Whether a successor has been chosen that is not in its place yet."""
    return bool(_chosen(path))


def finish(path: Path) -> None:
    """Put chosen successors in their place; nothing is done when there is none.

    Raises:
        StoreUnavailableError: the disk or the folder refused; the next opening tries again.
    """
    with told(path):
        for successor in _chosen(path):
            _put_aside(path, successor.parent)
            sync(path.parent)
            successor.rename(path)
            sync(path.parent)


def was_put_aside(path: Path, file: Identity) -> bool:
    """Whether a file was the log once, and was put aside."""
    return any(identity(os.fspath(each)) == file for each in path.parent.glob(f"{ASIDE}/*/{path.name}"))


def _chosen(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{ASIDE}/*/{_SUCCESSOR}"))


def _check_whole(successor: Path) -> None:
    _, wal, _, journal = parts_of(successor)
    for beside in (wal, journal):
        if has_bytes(beside):
            raise ValueError(f"{successor} is not whole: {beside.name} lies beside it")


def _made_place(path: Path) -> Path:
    """A new folder for old files, which outlives a power cut."""
    aside = path.parent / ASIDE
    aside.mkdir(mode=0o700, exist_ok=True)
    for stamp in stamps(time.time()):
        place = aside / stamp
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
            break
    sync(aside)
    sync(path.parent)
    return place


def _put_aside(path: Path, place: Path) -> None:
    files = [file for file in parts_of(path) if file.exists()]
    if any((place / file.name).exists() for file in files):
        place = _made_place(path)  # a program that knows nothing of successors has made a file meanwhile
    for file in files:
        file.rename(place / file.name)
    sync(place)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the disk refuses inside into a refusal that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} could not be replaced ({error.strerror or error}). Nothing is lost: its files are there or in "
            f"{path.parent / ASIDE}. Make the folder writable for this user, see that its disk is not full, and try "
            "again."
        ) from error
