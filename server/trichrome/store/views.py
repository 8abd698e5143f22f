"""The views as plain dictionaries: what the fold of a log is held against.

The memory store lives in them; the other adapters load theirs into the same form, so that "views equal the fold" is
one comparison for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.runs import Run
from trichrome.domain.tasks import Attempt, Task
from trichrome.store.port import Recorded
from trichrome.store.projector import project


@dataclass(slots=True)
class Views:
    """Every view as a dictionary; two stores with equal views agree."""

    tasks: dict[TaskId, Task] = field(default_factory=dict)
    ended: dict[TaskId, int] = field(default_factory=dict)
    attempts: dict[AttemptId, Attempt] = field(default_factory=dict)
    edges: set[tuple[TaskId, TaskId]] = field(default_factory=set)
    keys: dict[str, tuple[TaskId, str]] = field(default_factory=dict)
    runs: dict[RunId, Run] = field(default_factory=dict)
    messages: dict[MessageId, Message] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)


class FoldedTables:
    """The projector's tables over `Views`; deadlines, being soft, are left to whoever has a clock."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def task(self, task: TaskId) -> Task | None:
        return self._views.tasks.get(task)

    def run(self, run: RunId) -> Run | None:
        return self._views.runs.get(run)

    def message(self, message: MessageId) -> Message | None:
        return self._views.messages.get(message)

    def insert_task(self, task: Task, depends_on: Sequence[TaskId]) -> None:
        self._views.tasks[task.id] = task
        self._views.edges.update((task.id, on) for on in depends_on)

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        self._views.tasks[after.id] = after
        if after.attempt is not None:
            self._views.attempts[AttemptId(after.id, after.attempt.number)] = after.attempt
        if not after.is_final:
            self._views.ended.pop(after.id, None)
        elif not before.is_final:
            self._views.ended[after.id] = position

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        self._views.keys[key] = (task, digest)

    def put_run(self, run: Run) -> None:
        self._views.runs[run.id] = run

    def put_message(self, message: Message) -> None:
        self._views.messages[message.id] = message

    def put_note(self, note: Note) -> None:
        self._views.notes[note.name] = note

    def delay(self, task: TaskId, seconds: float, *, since: float) -> None:
        """Deadlines are no views."""

    def end_lease(self, task: TaskId) -> None:
        """Deadlines are no views."""


def fold(log: Iterable[Recorded]) -> Views:
    """The views that a log means."""
    views = Views()
    tables = FoldedTables(views)
    for recorded in log:
        project(tables, recorded)
    return views


def compare(live: Views, folded: Views) -> list[str]:
    """Name the views, and the entries in them, that differ from the fold of the log."""
    found = []
    for view in fields(Views):
        one, other = getattr(live, view.name), getattr(folded, view.name)
        if one == other:
            continue
        if isinstance(one, dict):
            keys = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
            found += [f"{view.name}: {key} differs from the log" for key in sorted(map(str, keys))[:20]]
        else:
            found.append(f"{view.name}: {len(one)} in the view, {len(other)} by the log")
    return found
