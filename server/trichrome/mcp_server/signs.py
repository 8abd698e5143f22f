"""What hooks of the client tell of its agents, by a tool that no list shows.

Guarantee: a hook costs neither a look at the log nor a wait for it. What it tells is kept in memory; the keeper writes
down what changes the picture: a tool that is over before anybody could look leaves nothing. A session that never uses
the project leaves nothing at all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, assert_never

from trichrome.clock import Clock
from trichrome.domain import text
from trichrome.domain.evidence import SignKind
from trichrome.mcp_server.registry import Arguments

if TYPE_CHECKING:
    from trichrome.store.port import Sign

SETTLE_SECONDS: Final = 5.0
"""How long a tool has run before that is written down."""
_BEFORE: Final = 0.001
"""How many seconds before a tool began the one before it counts as ended."""
MOST_AGENTS: Final = 256
"""Agents that are remembered; beyond, the one that was heard of first is forgotten."""

_Doing = Literal["working", "using", "asking", "done"]


class NoteSign(Arguments):
    """Arguments of note_sign, named as a hook's input names them; an empty agent_id is the main agent."""

    kind: SignKind
    agent_id: str = ""
    agent_type: str = ""
    tool_name: str = ""
    tool_use_id: str = ""
    transcript_path: str = ""


@dataclass(frozen=True, slots=True)
class _Told:
    """The newest of an agent."""

    kind: SignKind
    at: float
    what: str


class Signs:
    """What one server was told, and what of it is written down already; for several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[str, _Told] = {}
        self._kept: dict[str, _Told] = {}
        self._transcript = ""
        self._kept_transcript = ""

    def note(self, told: NoteSign) -> None:
        """Remember what a hook told.

        Raises:
            InvalidError: `invalid` or `too_large`, for texts that no client writes.
        """
        agent = text.name(told.agent_id, field="agent_id") if told.agent_id else ""
        transcript = text.optional(told.transcript_path, field="transcript_path", limit=text.PATH_BYTES) or ""
        what = text.one_line(told.tool_name, most=text.NAME_CHARS)
        at = self._clock.now().monotonic
        with self._lock:
            if told.kind == "turn_began" and not agent:
                self._told.clear()  # as `coordinator.signs.note` does: who types has no prompt open
                self._kept = {each: kept for each, kept in self._kept.items() if not each}
            elif told.kind == "turn_ended" and agent and agent not in self._kept:
                self._told.pop(agent, None)  # a subagent that came and went
                return
            elif told.kind == "tool_ended" and _is_of_another_tool(self._told.get(agent), what):
                return
            self._told.pop(agent, None)
            self._told[agent] = _Told(told.kind, at, what)
            if not agent and transcript:
                self._transcript = transcript
            while len(self._told) > MOST_AGENTS:
                forgotten = next(iter(self._told))
                del self._told[forgotten]
                self._kept.pop(forgotten, None)

    def due(self, principal: str) -> list[Sign]:
        """What is to be written down now, as signs of a principal."""
        from trichrome.store.port import Sign

        now = self._clock.now().monotonic
        with self._lock:
            shown = {agent: _settled(told, now) for agent, told in self._told.items()}
            found = [
                Sign(principal, agent, told.kind, told.at, told.what)
                for agent, told in shown.items()
                if self._is_due(self._kept.get(agent), told)
            ]
            if self._transcript != self._kept_transcript:
                found.append(Sign(principal, "", "transcript", now, self._transcript))
        return found

    @staticmethod
    def _is_due(kept: _Told | None, told: _Told) -> bool:
        if kept is None or _doing(kept.kind) != _doing(told.kind):
            return True
        return told.kind == "tool_started" and told.at != kept.at  # another tool than the one that was written down

    def kept(self, signs: Sequence[Sign]) -> None:
        """Note that these were written down."""
        with self._lock:
            for sign in signs:
                if sign.kind == "transcript":
                    self._kept_transcript = sign.detail
                    continue
                written = _Told(sign.kind, sign.at, sign.detail)
                if sign.kind == "turn_began" and not sign.agent:
                    self._kept.clear()  # as in `note`, whose turn may have begun while older signs were written
                if sign.kind == "turn_ended" and sign.agent:
                    self._kept.pop(sign.agent, None)
                    if self._told.get(sign.agent) == written:
                        del self._told[sign.agent]
                else:
                    self._kept[sign.agent] = written


def _is_of_another_tool(told: _Told | None, tool: str) -> bool:
    """Whether a prompt is open for another tool than this one, which the same turn began beside it."""
    return told is not None and told.kind == "prompt_opened" and "" not in (told.what, tool) and told.what != tool


def _settled(told: _Told, now: float) -> _Told:
    """What an agent told, but a tool that began just now as the end of whatever was before it."""
    is_new = told.kind == "tool_started" and now - told.at < SETTLE_SECONDS
    return _Told("tool_ended", told.at - _BEFORE, "") if is_new else told


def _doing(kind: SignKind) -> _Doing:
    match kind:
        case "tool_started":
            return "using"
        case "tool_ended" | "turn_began":
            return "working"
        case "prompt_opened":
            return "asking"
        case "turn_ended":
            return "done"
        case _:
            assert_never(kind)
