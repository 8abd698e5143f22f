"""What hooks of the client call: tools that no list shows, on the pipe that is there already.

Claude Code obeys the text of such an answer (docs/decisions/0007), so it is made here alone, in our words. Guarantee: a
hook opens nothing in a project that its session has nothing to do with, and where it cannot do its work its answer is
empty, so that Claude Code goes on as if it were not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic

from trichrome.mcp_server.agents import Agent
from trichrome.mcp_server.registry import Args, Arguments, parse
from trichrome.mcp_server.session import Session
from trichrome.mcp_server.signs import NoteSign

NOTHING: Final = "{}"
"""An answer that decides nothing. Of an empty one Claude Code tells the model at each prompt: a hook completed."""
_KEEP: Final = "Keep these lines in the summary, word for word:\n"


class _OfAgent(Arguments):
    """What every hook tells of its agent; the main agent has an empty id."""

    agent_id: str = ""
    agent_type: str = ""

    @property
    def agent(self) -> Agent:
        """The agent that the hook is about."""
        return Agent(self.agent_id, self.agent_type)


class NoteStop(_OfAgent):
    """Arguments of note_stop; `background_tasks` is the JSON text of a list, or empty where the client tells none."""

    background_tasks: str = ""
    transcript_path: str = ""


class NotePrompt(_OfAgent):
    """Arguments of note_prompt."""

    prompt: str = ""
    transcript_path: str = ""


class TellCapsule(_OfAgent):
    """Arguments of tell_capsule; `event` is what it is told at."""

    event: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Hook(Generic[Args]):
    """A tool for hooks.

    Attributes:
        run: answers the text that the client obeys.
        is_instant: whether it looks at nothing outside of memory, and so needs no thread.
    """

    arguments: type[Args]
    run: Callable[[Session, Args], str]
    is_instant: bool = False

    def parse(self, arguments: Mapping[str, Any] | None) -> Args:
        """The arguments of a call.

        Raises:
            InvalidError: `unknown_argument` or `invalid`, naming the argument.
        """
        return parse(self.arguments, arguments)


def _note_sign(session: Session, told: NoteSign) -> str:
    session.note_sign(told)
    return NOTHING


def _note_stop(session: Session, told: NoteStop) -> str:
    """At the end of a turn: ask once for a report that is missing, then let go of what a subagent holds."""
    from trichrome.coordinator import turns

    said = NOTHING
    if session.joins():
        c, caller = session.caller(told.agent)
        reason = turns.reminder(c, caller)
        if reason is not None and session.is_new_reminder(told.agent_id, reason):
            said = json.dumps({"decision": "block", "reason": reason})
        elif told.agent_id:
            turns.end(c, caller, why=turns.SILENT)
        if not told.agent_id and (running := _running(told.background_tasks)) is not None:
            turns.end_others(c, caller, running=running)
    if said is NOTHING:
        session.note_sign(NoteSign(kind="turn_ended", agent_id=told.agent_id, transcript_path=told.transcript_path))
    return said


def _running(background: str) -> set[str] | None:
    """The ids of what runs in the background; None where the client does not tell."""
    try:
        tasks = json.loads(background)
    except ValueError:
        return None
    if not isinstance(tasks, list):
        return None
    return {str(task.get("id", "")) for task in tasks if isinstance(task, dict)}


def _note_prompt(session: Session, told: NotePrompt) -> str:
    """At a prompt: who types has none open; a command gets its instructions, a resumed session learns who it is."""
    from trichrome.hooks import expand

    session.note_sign(NoteSign(kind="turn_began", agent_id=told.agent_id, transcript_path=told.transcript_path))
    capsule = _capsule(session, told.agent) if session.is_new_to_prompts() else None
    return _context("UserPromptSubmit", expand.of_prompt(told.prompt), capsule)


def _tell_capsule(session: Session, told: TellCapsule) -> str:
    """Where a conversation is cut: tell the agent who it is."""
    capsule = _capsule(session, told.agent)
    if told.event == "PreCompact":
        return (
            _KEEP + capsule if capsule else ""
        )  # whatever is said there becomes part of what the summary is asked for
    return _context(told.event, capsule)


def _capsule(session: Session, agent: Agent) -> str | None:
    from trichrome.coordinator import capsules

    return capsules.capsule(*session.caller(agent)) if session.joins() else None


def _context(event: str, *texts: str | None) -> str:
    """A decision that adds to the conversation; nothing where there is nothing to add."""
    if not (said := "\n\n".join(filter(None, texts))):
        return NOTHING
    return json.dumps({"hookSpecificOutput": {"hookEventName": event, "additionalContext": said}})


class CheckEdit(_OfAgent):
    """Arguments of check_edit: what a tool that writes was given; `cwd` is where its paths begin."""

    cwd: str = ""
    file_path: str = ""
    notebook_path: str = ""
    command: str = ""


def _check_edit(session: Session, told: CheckEdit) -> str:
    """Before a tool writes: refuse what is not the agent's to write, with what to do instead."""
    from trichrome.mcp_server import edits

    if not session.has_gate():
        return NOTHING
    project = session.project()
    ground = edits.ground(project.folder, os.environ)
    asked = {name: getattr(told, name) for name in ("file_path", "notebook_path", "command")}
    paths = list(edits.named(**asked, folder=told.cwd or str(ground.root)))
    said = next(filter(None, map(ground.outside, paths)), None)
    if said is None and (wanted := edits.inside(paths, ground.root)):
        from trichrome.coordinator import gate

        said = gate.refusal(*session.caller(told.agent), wanted)
    if said is None:
        return NOTHING
    decision = {"permissionDecision": "deny", "permissionDecisionReason": said}
    return json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse", **decision}})


HOOKS: Final[Mapping[str, Hook[Any]]] = {
    "note_sign": Hook(NoteSign, _note_sign, is_instant=True),
    "note_prompt": Hook(NotePrompt, _note_prompt),
    "note_stop": Hook(NoteStop, _note_stop),
    "tell_capsule": Hook(TellCapsule, _tell_capsule),
    "check_edit": Hook(CheckEdit, _check_edit),
}
"""Every tool for hooks, by name; server/trichrome/hooks/table.py says which hook calls which."""
