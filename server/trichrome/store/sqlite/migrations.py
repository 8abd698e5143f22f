"""The tables, in numbered steps.

sqlite-utils writes each step, on a scratch database in memory with its tracer on; apsw applies the collected
statements to the real file, all pending steps in one transaction. A step that has been released is never changed.
"""

from __future__ import annotations

from typing import Any, Final

import sqlite_utils
from sqlite_utils import Database, Migrations

MIGRATIONS: Final = Migrations("trichrome")

_CHANGES: Final = ("create", "alter", "drop", "insert", "update", "delete")
"""How a statement begins that belongs on the real file; the rest is sqlite-utils looking around."""


@MIGRATIONS()
def m0001_log(db: Database) -> None:
    """The append-only log, and the oldest program that may write to it."""
    db.table("events").create(
        {
            "position": int,
            "stream": str,
            "version": int,
            "schema": int,
            "kind": str,
            "payload": str,
            "recorded_at": float,
            "actor": str,
            "causation": str,
            "previous": bytes,
            "digest": bytes,
        },
        pk="position",
        not_null={"stream", "version", "schema", "kind", "payload", "recorded_at", "actor", "causation", "digest"},
        strict=True,
    )
    db.table("events").create_index(["stream", "version"], unique=True)
    for verb in ("update", "delete"):
        db.execute(
            f"create trigger events_refuse_{verb} before {verb} on events "
            "begin select raise(abort, 'the log is append-only'); end"
        )
    db.table("log").create({"id": int, "minimum_version": int}, pk="id", strict=True)
    db.execute("insert into log (id, minimum_version) values (1, 1)")


@MIGRATIONS()
def m0002_views(db: Database) -> None:
    """What is a fold of the log."""
    db.table("tasks").create(
        {
            "number": int,
            "run": int,
            "kind": str,
            "role": str,
            "created_by": str,
            "files": str,
            "review": str,
            "reviews": str,
            "author": str,
            "max_attempts": int,
            "max_review_rounds": int,
            "not_before_seconds": float,
            "time_limit_seconds": float,
            "state": str,
            "priority": int,
            "waiting_on": int,
            "tries": int,
            "rescues": int,
            "rounds": int,
            "last_number": int,
            "review_task": str,
            "result": int,
            "attempt": int,
            "worker": str,
            "principal": str,
            "attempt_state": str,
            "attempt_digest": str,
            "holds": str,
            "ended": int,
            "claimable": int,
        },
        pk="number",
        strict=True,
    )
    db.execute("create index tasks_claimable on tasks (role, priority, number) where claimable = 1")
    db.execute("create index tasks_running on tasks (worker) where state = 'running'")
    db.execute("create index tasks_by_run on tasks (run, number)")
    db.execute("create index tasks_by_state on tasks (state, number)")
    db.execute("create index tasks_open on tasks (run) where ended is null")
    db.execute("create index tasks_ended on tasks (run, ended) where ended is not null")
    db.execute(
        "create table past_attempts (task integer, number integer, worker text, principal text, state text, "
        "digest text, primary key (task, number)) strict, without rowid"
    )
    db.table("briefs").create(
        {"task": int, "instructions": str, "acceptance": str, "depends_on": str, "feedback": str},
        pk="task",
        strict=True,
    )
    db.execute(
        "create table edges (dependency integer, task integer, primary key (dependency, task)) strict, without rowid"
    )
    db.execute("create table task_paths (path text, task integer, primary key (path, task)) strict, without rowid")
    db.execute(
        "create table holds (path text, task integer, mode text, primary key (path, task, mode)) strict, without rowid"
    )
    db.table("keys").create({"key": str, "task": int, "digest": str}, pk="key", strict=True)
    db.table("reports").create(
        {
            "id": int,
            "task": int,
            "attempt": int,
            "worker": str,
            "outcome": str,
            "superseded": int,
            "digest": str,
            "report": str,
        },
        pk="id",
        strict=True,
    )
    db.table("reports").create_index(["task"])
    db.table("runs").create({"number": int, "lead": str, "paused": int, "on_lead_gone": str}, pk="number", strict=True)
    db.table("runs").create_index(["lead"])
    db.table("messages").create({"number": int, "sender": str, "text": str}, pk="number", strict=True)
    db.execute("create table inbox (worker text, message integer, primary key (worker, message)) strict, without rowid")
    db.execute("create index inbox_by_message on inbox (message)")
    db.table("notes").create({"name": str, "text": str, "version": int, "by": str}, pk="name", strict=True)


