"""A person at a terminal: types, and waits until something can be read on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_WHERE_IS_THE_CURSOR: Final = b"\x1b[6n"
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|[\r\x07]")
_REDRAW: Final = "\x0c"
_QUIET_SECONDS: Final = 0.2
BOUND: Final = 20.0


class Terminal:
    """A program on a pseudo-terminal of 30 lines and 120 columns.

    Attributes:
        process: the program.
        sent: all that it has written, without what moves the cursor and colours.
    """

    def __init__(self, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        self._ours: int | None = ours
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  one call to the kernel, no other way
        )
        os.close(theirs)
        self.sent = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(BOUND)
        if self._ours is not None:
            os.close(self._ours)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        os.close(self._screen)
        self._ours = None

    @property
    def _screen(self) -> int:
        assert self._ours is not None, "the terminal is closed"
        return self._ours

    def type(self, text: str) -> None:
        """Press keys; Enter is `\\r`."""
        os.write(self._screen, text.encode())

    def enter(self, line: str) -> None:
        """Type a line."""
        self.type(f"{line}\r")

    def until(self, pattern: str) -> str:
        """Wait for something that was not looked for before; answers what was written up to its end."""
        deadline = time.monotonic() + BOUND
        while not (found := re.compile(pattern).search(self.sent, self._seen)):
            assert self._read(deadline - time.monotonic()), f"no {pattern!r} in {self.sent[self._seen :]!r}"
        told, self._seen = self.sent[self._seen : found.end()], found.end()
        return told

    def shown(self, pattern: str) -> str:
        """Wait for something to be on the screen, which is drawn anew for every look; answers what was drawn before."""
        deadline = time.monotonic() + BOUND
        while time.monotonic() < deadline:
            self._seen = len(self.sent)
            self.type(_REDRAW)
            while self._read(_QUIET_SECONDS):
                pass
            if found := re.compile(pattern).search(self.sent, self._seen):
                return self.sent[self._seen : found.end()]
        raise AssertionError(f"no {pattern!r} in {self.sent[self._seen :]!r}")

    def end(self) -> int:
        """Read on until the program has ended; answers its exit code."""
        deadline = time.monotonic() + BOUND
        while self._read(deadline - time.monotonic()):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """Take in what comes within so long; answers whether anything came."""
        if not select.select([self._screen], [], [], max(0.0, seconds))[0]:
            return False
        try:
            chunk = os.read(self._screen, 65536)
        except OSError:  # what Linux says when the other end is closed
            return False
        for _ in range(chunk.count(_WHERE_IS_THE_CURSOR)):
            self.type("\x1b[5;1R")
        self.sent += _CONTROL.sub("", chunk.decode("utf-8", "replace"))
        return bool(chunk)
