"""Events in words: what happened to a task, one line each, for a person or a model.

What agents wrote is quoted, cut and kept on its line, so that nobody can pass their text off as an event.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Final, assert_never

from trichrome.domain.events import (
    AttemptAdopted,
    AttemptExpired,
    AttemptFailed,
    AttemptNumbersRaised,
    AttemptReleased,
    AttemptRescued,
    AttemptResumed,
    ChangesRequested,
    ContextShared,
    DependencyCompleted,
    DependencyLost,
    Event,
    FilesReserved,
    LogReopened,
    LogSalvaged,
    MessageDelivered,
    MessageSent,
    ProgressReported,
    ResultSuperseded,
    ReviewRequested,
    RunCreated,
    RunPaused,
    RunResumed,
    SessionEnded,
    TaskAmended,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskRetried,
)
from trichrome.domain.text import one_line
from trichrome.store.port import Recorded

QUOTED_CHARS: Final = 200
"""The most of an agent's text that a line shows."""


def line(recorded: Recorded) -> str:
    """One event as a sentence with its time, UTC."""
    at = dt.datetime.fromtimestamp(recorded.recorded_at, dt.UTC)
    return f"{at:%H:%M:%S} {sentence(recorded.stream, recorded.event)}"


def sentence(stream: str, event: Event) -> str:
    """What an event says, without its time."""
    match event:
        case TaskCreated():
            return _created(event)
        case DependencyCompleted():
            return f"{event.dependency}, which it waited for, completed"
        case DependencyLost():
            return f"the result of {event.dependency} was lost with a part of the log; it waits for it again"
        case TaskClaimed():
            return f"{event.worker} claimed it as {stream}.{event.attempt}"
        case AttemptAdopted():
            return f"{event.worker} went on with {stream}.{event.attempt} through a new server"
        case AttemptResumed():
            return f"{event.worker} came back to {stream}.{event.attempt} after its rescue"
        case AttemptReleased():
            return f"{event.by} gave {stream}.{event.attempt} back: {_quoted(event.reason)}"
        case AttemptRescued():
            return f"{stream}.{event.attempt} was rescued: {event.reason}{_after(event.delay_seconds)}"
        case AttemptExpired():
            return f"{stream}.{event.attempt} ran over {event.limit_seconds:g} s{_after(event.delay_seconds)}"
        case AttemptFailed():
            return f"{stream}.{event.attempt} failed: {_quoted(event.report.summary)}{_after(event.delay_seconds)}"
        case ProgressReported():
            done = "" if event.fraction is None else f" ({event.fraction:.0%})"
            said = f": {_quoted(event.note)}" if event.note else ""
            return f"{stream}.{event.attempt} progress{done}{said}"
        case FilesReserved():
            held = one_line(", ".join(event.paths), most=QUOTED_CHARS)
            return f"{stream}.{event.attempt} reserved {held} ({event.mode})"
        case ResultSuperseded():
            return f"{event.worker} reported {stream}.{event.attempt} too late; kept as superseded"
        case ReviewRequested():
            return f"{stream}.{event.attempt} reported completion; {event.review} reviews it"
        case ChangesRequested():
            return f"{event.by} sent {stream}.{event.attempt} back: {_quoted(event.summary)}"
        case TaskCompleted():
            return _completed(stream, event)
        case TaskFailed():
            return f"failed: {event.reason}"
        case TaskCancelled():
            return f"{event.by} cancelled it: {_quoted(event.reason)}"
        case TaskRetried():
            return f"{event.by} put it back, with all its tries"
        case TaskAmended():
            return f"{event.by} amended its {_amended(event)}"
        case AttemptNumbersRaised():
            return f"attempt numbers up to {event.to} were set aside"
        case SessionEnded():
            return _session(stream, event)
        case RunCreated():
            return f"{event.lead} began run {event.run}"
        case RunPaused():
            return f"{event.by} paused the run"
        case RunResumed():
            return f"{event.by} resumed the run"
        case MessageSent():
            return f"{event.sender} wrote to {', '.join(event.to)}"
        case MessageDelivered():
            return f"{event.worker} has it"
        case ContextShared():
            return f"{event.by} wrote version {event.version} of note {one_line(event.name)}"
        case LogSalvaged():
            how = "salvaged" if event.backup is None else f"put back to {one_line(event.backup)}"
            return f"the log was {how}{'; holes in ' + one_line(', '.join(event.holes)) if event.holes else ''}"
        case LogReopened():
            return "the log was opened after the machine had gone down; what was acknowledged last may be missing"
        case _:
            assert_never(event)


def _created(event: TaskCreated) -> str:
    waits = f", waiting for {', '.join(event.depends_on)}" if event.waiting_on else ""
    reviews = f", reviewing {event.reviews}" if event.reviews is not None else ""
    return f"{event.created_by} created it: {event.kind} for {event.role}{waits}{reviews}"


def _completed(stream: str, event: TaskCompleted) -> str:
    if event.approved_by is not None:
        return f"{event.approved_by} approved {stream}.{event.attempt}: completed"
    verdict = "" if event.outcome == "completed" else f" with verdict {event.outcome}"
    return f"{stream}.{event.attempt} completed it{verdict}"


def _session(stream: str, event: SessionEnded) -> str:
    """How a session ended and what it said last, what it took, what it was not allowed, where it and its work are."""
    whose = (
        f"{event.worker}'s session"
        if event.attempt is None
        else f"{event.worker}'s session for {stream}.{event.attempt}"
    )
    tokens = sum(sum(each.values()) for each in (event.usage or {}).values())
    took = [f"${event.cost_usd:.4f}"] if event.cost_usd is not None else []
    took += [f"{tokens:,} tokens"] if tokens else []
    parts = [f"{whose} ended: {_quoted(event.reason)}"]
    parts += [f"it said last: {_quoted(event.said)}"] if event.said is not None else []
    parts += [" and ".join(took)] if took else []
    parts += [f"not allowed: {one_line(', '.join(event.denials), most=QUOTED_CHARS)}"] if event.denials else []
    parts += [f"work: {event.branch}"] if event.branch is not None else []
    parts += [f"transcript: {one_line(event.transcript)}"] if event.transcript is not None else []
    return "; ".join(parts)


def _amended(event: TaskAmended) -> str:
    parts = [] if event.priority is None else [f"priority to {event.priority}"]
    return " and ".join([*parts, *(["instructions"] if event.instructions is not None else [])])


def _quoted(text: str) -> str:
    return json.dumps(one_line(text, most=QUOTED_CHARS), ensure_ascii=False)


def _after(seconds: float) -> str:
    return f"; next try in {seconds:.0f} s" if seconds else ""
