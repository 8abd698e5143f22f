"""The user's own MCP servers that a role names: Context7, Sequential, Magic and others.

A session is given its servers by name and finds no others. So those that a role's tools name are looked up where Claude
Code keeps them. Guarantee: a server that comes with a project (`.mcp.json`) is started only where its user has trusted
that folder and allowed the server in Claude Code: a cloned repository starts nothing by itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


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
    folder = os.environ.get("CLAUDE_CONFIG_DIR")
    user = _read((Path(folder) if folder else Path.home()) / ".claude.json")
    here = _table(_table(user, "projects"), str(project.resolve()))
    shared = _table(_read(project / ".mcp.json"), "mcpServers")
    return {**_table(user, "mcpServers"), **_accepted(shared, here, project), **_table(here, "mcpServers")}


def _accepted(shared: Mapping[str, Any], here: Mapping[str, Any], project: Path) -> dict[str, Any]:
    """Those of the project's servers that its user said yes to."""
    if here.get("hasTrustDialogAccepted") is not True:
        return {}
    answers = [here, _read(project / ".claude" / "settings.local.json")]
    yes = {name for answer in answers for name in _names(answer, "enabledMcpjsonServers")}
    no = {name for answer in answers for name in _names(answer, "disabledMcpjsonServers")}
    is_all = any(answer.get("enableAllProjectMcpServers") is True for answer in answers)
    return {name: server for name, server in shared.items() if name not in no and (is_all or name in yes)}


def _read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of another program; nothing where there is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _table(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _names(document: Mapping[str, Any], key: str) -> list[str]:
    value = document.get(key)
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
