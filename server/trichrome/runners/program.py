"""What every program of a runner does beside its work: it logs to standard error, and it leaves when it should.

It should leave at SIGTERM or SIGINT, and when anybody above it who was there at its start is gone.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from typing import Final

import anyio

from trichrome.processes import ClientChain, is_orphaned

ORPHAN_SECONDS: Final = 1.0
"""How often a program looks whether whoever started it is still there."""

log = logging.getLogger(__name__)


def log_to_stderr(name: str) -> None:
    """Write the program's own log as lines that begin with its name; libraries are heard when they warn."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=f"{name}: %(message)s")
    logging.getLogger("trichrome").setLevel(logging.INFO)
    # Python 3.11 warns when the work's process, ended at exit, was reaped by somebody else first; nothing is lost then.
    logging.getLogger("asyncio").setLevel(logging.ERROR)


async def stop_on_signal(stop: Callable[[], bool], everything: anyio.CancelScope) -> None:
    """Ask for an orderly stop at a signal, and cancel everything where that cannot be had.

    Args:
        stop: begins to stop; False when there is nothing to stop, or it stops already.
        everything: what a second signal ends.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for received in signals:
            log.info("stopping: %s", received.name)
            if not stop():
                everything.cancel()


async def stop_when_orphaned(stop: Callable[[], bool], above: ClientChain) -> None:
    """Ask for an orderly stop when whoever started this program is gone, be it killed."""
    while True:
        await anyio.sleep(ORPHAN_SECONDS)
        if is_orphaned(above) and stop():
            log.info("stopping: whoever started this worker is gone")
            return
