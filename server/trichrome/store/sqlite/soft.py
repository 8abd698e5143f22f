"""Soft state: who is there, signs of life, deadlines, offered messages.

Deadlines are (boot, system-wide monotonic seconds). One of another boot means nothing: a lease of it has lapsed, a
ceiling of it is not over, and a due time of it is set anew from the wall clock, never beyond its full length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw

from trichrome.clock import Clock, Instant
from trichrome.domain import tails
from trichrome.domain.ids import AttemptId, MessageId, TaskId, number
from trichrome.store.port import NOBODYS_LEASE_SECONDS, LiveAttempt, Principal, Sign, Worker
from trichrome.store.sqlite import claim_index
from trichrome.store.sqlite.connection import row, rows
from trichrome.store.sqlite.tables import SqliteTables

_PRINCIPAL: Final = (
    "id, host, boot, pid_namespace, server_pid, server_start, client_pid, client_start, session, name, role, "
    "lease_seconds, connected, supervisor_pid, supervisor_start"
)
_WORKER: Final = "name, principal, agent, role, is_taker, is_shared"
_SELECT_PRINCIPAL: Final = f"select {_PRINCIPAL} from principals where id = ?"
_SELECT_WORKER: Final = f"select {_WORKER} from workers where name = ?"
_SELECT_WORKER_OF: Final = f"select {_WORKER} from workers where principal = ? and agent is ?"
_LIVE: Final = (
    "select tasks.number, tasks.attempt, tasks.worker, tasks.principal, leases.boot, leases.deadline, leases.ceiling "
    "from tasks indexed by tasks_running {beside} "
    "left join leases on leases.task = tasks.number and leases.attempt = tasks.attempt "
    "where tasks.state = 'running' {besides} order by tasks.number"
)
_LIVE_ATTEMPTS: Final = _LIVE.format(beside="", besides="")
_LIVE_ATTEMPTS_OF_CLIENT: Final = _LIVE.format(
    beside="join workers on workers.name = tasks.worker join principals on principals.id = workers.principal",
    besides="and principals.id <> ?1 and ((principals.client_pid = ?2 and principals.client_start = ?3) "
    "or principals.session = ?4 or principals.name = ?5)",
)
_INSERT_LEASE: Final = (
    "insert or replace into leases (task, attempt, boot, deadline, ceiling, ceiling_seconds) values (?, ?, ?, ?, ?, ?)"
)


def _principal(columns: tuple[Any, ...]) -> Principal:
    return Principal(
        id=columns[0],
        machine=(columns[1], columns[2], columns[3]),
        server=(columns[4], columns[5]),
        client=None if columns[6] is None else (columns[6], columns[7]),
        session=columns[8],
        name=columns[9],
        role=columns[10],
        lease_seconds=columns[11],
        connected=bool(columns[12]),
        supervisor=None if columns[13] is None else (columns[13], columns[14]),
    )


def _worker(columns: tuple[Any, ...]) -> Worker:
    return Worker(columns[0], columns[1], columns[2], columns[3], bool(columns[4]), bool(columns[5]))


class SoftState(SqliteTables):
    """The views' tables, and beside them what is not a fold."""

    def __init__(self, connection: apsw.Connection, clock: Clock, lost_at: Sequence[int] = ()) -> None:
        super().__init__(connection, clock)
        self.lost_at = lost_at
        self._principals: dict[str, Principal | None] = {}
        self._workers: dict[str | tuple[str, str | None], Worker | None] = {}

    # --- who is there -------------------------------------------------------------------------------------------------

    def principal(self, principal: str) -> Principal | None:
        if principal not in self._principals:
            found = row(self.connection, _SELECT_PRINCIPAL, principal)
            self._principals[principal] = None if found is None else _principal(found)
        return self._principals[principal]

    def principals(self) -> list[Principal]:
        return [
            _principal(each)
            for each in rows(self.connection, f"select {_PRINCIPAL} from principals where connected = 1")
        ]

    def put_principal(self, principal: Principal) -> None:
        self._principals[principal.id] = principal
        client, supervisor = (
            (None, None) if each is None else each for each in (principal.client, principal.supervisor)
        )
        now = self.clock.now()
        self.connection.execute(
            f"insert or replace into principals ({_PRINCIPAL}, heard_boot, silent_from) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                principal.id,
                *principal.machine,
                *principal.server,
                *client,
                principal.session,
                principal.name,
                principal.role,
                principal.lease_seconds,
                principal.connected,
                *supervisor,
                now.boot,
                now.monotonic + principal.lease_seconds,
            ),
        )

    def is_silent(self, principal: str) -> bool:
        now = self.clock.now()
        found = row(self.connection, "select heard_boot, silent_from from principals where id = ?", principal)
        return found is None or found[0] != now.boot or found[1] <= now.monotonic

    def worker(self, name: str) -> Worker | None:
        return self._found_worker(name, _SELECT_WORKER, name)

    def _found_worker(self, key: str | tuple[str, str | None], sql: str, *parameters: str | None) -> Worker | None:
        if key not in self._workers:
            found = row(self.connection, sql, *parameters)
            worker = self._workers[key] = None if found is None else _worker(found)
            if worker is not None:
                self._workers[worker.name] = worker
        return self._workers[key]

    def workers(self) -> list[Worker]:
        found = rows(
            self.connection,
            f"select {_WORKER} from workers where principal in (select id from principals where connected = 1) "
            "or name in (select worker from tasks where state = 'running') order by rowid",
        )
        return [_worker(each) for each in found]

    def worker_of(self, principal: str, agent: str | None) -> Worker | None:
        return self._found_worker((principal, agent), _SELECT_WORKER_OF, principal, agent)

    def workers_of_client(self, principal: Principal) -> list[Worker]:
        pid, start = (None, None) if principal.client is None else principal.client
        found = rows(
            self.connection,
            "select workers.name, principal, agent, workers.role, is_taker, is_shared from workers "
            "join principals on principals.id = workers.principal where principals.id <> ? "
            "and ((client_pid = ? and client_start = ?) or session = ? or principals.name = ?) "
            "order by workers.rowid desc",
            principal.id,
            pid,
            start,
            principal.session,
            principal.name,
        )
        return [_worker(each) for each in found]

    def put_worker(self, worker: Worker) -> None:
        self._workers.clear()
        self.connection.execute(
            f"insert into workers ({_WORKER}) values (?, ?, ?, ?, ?, ?) on conflict (name) do update set "
            "principal = excluded.principal, agent = excluded.agent, role = excluded.role, "
            "is_taker = excluded.is_taker, is_shared = excluded.is_shared",
            (worker.name, worker.principal, worker.agent, worker.role, worker.is_taker, worker.is_shared),
        )

    def new_worker(self, prefix: str) -> str:
        found = row(
            self.connection,
            "insert into worker_names (prefix, number) values (?, 1) "
            "on conflict (prefix) do update set number = number + 1 returning number",
            prefix,
        )
        assert found is not None
        return f"{prefix}-{found[0] + len(self.lost_at) * tails.NUMBERS}"

    def document(self, name: str) -> str | None:
        found = row(self.connection, "select text from fleet where name = ?", name)
        return None if found is None else found[0]

    def put_document(self, name: str, text: str | None) -> None:
        if text is None:
            self.connection.execute("delete from fleet where name = ?", (name,))
        else:
            self.connection.execute("insert or replace into fleet (name, text) values (?, ?)", (name, text))

    def offered(self, messages: Iterable[MessageId], *, worker: str) -> None:
        for message in messages:
            self.connection.execute(
                "insert or ignore into offers (message, worker) values (?, ?)", (number(message), worker)
            )

    # --- signs of life ------------------------------------------------------------------------------------------------

    def signs(self) -> list[Sign]:
        found = rows(
            self.connection,
            "select principal, agent, kind, at, detail from signs where boot = ? order by principal, agent, kind",
            self.clock.now().boot,
        )
        return [Sign(*each) for each in found]

    def put_sign(self, sign: Sign) -> None:
        self.connection.execute(
            "insert or replace into signs (principal, agent, kind, boot, at, detail) values (?, ?, ?, ?, ?, ?)",
            (sign.principal, sign.agent, sign.kind, self.clock.now().boot, sign.at, sign.detail),
        )

    def drop_signs(self, principal: str, *, agent: str | None = None) -> None:
        self.connection.execute(
            "delete from signs where principal = ? and agent = coalesce(?, agent)", (principal, agent)
        )

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def bring_forward_due(self) -> None:
        if row(self.connection, "select 1 from dues limit 1") is None:
            return
        now = self.clock.now()
        self.connection.execute(
            "update dues set boot = ?1, due = ?2 + max(0.0, min(seconds, wall - ?3)) where boot < ?1 or boot > ?1",
            (now.boot, now.monotonic, now.wall),
        )
        for (task,) in rows(
            self.connection, "delete from dues where boot = ? and due <= ? returning task", now.boot, now.monotonic
        ):
            claim_index.refresh(self, TaskId(f"t{task}"))

    def start_lease(self, attempt: AttemptId, *, lease_seconds: float, ceiling_seconds: float | None) -> None:
        now = self.clock.now()
        kept = (None, None) if ceiling_seconds is not None else self._ceiling(attempt, now)
        seconds = kept[1] if ceiling_seconds is None else ceiling_seconds
        ceiling = now.monotonic + seconds if kept[0] is None and seconds is not None else kept[0]
        self._put_lease(attempt, now, lease_seconds, ceiling, seconds)

    def _ceiling(self, attempt: AttemptId, now: Instant) -> tuple[float | None, float | None]:
        """The kept ceiling by this boot's clock, None while it stands still; and its length, or what is left of it."""
        kept = row(
            self.connection,
            "select boot, ceiling, ceiling_seconds from leases where task = ? and attempt = ?",
            number(attempt.task),
            attempt.number,
        )
        if kept is None:
            return None, None
        boot, ceiling, seconds = kept
        return (ceiling if ceiling is None or boot == now.boot else now.monotonic + seconds), seconds

    def _put_lease(
        self, attempt: AttemptId, now: Instant, lease_seconds: float, ceiling: float | None, seconds: float | None
    ) -> None:
        deadline = now.monotonic + lease_seconds
        self.connection.execute(
            _INSERT_LEASE, (number(attempt.task), attempt.number, now.boot, deadline, ceiling, seconds)
        )

    def renew_leases(self, principal: str, *, lease_seconds: float) -> None:
        now = self.clock.now()
        self.connection.execute(
            "update principals set heard_boot = ?, silent_from = ? where id = ?",
            (now.boot, now.monotonic + lease_seconds, principal),
        )
        mine = rows(
            self.connection,
            "select number, attempt from tasks indexed by tasks_running where state = 'running' and principal = ?",
            principal,
        )
        for task, attempt_number in mine:
            attempt = AttemptId(TaskId(f"t{task}"), attempt_number)
            self._put_lease(attempt, now, lease_seconds, *self._ceiling(attempt, now))

    def pause_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        self.connection.execute(
            "update leases set ceiling = null, "
            "ceiling_seconds = iif(boot = ?, max(0.0, ceiling - ?), ceiling_seconds) "
            "where task = ? and attempt = ? and ceiling is not null",
            (self.clock.now().boot, at, number(attempt.task), attempt.number),
        )

    def resume_ceiling(self, attempt: AttemptId, *, at: float) -> None:
        self.connection.execute(
            "update leases set ceiling = ? + ceiling_seconds where task = ? and attempt = ? and ceiling is null",
            (at, number(attempt.task), attempt.number),
        )

    def live_attempts(self) -> list[LiveAttempt]:
        return self._live(_LIVE_ATTEMPTS)

    def live_attempts_of_client(self, principal: Principal) -> list[LiveAttempt]:
        pid, start = (None, None) if principal.client is None else principal.client
        return self._live(_LIVE_ATTEMPTS_OF_CLIENT, principal.id, pid, start, principal.session, principal.name)

    def _live(self, sql: str, *parameters: Any) -> list[LiveAttempt]:
        found = rows(self.connection, sql, *parameters)
        if not found:
            return []
        now = self.clock.now()
        return [
            LiveAttempt(
                AttemptId(TaskId(f"t{task}"), attempt),
                worker,
                self.principal(principal),
                lapses_in=deadline - now.monotonic if boot == now.boot else 0.0,
                ceiling_in=ceiling - now.monotonic if boot == now.boot and ceiling is not None else None,
            )
            for task, attempt, worker, principal, boot, deadline, ceiling in found
        ]

    def next_moment(self) -> float | None:
        now = self.clock.now()
        found = row(
            self.connection,
            "select min(at) from (select min(due) as at from dues where boot = ?1 "
            "union all select ?2 where exists (select 1 from dues where boot < ?1 or boot > ?1) "
            "union all select min(ceiling) from leases where boot = ?1)",
            now.boot,
            now.monotonic,
        )
        return None if found is None or found[0] is None else max(0.0, float(found[0]) - now.monotonic)

    def restart_leases(self, ceilings: dict[int, tuple[int, float | None]]) -> None:
        """Give every open attempt a lease of one full period, and its ceiling anew in full length.

        Args:
            ceilings: by task number, the attempt and the seconds of its ceiling, as they were before. An attempt that
                is not among them has no ceiling.
        """
        for live in self.live_attempts():
            principal = live.principal
            attempt, ceiling = ceilings.get(number(live.attempt.task), (0, None))
            self.start_lease(
                live.attempt,
                lease_seconds=principal.lease_seconds if principal is not None else NOBODYS_LEASE_SECONDS,
                ceiling_seconds=ceiling if attempt == live.attempt.number else None,
            )
