"""Messages between workers: sent once, offered with the receiver's answers until it is seen to have them."""

from __future__ import annotations

from trichrome.coordinator.answers import Handed, Sent
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.coordinator.tasks import existing_run
from trichrome.domain import ids, messages, text
from trichrome.domain.events import MessageSent
from trichrome.errors import InvalidError, NotFoundError
from trichrome.store.port import Reading, Worker


def send(c: Coordinator, caller: Caller, to: str, content: str) -> Sent:
    """Send a text to a worker, a role, a run, or `lead` (of the run the sender works for).

    Raises:
        TrichromeError: `not_found` when nobody answers to the address; `invalid`, `too_large`.
    """
    body = text.required(content, field="text", limit=text.MESSAGE_BYTES)
    with c.store.writing(actor=caller.principal, causation="send_message") as tx:
        sender = worker_for(c, tx, caller)
        receivers = [name for name in _receivers(c, tx, sender, to) if name != sender.name]
        if not receivers:
            raise NotFoundError(
                f"Nobody answers to {to[:40]!r} now. get_status shows the workers; a role, a run or lead will do too.",
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


def inbox(c: Coordinator, caller: Caller) -> list[Handed]:
    """What rides on the caller's next answer; what it was offered before counts as delivered, since it calls again."""
    with c.store.reading() as view:
        worker = view.worker_of(caller.principal, caller.agent)
        waiting = view.undelivered(worker.name) if worker is not None else []
    if worker is None or not waiting:
        return []
    with c.store.writing(actor=worker.name, causation="inbox") as tx:
        fresh = []
        for message, was_offered in tx.undelivered(worker.name):
            if was_offered:
                tx.append(message.id, messages.deliver(message, worker.name))
            else:
                fresh.append(message)
        tx.offered([message.id for message in fresh], worker=worker.name)
    return [{"from": message.sender, "text": message.text} for message in fresh]
