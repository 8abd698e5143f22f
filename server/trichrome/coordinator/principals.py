"""Who a caller is to the log: its principal, its worker name, and its standing toward an attempt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from trichrome.coordinator.context import OPERATOR_NAME, Caller, Coordinator
from trichrome.domain.decisions import Standing
from trichrome.domain.tasks import Attempt
from trichrome.errors import ConflictError, InvalidError
from trichrome.store.port import NOBODYS_LEASE_SECONDS, Principal, Reading, Worker, Writing

RESERVED: Final = frozenset({OPERATOR_NAME, "trichrome"})
"""Names that the log gives to somebody else: the person at the shell, and what happens by itself."""


def introduce(c: Coordinator, principal: Principal) -> None:
    """Remember a principal as connected. A principal bound to one role counts as a connected worker of it.

    Whoever renewed no lease, because all could see its processes, is given one from now if this one cannot.

    Raises:
        TrichromeError: `worker_in_use`, when a live server already is the named worker, or another worker bears the
            name; `invalid` for a reserved name.
    """
    with c.store.writing(actor=principal.name or principal.id, causation="connect") as tx:
        if principal.name is not None:
            _check_name(c, tx, principal, principal.name)
        _give_time(c, tx, principal)
        tx.put_principal(principal)
        if principal.name is not None or principal.role is not None:
            worker = worker_for(c, tx, Caller(principal.id, roles=_roles(principal)))
            if principal.role is not None:
                tx.put_worker(replace(worker, is_taker=True))


def introduce_again(c: Coordinator, principal: Principal) -> None:
    """Introduce a principal that the log knows nothing of any more, since a repair could not read who is there."""
    with c.store.reading() as view:
        is_known = view.principal(principal.id) is not None
    if not is_known:
        introduce(c, principal)


def _give_time(c: Coordinator, tx: Writing, newcomer: Principal) -> None:
    """Give a lease to those who are asked for one from now on; who was asked before has to show its own."""
    known = tx.principals()
    for each in known:
        if (
            not is_same_machine(each.machine, newcomer.machine)
            and _is_of_this_boot(c, each)
            and not is_lease_asked(known, each)
        ):
            tx.renew_leases(each.id, lease_seconds=each.lease_seconds)


def _check_name(c: Coordinator, tx: Reading, principal: Principal, name: str) -> None:
    if name in RESERVED:
        raise InvalidError(
            f"TRICHROME_WORKER cannot be {name!r}: that word means somebody else. Choose a name such as {name}-anna.",
            field="TRICHROME_WORKER",
        )
    for other in tx.principals():
        if other.name == name and other.id != principal.id and not is_server_gone(c, tx, other):
            raise ConflictError(
                f"Worker {name!r} is already served by process {other.server[0]}. Stop that one, or choose another "
                "TRICHROME_WORKER.",
                code="worker_in_use",
            )
    if _is_given_away(tx, name):
        raise ConflictError(
            f"The name {name!r} was given to another worker already. Choose another TRICHROME_WORKER.",
            code="worker_in_use",
        )


def may_bear(c: Coordinator, view: Reading, name: str) -> bool:
    """Whether a new server may be this named worker: nobody serves it, and no other worker was given its name."""
    is_served = any(each.name == name and not is_server_gone(c, view, each) for each in view.principals())
    return name not in RESERVED and not is_served and not _is_given_away(view, name)


def keep_name(c: Coordinator, name: str, *, role: str) -> bool:
    """Keep a name for a named worker that has not connected yet; False where it cannot have that name."""
    with c.store.writing(actor="trichrome", causation="hire") as tx:
        if not may_bear(c, tx, name):
            return False
        if tx.worker(name) is None:
            kept = Principal(
                id=f"kept-{name}",
                machine=c.machine or ("", "", ""),
                server=(0, 0),
                client=None,
                session=None,
                name=name,
                role=role,
                lease_seconds=NOBODYS_LEASE_SECONDS,
                connected=False,
            )
            tx.put_principal(kept)
            tx.put_worker(Worker(name, kept.id, None, role))
    return True


def _is_given_away(view: Reading, name: str) -> bool:
    """Whether a name is that of a worker which does not bear it by its own choice."""
    bearer = view.worker(name)
    owner = view.principal(bearer.principal) if bearer is not None else None
    return bearer is not None and (owner is None or owner.name != name)


def disconnect_gone(c: Coordinator) -> int:
    """Disconnect principals whose server and client are both seen dead; answers how many are known.

    Without any to disconnect nothing is written.
    """
    with c.store.reading() as view:
        known = view.principals()
    gone = gone_unnoted(c, known)
    if gone:
        with c.store.writing(actor="trichrome", causation="sweep") as tx:
            for each in gone:
                _disconnect(tx, each)
    return len(known)


def gone_unnoted(c: Coordinator, known: Iterable[Principal]) -> list[Principal]:
    """Those principals that count as connected though their server and client are both seen dead."""
    return [each for each in known if _is_gone(c, each)]


def _is_gone(c: Coordinator, principal: Principal) -> bool:
    if not is_here(c, principal) or c.is_alive(principal.server):
        return False
    return principal.client is None or not c.is_alive(principal.client)


def disconnect(c: Coordinator, principal: str) -> None:
    """Note that a server stops. Its attempts go on: their client, or a lease, decides about them."""
    with c.store.writing(actor=principal, causation="disconnect") as tx:
        known = tx.principal(principal)
        if known is not None:
            _disconnect(tx, known)


def _disconnect(tx: Writing, principal: Principal) -> None:
    tx.put_principal(replace(principal, connected=False))
    tx.drop_signs(principal.id)


def _roles(principal: Principal) -> tuple[str, ...] | None:
    return None if principal.role is None else (principal.role,)


def worker_for(
    c: Coordinator, tx: Writing, caller: Caller, *, prefix: str | None = None, inherit: str | None = None
) -> Worker:
    """The worker that a caller is, named at its first call; through a next server of its client it stays the same.

    Args:
        c: the project.
        tx: the transaction.
        caller: who asks; from here on the transaction's events are its worker's.
        prefix: what a new name begins with; else the one role it may serve, else `lead`.
        inherit: the name of the worker whose attempt the caller takes over, unless that is another agent's, or somebody
            can still call as it.
    """
    worker = tx.worker_of(caller.principal, caller.agent) or _named(c, tx, caller, prefix=prefix, inherit=inherit)
    tx.act_as(worker.name)
    return worker


def _named(c: Coordinator, tx: Writing, caller: Caller, *, prefix: str | None, inherit: str | None) -> Worker:
    principal = tx.principal(caller.principal)
    role = _one_role(caller)
    if caller.principal == OPERATOR_NAME:
        name = OPERATOR_NAME
    elif principal is not None and principal.name is not None and caller.agent is None:
        name = principal.name
    elif inherit is not None and _is_free(c, tx, caller, inherit):
        name = inherit
    elif (former := former_worker(c, tx, caller)) is not None:
        name = former.name
    elif principal is not None and principal.name is not None:
        name = _fresh(tx, f"{principal.name}-agent")
    else:
        name = _fresh(tx, prefix or role or "lead")
    before = tx.worker(name)
    worker = Worker(name, caller.principal, caller.agent, role)
    if before is not None:
        worker = replace(worker, is_taker=before.is_taker, is_shared=before.is_shared)
    tx.put_worker(worker)
    return worker


def _is_free(c: Coordinator, tx: Reading, caller: Caller, name: str) -> bool:
    """Whether a caller may go on as this worker: nobody else can still call as it, nor come back and be it.

    An agent that lost its name to another one would come back as a stranger to its own work, and could review it.
    """
    worker = tx.worker(name)
    if worker is None:
        return True
    server = tx.principal(worker.principal)
    return worker.agent == caller.agent and (server is None or not is_reachable(c, tx, server))


def _fresh(tx: Writing, prefix: str) -> str:
    """A name that nobody bears, not even a named worker."""
    name = tx.new_worker(prefix)
    while tx.worker(name) is not None:
        name = tx.new_worker(prefix)
    return name


def _one_role(caller: Caller) -> str | None:
    return caller.roles[0] if caller.roles is not None and len(caller.roles) == 1 else None


def former_worker(c: Coordinator, tx: Reading, caller: Caller) -> Worker | None:
    """The worker that a caller was through an earlier server of its client, now gone; the newest, were there several.

    A server's crash does not make its client somebody else: it still may not review its own work, still leads its
    runs and still gets its messages.
    """
    mine = tx.principal(caller.principal)
    if mine is None:
        return None
    for worker in tx.workers_of_client(mine):
        server = tx.principal(worker.principal)
        if (
            server is not None
            and (worker.agent, worker.role) == (caller.agent, _one_role(caller))
            and is_same_client(mine, server)
            and not is_reachable(c, tx, server)
        ):
            return worker
    return None


def is_here(c: Coordinator, principal: Principal) -> bool:
    """Whether process ids of a principal mean something here."""
    return c.machine is not None and is_same_machine(principal.machine, c.machine)


def is_same_machine(one: tuple[str, str, str], other: tuple[str, str, str]) -> bool:
    """One boot and one pid namespace; a host's name changes with its network."""
    return one[1:] == other[1:]


