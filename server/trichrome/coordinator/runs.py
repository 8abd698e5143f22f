"""Holding a run back, and letting it go on."""

from __future__ import annotations

from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.coordinator.tasks import existing_run
from trichrome.domain import runs
from trichrome.domain.runs import Run


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
        by = worker_for(tx, caller).name
        events = runs.pause(state, by=by) if paused else runs.resume(state, by=by)
        if events:
            tx.append(handle, events)
        after = tx.run(handle)
        assert after is not None
        return after
