"""Logs with holes, as the salvage of a damaged file leaves them: of some streams only the beginning is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import apsw
from tests.support.projects import Project

from trichrome.store.memory import MemoryStore
from trichrome.store.port import Recorded
from trichrome.store.sqlite import SqliteStore


def events(project: Project) -> list[Recorded]:
    """The whole log."""
    with project.store.reading() as view:
        return view.events(limit=10**9)


def cut(project: Project, holes: Mapping[str, int], *, to: Path) -> Project:
    """The same project without what its streams held from a version on; what is soft is as it was.

    Args:
        project: whose log is copied; it stays as it is.
        holes: the first missing version by stream.
        to: a folder for what is durable.
    """
    if isinstance(project.store, MemoryStore):
        return replace(project, store=_cut_in_memory(project.store, holes), alive=set(project.alive))
    file = to / "events.db"
    copy = apsw.Connection(str(file))
    assert isinstance(project.store, SqliteStore)
    with copy.backup("main", project.store._connection, "main") as backup:
        backup.step()
    triggers = list(copy.execute("select name, sql from sqlite_schema where type = 'trigger'"))
    for name, _ in triggers:
        copy.execute(f"drop trigger {name}")
    copy.executemany("delete from events where stream = ? and version >= ?", holes.items())
    for _, sql in triggers:
        copy.execute(sql)
    copy.close()
    store = SqliteStore(file, project.clock, durability="fast")
    store.rebuild()
    return replace(project, store=store, alive=set(project.alive))


def _cut_in_memory(whole: MemoryStore, holes: Mapping[str, int]) -> MemoryStore:
    store = MemoryStore(whole.clock)
    with store.writing(actor="", causation="") as tx:
        for each in whole.log:
            if each.version < holes.get(each.stream, 10**9):
                tx.append(each.stream, [each.event])
    soft = whole.soft
    store.soft = type(soft)(**{name: getattr(soft, name).copy() for name in soft.__slots__})
    store.rebuild()
    return store
