"""Logs as older programs left them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw
import sqlite_utils

from trichrome.store.sqlite.migrations import MIGRATIONS

OLD_FORM: Final = 3
"""The last form that says briefs and reports twice."""


def make_old(path: Path, *, like: apsw.Connection, form: int = OLD_FORM) -> None:
    """A file of an old form, with the rows of another one, as far as the form has a place for them."""
    made = sqlite_utils.Database(path)
    for step in list(MIGRATIONS.pending(made))[:form]:
        step.fn(made)
    made.execute(f"pragma user_version = {form}")
    made.conn.commit()
    for table in made.table_names():
        known = {name for _, name, *_ in like.execute(f"pragma table_info({table})")}
        columns = [name for name in made[table].columns_dict if name in known]
        if table == "log" or not columns:
            continue
        rows = like.execute(f"select {', '.join(columns)} from {table}").fetchall()
        if rows:
            made.conn.executemany(
                f"insert into {table} ({', '.join(columns)}) values ({', '.join('?' * len(columns))})", rows
            )
    made.conn.commit()
    made.close()
