"""An offline worker at work: its connection, its own process for the work, and its leaving."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_process

from trichrome.processes import ClientChain
from trichrome.runners import telling
from trichrome.runners.connection import keep_connected
from trichrome.runners.offline.work import WORK_SECONDS, Result, perform_bounded
from trichrome.runners.offline.worker import Worker
from trichrome.runners.program import stop_on_signal, stop_when_orphaned


async def run_worker(worker: Worker, project: Path, above: ClientChain) -> int:
    """Run one worker on one project until it is done, this process is told to stop, or who started it is gone.

    Args:
        worker: who works.
        project: the folder it works on.
        above: who stood above this process when it began.

    Returns:
        0 when it left by itself or was stopped, 1 when the server refused it or could not be kept running.
    """
    environment = {"TRICHROME_HOME": os.environ.get("TRICHROME_HOME", str(project)), "TRICHROME_ROLE": worker.role}
    is_over = True  # what a stop leaves it at
    async with anyio.create_task_group() as group:
        group.start_soon(stop_on_signal, worker.stop, group.cancel_scope)
        group.start_soon(stop_when_orphaned, worker.stop, above)
        is_over = await keep_connected(worker.run, environment, name="trichrome-offline")
        group.cancel_scope.cancel()
    return 0 if is_over else 1


async def in_own_process(project: str, claimed: Mapping[str, Any], seconds: float = WORK_SECONDS) -> Result:
    """Do the work where it can be stopped at any moment, be it caught in a regular expression."""
    try:
        return await anyio.to_process.run_sync(perform_bounded, project, claimed, seconds, cancellable=True)
    except anyio.BrokenWorkerProcess:
        message = f"The work was ended: it took longer than {seconds:g} s, or its process was killed."
        return Result("failed", message, retry=False)


def told(work: Callable[[Mapping[str, Any]], Awaitable[Result]]) -> Callable[[Mapping[str, Any]], Awaitable[Result]]:
    """The same work, with lines that tell what was done, and what came of it."""

    async def work_and_tell(claimed: Mapping[str, Any]) -> Result:
        telling.tell("called", tool=claimed["task"]["kind"])
        result = await work(claimed)
        telling.tell("said", text=result.summary)
        return result

    return work_and_tell
