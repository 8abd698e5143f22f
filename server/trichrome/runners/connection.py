"""A worker's connection: an MCP client of a stdio server of its own, as a Claude Code session would be.

A server that dies is started again, and the worker goes on with what it holds: its attempts belong to the client.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, cast

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT, CallToolResult, Implementation
from mcp_types import Tool as ServerTool

from trichrome.errors import Code, TrichromeError
from trichrome.runners.server import COMMAND, TOOLSET
from trichrome.version import VERSION

RECONNECT_SECONDS: Final = (0.0, 0.3, 1.0, 3.0, 10.0)
"""Pauses before a server is started; that many in a row which end without an answer end the worker."""

SLACK_SECONDS: Final = 20.0
"""What a call may take beyond the time it was asked to wait; then its server counts as dead."""

RELEASE_SECONDS: Final = 5.0
"""How long a stop waits for the attempt to be given back; after that the server's rescue frees it."""

_GONE: Final = frozenset({CONNECTION_CLOSED, REQUEST_TIMEOUT})

log = logging.getLogger(__name__)


class Tools(Protocol):
    """The server's tools, as a worker calls them."""

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool and give its answer.

        Raises:
            TrichromeError: the server refused, with its code.
            ConnectionError: the connection is gone; whether the call was carried out is unknown.
        """
        ...


class ServerTools:
    """The tools of one server over one connection.

    Attributes:
        answered: whether this server ever answered.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self.answered = False

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool; see `Tools`."""
        result = await self.ask(tool, arguments)
        answer = content(result)
        if result.is_error:
            raise _refusal(answer)
        return answer

    async def ask(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool and give its answer as it came, a refusal too.

        Raises:
            TrichromeError: the call was not understood.
            ConnectionError: the connection is gone; whether the call was carried out is unknown.
        """
        waits = arguments.get("wait_seconds", 0)
        bound = SLACK_SECONDS + (float(waits) if isinstance(waits, int | float) else 0.0)
        try:
            result = await self._client.call_tool(tool, dict(arguments), read_timeout_seconds=bound)
        except MCPError as error:
            if error.code in _GONE:
                raise ConnectionError(f"{tool}: {error.message}") from error
            raise TrichromeError(f"{tool}: {error.message}") from error
        self.answered = True
        return result

    async def listed(self) -> list[ServerTool]:
        """The tools that the server offers.

        Raises:
            ConnectionError: the connection is gone.
        """
        try:
            tools = (await self._client.list_tools()).tools
        except MCPError as error:
            raise ConnectionError(f"tools/list: {error.message}") from error
        self.answered = True
        return tools


def content(result: CallToolResult) -> dict[str, Any]:
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


async def give_back(tools: Tools, attempt: str) -> None:
    """Release an attempt because its worker was stopped; what cannot be said in time is left to the rescue."""
    arguments = {"attempt": attempt, "outcome": "released", "summary": "The worker was stopped."}
    with anyio.move_on_after(RELEASE_SECONDS):
        try:
            await tools.call("report_result", arguments)
        except (TrichromeError, ConnectionError) as error:
            log.info("%s was not given back: %s", attempt, error)
            return
        log.info("%s given back", attempt)


async def keep_connected(
    serve: Callable[[ServerTools], Awaitable[None]], environment: Mapping[str, str], *, name: str
) -> bool:
    """Run something on a connection, with a new server whenever the last one is gone.

    Args:
        serve: what to run; it raises ConnectionError when its connection is gone, and is run again on the next.
        environment: variables for the server, on top of this process's own, which the SDK would not pass on. A key for
            a model is not the server's business, and stays here.
        name: how the client names itself.

    Returns:
        Whether `serve` came to its end; False when the server refused it or could not be kept running.
    """
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ANTHROPIC_")}
    server = StdioServerParameters(
        command=sys.executable, args=list(COMMAND[1:]), env={**inherited, **TOOLSET, **environment}
    )
    unheard = 0
    while unheard < len(RECONNECT_SECONDS):
        await anyio.sleep(RECONNECT_SECONDS[unheard])
        unheard += 1
        try:
            async with Client(server, client_info=Implementation(name=name, version=VERSION)) as client:
                tools = ServerTools(client)
                try:
                    await serve(tools)
                except ConnectionError as lost:
                    log.info("starting the server again: %s", lost)
                except TrichromeError as refusal:
                    log.error("refused: %s", refusal.message)  # noqa: TRY400 - a refusal says all; its stack is noise
                    return False
                else:
                    return True
                if tools.answered:
                    unheard = 0
        except* (MCPError, OSError) as failed:
            log.info("the server did not start: %s", _cause(failed))
    log.error("the server ended %d times without an answer; `trichrome doctor` may say why", unheard)
    return False


def _cause(error: BaseException) -> BaseException:
    """What went wrong inside the task groups that wrapped it."""
    return _cause(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
