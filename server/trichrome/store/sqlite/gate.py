"""Taking turns at writing.

Writers queue at a lock file, then begin; SQLite's own busy handler alone lets one writer starve the others. The kernel
frees the lock when its holder dies, and serves nearly in order. The wait has a deadline, so a stopped holder delays
others by no more than that: they go on without the lock and SQLite decides.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path
from typing import Final

from trichrome.errors import StoreUnavailableError

GATE_SECONDS: Final = 2.0
"""How long a writer queues at the gate before it tries without."""


class Gate:
    """Turns at a file's gate: `with gate:` waits for one, or for the deadline. For one thread at a time."""

    def __init__(self, path: Path, *, seconds: float = GATE_SECONDS) -> None:
        self._path = path
        self._seconds = seconds
        self._locks: _Locks | None = None
        self._stand_in: _StandIn | None = None
        self._held: _Locks | None = None

    def __enter__(self) -> None:
        """Wait for our turn, or for the deadline.

        Raises:
            StoreUnavailableError: the lock files cannot be made.
        """
        self._held = self._taken()

    def __exit__(self, *_: object) -> None:
        """Let the next one through."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def _taken(self) -> _Locks | None:
        """The locks that hold the gate for us now; None when the deadline passed."""
        if self._locks is None:
            self._locks = _Locks(self._path)
        if self._locks.take(waits=False):
            return self._locks
        if self._stand_in is None:
            self._stand_in = _StandIn(_Locks(self._path))
        return self._stand_in.locks if self._stand_in.wait(self._seconds) else None

    def close(self) -> None:
        """Let go of the lock files."""
        if self._locks is not None:
            self._locks.close()
            self._locks = None
        if self._stand_in is not None:
            self._stand_in.leave()
            self._stand_in = None


class _Locks:
    """The gate's lock, and before it the lock of the line, whose holder alone may stand at the gate.

    A lock that was released is anybody's until the one that the kernel woke gets to run. Were all to wait at one, a
    passer-by would often take it first, and all who wait would be woken to line up anew.
    """

    def __init__(self, path: Path) -> None:
        self._line = _opened(path.with_suffix(".line"))
        try:
            self._gate = _opened(path)
        except StoreUnavailableError:
            os.close(self._line)
            raise

    def take(self, *, waits: bool) -> bool:
        """Take the gate, at once or not at all unless it waits; answers whether it is held now."""
        how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB
        try:
            fcntl.flock(self._line, how)
            try:
                fcntl.flock(self._gate, how)
            finally:
                fcntl.flock(self._line, fcntl.LOCK_UN)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next one through."""
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of both files."""
        os.close(self._gate)
        os.close(self._line)


class _StandIn:
    """A thread that stands in line for its process, since the kernel keeps an order but knows no deadline.

    Whoever waits for it may give up; the thread then stands on, lets the next one through when its turn comes, and is
    there for a later wait.
    """

    def __init__(self, locks: _Locks) -> None:
        self.locks = locks
        self._changed = threading.Condition()
        self._stands = self._is_awaited = self._has_it = self._is_over = False
        threading.Thread(target=self._run, name="gate", daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Whether the gate is ours, after at most so long."""
        with self._changed:
            self._stands, self._is_awaited, self._has_it = True, True, False
            try:
                self._changed.notify()
                self._changed.wait_for(lambda: self._has_it, seconds)
            except BaseException:
                if self._has_it:
                    self.locks.release()
                raise
            finally:
                self._is_awaited = False
            return self._has_it

    def leave(self) -> None:
        """End the thread, at the latest when its turn comes."""
        with self._changed:
            self._is_over = True
            self._changed.notify()

    def _run(self) -> None:
        while self._is_sent():
            self.locks.take(waits=True)
            with self._changed:
                self._stands, self._has_it = False, self._is_awaited
                if self._has_it:
                    self._changed.notify()
                else:
                    self.locks.release()
        self.locks.close()

    def _is_sent(self) -> bool:
        """Wait to be sent to the line; answers False when it is over instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._stands or self._is_over)
            return not self._is_over


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailableError(
            f"{path} cannot be written ({error.strerror}), so nothing was changed. "
            "Make the folder writable for this user, and see that its disk is not full; `trichrome doctor` says what "
            "it finds there."
        ) from error
