"""Signs of life that hooks give: keeping them, and letting a ceiling stand still while a person is awaited.

A sign says what one agent of a client does now; only its newest one means something. Signs are soft state of one boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import is_same_client, is_server_gone
from trichrome.domain.evidence import Seen, latest
from trichrome.store.port import LiveAttempt, Principal, Reading, Sign, Worker, Writing


def of(worker: Worker, workers: Iterable[Worker], told: Iterable[Sign], *, now: float) -> list[Seen]:
    """Those signs of a principal that are a worker's: its agent's, and of agents that nobody tells apart from it.

    Args:
        worker: whose signs are wanted.
        workers: those known, among them all of the same principal.
        told: what is kept of the principal that the signs came through.
        now: seconds of this boot's monotonic clock.
    """
    others = {each.agent for each in workers if each.principal == worker.principal} - {worker.agent}
    return [
        Seen(sign.kind, sign.agent, max(0.0, now - sign.at), sign.detail)
        for sign in told
        if sign.kind != "transcript"
        and (sign.agent == (worker.agent or "") or (worker.agent is None and sign.agent not in others))
    ]


def note(c: Coordinator, principal: Principal, told: Sequence[Sign]) -> None:
    """Keep what hooks told of a server's agents; while one waits for a person, its attempt's ceiling stands still."""
    newest = max(sign.at for sign in told)
    with c.store.writing(actor=principal.id, causation="sign") as tx:
        for sign in told:
            _keep(tx, sign)
        for live, worker in _lives(c, tx, principal):
            opened = _opened(tx, worker, principal, now=newest)
            if opened is not None:
                tx.pause_ceiling(live.attempt, at=opened)
            else:
                tx.resume_ceiling(live.attempt, at=newest)


def _keep(tx: Writing, sign: Sign) -> None:
    if sign.kind == "turn_ended" and sign.agent:
        tx.drop_signs(sign.principal, agent=sign.agent)  # a subagent has one turn
        return
    if sign.kind == "turn_began" and not sign.agent:
        for agent in {each.agent for each in tx.signs() if each.principal == sign.principal and each.agent}:
            tx.drop_signs(sign.principal, agent=agent)  # who types has no prompt open, whatever became of those agents
    tx.put_sign(sign)


def _lives(c: Coordinator, tx: Reading, principal: Principal) -> Iterator[tuple[LiveAttempt, Worker]]:
    """The attempts of a server's workers, and those that an earlier one of its client left to be gone on with."""
    left = {live.attempt for live in tx.live_attempts_of_client(principal) if _is_left(c, tx, principal, live)}
    for live in tx.live_attempts():
        worker = tx.worker(live.worker)
        if worker is not None and (worker.principal == principal.id or live.attempt in left):
            yield live, worker


def _is_left(c: Coordinator, tx: Reading, principal: Principal, live: LiveAttempt) -> bool:
    owner = live.principal
    return owner is not None and is_same_client(principal, owner) and is_server_gone(c, tx, owner)


def _opened(tx: Reading, worker: Worker, principal: Principal, *, now: float) -> float | None:
    """When the oldest prompt opened that a worker waits at; None where it waits at none."""
    mine = [sign for sign in tx.signs() if sign.principal == principal.id]
    waiting = [seen for seen in latest(of(worker, tx.workers(), mine, now=now)) if seen.kind == "prompt_opened"]
    return min((now - seen.ago for seen in waiting), default=None)
