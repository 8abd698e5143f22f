"""The claim index: which tasks may be claimed now.

`tasks.claimable` is 1 exactly when the task is ready, due, in a run that is not paused, and no live attempt holds a
path that conflicts with its files. It is kept at each change, so a claim walks one partial index and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import apsw

from trichrome.domain.ids import RunId, TaskId, number
from trichrome.domain.reservations import Hold, ancestors, holds
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Task
from trichrome.store.sqlite.connection import row, rows
from trichrome.store.sqlite.rows import CLAIMABLE, SELECT_TASK, task_from


class Tables(Protocol):
    """What the index needs to see."""

    connection: apsw.Connection

    def task(self, task: TaskId) -> Task | None:
        """A task's state."""
        ...

    def run(self, run: RunId) -> Run | None:
        """A run's state."""
        ...


def is_free(tables: Tables, task: Task) -> bool:
    """Whether a task may be claimed now."""
    if task.state != "ready" or row(tables.connection, "select 1 from dues where task = ?", number(task.id)):
        return False
    return is_free_when_due(tables, task)


def is_free_when_due(tables: Tables, task: Task) -> bool:
    """Whether nothing but its time keeps a task from being claimed; a new one that has to wait is told so after."""
    if task.state != "ready":
        return False
    run = tables.run(task.run)
    if run is not None and run.paused:
        return False
    return not task.files or holder(tables.connection, holds(task.files), besides=task.id) is None


def refresh(tables: Tables, task: TaskId) -> None:
    """Judge anew whether a task may be claimed; one that is not there (a due time outlived it) may not."""
    state = tables.task(task)
    if state is None:
        return
    tables.connection.execute("update tasks set claimable = ? where number = ?", (is_free(tables, state), number(task)))


HELD_BACK: Final = "(number in (select task from dues) or run in (select number from runs where paused = 1))"
"""What keeps a ready task from being claimed, but for the files it changes; as a condition on `tasks`."""


def refresh_run(tables: Tables, run: Run) -> None:
    """Judge anew whether a run's tasks may be claimed; those that change no files without a look at each."""
    mine = number(run.id)
    tables.connection.execute(
        f"update tasks set claimable = not {HELD_BACK} "
        "where run = ? and ended is null and state = 'ready' and files is null",
        (mine,),
    )
    with_files = "select number from tasks where run = ? and ended is null and state = 'ready' and files is not null"
    for (task,) in rows(tables.connection, with_files, mine):
        refresh(tables, TaskId(f"t{task}"))


def holder(connection: apsw.Connection, wanted: Iterable[Hold], *, besides: TaskId) -> tuple[TaskId, str] | None:
    """The oldest task, and its worker, whose live attempt conflicts with holding these."""
    found = [each for hold in wanted if (each := _holder(connection, hold, besides)) is not None]
    oldest = min(found, default=None)
    return None if oldest is None else (TaskId(f"t{oldest[0]}"), oldest[1])


def _holder(connection: apsw.Connection, hold: Hold, besides: TaskId) -> tuple[int, str] | None:
    above = ancestors(hold.path)
    modes = ("exclusive",) if hold.mode == "shared" else ("exclusive", "shared")
    found = row(
        connection,
        "select holds.task, tasks.worker from holds join tasks on tasks.number = holds.task "
        f"where holds.task <> ? and holds.mode in ({_marks(modes)}) "
        f"and (holds.path in ({_marks(above)}) or {_BELOW.format(column='holds.path')}) "
        "order by holds.task limit 1",
        number(besides),
        *modes,
        *above,
        *_below(hold.path),
    )
    return None if found is None else (found[0], found[1])


def update_holds(tables: Tables, task: TaskId, before: tuple[Hold, ...], after: tuple[Hold, ...]) -> None:
    """Hold other paths than before, and judge anew the tasks that want to change any of them."""
    if before == after:
        return
    mine = number(task)
    tables.connection.execute("delete from holds where task = ?", (mine,))
    tables.connection.executemany(
        "insert into holds (path, task, mode) values (?, ?, ?)", [(hold.path, mine, hold.mode) for hold in after]
    )
    touched: set[int] = set()
    for hold in set(before) ^ set(after):
        above = ancestors(hold.path)
        found = rows(
            tables.connection,
            "select task from task_paths join tasks on tasks.number = task_paths.task "
            f"where tasks.state = 'ready' and (path in ({_marks(above)}) or {_BELOW.format(column='path')})",
            *above,
            *_below(hold.path),
        )
        touched.update(other for (other,) in found)
    for other in touched - {mine}:
        refresh(tables, TaskId(f"t{other}"))


def differences(tables: Tables) -> list[str]:
    """Where the tables that only serve the search for work disagree with the tasks."""
    found: list[str] = []
    held: set[tuple[str, int, str]] = set()
    paths: set[tuple[str, int]] = set()
    for columns in rows(tables.connection, SELECT_TASK):
        task = task_from(columns)
        paths.update((hold.path, columns[0]) for hold in holds(task.files))
        held.update((hold.path, columns[0], hold.mode) for hold in (task.attempt.holds if task.attempt else ()))
        if is_free(tables, task) != bool(columns[CLAIMABLE]):
            found.append(
                f"tasks: {task.id} is {'' if columns[CLAIMABLE] else 'not '}in the claim index, against its state"
            )
    if held != set(rows(tables.connection, "select path, task, mode from holds")):
        found.append("holds: not those of the live attempts")
    if paths != set(rows(tables.connection, "select path, task from task_paths")):
        found.append("task_paths: not those of the tasks")
    return found


_BELOW: Final = "({column} > ? and {column} < ?)"


def _below(path: str) -> tuple[str, str]:
    """The open range of paths inside a folder: after `path/` and before `path0`, since 0 follows / in order."""
    return (f"{path}/", f"{path}0") if path else ("", "\U0010ffff")


def _marks(values: Iterable[object]) -> str:
    return ", ".join("?" for _ in values)
