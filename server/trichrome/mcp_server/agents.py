"""Which agent of the client makes a call: what its hooks told just before, by the id of the tool use.

One session of Claude Code, its main agent and all its subagents speak through one pipe, and a call names none of them.
A hook before the call does, and both carry the id of the tool use (docs/decisions/0007). A binding may never be
fetched, so they are kept few and young.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from trichrome.clock import Clock
from trichrome.domain.outputs import SERVER

MOST: Final = 1024
"""Bindings that are kept; beyond, the oldest is forgotten."""
YOUNG_SECONDS: Final = 120.0
"""How long a call may come after its hook: a permission prompt may stand between them."""
_PLUGIN: Final = f"{SERVER}:"
"""How the names of the plugin's subagents begin."""


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of a client, as its hooks name it: the main agent has an empty id."""

    id: str
    type: str

    @property
    def is_main(self) -> bool:
        """Whether it is the session itself."""
        return not self.id

    def role(self, roles: Collection[str]) -> str | None:
        """The role that a subagent was made for; None for the main agent, and for subagents of other kinds."""
        name = self.type.removeprefix(_PLUGIN)
        return name if self.id and name in roles else None


class Bindings:
    """Tool uses and their agents; for several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._bound: OrderedDict[str, tuple[float, Agent]] = OrderedDict()

    def bind(self, tool_use: str, agent: Agent) -> None:
        """Note who is about to make a call."""
        with self._lock:
            self._bound.pop(tool_use, None)
            self._bound[tool_use] = self._clock.now().monotonic, agent
            while len(self._bound) > MOST:
                self._bound.popitem(last=False)

    def agent_of(self, tool_use: str) -> Agent | None:
        """Who makes a call; None where no hook told it, or too long ago. A second call of one tool use is nobody's."""
        with self._lock:
            at, agent = self._bound.pop(tool_use, (None, None))
        return agent if at is not None and self._clock.now().monotonic - at <= YOUNG_SECONDS else None
