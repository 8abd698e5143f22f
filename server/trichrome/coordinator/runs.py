"""Holding a run back, letting it go on, and noticing that its lead is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import is_reachable, worker_for
from trichrome.coordinator.tasks import existing_run
from trichrome.domain import runs
from trichrome.domain.runs import Run
from trichrome.store.port import Principal, Reading

_NAMED: Final = 5


def named(some: Sequence[Run]) -> str:
    """The newest of some runs, oldest first as they come, for advice."""
    newest = ", ".join(run.id for run in some[: -_NAMED - 1 : -1])
    return newest if len(some) <= _NAMED else f"{newest} and {len(some) - _NAMED} more"


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
    with c.store.reading() as view:
        known = view.run(existing_run(view, run))
        assert known is not None
        lost = _lost_lead(c, view, known)
    causation = "pause" if paused else "resume" if lost is None else _resumed_without(lost)
    with c.store.writing(actor=caller.principal, causation=causation) as tx:
        state = tx.run(known.id)
        assert state is not None
        by = worker_for(c, tx, caller).name
        events = runs.pause(state, by=by) if paused else runs.resume(state, by=by)
        if events:
            tx.append(known.id, events)
        after = tx.run(known.id)
        assert after is not None
        return after


def _resumed_without(lost: Principal) -> str:
    """How the log says that somebody let a run go on though its lead was gone; a lead that returns is another."""
    return f"resume without {lost.id}"


def _lost_lead(c: Coordinator, view: Reading, run: Run) -> Principal | None:
    """The principal of a run's lead, when it can no longer call; a person at a shell is never gone."""
    lead = view.worker(run.lead)
    principal = view.principal(lead.principal) if lead is not None else None
    return principal if principal is not None and not is_reachable(c, view, principal) else None


def leaderless(c: Coordinator, view: Reading) -> list[Run]:
    """Runs that are not over and whose lead can no longer call."""
    return [run for run in view.open_runs() if _lost_lead(c, view, run) is not None]


def pause_leaderless(c: Coordinator) -> None:
    """Pause runs whose lead is gone, where they were begun to do so: once for each lead lost, so a resume holds.

    Without any nothing is written.
    """
    with c.store.reading() as view:
        gone = [run.id for run in view.open_runs(on_lead_gone="pause") if is_to_pause(c, view, run)]
    for handle in gone:
        with c.store.writing(actor="trichrome", causation="sweep") as tx:
            run = tx.run(handle)
            assert run is not None
            if is_to_pause(c, tx, run):  # looked at again: somebody may have resumed it, or its lead returned, since
                tx.append(handle, runs.pause(run, by="trichrome"))


def is_to_pause(c: Coordinator, view: Reading, run: Run) -> bool:
    """Whether a run waits for a lead that is gone, and nobody has noted it yet."""
    if run.paused or run.on_lead_gone == "continue":
        return False
    lost = _lost_lead(c, view, run)
    return lost is not None and view.newest_events(run.id, limit=1)[0].causation != _resumed_without(lost)