def _is_of_this_boot(c: Coordinator, principal: Principal) -> bool:
    return principal.machine[1] == c.clock.now().boot


def supervisor_of(c: Coordinator, principal: Principal) -> int | None:
    """The process that looks after a principal's worker, while it is seen to live."""
    supervisor = principal.supervisor
    is_there = supervisor is not None and is_here(c, principal) and c.is_alive(supervisor)
    return supervisor[0] if supervisor is not None and is_there else None


def is_lease_asked(known: Iterable[Principal], principal: Principal) -> bool:
    """Whether a principal has to show by its lease that it is there, since not all known ones see its processes."""
    return (
        principal.name is not None
        or principal.client is None
        or not all(is_same_machine(each.machine, principal.machine) for each in known)
    )


def _is_silent(c: Coordinator, view: Reading, principal: Principal) -> bool:
    """Whether a principal would have been heard of, were it there. A command is no reason to speak: it is not known."""
    return view.is_silent(principal.id) and (
        not _is_of_this_boot(c, principal) or is_lease_asked(view.principals(), principal)
    )


def is_server_gone(c: Coordinator, view: Reading, principal: Principal) -> bool:
    """Whether nobody serves a principal any more: seen here, or concluded from its silence elsewhere."""
    if not principal.connected:
        return True
    return not c.is_alive(principal.server) if is_here(c, principal) else _is_silent(c, view, principal)


