"""A copy of a log that is in use, without making anybody wait.

Guarantee: the copy is the log as it was at one moment, in one file. Nobody who writes waits for a lock of ours: a
reader takes none that they need. Their syncs do not queue behind ours either, since the copy goes to the disk in small
portions with rests between (docs/decisions/0019).
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import apsw

from trichrome.store.sqlite.connection import BUSY_MILLISECONDS, file_name

STEP_PAGES: Final = 1024
"""Pages that are copied at once: 4 MiB, some milliseconds."""
PORTION_BYTES: Final = 1024 * 1024
"""What is synced at once: a writer's own sync waits for no more than that."""
UNSYNCED_BYTES: Final = 256 * 1024 * 1024
"""What may wait to be synced while the log's state is held: up to here memory's pace decides how long that is, and not
the disk's."""

Tell = Callable[[float], None]
"""Is told how much of the copy is made, from 0 to 1, after each step."""


def copy(path: Path, target: Path, *, tell: Tell = lambda _share: None) -> None:
    """Copy a log into an empty file, as one file without a WAL, and have the disk keep it.

    Raises:
        apsw.Error: the log cannot be read, or the copy not be written; what there is of the copy is the caller's.
        OSError: the disk refuses to keep it.
    """
    file = os.open(target, os.O_RDWR)
    try:
        trickle = _Trickle(file)
        with (
            closing(apsw.Connection(file_name(path), flags=apsw.SQLITE_OPEN_READONLY)) as log,
            closing(apsw.Connection(file_name(target))) as kept,
        ):
            log.set_busy_timeout(BUSY_MILLISECONDS)
            kept.pragma("journal_mode", "off")
            kept.pragma("synchronous", 0)
            _copy_pages(log, kept, trickle, tell)
            kept.pragma("journal_mode", "delete")
        trickle.keep_within(0, rests=True)
        os.fsync(file)
    finally:
        os.close(file)


def _copy_pages(log: apsw.Connection, kept: apsw.Connection, trickle: _Trickle, tell: Tell) -> None:
    """Copy every page of one state, which is held meanwhile: otherwise each commit would begin the copy anew."""
    log.execute("begin")
    log.execute("select count(*) from sqlite_schema").fetchall()
    with kept.backup("main", log, "main") as steps:
        while not steps.done:
            steps.step(STEP_PAGES)
            trickle.keep_within(UNSYNCED_BYTES, rests=False)
            tell(1 - steps.remaining / max(steps.page_count, 1))
    log.execute("rollback")


class _Trickle:
    """Has the disk keep a file that grows, a portion at a time."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._kept = 0

    def keep_within(self, most: int, *, rests: bool) -> None:
        """Sync until no more than so many bytes wait for it, with a rest after each portion as long as that took."""
        while (left := os.fstat(self._file).st_size - self._kept) > most:
            begin = time.perf_counter()
            size = min(PORTION_BYTES, left)
            with (
                suppress(OSError),  # what is wrong the last sync says, too; some file systems sync whole files alone
                mmap.mmap(self._file, size, offset=self._kept) as portion,
            ):
                portion.flush()
            self._kept += size
            if rests:
                time.sleep(time.perf_counter() - begin)