@MIGRATIONS()
def m0003_soft_state(db: Database) -> None:
    """What is no fold: who is there, and deadlines. Never compared, and made anew when lost."""
    db.table("principals").create(
        {
            "id": str,
            "host": str,
            "boot": str,
            "pid_namespace": str,
            "server_pid": int,
            "server_start": int,
            "client_pid": int,
            "client_start": int,
            "session": str,
            "name": str,
            "role": str,
            "lease_seconds": float,
            "connected": int,
            "heard_boot": str,
            "silent_from": float,
        },
        pk="id",
        strict=True,
    )
    db.execute("create index principals_connected on principals (connected) where connected = 1")
    db.table("workers").create(
        {"name": str, "principal": str, "agent": str, "role": str, "is_taker": int, "is_shared": int},
        pk="name",
        strict=True,
    )
    db.table("workers").create_index(["principal"])
    db.table("worker_names").create({"prefix": str, "number": int}, pk="prefix", strict=True)
    db.table("dues").create(
        {"task": int, "boot": str, "due": float, "wall": float, "seconds": float}, pk="task", strict=True
    )
    db.table("dues").create_index(["due"])
    db.table("leases").create(
        {"task": int, "attempt": int, "boot": str, "deadline": float, "ceiling": float, "ceiling_seconds": float},
        pk="task",
        strict=True,
    )
    db.execute(
        "create table offers (message integer, worker text, primary key (message, worker)) strict, without rowid"
    )


@MIGRATIONS()
def m0004_fewer_indexes(db: Database) -> None:
    """One index by run instead of four: each costs every claim and report a page of the log's file.

    A run's open tasks stand first in it, then those that ended, in the order they did. The principals of one client
    are found without looking at every server there ever was.
    """
    for name in ("tasks_by_state", "tasks_by_run", "tasks_open", "tasks_ended"):
        db.execute(f"drop index {name}")
    db.execute("create index tasks_by_run on tasks (run, ended, number)")
    db.execute("drop index idx_dues_due")
    db.execute("create index dues_by_boot on dues (boot, due)")
    for columns in ("client_pid, client_start", "session", "name"):
        first = columns.partition(",")[0]
        db.execute(f"create index principals_by_{first} on principals ({columns}) where {first} is not null")


@MIGRATIONS()
def m0005_said_once(db: Database) -> None:
    """Briefs and reports stand in the log, and nowhere else. A program that looks for them is too old from here on."""
    for table in ("briefs", "reports"):
        db.execute(f"drop table {table}")
    db.execute("update log set minimum_version = 5")


@MIGRATIONS()
def m0006_survival(db: Database) -> None:
    """Signs of life of workers, and the boot in which the log was last written without syncing each commit."""
    db.execute(
        "create table signs (principal text, agent text, kind text, boot text, at real, detail text, "
        "primary key (principal, agent, kind)) strict, without rowid"
    )
    db.table("log").add_column("boot", str)
    db.execute("update log set minimum_version = 6")


@MIGRATIONS()
def m0007_supervision(db: Database) -> None:
    """Who supervises whom, what supervisor and commands tell each other, and the sessions that ended, to be summed."""
    for column in ("supervisor_pid", "supervisor_start"):
        db.table("principals").add_column(column, int)
    db.execute("create table fleet (name text primary key, text text) strict, without rowid")
    db.execute("create index events_of_sessions on events (kind) where kind = 'SessionEnded'")
    db.execute("update log set minimum_version = 7")


def pending(version: int) -> list[tuple[str, Any]]:
    """The statements, with their parameters, that bring a file from a version to the latest."""
    statements: list[tuple[str, Any]] = []
    scratch = sqlite_utils.Database(memory=True)
    try:
        for number, step in enumerate(MIGRATIONS.pending(scratch), start=1):
            if number <= version:
                step.fn(scratch)
                continue
            with scratch.tracer(lambda sql, params: statements.append((sql, params))):
                step.fn(scratch)
    finally:
        scratch.close()
    return [(sql, params or ()) for sql, params in statements if sql.lstrip().lower().startswith(_CHANGES)]
