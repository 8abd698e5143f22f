"""Whether the worker behind a running attempt is still there, and what to do when it is not.

A live client is never rescued by lease. What ends an attempt here: its client's exit, seen on this machine; the lapse
of a lease, only where the client cannot be seen (another machine, boot or pid namespace, or a named worker); and the
ceiling of the attempt. Any live server or command may sweep; a rescue names the principal that it saw dead, so two
sweeps, or a sweep and an adoption, cannot both win.
"""

from __future__ import annotations

from trichrome.coordinator import consequences, runs
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import is_here
from trichrome.domain import decisions
from trichrome.domain.ids import AttemptId
from trichrome.domain.tasks import Task
from trichrome.store.port import LiveAttempt, Principal, Reading


def why_gone(c: Coordinator, live: LiveAttempt) -> str | None:
    """Why an attempt's worker counts as gone; None while it does not."""
    principal = live.principal
    if principal is None:
        return "nobody knows its worker any more" if live.lapsed else None
    if principal.name is not None:
        return (
            f"worker {principal.name} has not been heard of for {principal.lease_seconds:g} s" if live.lapsed else None
        )
    if principal.client is not None and is_here(c, principal):
        return None if c.is_alive(principal.client) else f"its client (process {principal.client[0]}) is gone"
    return "its lease ran out, and its client cannot be seen from here" if live.lapsed else None


def sweep(c: Coordinator) -> list[AttemptId]:
    """End attempts whose worker is gone or whose time is over, and let in what is due; answers which ended.

    With nothing to do it writes nothing.
    """
    with c.store.reading() as view:
        is_quiet = not _over(c, view) and view.next_moment() != 0.0
    ended: list[AttemptId] = []
    if not is_quiet:
        with c.store.writing(actor="trichrome", causation="sweep") as tx:
            tx.bring_forward_due()
            for live, why in _over(c, tx):  # looked at again: one may have been heard of, or adopted, since
                task = tx.task(live.attempt.task)
                assert task is not None
                if task is not consequences.decide(c, tx, task, _ending(c, task, live, why)):
                    ended.append(live.attempt)
    runs.pause_leaderless(c)
    return ended


def _over(c: Coordinator, view: Reading) -> list[tuple[LiveAttempt, str | None]]:
    """Attempts to be ended, with why their worker counts as gone, or None for those over their ceiling."""
    return [(live, why) for live in view.live_attempts() if (why := why_gone(c, live)) or live.over_ceiling]


def _ending(c: Coordinator, task: Task, live: LiveAttempt, why: str | None) -> decisions.Rescue | decisions.Expire:
    if why is None:
        return decisions.Expire(attempt=live.attempt.number, delay_seconds=delay(c, task))
    assert task.attempt is not None
    return decisions.Rescue(
        attempt=live.attempt.number, principal=task.attempt.principal, reason=why, delay_seconds=delay(c, task)
    )


def delay(c: Coordinator, task: Task) -> float:
    """How long a task waits before its next try, in seconds."""
    return decisions.backoff(
        task.tries,
        base_seconds=c.settings.backoff_seconds,
        cap_seconds=c.settings.backoff_cap_seconds,
        jitter=c.draw(),
    )


def renew(c: Coordinator, principal: Principal) -> None:
    """Renew the leases of a principal's attempts, and let those who cannot see its processes know that it is there."""
    with c.store.writing(actor=principal.id, causation="renew") as tx:
        tx.renew_leases(principal.id, lease_seconds=principal.lease_seconds)
