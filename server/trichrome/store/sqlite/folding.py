"""The log folded into rows for the views' tables, by this process or by two others.

Guarantee: the rows that the tables would hold had each event been folded at its commit; put in any order, they are the
same, since a later row of a key replaces an earlier one and every stream is folded by one process, in its order.

The fold is the projector's, over memory. What is held is put out some thousand tasks at a time and forgotten; a stream
that then goes on is folded again from its beginning. So memory stays bounded, and nothing is read but the log.
"""

from __future__ import annotations

import gc
import marshal
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final, Self

import apsw

from trichrome.clock import Instant
from trichrome.domain.ids import MessageId, RunId, TaskId, number
from trichrome.domain.messages import Message
from trichrome.domain.notes import Note
from trichrome.domain.reservations import holds
from trichrome.domain.runs import Run
from trichrome.domain.tasks import FINAL, Task
from trichrome.store import codec
from trichrome.store.projector import UNSEEN, fold_in
from trichrome.store.sqlite.connection import BUSY_MILLISECONDS, file_name
from trichrome.store.sqlite.rows import (
    INSERT_PAST_ATTEMPT,
    MUTABLE,
    STATIC,
    mutable,
    past_attempt,
    static,
)
from trichrome.store.views import FoldedTables, Views

Rows = list[tuple[Any, ...]]
Put = Callable[[str, Rows], object]
"""Takes a statement and the values to run it with, a row each."""

HELD: Final = 4096
"""Tasks held in memory before their rows are put out."""
PARTS: Final = 2
"""Processes that fold a long log, each the streams whose last character says so; another writes what they put out."""

_LOG: Final = (
    "select position, stream, schema, kind, payload, recorded_at from events "
    f"where kind not in ({', '.join(repr(kind) for kind in UNSEEN)})"
)
_MINE: Final = f"unicode(substr(stream, -1)) % {PARTS} = ?"
_PUT_TASK: Final = (
    f"insert or replace into tasks ({', '.join((*STATIC, *MUTABLE))}, claimable, ended) "
    f"values ({', '.join('?' * (len(STATIC) + len(MUTABLE) + 2))})"
)
_PUT_PATH: Final = "insert into task_paths (path, task) values (?, ?)"
_PUT_EDGE: Final = "insert into edges (dependency, task) values (?, ?)"
_PUT_KEY: Final = "insert or replace into keys (key, task, digest) values (?, ?, ?)"
_PUT_RUN: Final = "insert or replace into runs (number, lead, paused, on_lead_gone) values (?, ?, ?, ?)"
_PUT_MESSAGE: Final = "insert or replace into messages (number, sender, text) values (?, ?, ?)"
_PUT_RECEIVER: Final = "insert into inbox (worker, message) values (?, ?)"
_PUT_NOTE: Final = "insert into notes (name, text, version, by) values (?, ?, ?, ?)"
_PUT_DUE: Final = "insert into dues (task, boot, due, wall, seconds) values (?, ?, ?, ?, ?)"


def fold(connection: apsw.Connection, now: Instant, put: Put, *, part: int | None = None) -> None:
    """Fold the log, or one part of its streams, and put the rows out.

    Ready tasks are put out as claimable; whether they are, hangs on other streams.
    """
    log, mine = (_LOG, ()) if part is None else (f"{_LOG} and {_MINE}", (part,))
    held = _Held(connection, now, put)
    for held.position, stream, schema, kind, payload, recorded_at in connection.execute(
        f"{log} order by position", mine
    ):
        event = codec.decode(kind, schema, payload)
        fold_in(held, stream, event, position=held.position, recorded_at=recorded_at)
    held.finish()


