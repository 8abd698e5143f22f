"""The port that every runner implements: how to start a worker process for a role.

Whoever starts workers (the demo, the supervisor) owns the process: it spawns what `launch` describes, and stops it
with SIGTERM, upon which a worker gives back what it holds and leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Launch:
    """A worker process to be.

    Attributes:
        command: the program and its arguments; never a shell line.
        environment: variables to set on top of the starter's own.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """One way to have a worker."""

    def launch(self, role: str, project: Path) -> Launch:
        """Describe the process of one worker that takes tasks of `role` and works in the folder `project`."""
        ...
