"""The reaper: a small process that ends all that a supervisor started, once that supervisor is killed.

Guarantee: whatever ends the supervisor, `kill -9` included, the reaper learns it at once, since the other end of its
pipe closes. Nothing else ever holds that end. It is itself no part of what it ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from trichrome.supervisor.session import inherited

_PROGRAM: Final = Path(__file__).with_name("reaping.py")
_UNHEARD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a terminal or a shutdown sends to all at once: the reaper inherits that they are blocked."""
_LEAVES_WITHIN: Final = 5.0


class Reaper:
    """A reaper that runs, as the supervisor sees it.

    Attributes:
        pid: its number.
    """

    def __init__(self, popen: subprocess.Popen[bytes], pipe: int) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._pipe = pipe

    def is_alive(self) -> bool:
        """Whether it still watches; if not, dismiss it and start another."""
        return self._popen.poll() is None

    def dismiss(self) -> None:
        """Let it leave without ending anything, and wait until it is gone."""
        with suppress(BrokenPipeError):
            os.write(self._pipe, b".")
        os.close(self._pipe)
        try:
            self._popen.wait(_LEAVES_WITHIN)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def start(supervision: str) -> Reaper:
    """Start the reaper of one life of a supervisor.

    It is a plain file, started without the folder it lies in: it needs nothing of ours until there is work for it.

    Args:
        supervision: the value of the mark that everything of this life carries.
    """
    end, pipe = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _UNHEARD)
    try:
        popen = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM), supervision],
            env=inherited(),
            stdin=end,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        os.close(pipe)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(end)
    return Reaper(popen, pipe)
