"""Holding a run back, letting it go on, and noticing that its lead is gone."""

from __future__ import annotations

from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import is_reachable, worker_for
from trichrome.coordinator.tasks import existing_run
from trichrome.domain import runs
from trichrome.domain.runs import Run
from trichrome.store.port import Reading


def pause(c: Coordinator, caller: Caller, run: str) -> Run:
    """Let nothing more of a run be claimed; what runs goes on.

    Raises:
        TrichromeError: `not_found`, `invalid`.
    """
    return _change(c, caller, run, paused=True)


def resume(c: Coordinator, caller: Caller, run: str) -> Run:
    """Let a paused run go on.

    Raises:
        TrichromeError: `not_found`, `invalid`.
    """
    return _change(c, caller, run, paused=False)


def _change(c: Coordinator, caller: Caller, run: str, *, paused: bool) -> Run:
    with c.store.writing(actor=caller.principal, causation="pause" if paused else "resume") as tx:
        handle = existing_run(tx, run)
        state = tx.run(handle)
        assert state is not None
        by = worker_for(c, tx, caller).name
        events = runs.pause(state, by=by) if paused else runs.resume(state, by=by)
        if events:
            tx.append(handle, events)
        after = tx.run(handle)
        assert after is not None
        return after


def leaderless(c: Coordinator, view: Reading) -> list[Run]:
    """Runs that are not over and whose lead can no longer call; a person at a shell is never gone."""
    without = []
    for run in view.open_runs():
        lead = view.worker(run.lead)
        principal = view.principal(lead.principal) if lead is not None else None
        if principal is not None and not is_reachable(c, view, principal):
            without.append(run)
    return without


def pause_leaderless(c: Coordinator) -> None:
    """Pause runs whose lead is gone, where they were begun to do so; without any nothing is written."""
    with c.store.reading() as view:
        gone = [run for run in leaderless(c, view) if run.on_lead_gone == "pause" and not run.paused]
    for run in gone:
        with c.store.writing(actor="trichrome", causation="sweep") as tx:
            state = tx.run(run.id)
            assert state is not None
            if events := runs.pause(state, by="trichrome"):
                tx.append(run.id, events)
