"""What a line of a session's output says of the tools that the session called; pure.

Two forms are understood: Claude Code's stream-json, which tells every call, and the lines of our own programs
(`runners/telling.py`), which tell those of tools that are not ours. Guarantee: no value raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SERVER: Final = "trichrome"
"""What our server is called in a session."""
OURS: Final = f"mcp__{SERVER}__"
"""How the names of our tools begin there."""
_NO_WORK: Final = frozenset({"ToolSearch"})
"""Tools of Claude Code that only bring in others."""


def called(line: object) -> Iterator[str]:
    """The tools that one line, decoded from JSON, says were called."""
    match line:
        case {"type": "called", "tool": str(tool)}:
            yield tool
        case {"type": "assistant", "message": {"content": list(blocks)}}:
            for block in blocks:
                match block:
                    case {"type": "tool_use", "name": str(tool)}:
                        yield tool
                    case _:
                        pass
        case _:
            pass


def is_ours(tool: str) -> bool:
    """Whether it is a tool of our server."""
    return tool.startswith(OURS)


def is_work(tool: str) -> bool:
    """Whether a call of this tool is work on a task, and not only talk with us."""
    return not is_ours(tool) and tool not in _NO_WORK
