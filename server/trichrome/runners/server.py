"""Our server, as a session starts it: the command, and the registration that the programs of sessions read."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from trichrome.domain.outputs import SERVER

COMMAND: Final = (sys.executable, "-P", "-m", "trichrome", "mcp")
"""`-P`: the folder that a session works in may hold any module name, and none of them may be imported."""

TOOLSET: Final[Mapping[str, str]] = {"TRICHROME_TOOLSET": "worker"}
"""A session of a worker needs no more tools than these."""

SAFE: Final[Mapping[str, str]] = {"PYTHONSAFEPATH": "1"}
"""The same for a program of ours and for what it starts."""


def registration(environment: Mapping[str, str], theirs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The content of an `mcp.json` that names our server, with a session's identity, beside other servers by name."""
    ours = {"command": COMMAND[0], "args": list(COMMAND[1:]), "env": {**TOOLSET, **environment}}
    return {"mcpServers": {**(theirs or {}), SERVER: ours}}
