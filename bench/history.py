"""Logs of any length, written as rows: what a project would have recorded, without the calls that record it.

Every event goes through the codec into a gapless, chained stream, and follows from a command that the rules allow; so
views, doctor and server take such a log for one of their own. The same arguments give the same log but for its times.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from bench.place import project
from trichrome.config import FOLDER, LOG_FILE
from trichrome.domain import decisions, notes, tasks
from trichrome.domain.decisions import Command, EndAttempt
from trichrome.domain.events import (
    ContextShared,
    Event,
    MessageDelivered,
    MessageSent,
    Outcome,
    Report,
    ReviewRequested,
    RunCreated,
    TaskCompleted,
    TaskCreated,
)
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId, number
from trichrome.domain.notes import Note
from trichrome.domain.tasks import Task
from trichrome.store import codec
from trichrome.store.port import Principal
from trichrome.store.sqlite.rows import INSERT_EVENT
from trichrome.store.sqlite.rows import event as event_row

Head = Literal["free", "blocked", "future", "conflict"]
RUN: Final = 20
"""Tasks of a run, about."""
AT_ONCE: Final = 4
"""Runs that go on beside each other, and workers of each."""
_MONTH: Final = 30 * 24 * 3600.0
_BATCH: Final = 10_000
_SENTENCES: Final = (
    "Read the modules that open a session and say who may call them.",
    "The handler answers before the token is checked when the header is missing.",
    "Keep the public names; move what is behind them.",
    "Each finding names its file and line, and what would mend it.",
    "Look at the callers first: two of them pass the user's input through.",
    "The retry loop has no bound, so one broken host holds a thread for ever.",
    "Write the test that fails today, then make it pass.",
    "There are three places that build this query; one of them does not bind its values.",
    "Nothing outside the package may need to change.",
    "The cache is filled at import, which is why the first call of each worker is slow.",
    "Say what you did not look at.",
    "The migration is safe to run twice, and a test should show that.",
)


def mixed(folder: Path, events: int, *, seed: int = 1) -> None:
    """Write a log of exactly so many events as a project folder's log, and build its views.

    Runs of about 20 tasks, several at a time, with dependencies, files, reviews, progress, messages and notes; some
    attempts fail, are rescued or released, some results are sent back. The last runs are still going on.
    """
    with _written(folder) as log:
        told = _Story(log, random.Random(seed))
        going: list[Iterator[None]] = []
        while log.position < events:
            while len(going) < AT_ONCE:
                going.append(told.run())
            turn = told.draw.choice(going)
            if next(turn, going) is going:
                going.remove(turn)
        log.cut(events)


def ready(folder: Path, count: int, *, head: Head = "free") -> None:
    """Write the log of a project with so many tasks that wait to be claimed, and build its views.

    All are of one priority, in runs of 20; one more task is running, of a worker that will not come back for a month.

    Args:
        folder: the project folder, which has no log yet.
        count: how many tasks wait.
        head: what keeps the oldest tenth from being claimed: nothing; a dependency on the running task; a time a month
            from now; files that the running task holds.
    """
    lead, busy = "lead-1", "away-1"
    kinds = ["search"] * 12 + ["implement"] * 7 + ["review"]
    roles = {"search": "blue", "implement": "green", "review": "red"}
    with _written(folder) as log:
        held = ("src/held",) if head == "conflict" else ()
        log.append(RunId("r1"), RunCreated(run=RunId("r1"), lead=lead), actor=lead)
        first = TaskCreated(TaskId("t1"), RunId("r1"), "search", "blue", _text(0), lead, files=held)
        claim = decisions.Claim(worker=busy, principal=busy)
        log.append(TaskId("t1"), first, *decisions.decide(tasks.created(first), claim), actor=lead)
        for each in range(count):
            task, run = TaskId(f"t{each + 2}"), RunId(f"r{each // RUN + 2}")
            if each % RUN == 0:
                log.append(run, RunCreated(run=run, lead=lead), actor=lead)
            what = _held_back(head, each) if each < count // 10 else {}
            kind = kinds[each % RUN]
            log.append(task, TaskCreated(task, run, kind, roles[kind], _text(each), lead, **what), actor=lead)
            log.end(task)


def _held_back(head: Head, task: int) -> dict[str, Any]:
    """What a creation says so that the task cannot be claimed."""
    said: dict[Head, dict[str, Any]] = {
        "free": {},
        "blocked": {"depends_on": (TaskId("t1"),), "waiting_on": 1},
        "future": {"not_before_seconds": _MONTH},
        "conflict": {"files": (f"src/held/{task}.py",)},
    }
    return said[head]


def _text(seed: int, sentences: int = 5) -> str:
    return " ".join(_SENTENCES[(seed + step * 5) % len(_SENTENCES)] for step in range(sentences))


class _Log:
    """Rows for the log's end, put there many at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._rows: list[tuple[Any, ...]] = []
        self._now = time.time()
        self.position = 0

    def append(self, stream: str, *events: Event, actor: str, causation: str = "create_task") -> None:
        """What one call appends to a stream."""
        version, previous = self._heads.get(stream, (0, codec.NO_DIGEST))
        for event in events:
            version += 1
            values = event_row(
                event,
                stream=stream,
                version=version,
                previous=previous,
                recorded_at=self._now,
                actor=actor,
                causation=causation,
            )
            self._rows.append(values)
            previous = values[-1]
        self._heads[stream] = (version, previous)
        self.position += len(events)
        if len(self._rows) >= _BATCH:
            self.write()

    def end(self, stream: str) -> None:
        """Nothing more comes to a stream."""
        self._heads.pop(stream, None)

    def cut(self, position: int) -> None:
        """Leave out what is above a position."""
        del self._rows[len(self._rows) - (self.position - position) :]
        self.position = position

    def write(self) -> None:
        """Put the rows into the file."""
        self._connection.executemany(INSERT_EVENT, self._rows)
        self._rows.clear()


