"""Messages between workers: sent once, offered with the receiver's answers until it is seen to have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trichrome.coordinator.answers import Handed, Sent
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.coordinator.tasks import existing_run
from trichrome.domain import ids, messages, text
from trichrome.domain.events import MessageSent
from trichrome.domain.ids import MessageId
from trichrome.domain.messages import Message
from trichrome.errors import InvalidError, NotFoundError
from trichrome.store.port import Reading, Worker

INBOX_BYTES: Final = 8 * 1024
"""The most text of others that rides on one answer; a single message may be longer than what is left of it."""


def send(c: Coordinator, caller: Caller, to: str, content: str) -> Sent:
    """Send a text to a worker, a role, a run, or `lead` (of the run the sender works for).

    Raises:
        TrichromeError: `not_found` when nobody answers to the address; `invalid`, `too_large`.
    """
    body = text.required(content, field="text", limit=text.MESSAGE_BYTES)
    address = text.clean(to)
    with c.store.writing(actor=caller.principal, causation="send_message") as tx:
        sender = worker_for(c, tx, caller)
        receivers = [name for name in _receivers(c, tx, sender, address) if name != sender.name]
        if not receivers:
            raise NotFoundError(
                f"Nobody answers to {address[:40]!r} now. get_status shows the workers; a role, a run or lead will do "
                "too.",
                field="to",
            )
        message = tx.new_message()
        tx.append(message, [MessageSent(message=message, sender=sender.name, to=tuple(receivers), text=body)])
    return {"message": message, "to": receivers}


def _receivers(c: Coordinator, tx: Reading, sender: Worker, to: str) -> list[str]:
    if to == "lead":
        return [_lead(tx, sender)]
    if to in c.roles:
        return _workers_of_role(tx, to)
    try:
        run = existing_run(tx, to, field="to")
    except InvalidError:
        return [to] if tx.worker(to) is not None else []
    state = tx.run(run)
    assert state is not None
    busy = [live.worker for live in tx.live_attempts() if _run_of(tx, live.attempt.task) == run]
    return list(dict.fromkeys([state.lead, *busy]))


def _workers_of_role(tx: Reading, role: str) -> list[str]:
    busy = [live.worker for live in tx.live_attempts() if _role_of(tx, live.attempt.task) == role]
    return list(dict.fromkeys([*(each.name for each in tx.workers() if each.role == role), *busy]))


def _role_of(tx: Reading, task: ids.TaskId) -> str | None:
    state = tx.task(task)
    return state.role if state is not None else None


def _run_of(tx: Reading, task: ids.TaskId) -> ids.RunId | None:
    state = tx.task(task)
    return state.run if state is not None else None


def _lead(tx: Reading, sender: Worker) -> str:
    held = tx.live_attempt_of(sender.name)
    run = _run_of(tx, held.task) if held is not None else None
    state = tx.run(run) if run is not None else None
    if state is None:
        raise InvalidError("You work for no run now, so you have no lead. Name a worker or a run.", field="to")
    return state.lead


@dataclass(frozen=True, slots=True)
class Inbox:
    """Messages that ride on one answer.

    Attributes:
        worker: whose they are.
        messages: their ids.
        handed: what the receiver reads.
    """

    worker: str
    messages: tuple[MessageId, ...]
    handed: list[Handed]


def inbox(c: Coordinator, caller: Caller) -> Inbox | None:
    """What rides on the caller's next answer; what it was offered before counts as delivered, since it calls again.

    Messages beyond `INBOX_BYTES` wait for the answer after. Tell `offer` once the answer has left.
    """
    if not c.store.has_undelivered():
        return None
    with c.store.reading() as view:
        worker = view.worker_of(caller.principal, caller.agent)
        waiting = view.undelivered(worker.name) if worker is not None else []
    if worker is None or not waiting:
        return None
    if any(was_offered for _, was_offered in waiting):
        with c.store.writing(actor=worker.name, causation="inbox") as tx:
            for message, was_offered in tx.undelivered(worker.name):
                if was_offered:
                    tx.append(message.id, messages.deliver(message, worker.name))
    fresh: list[Message] = []
    room = INBOX_BYTES
    for message, was_offered in waiting:
        if not was_offered and (room >= len(message.text.encode()) or not fresh):
            fresh.append(message)
            room -= len(message.text.encode())
    if not fresh:
        return None
    handed: list[Handed] = [{"from": message.sender, "text": message.text} for message in fresh]
    return Inbox(worker.name, tuple(message.id for message in fresh), handed)


def offer(c: Coordinator, inbox: Inbox) -> None:
    """Note that an inbox has left with its answer; it is delivered when its worker calls again."""
    with c.store.writing(actor=inbox.worker, causation="inbox") as tx:
        tx.offered(inbox.messages, worker=inbox.worker)