class _Held:
    """The projector's tables in memory, emptied into rows whenever they are full."""

    def __init__(self, connection: apsw.Connection, now: Instant, put: Put) -> None:
        self.position = 0
        self._connection = connection
        self._now = now
        self._put = put
        self._tasks: dict[TaskId, Task] = {}
        self._ended: dict[TaskId, int | None] = {}
        self._runs: dict[RunId, Run] = {}
        self._messages: dict[MessageId, Message] = {}
        self._notes: dict[str, Note] = {}
        self._dues: dict[TaskId, tuple[float, float]] = {}
        self._paths: Rows = []
        self._edges: Rows = []
        self._keys: Rows = []
        self._past_attempts: Rows = []

    # --- reading ------------------------------------------------------------------------------------------------------

    def task(self, task: TaskId) -> Task | None:
        return self._tasks.get(task) or self._again(task).tasks.get(task)

    def run(self, run: RunId) -> Run | None:
        return self._runs.get(run) or self._again(run).runs.get(run)

    def message(self, message: MessageId) -> Message | None:
        return self._messages.get(message) or self._again(message).messages.get(message)

    def _again(self, stream: str) -> Views:
        """A stream as it was before the event that is being folded."""
        views = Views()
        tables = FoldedTables(views)
        before = self._connection.execute(
            f"{_LOG} and stream = ? and position < ? order by version", (stream, self.position)
        )
        for position, _, schema, kind, payload, recorded_at in before:
            fold_in(tables, stream, codec.decode(kind, schema, payload), position=position, recorded_at=recorded_at)
        self._make_room()
        self._ended.update(views.ended)
        return views

    # --- writing ------------------------------------------------------------------------------------------------------

    def insert_task(self, task: Task, depends_on: Sequence[TaskId]) -> None:
        self._make_room()
        self._tasks[task.id] = task
        if task.files or depends_on:
            mine = number(task.id)
            self._paths += [(hold.path, mine) for hold in holds(task.files)]
            self._edges += [(number(dependency), mine) for dependency in depends_on]

    def update_task(self, before: Task, after: Task, *, position: int) -> None:
        self._tasks[after.id] = after
        last, now = before.attempt, after.attempt
        if last is not None and now is not None and now.number != last.number:
            self._past_attempts.append(past_attempt(after.id, last))
        if (is_final := after.state in FINAL) != (before.state in FINAL):
            self._ended[after.id] = position if is_final else None

    def put_key(self, key: str, digest: str, task: TaskId) -> None:
        self._keys.append((key, number(task), digest))

    def put_run(self, run: Run) -> None:
        self._runs[run.id] = run

    def put_message(self, message: Message) -> None:
        self._messages[message.id] = message

    def put_note(self, note: Note) -> None:
        self._notes[note.name] = note

    def delay(self, task: TaskId, seconds: float, *, since: float) -> None:
        left = min(seconds, since + seconds - self._now.wall)
        if left > 0:
            self._dues[task] = (left, seconds)
        else:
            self._dues.pop(task, None)

    def end_lease(self, task: TaskId) -> None:
        """Leases are no fold of the log."""

    # --- putting out --------------------------------------------------------------------------------------------------

    def _make_room(self) -> None:
        if len(self._tasks) >= HELD:
            self._put_out()

    def _put_out(self) -> None:
        """Put out what is held, but for messages that somebody has not got yet, notes and deadlines."""
        tasks, ended = self._tasks.values(), self._ended
        self._put(
            _PUT_TASK, [(*static(each), *mutable(each), each.state == "ready", ended.get(each.id)) for each in tasks]
        )
        self._put(_PUT_PATH, self._paths)
        self._put(_PUT_EDGE, self._edges)
        self._put(_PUT_KEY, self._keys)
        self._put(INSERT_PAST_ATTEMPT, self._past_attempts)
        self._put(_PUT_RUN, [(number(run.id), run.lead, run.paused, run.on_lead_gone) for run in self._runs.values()])
        self._put_messages([each for each in self._messages.values() if not each.undelivered])
        for put_out in (self._tasks, self._ended, self._runs):
            put_out.clear()
        for rows in (self._paths, self._edges, self._keys, self._past_attempts):
            rows.clear()

    def _put_messages(self, messages: Sequence[Message]) -> None:
        self._put(_PUT_MESSAGE, [(number(each.id), each.sender, each.text) for each in messages])
        self._put(_PUT_RECEIVER, [(worker, number(each.id)) for each in messages for worker in each.undelivered])
        for each in messages:
            del self._messages[each.id]

    def finish(self) -> None:
        """Put out the rest."""
        self._put_out()
        self._put_messages(list(self._messages.values()))
        now = self._now
        self._put(_PUT_NOTE, [(note.name, note.text, note.version, note.by) for note in self._notes.values()])
        self._put(
            _PUT_DUE,
            [
                (number(task), now.boot, now.monotonic + left, now.wall + left, seconds)
                for task, (left, seconds) in self._dues.items()
            ],
        )


# --- in processes of their own ----------------------------------------------------------------------------------------


def fold_apart(path: Path, now: Instant, put: Put) -> bool:
    """Have other processes fold the committed log, and put out their rows as they come.

    Returns:
        Whether all came to their end. If not, what was put out is not the whole, and the log is better folded here:
        that works, or it says what is wrong.
    """
    with ExitStack() as stack:
        try:
            parts = [stack.enter_context(_Part(path, now, part)) for part in range(PARTS)]
        except OSError:
            return False
        pipes = [part.pipe for part in parts]
        while pipes:
            for pipe in wait(pipes):
                assert isinstance(pipe, Connection)
                try:
                    sent = pipe.recv_bytes()
                except (EOFError, OSError):
                    pipes.remove(pipe)
                else:
                    put(*marshal.loads(sent))  # noqa: S302 - what our own child wrote into our own pipe
        return all(part.process.wait() == 0 for part in parts)


class _Part:
    """A process that folds one part, and the pipe that its rows come from; it is gone afterwards."""

    def __init__(self, path: Path, now: Instant, part: int) -> None:
        ours, theirs = os.pipe()
        self.pipe = Connection(ours, writable=False)
        code = "from trichrome.store.sqlite.folding import fold_part; fold_part()"
        told = map(str, (path, now.wall, now.monotonic, now.boot, part, theirs))
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", code, *told],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs],
            )
        except OSError:
            self.pipe.close()
            raise
        finally:
            os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failed: object) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.wait()


def fold_part() -> None:
    """What such a process does: fold the part that its arguments name, and send the rows down the pipe."""
    path, wall, monotonic, boot, part, pipe = sys.argv[1:]
    gc.disable()  # a fold makes no cycles, and searching all that is held for some takes a tenth of the time
    connection = apsw.Connection(file_name(Path(path)), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    rows = Connection(int(pipe), readable=False)
    now = Instant(wall=float(wall), monotonic=float(monotonic), boot=boot)
    fold(connection, now, lambda *put: rows.send_bytes(marshal.dumps(put)), part=int(part))
