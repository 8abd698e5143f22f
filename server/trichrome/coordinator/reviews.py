"""What the operator says about a result that nobody can review, or that was reviewed wrongly."""

from __future__ import annotations

from trichrome.coordinator import consequences
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.coordinator.tasks import existing
from trichrome.domain import decisions, text
from trichrome.domain.tasks import Task
from trichrome.errors import InvalidError
from trichrome.store.port import Reading


def approve(c: Coordinator, caller: Caller, task: str) -> Task:
    """Complete a task that is in review; its open review is closed.

    Raises:
        TrichromeError: `not_found`; `invalid` for a task that is not in review.
    """
    with c.store.writing(actor=caller.principal, causation="approve") as tx:
        under, attempt = _in_review(tx, task)
        by = worker_for(c, tx, caller).name
        return consequences.decide(c, tx, under, decisions.Approve(attempt=attempt, by=by))


def reject(c: Coordinator, caller: Caller, task: str, *, reason: str, final: bool = False) -> Task:
    """Send a task in review back with a reason, or end it (`final`); its open review is closed.

    Raises:
        TrichromeError: `not_found`; `invalid` for a task that is not in review, or an empty reason.
    """
    why = text.required(reason, field="reason", limit=text.SUMMARY_BYTES)
    with c.store.writing(actor=caller.principal, causation="reject") as tx:
        under, attempt = _in_review(tx, task)
        by = worker_for(c, tx, caller).name
        return consequences.decide(c, tx, under, decisions.SendBack(attempt=attempt, by=by, summary=why, final=final))


def _in_review(tx: Reading, task: str) -> tuple[Task, int]:
    found = existing(tx, task)
    if found.state != "in_review" or found.result is None:
        raise InvalidError(f"{found.id} is {found.state}, not in review. `trichrome show {found.id}` tells more.")
    return found, found.result