class _written:  # noqa: N801 - reads as a verb where it is used
    """A fresh project's log to fill; the views are built at the end.

    The file is filled without a journal, since nobody else has it open and a crash loses only the benchmark.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> _Log:
        with project("fast", self._folder):
            pass
        self._connection = apsw.Connection(str(self._folder / FOLDER / LOG_FILE))
        self._connection.pragma("journal_mode", "off")
        self._connection.pragma("synchronous", 0)
        self._connection.execute("begin exclusive")
        self._log = _Log(self._connection)
        return self._log

    def __exit__(self, *failed: object) -> None:
        self._log.write()
        self._connection.execute("commit")
        self._connection.close()
        with project("fast", self._folder) as opened:
            store = opened.coordinator.store
            with store.writing(actor="bench", causation="bench") as tx:
                tx.put_principal(Principal("away-1", ("elsewhere", "b", "n"), (0, 0), None, None, None, None, _MONTH))
            store.rebuild()


class _Story:
    """What happens in runs: who claims what, and how it ends."""

    def __init__(self, log: _Log, draw: random.Random) -> None:
        self.draw = draw
        self._log = log
        self._numbers = {kind: itertools.count(1) for kind in "trm"}
        self._open: dict[RunId, dict[TaskId, Task]] = {}
        self._waiting: dict[TaskId, list[TaskId]] = {}
        self._note: Note | None = None

    def run(self) -> Iterator[None]:
        """One request, a call at a time, to its end."""
        draw = self.draw
        run, lead = RunId(f"r{next(self._numbers['r'])}"), f"lead-{draw.randint(1, 9)}"
        self._log.append(run, RunCreated(run=run, lead=lead), actor=lead)
        self._open[run] = {}
        self._plan(run, lead)
        yield
        workers = [f"{role}-{draw.randint(1, 9)}" for role in ("blue", "blue", "green", "red")]
        working: list[Iterator[None]] = []
        while True:
            free = [task for task in self._open[run].values() if task.state == "ready"]
            if free and len(working) < AT_ONCE:
                others = [worker for worker in workers if worker != free[0].author]
                turn = self._attempt(run, free[0], draw.choice(others))
                working.append(turn)
            elif working:
                turn = draw.choice(working)
            else:
                break
            if next(turn, working) is working:
                working.remove(turn)
            yield
        if draw.random() < 0.7:
            self._message(workers[0], lead)
        if draw.random() < 0.5:
            self._share(lead)
        for task in self._open.pop(run):
            self._log.end(task)
            self._waiting.pop(task, None)
        self._log.end(run)

    def _plan(self, run: RunId, lead: str) -> None:
        draw = self.draw
        made: list[TaskId] = []
        for _ in range(draw.randint(RUN - 8, RUN + 8)):
            task = TaskId(f"t{next(self._numbers['t'])}")
            kind, role = draw.choices(
                [("search", "blue"), ("analyze", "blue"), ("implement", "green"), ("test", "green")], [5, 1, 3, 1]
            )[0]
            on = (
                tuple(dict.fromkeys(draw.choices(made, k=draw.choice((1, 1, 2)))))
                if made and draw.random() < 0.4
                else ()
            )
            key = f"{run}-{task}" if draw.random() < 0.05 else None
            event = TaskCreated(
                task=task,
                run=run,
                kind=kind,
                role=role,
                instructions=_text(number(task), draw.randint(2, 9)),
                created_by=lead,
                acceptance=_text(number(task), 1) if draw.random() < 0.5 else None,
                priority=draw.choice((5, 5, 5, 5, 3, 7)),
                depends_on=on,
                waiting_on=len(on),
                files=(f"src/{run}/{task}.py", f"tests/{run}/{task}/*") if role == "green" else (),
                review="red" if role == "green" and draw.random() < 0.3 else None,
                key=key,
                key_digest=None if key is None else hashlib.sha256(key.encode()).hexdigest(),
            )
            self._add(event, actor=lead, causation="create_task")
            for each in on:
                self._waiting.setdefault(each, []).append(task)
            made.append(task)

    def _add(self, event: TaskCreated, *, actor: str, causation: str) -> None:
        self._open[event.run][event.task] = tasks.created(event)
        self._log.append(event.task, event, actor=actor, causation=causation)

    def _do(self, run: RunId, task: TaskId, command: Command, *, actor: str, causation: str) -> None:
        """What a command brings to a task, and what follows from it in others."""
        state = self._open[run][task]
        events = decisions.decide(state, command)
        for event in events:
            state = tasks.evolve(state, event)
        self._open[run][task] = state
        self._log.append(task, *events, actor=actor, causation=causation)
        for event in events:
            if isinstance(event, ReviewRequested):
                self._review(state, event, actor=actor)
            elif isinstance(event, TaskCompleted):
                for waiting in self._waiting.get(task, ()):
                    done = decisions.CompleteDependency(task)
                    self._do(run, waiting, done, actor=actor, causation=causation)
                if state.reviews is not None:
                    self._judge(run, state.reviews, event, by=actor)

    def _review(self, task: Task, event: ReviewRequested, *, actor: str) -> None:
        review = TaskCreated(
            task=event.review,
            run=task.run,
            kind="review",
            role="red",
            instructions=_text(event.attempt, 3),
            created_by=actor,
            reviews=AttemptId(task.id, event.attempt),
            author=actor,
        )
        self._add(review, actor=actor, causation="report_result")

    def _judge(self, run: RunId, reviewed: AttemptId, event: TaskCompleted, *, by: str) -> None:
        verdict: Command = decisions.Approve(reviewed.number, by)
        if event.outcome == "changes":
            verdict = decisions.SendBack(reviewed.number, by, "Two findings.", data=["a.py:3", "b.py:9"])
        self._do(run, reviewed.task, verdict, actor=by, causation="report_result")

    def _attempt(self, run: RunId, task: Task, worker: str) -> Iterator[None]:
        """One attempt at a task, from claim to end."""
        draw, attempt = self.draw, task.last_number + 1
        claim = decisions.Claim(worker=worker, principal=f"p-{worker}")
        self._do(run, task.id, claim, actor=worker, causation="claim_task")
        yield
        for step in range(draw.choice((0, 0, 0, 1, 1, 2))):
            progress = decisions.NoteProgress(attempt, "Halfway through the callers.", 0.25 * (step + 1))
            self._do(run, task.id, progress, actor=worker, causation="report_progress")
            yield
        if task.role == "green" and draw.random() < 0.1:
            more = decisions.ReserveFiles(attempt, (f"docs/{run}/{task.id}.md",), "exclusive")
            self._do(run, task.id, more, actor=worker, causation="reserve_files")
            yield
        if draw.random() < 0.04:
            gone = decisions.Rescue(attempt, f"p-{worker}", "its client (process 4711) is gone", 7.5)
            self._do(run, task.id, gone, actor="trichrome", causation="sweep")
        else:
            self._do(run, task.id, self._end(task, attempt, worker), actor=worker, causation="report_result")

    def _end(self, task: Task, attempt: int, worker: str) -> EndAttempt:
        draw = self.draw
        outcome: Outcome = draw.choices(("completed", "failed", "released"), (92, 5, 3))[0]
        if outcome == "completed" and task.reviews is not None:
            outcome = draw.choice(("approved", "approved", "changes"))
        said = Report(
            summary=_text(attempt + number(task.id), draw.randint(2, 6)),
            data=draw.choice((None, None, {"findings": [{"file": "src/a.py", "line": 17, "level": "minor"}] * 3})),
            files=task.files[:1],
            follow_ups=(_SENTENCES[attempt],) if draw.random() < 0.1 else (),
        )
        return EndAttempt(
            attempt=attempt,
            standing="owner",
            worker=worker,
            principal=f"p-{worker}",
            outcome=outcome,
            report=said,
            digest=hashlib.sha256(said.summary.encode()).hexdigest(),
            retry=draw.random() < 0.8,
            review=TaskId(f"t{next(self._numbers['t'])}") if task.review and outcome == "completed" else None,
            delay_seconds=7.5,
        )

    def _message(self, sender: str, to: str) -> None:
        message = MessageId(f"m{next(self._numbers['m'])}")
        sent = MessageSent(message=message, sender=sender, to=(to,), text=_text(number(message), 2))
        self._log.append(message, sent, actor=sender, causation="send_message")
        if self.draw.random() < 0.9:
            self._log.append(message, MessageDelivered(worker=to), actor=to, causation="inbox")
        self._log.end(message)

    def _share(self, by: str) -> None:
        version = 0 if self._note is None else self._note.version
        shared: Sequence[ContextShared] = notes.share(
            self._note, name="plan", text=f"{version}: {_text(version, 4)}", by=by, expect_version=None
        )
        for event in shared:
            self._note = notes.evolve(event)
        self._log.append("n.plan", *shared, actor=by, causation="share_context")
