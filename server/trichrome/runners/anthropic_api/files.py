"""The file tools of a session: reading for all, writing for roles that may, nothing outside the workspace.

They are the `anthropic` package's own, which resolve every symlink before they compare a path with the workspace. The
search alone is ours: the package's may hold the session up without an end. What is private is neither read nor named.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_process
import anyio.to_thread
from anthropic.lib.tools import BetaAsyncFunctionTool, ToolError, beta_async_tool
from anthropic.lib.tools.agent_toolset import (
    AgentToolContext,
    beta_edit_tool,
    beta_glob_tool,
    beta_grep_tool,
    beta_read_tool,
    beta_write_tool,
    resolve_path,
)

from trichrome.config import FOLDER
from trichrome.runners.anthropic_api.searching import NOTHING, search
from trichrome.runners.private import is_private

NOT_TO_WRITE: Final = (".git", FOLDER)
"""What can start programs, or is the log's: a session changes files of the project alone."""

SEARCH_SECONDS: Final = 30.0
"""The longest that a search may take."""


def file_tools(workspace: Path, *, may_write: bool) -> list[BetaAsyncFunctionTool[Any]]:
    """The tools for one workspace."""
    root = workspace.resolve()
    context = AgentToolContext(workdir=root, read_only_roots=[root / name for name in NOT_TO_WRITE])
    tools = [_reading(context, root), _listing(context, root), _searching(context, root)]
    if may_write:
        tools += [beta_write_tool(context), beta_edit_tool(context)]
    return tools


def _reading(context: AgentToolContext, root: Path) -> BetaAsyncFunctionTool[Any]:
    tool = beta_read_tool(context)

    async def call(**arguments: Any) -> Any:
        _reached(context, root, str(arguments.get("file_path", "")))
        return await tool.call(arguments)

    return _like(tool, call)


def _listing(context: AgentToolContext, root: Path) -> BetaAsyncFunctionTool[Any]:
    """Names as the package finds them, from the workspace on: shorter, and as results have to cite them."""
    tool = beta_glob_tool(context)

    async def call(**arguments: Any) -> str:
        # It walks without a pause, so it has a thread of its own.
        found = await anyio.to_thread.run_sync(partial(anyio.run, tool.call, arguments), abandon_on_cancel=True)
        lines = [line for line in str(found).split("\n") if not is_private(Path(line), root / FOLDER)]
        return "\n".join(line.removeprefix(f"{root}/") for line in lines) or NOTHING

    return _like(tool, call)


def _searching(context: AgentToolContext, root: Path) -> BetaAsyncFunctionTool[Any]:
    """The package's tool for the model, with a search of ours behind it, in a process that can be stopped."""

    async def call(*, pattern: str, path: str | None = None) -> str:
        place = _reached(context, root, path) if path else root
        try:
            with anyio.fail_after(SEARCH_SECONDS):
                return await anyio.to_process.run_sync(search, str(root), str(place), pattern, cancellable=True)
        except ValueError as error:
            raise ToolError(str(error)) from error
        except (TimeoutError, anyio.BrokenWorkerProcess) as error:
            raise ToolError(
                f"grep: the search was ended, it took longer than {SEARCH_SECONDS:g} s. Make the pattern simpler, or "
                "name a path."
            ) from error

    return _like(beta_grep_tool(context), call)


def _reached(context: AgentToolContext, root: Path, path: str) -> Path:
    """The file or folder that a path leads to.

    Raises:
        ToolError: it leads out of the workspace, or to what is private.
    """
    try:
        found = resolve_path(context, path)
    except ValueError as error:
        raise ToolError(str(error)) from error
    if is_private(found, root / FOLDER):
        raise ToolError(f"{path} is Trichrome's own and is read by no session. Your tools tell what you need of it.")
    return found


def _like(tool: BetaAsyncFunctionTool[Any], call: Any) -> BetaAsyncFunctionTool[Any]:
    """The same tool to the model, done by another function."""
    return beta_async_tool(call, name=tool.name, description=tool.description, input_schema=tool.input_schema)