def is_reachable(c: Coordinator, view: Reading, principal: Principal) -> bool:
    """Whether a principal's client can still call, as far as can be seen from here."""
    if not principal.connected:
        return False
    if not is_here(c, principal):
        return not _is_silent(c, view, principal)
    return c.is_alive(principal.server) and (principal.client is None or c.is_alive(principal.client))


def is_same_client(one: Principal, other: Principal) -> bool:
    """Whether two principals are servers of one client: one process, one Claude Code session, or one named worker."""
    if one.name is not None or other.name is not None:
        return one.name == other.name
    if one.session is not None and one.session == other.session:
        return True  # wherever it was resumed; the number of a process means something on its machine only
    return one.client is not None and one.client == other.client and is_same_machine(one.machine, other.machine)


def is_of_session(view: Reading, caller: Caller, attempt: Attempt) -> bool:
    """Whether an attempt was made through the caller's server, or another one of the same client process.

    Where a shell starts the server, the supervisor itself is the client, of all its sessions.
    """
    mine, owner = view.principal(caller.principal), view.principal(attempt.principal)
    if mine is None or owner is None or mine.client in {None, mine.supervisor}:
        return attempt.principal == caller.principal
    return mine.client == owner.client and is_same_machine(mine.machine, owner.machine)


def standing(c: Coordinator, tx: Reading, caller: Caller, attempt: Attempt) -> Standing:
    """What a caller is to an attempt."""
    if _is_another_agent(tx, caller, attempt):
        return "stranger"
    if attempt.principal == caller.principal:
        return "owner"
    mine, owner = tx.principal(caller.principal), tx.principal(attempt.principal)
    if mine is None or owner is None or not is_same_client(mine, owner):
        return "stranger"
    if attempt.state == "running" and is_reachable(c, tx, owner):
        return "stranger"
    return "successor"


def _is_another_agent(tx: Reading, caller: Caller, attempt: Attempt) -> bool:
    """Whether the caller is known to be another agent than the one that holds an attempt."""
    mine = tx.worker_of(caller.principal, caller.agent)
    if mine is not None and mine.name == attempt.worker:
        return False
    holder = tx.worker(attempt.worker)
    theirs = holder.agent if holder is not None else None
    mine_is_known = caller.agent is not None or caller.known
    return theirs is not None and mine_is_known and caller.agent != theirs
