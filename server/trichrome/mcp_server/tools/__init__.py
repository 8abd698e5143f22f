"""Every tool, by family, in the order a reader meets them.

The tools are there before the first answer of a server, what they call is not: each handler imports its own part of
the coordinator, at the first call.
"""

from __future__ import annotations

from typing import Any, Final

from trichrome.mcp_server.registry import Tool, Toolset
from trichrome.mcp_server.tools import lead, team, worker

TOOLS: Final[tuple[Tool[Any], ...]] = (*worker.TOOLS, *team.TOOLS, *lead.TOOLS)


def of(toolset: Toolset) -> tuple[Tool[Any], ...]:
    """The tools that a toolset shows."""
    return tuple(tool for tool in TOOLS if toolset == "all" or toolset in tool.toolsets)
