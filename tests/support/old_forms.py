"""Logs as older programs left them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw
import sqlite_utils

from trichrome.store.sqlite.migrations import MIGRATIONS

OLD_FORM: Final = 3
"""The last form that says briefs and reports twice."""


def make_old(path: Path, *, like: apsw.Connection) -> None:
    """A file of the old form, with the rows of another one."""
    made = sqlite_utils.Database(path)
    for step in list(MIGRATIONS.pending(made))[:OLD_FORM]:
        step.fn(made)
    made.execute(f"pragma user_version = {OLD_FORM}")
    made.conn.commit()
    for (table,) in like.execute("select name from sqlite_schema where type = 'table'").fetchall():
        if table == "log":
            continue
        rows = like.execute(f"select * from {table}").fetchall()
        if rows:
            made.conn.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
    made.conn.commit()
    made.close()
