"""The end of an agent's turn while it holds an attempt: what it is told once, and what becomes of the attempt.

A subagent that has ended its turn does not come back by itself, so an attempt that it did not report is free again. The
main agent of a session may have to ask a person, so it keeps what it holds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from trichrome.coordinator import consequences, liveness
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import former_worker, supervisor_of
from trichrome.domain import decisions, text
from trichrome.domain.ids import AttemptId
from trichrome.store.port import Reading, Worker

_REPORT: Final = (
    'You hold {attempt} ("{words}"), and have not reported it. Call report_result(attempt="{attempt}", outcome=...) '
    "now: completed with a summary, failed with the reason, or released if another worker should do it."
)
_OR_ASK: Final = " Only if a person has to answer first: say what you ask, and end your turn."
_WORDS: Final = 60
"""Characters of the task that the reminder quotes."""
SILENT: Final = "its subagent ended its turn without a report"
ENDED: Final = "its subagent was ended"


def worker_of(c: Coordinator, view: Reading, caller: Caller) -> Worker | None:
    """The worker that a caller is, or was through an earlier server of its client.

    None for one that was never seen, or for several that nothing tells apart.
    """
    worker = view.worker_of(caller.principal, caller.agent) or former_worker(c, view, caller)
    return None if worker is None or worker.is_shared else worker


def reminder(c: Coordinator, caller: Caller) -> str | None:
    """What an agent should hear that is about to end its turn with an attempt unreported; None without one."""
    with c.store.reading() as view:
        worker = worker_of(c, view, caller)
        held = view.live_attempt_of(worker.name) if worker is not None else None
        brief = view.brief(held.task) if held is not None else None
    if held is None or brief is None:
        return None
    words = text.one_line(brief.instructions, most=_WORDS)
    return _REPORT.format(attempt=held, words=words) + ("" if caller.agent else _OR_ASK)


def end(c: Coordinator, caller: Caller, *, why: str) -> AttemptId | None:
    """End the attempt of a subagent that will not report it; answers which, or None without one."""
    with c.store.reading() as view:
        worker = worker_of(c, view, caller)
        held = view.live_attempt_of(worker.name) if worker is not None else None
    return held if worker is not None and held is not None and _rescue(c, held, worker.name, why) else None


def end_others(c: Coordinator, caller: Caller, *, running: Collection[str]) -> list[AttemptId]:
    """End the attempts of the caller's subagents that are not among those which still run; answers which."""
    with c.store.reading() as view:
        left = [each for each in _held_by_subagents(view, caller.principal) if each[1].agent not in running]
    return [attempt for attempt, worker in left if _rescue(c, attempt, worker.name, ENDED)]


def _held_by_subagents(view: Reading, principal: str) -> Iterator[tuple[AttemptId, Worker]]:
    for live in view.live_attempts():
        worker = view.worker(live.worker)
        if worker is not None and worker.agent is not None and worker.principal == principal:
            yield live.attempt, worker


def _rescue(c: Coordinator, attempt: AttemptId, worker: str, why: str) -> bool:
    """Rescue an attempt if this worker still holds it and no supervisor decides about it."""
    with c.store.writing(actor="trichrome", causation="turn") as tx:
        task = tx.task(attempt.task)
        last = task.attempt if task is not None else None
        if task is None or last is None or (last.number, last.worker) != (attempt.number, worker):
            return False
        owner = tx.principal(last.principal)
        if owner is not None and supervisor_of(c, owner) is not None:
            return False
        command = decisions.Rescue(
            attempt=attempt.number, principal=last.principal, reason=why, delay_seconds=liveness.delay(c, task)
        )
        return consequences.decide(c, tx, task, command) is not task
