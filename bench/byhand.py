"""The floor of the coordination path: the statements of a task's life, written out by hand.

The same file, tables, indexes and triggers as Trichrome's own; for each call the same statements in the same
transaction, the same events with the same chain of digests; and nothing else: no rules, no values made of rows, no
answers, no turns taken between writers. With `fast`, Trichrome has one statement more in each transaction: it looks
whether its boot is noted, so that no number is given out again after a power cut.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from trichrome.store.sqlite.connection import Durability, open_file

_INSERT_EVENT = (
    "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, previous, digest) "
    "values (?, ?, 1, ?, ?, ?, 'hand', 'bench', ?, ?)"
)
_INSERT_TASK = (
    "insert into tasks (number, run, kind, role, created_by, files, review, reviews, author, max_attempts, "
    "max_review_rounds, not_before_seconds, time_limit_seconds, state, priority, waiting_on, tries, rescues, rounds, "
    "last_number, review_task, result, attempt, worker, principal, attempt_state, attempt_digest, holds, claimable) "
    "values (?, 1, 'search', 'blue', 'hand', null, null, null, null, 3, 2, 0.0, 1800.0, 'ready', 5, 0, 0, 0, 0, 0, "
    "null, null, null, null, null, null, null, null, 1)"
)
_CLAIMABLE = (
    "select priority, number from tasks indexed by tasks_claimable "
    "where claimable = 1 and role = ? and author is not ? order by priority, number limit 1"
)
_TASK = (
    "select number, run, kind, role, created_by, files, review, reviews, author, max_attempts, max_review_rounds, "
    "not_before_seconds, time_limit_seconds, state, priority, waiting_on, tries, rescues, rounds, last_number, "
    "review_task, result, attempt, worker, principal, attempt_state, attempt_digest, holds, claimable, ended "
    "from tasks where number = ?"
)
_ORPHANS = (
    "select tasks.number from tasks indexed by tasks_running join workers on workers.name = tasks.worker "
    "join principals on principals.id = workers.principal where tasks.state = 'running' and principals.id <> ?1 "
    "and ((principals.client_pid = ?2 and principals.client_start = ?3) or principals.session = ?4 "
    "or principals.name = ?5) order by tasks.number"
)


class ByHand:
    """One queue in one file, for one thread.

    Args:
        path: the file; made where it is not.
        durability: as Trichrome's own.
        is_lean: leave out what only asks (who calls, is he busy, is the log too new for us, what is due), so that
            nothing but the queue's own effects remain.
    """

    def __init__(self, path: Path, durability: Durability = "full", *, is_lean: bool = False) -> None:
        self._db = open_file(path, durability)
        self._asks = not is_lean
        self._do("insert or ignore into runs (number, lead, paused, on_lead_gone) values (1, 'hand', 0, 'continue')")
        self._do(
            "insert or ignore into principals (id, host, boot, pid_namespace, server_pid, server_start, client_pid, "
            "client_start, role, lease_seconds, connected, heard_boot, silent_from) "
            "values ('p', 'h', 'b', 'n', 1, 1, 2, 2, 'blue', 60.0, 1, 'b', 0.0)"
        )
        self._do("insert or ignore into workers values ('hand', 'p', null, 'blue', 1, 0)")

    def enqueue(self) -> int:
        """Add a ready task; answers its number."""
        self._begin()
        if self._asks:
            self._who()
            self._one("select lead, paused, on_lead_gone from runs where number = ?", 1)
        task: int = 1 + (self._one("select max(number) from tasks")[0] or 0)
        payload = {
            "task": f"t{task}",
            "run": "r1",
            "kind": "search",
            "role": "blue",
            "instructions": "Look.",
            "created_by": "hand",
        }
        self._event(f"t{task}", 1, "TaskCreated", payload, b"")
        self._do(_INSERT_TASK, task)
        self._do("commit")
        return task

    def claim(self) -> int | None:
        """Take the next ready task; answers its number."""
        if self._asks:
            self._one(_CLAIMABLE, "blue", "")
        self._begin()
        task = self._take(knows_caller=False)
        self._do("commit")
        return task

    def report(self, task: int) -> None:
        """Complete a task."""
        self._begin()
        self._end(task)
        self._do("commit")

    def report_and_claim(self, task: int) -> int | None:
        """Complete a task and take the next in the same transaction."""
        self._begin()
        self._end(task)
        taken = self._take(knows_caller=True)
        self._do("commit")
        return taken

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _begin(self) -> None:
        self._do("begin immediate")
        if self._asks:
            self._one("select minimum_version from log where id = 1")

    def _take(self, *, knows_caller: bool) -> int | None:
        if self._asks:
            self._one("select 1 from dues limit 1")
            if not knows_caller:
                self._who()
            self._one("select number, attempt from tasks where state = 'running' and worker = ? limit 1", "hand")
            self._one("select * from principals where id = ?", "p")
            self._one(_ORPHANS, "p", 2, 2, None, None)
        found = self._one(_CLAIMABLE, "blue", "hand")
        if found is None:
            return None
        task: int = found[1]
        stream = f"t{task}"
        self._one(_TASK, task)
        if self._asks:
            self._one("select lead, paused, on_lead_gone from runs where number = ?", 1)
        version, previous = self._head(stream)
        self._event(stream, version + 1, "TaskClaimed", {"attempt": 1, "worker": "hand", "principal": "p"}, previous)
        self._do(
            "update tasks set state = ?, last_number = ?, attempt = ?, worker = ?, principal = ?, attempt_state = ?, "
            "claimable = ? where number = ?",
            "running", 1, 1, "hand", "p", "running", 0, task,
        )  # fmt: skip
        now = time.monotonic()
        self._do(
            "insert or replace into leases (task, attempt, boot, deadline, ceiling, ceiling_seconds) "
            "values (?, 1, 'b', ?, ?, 1800.0)",
            task, now + 60, now + 1800,
        )  # fmt: skip
        self._one(
            "select position, stream, version, schema, kind, payload, recorded_at, actor, causation, digest "
            "from events where stream = ? and kind in ('TaskCreated', 'TaskAmended', 'ChangesRequested') "
            "order by version",
            stream,
        )
        return task

    def _end(self, task: int) -> None:
        stream = f"t{task}"
        self._one(_TASK, task)
        if self._asks:
            self._who()
        version, previous = self._head(stream)
        said = {"summary": "Found it."}
        digest = hashlib.sha256(json.dumps(["completed", said]).encode()).hexdigest()
        payload = {"attempt": 1, "report": said, "digest": digest}
        position = self._event(stream, version + 1, "TaskCompleted", payload, previous)
        self._do("delete from leases where task = ?", task)
        self._do(
            "update tasks set state = ?, result = ?, attempt_state = ?, attempt_digest = ?, ended = ? where number = ?",
            "completed", 1, "completed", digest, position, task,
        )  # fmt: skip
        self._one("select task from edges where dependency = ? order by task", task)

    def _who(self) -> None:
        self._one(
            "select name, principal, agent, role, is_taker, is_shared from workers where principal = ? and agent is ?",
            "p",
            None,
        )

    def _head(self, stream: str) -> tuple[int, bytes]:
        version, digest = self._one(
            "select version, digest from events where stream = ? order by version desc limit 1", stream
        )
        return version, digest

    def _event(self, stream: str, version: int, kind: str, payload: dict[str, Any], previous: bytes) -> int:
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
        now = time.time()
        head = f"{stream}\0{version}\0{kind}\0{now!r}\0"
        digest = hashlib.sha256(previous + head.encode() + text.encode()).digest()
        self._do(_INSERT_EVENT, stream, version, kind, text, now, previous, digest)
        return self._db.last_insert_rowid()

    def _do(self, sql: str, *parameters: Any) -> None:
        self._db.execute(sql, parameters)

    def _one(self, sql: str, *parameters: Any) -> Any:
        return self._db.execute(sql, parameters).fetchone()
