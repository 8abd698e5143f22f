"""The user's own MCP servers that a role names: Context7, Sequential, Magic and others.

A session is given its servers by name and finds no others. So those that a role's tools name are looked up where Claude
Code keeps them. Guarantee: a server that comes with a project (`.mcp.json`) is started only where its user has trusted
that folder and allowed the server in Claude Code: a cloned repository starts nothing by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trichrome.runners.claude_code import configured


def wanted(tools: Iterable[str], project: Path) -> dict[str, Any]:
    """The definitions of the configured servers that these tools belong to; one that nobody configured is left out.

    Args:
        tools: names such as `mcp__context7__*`.
        project: the project folder.
    """
    names = {parts[1] for tool in tools if (parts := tool.split("__"))[0] == "mcp" and len(parts) > 1}
    return {name: server for name, server in _configured(project).items() if name in names}


def _configured(project: Path) -> dict[str, Any]:
    """Every server that Claude Code would have here; one of this folder hides one of the user's."""
    user = configured.read(configured.state())
    here = configured.table(user, "projects", str(project.resolve()))
    shared = configured.table(configured.read(project / ".mcp.json"), "mcpServers")
    own, local = configured.table(user, "mcpServers"), configured.table(here, "mcpServers")
    return {**own, **_accepted(shared, here, project), **local}


def _accepted(shared: Mapping[str, Any], here: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """Those of the project's servers that its user said yes to."""
    if here.get("hasTrustDialogAccepted") is not True:
        return {}
    answers = [here, configured.read(project / ".claude" / "settings.local.json")]
    yes = {name for answer in answers for name in configured.names(answer, "enabledMcpjsonServers")}
    no = {name for answer in answers for name in configured.names(answer, "disabledMcpjsonServers")}
    is_all = any(answer.get("enableAllProjectMcpServers") is True for answer in answers)
    return {name: server for name, server in shared.items() if name not in no and (is_all or name in yes)}
