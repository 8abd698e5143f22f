"""The file tools of a session: reading for all, writing for roles that may, nothing outside the workspace.

They are the `anthropic` package's own, which resolve every symlink before they compare a path with the workspace.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from anthropic.lib.tools import BetaAsyncFunctionTool, beta_async_tool
from anthropic.lib.tools.agent_toolset import (
    AgentToolContext,
    beta_edit_tool,
    beta_glob_tool,
    beta_grep_tool,
    beta_read_tool,
    beta_write_tool,
)

NOT_TO_WRITE: Final = (".git", ".trichrome")
"""What can start programs, or is the log's: a session changes files of the project alone."""


def file_tools(workspace: Path, *, may_write: bool) -> list[BetaAsyncFunctionTool[Any]]:
    """The tools for one workspace."""
    root = workspace.resolve()
    context = AgentToolContext(workdir=root, read_only_roots=[root / name for name in NOT_TO_WRITE])
    tools = [beta_read_tool(context), _from(root, beta_glob_tool(context)), _from(root, beta_grep_tool(context))]
    if may_write:
        tools += [beta_write_tool(context), beta_edit_tool(context)]
    return tools


def _from(root: Path, tool: BetaAsyncFunctionTool[Any]) -> BetaAsyncFunctionTool[Any]:
    """The same tool, whose paths start at the workspace: shorter, and as results have to cite them."""

    async def call(**arguments: Any) -> str:
        answer = await tool.call(arguments)
        return "\n".join(line.removeprefix(f"{root}/") for line in str(answer).split("\n"))

    return beta_async_tool(call, name=tool.name, description=tool.description, input_schema=tool.input_schema)
