"""Rows of the soft state that nobody needs any more.

The log does without them, and nothing that is decided depends on them. Names that workers bore stay taken: a name in
the log means one worker for ever. Of a supervised worker the newest session keeps it, and those before that one go.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from trichrome.clock import Instant
from trichrome.store.sqlite.alone import sharing
from trichrome.store.sqlite.connection import open_file
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.looking import looking

KEPT_SECONDS: Final = 30 * 86_400.0
"""How long a server that left is remembered: a Claude Code session that is resumed is still the worker it was."""

_LEFT: Final = {
    "leases": "not exists (select 1 from tasks where number = leases.task and state = 'running' "
    "and tasks.attempt = leases.attempt)",
    "dues": "task not in (select number from tasks)",
    "offers": "not exists (select 1 from inbox where inbox.message = offers.message and inbox.worker = offers.worker)",
    "signs": "boot <> :boot or principal not in (select id from principals)",
    "principals": "connected = 0 and id not in (select principal from tasks where state = 'running') "
    "and (name is null and (boot is not :boot or :up > :kept) "
    "or (supervisor_pid is not null or server_pid = 0) "
    "and id not in (select principal from tasks where ended is null and principal is not null) "
    "and not exists (select 1 from workers where workers.name = principals.name "
    "and workers.principal = principals.id)) "
    "and not exists (select 1 from workers where workers.principal = principals.id and ("
    "name in (select worker from inbox) "
    "or name in (select lead from runs where number in (select run from tasks where ended is null)) "
    "or name in (select actor from events where recorded_at > :since)))",
}
"""By table, which rows are left over. When a server left that did nothing is not known; since the machine started, it
may be a moment ago."""


def count(path: Path, now: Instant) -> dict[str, int]:
    """How many rows are left over, by table; tables without any are left out.

    Raises:
        StoreUnavailableError: the log cannot be read.
    """
    found: dict[str, int] = {}
    with looking(path) as connection:
        for table, condition in _LEFT.items():
            counted = connection.execute(f"select count(*) from {table} where {condition}", _meaning(now)).fetchone()
            if counted is not None and counted[0]:
                found[table] = counted[0]
    return found


def remove(path: Path, now: Instant) -> None:
    """Remove them, while others use the log.

    Raises:
        StoreUnavailableError: it cannot be written; nothing was removed.
    """
    with sharing(path), translated(path), closing(open_file(path, "full")) as connection:
        connection.execute("begin immediate")
        for table, condition in _LEFT.items():
            connection.execute(f"delete from {table} where {condition}", _meaning(now))
        connection.execute("commit")


def _meaning(now: Instant) -> dict[str, str | float]:
    return {"boot": now.boot, "up": now.monotonic, "since": now.wall - KEPT_SECONDS, "kept": KEPT_SECONDS}
