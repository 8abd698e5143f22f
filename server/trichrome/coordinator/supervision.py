"""What a supervisor asks of the log, and what it and the commands tell each other through it.

A supervisor starts a session for each task, and alone ends what the session leaves unreported: it knows why the session
is over. Guarantee: whoever is told twice that a session is over ends its attempt once.

The fleet and its orders are soft documents: the supervisor writes who works, the commands write what is wanted, and
each change wakes whoever watches the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from trichrome.coordinator import consequences, costs, liveness
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import is_same_machine
from trichrome.coordinator.tasks import existing
from trichrome.domain import decisions, reservations, text
from trichrome.domain.events import Report, SessionEnded
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.tasks import Task
from trichrome.errors import InvalidError
from trichrome.store.port import LiveAttempt, Reading

Document = dict[str, Any]

_FLEET: Final = "fleet"
_ORDERS: Final = "orders"
_DENIALS: Final = 50
"""The most tools that the log keeps as denied to one session."""
_SAID_BYTES: Final = 1500
"""How much of a session's last words the log keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """A session that is over.

    Attributes:
        task: what it was started for.
        worker: who it was.
        runner: what started it.
        reason: why it ended, in a sentence.
        attempt: the attempt that it had; None where it claimed nothing.
        session: its id, where its program has one.
        usage: tokens by model id: `input`, `output`, `cache_read`, `cache_write`.
        cost_usd: what it cost, where its program says so; None is by list prices.
        denials: tools that it was not allowed to use.
        transcript: where its program keeps it.
        said: the end of what it said; of that the log keeps the last 1,500 bytes.
        branch: `trichrome/<task>`, where it holds work of the task.
    """

    task: str
    worker: str
    runner: str
    reason: str
    attempt: AttemptId | None = None
    session: str | None = None
    usage: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cost_usd: float | None = None
    denials: Sequence[str] = ()
    transcript: str | None = None
    said: str | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True)
class Claimable:
    """A task that could be claimed now.

    Attributes:
        conflicts: others of those asked for that could be claimed now, and that change the same files: whoever is
            claimed first keeps the others waiting.
    """

    task: Task
    conflicts: frozenset[TaskId] = frozenset()


# --- work -------------------------------------------------------------------------------------------------------------


def claimable(c: Coordinator, roles: Sequence[str], *, limit: int = 64) -> list[Claimable]:
    """What claims of some roles could take now, in their order.

    Args:
        c: the project.
        roles: whose tasks; conflicts are told across them.
        limit: the most tasks of each role.
    """
    with c.store.reading() as view:
        is_due = view.next_moment() == 0.0
    if is_due:
        liveness.sweep(c)
    with c.store.reading() as view:
        found = view.all_claimable(roles, limit=limit)
    conflicts = _conflicts(found)
    return [Claimable(task, frozenset(conflicts.get(task.id, ()))) for task in found]


def _conflicts(found: Sequence[Task]) -> dict[TaskId, set[TaskId]]:
    """Which of these tasks change the same files as others of them."""
    changed_by: dict[str, set[TaskId]] = {}
    for task in found:
        for hold in reservations.holds(task.files):
            changed_by.setdefault(hold.path, set()).add(task.id)
    conflicts: dict[TaskId, set[TaskId]] = {}
    for path, mine in changed_by.items():
        above = set().union(*(changed_by.get(each, ()) for each in reservations.ancestors(path)))
        for each in mine:
            conflicts.setdefault(each, set()).update(above)
        for each in above:
            conflicts.setdefault(each, set()).update(mine)
    return {each: others - {each} for each, others in conflicts.items()}


def attempt_of(c: Coordinator, worker: str) -> AttemptId | None:
    """The live attempt of a named worker, or of an agent in it."""
    with c.store.reading() as view:
        return next((live.attempt for live in _held(view, worker)), None)


def _held(view: Reading, worker: str) -> list[LiveAttempt]:
    """What a named worker holds, and after that what agents in its session hold."""
    found = [
        live
        for live in view.live_attempts()
        if live.worker == worker or (live.principal is not None and live.principal.name == worker)
    ]
    return sorted(found, key=lambda live: live.worker != worker)


# --- the end of a session ---------------------------------------------------------------------------------------------


def end_attempt(
    c: Coordinator, worker: str, *, outcome: Literal["failed", "released"], reason: str
) -> AttemptId | None:
    """End what a named worker holds whose session is over without a report; answers what, None for nothing.

    Args:
        c: the project.
        worker: its name; what agents in its session hold ends too.
        outcome: `failed` counts as a try, `released` does not.
        reason: why the session is over, for the next worker and for people; cut at 4 KiB.
    """
    if attempt_of(c, worker) is None:
        return None
    why = text.shortened(reason, limit=text.SUMMARY_BYTES) or "its session ended without a report"
    with c.store.writing(actor="trichrome", causation="session_over") as tx:
        ended = [live.attempt for live in _held(tx, worker)]
        for attempt in ended:
            task = tx.task(attempt.task)
            assert task is not None
            consequences.decide(c, tx, task, _ending(c, task, outcome, why))
    return next(iter(ended), None)


def _ending(c: Coordinator, task: Task, outcome: str, why: str) -> decisions.Release | decisions.Fail:
    assert task.attempt is not None
    number, principal = task.attempt.number, task.attempt.principal
    if outcome == "released":
        return decisions.Release(attempt=number, principal=principal, reason=why, by="trichrome")
    return decisions.Fail(
        attempt=number, principal=principal, report=Report(why), retry=True, delay_seconds=liveness.delay(c, task)
    )


def session_ended(c: Coordinator, ended: SessionFacts) -> None:
    """Keep in the log what a session used and why it ended; a cost that nobody knows is reckoned by list prices.

    Raises:
        NotFoundError: there is no such task.
        InvalidError: a branch that is none of the task.
    """
    if ended.branch not in {None, f"trichrome/{ended.task}"}:
        raise InvalidError(f"{ended.branch!r} is no branch for the work of {ended.task}.", field="branch")
    usage = {text.one_line(model, most=text.NAME_CHARS): dict(tokens) for model, tokens in ended.usage.items()}
    event = SessionEnded(
        worker=ended.worker,
        runner=text.one_line(ended.runner, most=text.NAME_CHARS),
        reason=text.shortened(ended.reason, limit=text.SUMMARY_BYTES),
        attempt=ended.attempt.number if ended.attempt is not None else None,
        session=None if ended.session is None else text.one_line(ended.session, most=text.NAME_CHARS),
        usage=usage or None,
        cost_usd=costs.price(usage) if ended.cost_usd is None else ended.cost_usd,
        denials=tuple(text.one_line(tool, most=text.NAME_CHARS) for tool in ended.denials[:_DENIALS]),
        transcript=None if ended.transcript is None else text.shortened(ended.transcript, limit=text.PATH_BYTES),
        said=text.ending(ended.said or "", limit=_SAID_BYTES) or None,
        branch=ended.branch,
    )
    with c.store.writing(actor="trichrome", causation="session_over") as tx:
        task = existing(tx, ended.task)
        consequences.append(c, tx, task, [event])


def cost_since(c: Coordinator, position: int) -> float:
    """What sessions that ended above a position of the log cost, in US dollars."""
    with c.store.reading() as view:
        return view.spent(after=position)


# --- documents --------------------------------------------------------------------------------------------------------


def fleet(c: Coordinator) -> Document | None:
    """The workers that a supervisor keeps, as it wrote them last; None where none does."""
    with c.store.reading() as view:
        return _read(view, _FLEET)


def put_fleet(c: Coordinator, document: Mapping[str, Any] | None) -> None:
    """Tell others of the fleet, or that there is none any more."""
    _put(c, _FLEET, document)


def orders(c: Coordinator) -> Document:
    """What is wanted of the fleet; empty where nobody wants anything."""
    with c.store.reading() as view:
        return _read(view, _ORDERS) or {}


def put_orders(c: Coordinator, document: Mapping[str, Any]) -> None:
    """Tell the supervisor what is wanted, in place of all that was."""
    _put(c, _ORDERS, document)


def staff(c: Coordinator, view: Reading, role: str) -> list[Document]:
    """The workers of a role in the fleet; none once its supervisor is seen to be gone, or cannot be seen."""
    known = _read(view, _FLEET)
    if known is None or not _is_seen(c, known["supervisor"]):
        return []
    return [worker for worker in known["workers"] if worker["role"] == role]


def held(c: Coordinator, view: Reading) -> Mapping[str, str]:
    """Tasks that a supervisor starts no session for until a person acts, and why."""
    known = _read(view, _FLEET)
    if known is None or not _is_seen(c, known["supervisor"]):
        return {}
    return {each["task"]: each["reason"] for each in known.get("held", ())}


def is_seen(c: Coordinator, view: Reading) -> bool:
    """Whether a supervisor is seen to live. One of another boot is dead, and its number may be another's by now."""
    known = _read(view, _FLEET)
    return known is not None and _is_seen(c, known["supervisor"])


def _is_seen(c: Coordinator, supervisor: Document) -> bool:
    is_here = c.machine is not None and is_same_machine(tuple(supervisor["machine"]), c.machine)
    return is_here and c.is_alive((supervisor["pid"], supervisor["start"]))


def _read(view: Reading, name: str) -> Document | None:
    known = view.document(name)
    found: Document | None = None if known is None else json.loads(known)
    return found


def _put(c: Coordinator, name: str, document: Mapping[str, Any] | None) -> None:
    """Keep a document; one that says what is known already wakes nobody."""
    said = None if document is None else json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    with c.store.reading() as view:
        is_known = view.document(name) == said
    if not is_known:
        with c.store.writing(actor="trichrome", causation=name) as tx:
            tx.put_document(name, said)
