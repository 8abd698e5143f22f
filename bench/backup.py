"""A backup while others write

A log of 160,000 events, as a project would have written it, is backed up by a process of its own, as the schedule does
it: copied in one state, put on the disk in small portions, opened and checked. Meanwhile a writer in this process
creates tasks without a pause, each commit synced. Its slowest commit is held against its slowest commit in a time of
the same length without a backup, by turns. No commit should wait for more than 50 ms; a disk that takes longer for a
sync of its own makes both sides slow.

The pace of a backup is that of all of it, from the first page to the last check. The floor is the same file copied and
synced by hand, which checks nothing.

While the copy is made its state is held, and what is written meanwhile stays in the write-ahead log (WAL).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench import history
from bench.measure import Aim, Figure, Scale, Spread, Taken, interleaved, paced, ratio, timed
from bench.place import project, scratch
from bench.worker import Worker
from trichrome.clock import SystemClock
from trichrome.config import FOLDER, LOG_FILE
from trichrome.store.sqlite.backups import back_up, folder_of, prune

STALL_MILLISECONDS: Final = 50
"""What no commit may wait for because of a backup."""
_BACKUP: Final = "from trichrome.store.sqlite.schedule import main; main()"


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    with scratch() as folder:
        history.mixed(folder, scale.of(160_000, 20_000))
        log = folder / FOLDER / LOG_FILE
        _pace(taken, log, rounds=scale.of(5, 2))
        _stalls(taken, folder, log, rounds=scale.of(7, 2), seconds=scale.of(4, 1))
    return taken


def _pace(taken: Taken, log: Path, *, rounds: int) -> None:
    mebibytes = log.stat().st_size / 2**20

    def backed_up() -> None:
        back_up(log, folder_of(log), reason="schedule", clock=SystemClock())

    def copied() -> None:
        target = Path(shutil.copyfile(log, log.with_name("by-hand")))
        with target.open("rb") as file:
            os.fsync(file.fileno())

    samples = interleaved(
        rounds, {"ours": lambda: mebibytes / timed(backed_up), "hand": lambda: mebibytes / timed(copied)}
    )
    prune(folder_of(log), kept=1)
    taken.add(
        Figure(
            "backup.pace",
            f"a log of {mebibytes:.0f} MiB backed up and checked",
            "MiB/s",
            Spread.of(samples["ours"]),
            Spread.of(samples["hand"]),
            "copied and synced by hand",
            ratio(samples["ours"], samples["hand"]),
        )
    )


def _stalls(taken: Taken, folder: Path, log: Path, *, rounds: int, seconds: float) -> None:
    wal, grown = log.with_name(f"{LOG_FILE}-wal"), list[float]()
    with project("full", folder) as opened:
        worker = Worker(opened)

        def slowest() -> float:
            """Milliseconds of the slowest commit in so many seconds."""
            slowest = 0.0
            for _ in paced(seconds):
                slowest = max(slowest, timed(worker.enqueue))
                grown.append(wal.stat().st_size / 2**20)
            return slowest * 1000

        def while_backed_up() -> float:
            made = subprocess.Popen([sys.executable, "-P", "-c", _BACKUP, str(log), "1"], stdin=subprocess.DEVNULL)
            try:
                return slowest()
            finally:
                made.wait()

        samples = interleaved(rounds, {"backup": while_backed_up, "alone": slowest})
    says = "the slowest commit of a writer while a backup is made"
    taken.add(
        Figure(
            "backup.stall",
            says,
            "ms",
            Spread.of(samples["backup"]),
            aim=Aim("at most", STALL_MILLISECONDS),
            note=f"the worst of all {max(samples['backup']):.1f} ms; without a backup {max(samples['alone']):.1f} ms",
        )
    )
    taken.add(
        Figure(
            "backup.stall.alone",
            f"{says}, against none",
            "ms",
            Spread.of(samples["backup"]),
            Spread.of(samples["alone"]),
            "no backup",
            ratio(samples["backup"], samples["alone"]),
        )
    )
    taken.add(Figure("backup.wal", "the largest WAL meanwhile", "MiB", Spread.of([max(grown)])))
