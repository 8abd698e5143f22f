"""A run: the tasks of one request, its lead, and whether it is paused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from trichrome.domain.events import OnLeadGone, RunCreated, RunEvent, RunPaused, RunResumed
from trichrome.domain.ids import RunId
from trichrome.domain.values import replace


@dataclass(frozen=True)
class Run:
    """The state of a run."""

    id: RunId
    lead: str
    paused: bool = False
    on_lead_gone: OnLeadGone = "continue"


def pause(run: Run, *, by: str) -> list[RunEvent]:
    """Hold back what is not running yet; nothing if it is paused already."""
    return [] if run.paused else [RunPaused(by=by)]


def resume(run: Run, *, by: str) -> list[RunEvent]:
    """Let it be claimed again; nothing if it is not paused."""
    return [RunResumed(by=by)] if run.paused else []


def evolve(run: Run | None, event: RunEvent) -> Run:
    """The run after an event."""
    match event:
        case RunCreated():
            return Run(id=event.run, lead=event.lead, on_lead_gone=event.on_lead_gone)
        case RunPaused():
            assert run is not None
            return replace(run, paused=True)
        case RunResumed():
            assert run is not None
            return replace(run, paused=False)
        case _:
            assert_never(event)
