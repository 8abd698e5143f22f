"""Automatic backups: when one is due, and the process of its own that makes it.

Guarantee: whoever asks whether one is due does not wait for it, and among all programs only one makes it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import apsw

from trichrome.clock import Clock, SystemClock
from trichrome.errors import TrichromeError
from trichrome.store.sqlite.backups import BackupUnderWayError, back_up, folder_of, found, prune, turn
from trichrome.store.sqlite.connection import row
from trichrome.store.sqlite.looking import looking

AGAIN_SECONDS: Final = 600.0
"""How long after one was begun nobody here begins another, whatever became of it."""
_PATIENCE: Final = 10
"""How far the process that makes one stands back for others once it has its copy (`nice`)."""
_MAIN: Final = "from trichrome.store.sqlite.schedule import main; main()"


class Schedule:
    """Begins a log's automatic backups. For one thread at a time.

    Args:
        path: the log's file.
        clock: tells their age.
        every_hours: how old the newest may become while the log moves; 0 for none.
        kept: how many are kept.
    """

    def __init__(self, path: Path, clock: Clock, *, every_hours: float, kept: int) -> None:
        self._path = path
        self._clock = clock
        self._every_seconds = every_hours * 3600
        self._kept = kept
        self._not_before = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def begin_if_due(self, connection: apsw.Connection) -> None:
        """Begin a backup if one is due, and look after the one that was begun last."""
        if self._process is not None and self._process.poll() is None:
            return
        now = self._clock.now()
        if not self._every_seconds or not sys.executable or now.monotonic < self._not_before:
            return
        if is_due(self._path, connection, now.wall, self._every_seconds):
            self._not_before = now.monotonic + AGAIN_SECONDS
            self._process = _begun(self._path, self._every_seconds, self._kept)


def is_due(path: Path, connection: apsw.Connection, now: float, every_seconds: float) -> bool:
    """Whether the newest automatic backup, or a log without one, is old enough, and the log has moved since.

    One from the future is old enough: the clock was wrong then or is now, so nobody can tell.
    """
    newest = next((each for each in found(folder_of(path)) if each.is_automatic), None)
    if newest is not None:
        last = row(connection, "select max(position) from events")
        return not 0 <= now - newest.made_at < every_seconds and last is not None and last[0] != newest.position
    first = row(connection, "select recorded_at from events order by position limit 1")
    return first is not None and not 0 <= now - first[0] < every_seconds


def _begun(path: Path, every_seconds: float, kept: int) -> subprocess.Popen[bytes] | None:
    """A process that makes a backup, and goes on with it though this one ends."""
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _MAIN, os.fspath(path), str(every_seconds), str(kept)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return None


def _stand_back(share: float) -> None:
    """Let others go first from here on; while the log's state is held, the WAL grows by what they write."""
    if share == 1:
        os.nice(_PATIENCE)


def main() -> None:
    """The process of its own: make a backup unless somebody else just has, and let go of old ones."""
    from trichrome import logs

    path, every_seconds, kept = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    logs.open_log(path.parent, name="backup", level="info")
    log = logs.get("backup")
    try:
        folder_of(path).mkdir(mode=0o700, exist_ok=True)
        with turn(folder_of(path), seconds=0):
            with looking(path) as connection:
                if not is_due(path, connection, SystemClock().now().wall, every_seconds):
                    return
            made = back_up(path, folder_of(path), reason="schedule", clock=SystemClock(), tell=_stand_back)
            gone = prune(folder_of(path), kept=kept)
    except BackupUnderWayError:
        return
    except (TrichromeError, OSError) as error:
        log.warning("no backup", error=str(error))
        return
    log.info(
        "backed up", backup=made.name, events=made.events, is_whole=made.is_whole, pruned=[each.name for each in gone]
    )
