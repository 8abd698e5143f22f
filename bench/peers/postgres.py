"""A PostgreSQL of our own for a while, where its programs are at hand: on a socket, in scratch folders, then gone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CONNECTION: Final = "TRICHROME_BENCH_POSTGRES"
"""The environment variable that says how to reach it."""
_PLACES: Final = ("/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin")
_USERS: Final = ("postgres", "nobody")
_STARTS_WITHIN_SECONDS: Final = 20.0


class NoPostgresError(Exception):
    """There is none to be had here; says why."""


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A fresh cluster with PostgreSQL's own settings, its data below `folder`; answers its connection string.

    Raises:
        NoPostgresError: its programs are missing, or would not run here.
    """
    initdb, postgres = _program("initdb"), _program("postgres")
    user = _other_user()
    data, socket = folder / "postgres", Path(tempfile.mkdtemp(prefix="peers-"))
    data.mkdir()
    try:
        if user is not None:  # PostgreSQL refuses to run as root
            folder.chmod(0o711)
            for path in (data, socket):
                shutil.chown(path, user)
        _run([initdb, "-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale"], user)
        process = subprocess.Popen(
            [postgres, "-D", str(data), "-k", str(socket), "-c", "listen_addresses="],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "postgres.log").open("wb"),
            user=user,
            start_new_session=True,
        )
        try:
            _await(process, data)
            yield f"host={socket} user=bench"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
    finally:
        shutil.rmtree(socket, ignore_errors=True)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is not None:
        return found
    for place in _PLACES:
        for folder in sorted(Path("/").glob(place.removeprefix("/")), reverse=True):
            if (folder / name).exists():
                return str(folder / name)
    raise NoPostgresError("no PostgreSQL here")


def _other_user() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _USERS:
        if name in known:
            return name
    raise NoPostgresError("no user here that PostgreSQL would run as")


def _run(command: list[str], user: str | None) -> None:
    """Run to its end; what it complains of goes where our own complaints go."""
    if subprocess.run(command, stdout=subprocess.DEVNULL, user=user, check=False).returncode != 0:
        raise NoPostgresError(f"PostgreSQL's {Path(command[0]).name} would not run here")


def _await(process: subprocess.Popen[bytes], data: Path) -> None:
    """Wait until it takes connections, which it writes into its lock file."""
    deadline = time.monotonic() + _STARTS_WITHIN_SECONDS
    lock = data / "postmaster.pid"
    while not (lock.exists() and "ready" in lock.read_text(encoding="utf-8")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NoPostgresError("PostgreSQL would not start here")
        time.sleep(0.01)
