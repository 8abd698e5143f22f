"""Being alone with the log's file, and sharing it with others.

Guarantee: while somebody is alone with a file, nobody else writes to it, and no store of it is opened or closed; who
wants to waits, and then goes on. The kernel frees both kinds of lock when their holder dies.

Who only reads or looks takes no share. At worst they look once more at the file that was just put aside: nobody
writes to it any more, so they see the log as it was when they began. The programs that fold a long log for another one
take none either: the one that started them holds its own meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite.succession import finish, is_unfinished

ALONE_SECONDS: Final = 30.0
"""How long whoever wants to be alone waits for those who are at it."""
SHARE_SECONDS: Final = 60.0
"""How long everybody else waits for whoever is alone; less than a client waits for an answer."""
_POLL_SECONDS: Final = 0.02
_NO_PLACE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EROFS})
"""Why a lock file can be neither opened nor made in a folder where this user cannot write."""


@contextmanager
def alone(path: Path, *, seconds: float = ALONE_SECONDS) -> Iterator[None]:
    """Be alone with a log's file; what a repair that crashed began is finished first.

    Whoever is alone opens no store of that path: it would wait for itself.

    Raises:
        StoreUnavailableError: others did not let go of it in time, or its folder cannot be written.
    """
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():
        raise StoreUnavailableError(
            f"{path.parent} is no folder, so nothing was changed. `trichrome doctor` says which project is meant."
        )
    lock = FileLock(_lock_of(path), poll_interval=_POLL_SECONDS, mode=0o600)
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise StoreUnavailableError(_still_held(path, seconds)) from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        finish(path)
        yield
    finally:
        lock.release()


def finish_if_chosen(path: Path) -> None:
    """Bring to its end what a repair that crashed began.

    Raises:
        StoreUnavailableError: as `alone`.
    """
    if is_unfinished(path):
        with alone(path):
            return  # it is finished on entering


@contextmanager
def sharing(path: Path) -> Iterator[None]:
    """Share a log's file for as long as it takes to open it; what a repair that crashed began is finished first.

    Raises:
        StoreUnavailableError: somebody is alone with it for too long, or its folder cannot be written.
    """
    share = Share(path)
    try:
        share.take()
        while is_unfinished(path):
            share.release()
            finish_if_chosen(path)
            share.take()
        yield
    finally:
        share.close()


class Share:
    """A share in a log's file, to be taken and let go of again and again. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None

    def take(self, *, seconds: float = SHARE_SECONDS) -> None:
        """Take a share, once nobody is alone with the file.

        Where this user cannot make the lock there is none: SQLite will say what is wrong with the place.

        Raises:
            StoreUnavailableError: somebody is alone with it for too long, or the lock cannot be opened.
        """
        if self._lock is None:
            self._lock = _opened(self._path)
        deadline = 0.0
        while self._lock is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + seconds
                if now >= deadline:
                    raise StoreUnavailableError(
                        f"A repair of {self._path} is under way, so nothing was done. Try again when it is over; "
                        "`trichrome repair --check` says what it left."
                    ) from None
                time.sleep(_POLL_SECONDS)
            else:
                return

    def release(self) -> None:
        """Let go of it."""
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock file."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.alone")


def _opened(path: Path) -> int | None:
    lock = _lock_of(path)
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise _unwritable(path, error) from error
    try:
        return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)  # enough for a share
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{_lock_of(path)} cannot be written ({error.strerror}), so nothing was changed. "
        "Make the folder writable for this user, and see that its disk is not full; `trichrome doctor` says what it "
        "finds there."
    )


def _still_held(path: Path, seconds: float) -> str:
    holders = _holders(_lock_of(path))
    who = f"process {', '.join(map(str, holders))} does" if holders else f"`lsof {_lock_of(path)}` names who may"
    return (
        f"Others have not let go of {path} for {seconds:g} s, so nothing was changed: {who}. It is another repair, or "
        "a program that was stopped in the midst of a call. Let that one go on (`kill -CONT PID`) or end it, then try "
        "again."
    )


def _holders(lock: Path) -> list[int]:
    """The processes that hold a lock file, where the kernel tells (Linux); they may be of another pid namespace."""
    try:
        inode = lock.stat().st_ino
        held = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
    except OSError:
        return []
    # 1: FLOCK  ADVISORY  READ 4242 fe:00:131099 0 EOF
    return sorted({int(words[4]) for words in held if words[1] == "FLOCK" and words[5].endswith(f":{inode}")})
