"""A worker's connection: an MCP client of a stdio server of its own, as a Claude Code session would be.

A server that dies is started again, and the worker goes on with what it holds: its attempts belong to the client.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import anyio
import anyio.to_process
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, Implementation

from trichrome.errors import Code, TrichromeError
from trichrome.processes import ClientChain, is_orphaned
from trichrome.runners.offline.work import WORK_SECONDS, Result, perform_bounded
from trichrome.runners.offline.worker import Worker
from trichrome.version import VERSION

RECONNECT_SECONDS: Final = (0.0, 0.3, 1.0, 3.0, 10.0)
"""Pauses before a server is started; that many in a row which end without an answer end the worker."""

SLACK_SECONDS: Final = 20.0
"""What a call may take beyond the time it was asked to wait; then its server counts as dead."""

ORPHAN_SECONDS: Final = 1.0
"""How often a worker looks whether whoever started it is still there."""

_CLIENT: Final = Implementation(name="trichrome-offline", version=VERSION)
_GONE: Final = frozenset({CONNECTION_CLOSED, REQUEST_TIMEOUT})

log = logging.getLogger(__name__)


class ServerTools:
    """The tools of one server over one connection.

    Attributes:
        answered: whether this server ever answered.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answered = False

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool; see `worker.Tools`."""
        bound = float(arguments.get("wait_seconds", 0)) + SLACK_SECONDS
        try:
            result = await self._client.call_tool(tool, dict(arguments), read_timeout_seconds=bound)
        except MCPError as error:
            if error.code in _GONE:
                raise ConnectionError(f"{tool}: {error.message}") from error
            raise TrichromeError(f"{tool}: {error.message}") from error
        self.answered = True
        answer = _content(result)
        if result.is_error:
            raise _refusal(answer)
        return answer


def _content(result: CallToolResult) -> dict[str, Any]:
    """The whole answer as an object; an error from below the tools is text alone."""
    if isinstance(result.structured_content, dict):
        return result.structured_content
    text = "".join(block.text for block in result.content if block.type == "text")
    return {"error": {"message": text}}


def _refusal(answer: Mapping[str, Any]) -> TrichromeError:
    facts = answer.get("error", {})
    error = TrichromeError(
        str(facts.get("message", "refused without a reason")),
        code=cast("Code", facts.get("code", "invalid")),
        field=facts.get("field"),
    )
    error.retryable = facts.get("retryable") is True
    return error


async def run_worker(role: str, project: Path, wait_seconds: int, until_idle: int | None, above: ClientChain) -> int:
    """Run one worker on one project until it is idle, this process is told to stop, or who started it is gone.

    Args:
        role: whose tasks it takes.
        project: the folder it works on.
        wait_seconds: how long one claim blocks.
        until_idle: how many waits without work end it; None never does.
        above: who stood above this process when it began.

    Returns:
        0 when it left by itself or was stopped, 1 when the server refused it or could not be kept running.
    """
    work = partial(in_own_process, str(project))
    worker = Worker(role=role, work=work, wait_seconds=wait_seconds, until_idle=until_idle)
    code = 0  # what a stop leaves it at
    async with anyio.create_task_group() as group:
        group.start_soon(_stop_on_signal, worker, group.cancel_scope)
        group.start_soon(_stop_when_orphaned, worker, above)
        code = await _keep_connected(worker, _server(role, project))
        group.cancel_scope.cancel()
    return code


async def in_own_process(project: str, claimed: Mapping[str, Any], seconds: float = WORK_SECONDS) -> Result:
    """Do the work where it can be stopped at any moment, be it caught in a regular expression."""
    try:
        return await anyio.to_process.run_sync(perform_bounded, project, claimed, seconds, cancellable=True)
    except anyio.BrokenWorkerProcess:
        message = f"The work was ended: it took longer than {seconds:g} s, or its process was killed."
        return Result("failed", message, retry=False)


async def _stop_on_signal(worker: Worker, everything: anyio.CancelScope) -> None:
    """Stop the worker at the first signal, its server after it; everything where that is not enough."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for received in signals:
            log.info("stopping: %s", received.name)
            if not worker.stop():
                everything.cancel()


async def _stop_when_orphaned(worker: Worker, above: ClientChain) -> None:
    """Stop the worker when whoever started it is gone, be it killed."""
    while True:
        await anyio.sleep(ORPHAN_SECONDS)
        if is_orphaned(above) and worker.stop():
            log.info("stopping: whoever started this worker is gone")
            return


def _server(role: str, project: Path) -> StdioServerParameters:
    """The worker's own server, with this process's environment: the SDK's default passes on next to nothing."""
    worker = {"TRICHROME_ROLE": role, "TRICHROME_TOOLSET": "worker"}
    environment = {"TRICHROME_HOME": str(project), **os.environ, **worker}
    return StdioServerParameters(command=sys.executable, args=["-m", "trichrome", "mcp"], env=environment)


async def _keep_connected(worker: Worker, server: StdioServerParameters) -> int:
    """Let a worker run, with a new server whenever the last one is gone."""
    unheard = 0
    while unheard < len(RECONNECT_SECONDS):
        await anyio.sleep(RECONNECT_SECONDS[unheard])
        unheard += 1
        try:
            async with Client(server, client_info=_CLIENT) as client:
                tools = ServerTools(client)
                try:
                    await worker.run(tools)
                except ConnectionError as lost:
                    log.info("starting the server again: %s", lost)
                except TrichromeError as refusal:
                    log.error("refused: %s", refusal.message)  # noqa: TRY400 - a refusal says all; its stack is noise
                    return 1
                else:
                    return 0
                if tools.answered:
                    unheard = 0
        except* (MCPError, OSError) as failed:
            log.info("the server did not start: %s", _cause(failed))
    log.error("the server ended %d times without an answer; `trichrome doctor` may say why", unheard)
    return 1


def _cause(error: BaseException) -> BaseException:
    """What went wrong inside the task groups that wrapped it."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
