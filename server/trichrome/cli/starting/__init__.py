"""How `start` keeps workers: in the foreground, or as a process of its own that goes on without a shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trichrome.runners.port import Runner


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `start` was asked for.

    Attributes:
        runner: what starts sessions.
        scale: how many workers of each role.
        max_cost: what all sessions may cost, in US dollars; None for no limit.
        until_idle: whether to end once nothing is left to do.
    """

    runner: Runner
    scale: Mapping[str, int]
    max_cost: float | None = None
    until_idle: bool = False

    def told(self) -> str:
        """The workers in words."""
        return f"{', '.join(f'{number} {role}' for role, number in self.scale.items())} with {self.runner.name}"
