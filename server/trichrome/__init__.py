"""Multi-Claude orchestration: several Claude instances work on one request, on one durable log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trichrome.api import MultiClaudeOrchestrator, NotCompletedError

__all__ = ["MultiClaudeOrchestrator", "NotCompletedError"]


def __getattr__(name: str) -> Any:
    """Import the Python API when it is asked for: the server and the command line start without it."""
    if name in __all__:
        from trichrome import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
