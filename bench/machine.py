"""What a run ran on, as far as it explains figures; never which machine it was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import apsw

from bench import place
from trichrome.cli.doctor.places import file_system

_SYNC_SECONDS: Final = 0.5
_BUSY_PER_CORE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, before a run.

    Attributes:
        syncs_a_second: writes of 4 KiB, each with fdatasync, one after the other.
        load: how many processes wanted to run in the minute before.
        commit: of this checkout, with a `+` when files differ from it; empty outside one.
    """

    cpu: str
    cores: int
    system: str
    python: str
    sqlite: str
    mcp: str
    file_system: str
    syncs_a_second: float
    load: float
    date: str
    commit: str

    @property
    def is_busy(self) -> bool:
        """Whether others wanted so much of it that figures will be wide."""
        return self.load > self.cores * _BUSY_PER_CORE


def look() -> Machine:
    """Describe this machine as it is now."""
    with place.scratch() as folder:
        return Machine(
            cpu=_cpu(),
            cores=os.cpu_count() or 1,
            system=f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
            sqlite=f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
            mcp=importlib.metadata.version("mcp"),
            file_system=file_system(folder)[0],
            load=os.getloadavg()[0],
            syncs_a_second=_syncs_a_second(folder),
            date=datetime.now(UTC).date().isoformat(),
            commit=_commit(),
        )


def _cpu() -> str:
    if platform.system() == "Darwin":
        return _told("sysctl", "-n", "machdep.cpu.brand_string")
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()


def _syncs_a_second(folder: Path) -> float:
    sync = getattr(os, "fdatasync", os.fsync)
    block, done = b"x" * 4096, 0
    with (folder / "synced").open("wb", buffering=0) as file:
        begin = time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < _SYNC_SECONDS:
            file.write(block)
            sync(file.fileno())
            done += 1
    return done / elapsed


def _commit() -> str:
    commit = _told("git", "rev-parse", "--short", "HEAD")
    return commit + "+" if commit and _told("git", "status", "--porcelain", "--untracked-files=no") else commit


def _told(*command: str) -> str:
    """What a program says about this folder; nothing when it cannot."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()
