"""One session: the conversation beside its connection to our server, and what becomes of the attempt it holds.

Guarantees: once the report is accepted, no further reply is paid for; a session that is stopped gives back what it
holds; one that ends without a report leaves its attempt to whoever started it, and says why it ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import anyio
from anthropic import APIConnectionError, APIStatusError, AsyncAnthropic
from anthropic.lib.tools import BetaAsyncFunctionTool, ToolError, beta_async_tool
from anthropic.lib.tools.mcp import async_mcp_tool
from mcp import ClientSession
from mcp_types import CallToolResult, Tool

from trichrome.errors import TrichromeError
from trichrome.processes import ClientChain
from trichrome.runners import telling
from trichrome.runners.anthropic_api.conversation import Brief, converse
from trichrome.runners.anthropic_api.files import file_tools
from trichrome.runners.anthropic_api.refusals import at_most_patiently, tell_of
from trichrome.runners.connection import RELEASE_SECONDS, ServerTools, content, give_back, keep_connected
from trichrome.runners.program import stop_on_signal, stop_when_orphaned

RETRIES: Final = 4
"""How often the library repeats a request that was refused for the moment."""


class Link:
    """Our server's tools, over whichever connection there is; it knows which attempt was claimed and not reported.

    Attributes:
        held: that attempt; None for none.
        has_reported: whether a report was accepted.
    """

    def __init__(self) -> None:
        self.held: str | None = None
        self.has_reported = False
        self._tools: ServerTools | None = None
        self._is_there = anyio.Event()
        self._is_lost = anyio.Event()

    async def hold(self, tools: ServerTools) -> None:
        """Be the connection's use, until a call finds that it is gone.

        Raises:
            ConnectionError: it is.
        """
        self._tools, self._is_lost = tools, anyio.Event()
        self._is_there.set()
        await self._is_lost.wait()
        raise ConnectionError("a call was not answered")

    async def tools(self) -> ServerTools:
        """The tools over the connection that there is, or will be."""
        await self._is_there.wait()
        assert self._tools is not None
        return self._tools

    async def listed(self) -> list[Tool]:
        """The tools that the server offers, of the first server that says."""
        while True:
            try:
                return await (await self.tools()).listed()
            except ConnectionError:
                self._lose()

    def _lose(self) -> None:
        """Let the connection go, and wait for the next one at the next call."""
        self._is_there = anyio.Event()
        self._is_lost.set()

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool for the model.

        Raises:
            ToolError: what the model is told instead of an answer. After a lost connection it may call again, as it
                would in Claude Code.
        """
        tools = await self.tools()
        try:
            # A report that is on its way is waited for, by a stop too, so that work that was done is not done again.
            with anyio.CancelScope(shield=name == "report_result"):
                result = await tools.ask(name, arguments)
        except ConnectionError as lost:
            self._lose()
            raise ToolError("Connection closed") from lost
        except TrichromeError as refusal:
            raise ToolError(refusal.message) from refusal
        if not result.is_error:
            self._note(name, content(result))
        return result

    def _note(self, name: str, answer: Mapping[str, Any]) -> None:
        if name == "claim_task":
            self.held = answer.get("attempt")
        elif name == "report_result":
            self.held = (answer.get("claimed") or {}).get("attempt")
            self.has_reported = True


class Session:
    """One session of one worker."""

    def __init__(self, brief: Brief, workspace: Path, *, may_write: bool) -> None:
        self._brief = brief
        self._workspace = workspace
        self._may_write = may_write
        self._link = Link()
        self._talk: anyio.CancelScope | None = None
        self._is_stopping = False
        self._has_server = True

    def stop(self) -> bool:
        """Let `run` give back what is held and return; False when it does not talk, or is stopping already."""
        if self._talk is None or self._is_stopping:
            return False
        self._is_stopping = True
        self._talk.cancel()
        return True

    async def run(self, above: ClientChain) -> int:
        """Run the session; answers an exit code as `telling` describes them.

        Args:
            above: who stood above this process when it began.
        """
        code = 0  # what a stop leaves it at
        async with anyio.create_task_group() as group:
            group.start_soon(stop_on_signal, self.stop, group.cancel_scope)
            group.start_soon(stop_when_orphaned, self.stop, above)
            group.start_soon(self._keep_connected)
            with anyio.CancelScope() as self._talk:
                code = await self._converse()
            if self._link.held is not None and (self._is_stopping or self._link.has_reported):
                with anyio.move_on_after(RELEASE_SECONDS):
                    await give_back(await self._link.tools(), self._link.held)
            group.cancel_scope.cancel()
        return code if self._has_server else 1

    async def _keep_connected(self) -> None:
        """Have a connection; without one there is nothing to talk for."""
        await keep_connected(self._link.hold, {}, name="trichrome-api")
        telling.tell("trouble", error="The session's server could not be kept running; `trichrome doctor` may say why.")
        self._has_server = False
        if self._talk is not None:
            self._talk.cancel()

    async def _converse(self) -> int:
        files = [_noted(tool) for tool in file_tools(self._workspace, may_write=self._may_write)]
        ours = [async_mcp_tool(tool, cast("ClientSession", self._link)) for tool in await self._link.listed()]
        async with AsyncAnthropic(max_retries=RETRIES, middleware=[at_most_patiently]) as client:
            try:
                why = await converse(client, self._brief, [*ours, *files], lambda: self._link.has_reported)
            except (APIStatusError, APIConnectionError) as error:
                return tell_of(error)
        if why is None:
            return 0
        telling.tell("trouble", error=why)
        return 1


def _noted(tool: BetaAsyncFunctionTool[Any]) -> BetaAsyncFunctionTool[Any]:
    """The same tool, each call of which is told."""

    async def call(**arguments: Any) -> Any:
        telling.tell("called", tool=tool.name)
        return await tool.call(arguments)

    return beta_async_tool(call, name=tool.name, description=tool.description, input_schema=tool.input_schema)
