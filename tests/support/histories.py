"""A project with a past: what several workers did to it, by chance but the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import apsw
from tests.support.projects import Project, Worker

from trichrome.coordinator import notes, reviews, runs, tasks
from trichrome.domain.events import AttemptNumbersRaised
from trichrome.errors import TrichromeError
from trichrome.store.sqlite.tables import VIEWS

RECENT: Final = 6
"""How many attempts back a worker remembers."""
PATHS: Final = ("src", "src/a.py", "docs/*", "docs/x.md")


def view_rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the views' tables, and the statements that made their indexes.

    But for `claimable`, which hangs on deadlines too, and those are soft; `differences` holds it against the rest.
    """
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    found: dict[str, list[tuple[Any, ...]]] = {}
    for view in VIEWS:
        columns = [name for _, name, *_ in connection.execute(f"pragma table_info({view})") if name != "claimable"]
        found[view] = sorted(connection.execute(f"select {', '.join(columns)} from {view}"), key=repr)
    found["indexes"] = sorted(connection.execute("select sql from sqlite_schema where type = 'index'"), key=repr)
    connection.close()
    return found


class _Past:
    def __init__(self, project: Project, seed: int) -> None:
        self.project = project
        self.draw = random.Random(seed)
        self.workers = [project.join(role) for role in (None, None, "green", "red")]
        self.made = 0
        self.attempts: list[tuple[Worker, str]] = []

    def worker(self) -> Worker:
        return self.draw.choice(self.workers)

    def role(self, worker: Worker) -> str | None:
        return worker.caller.roles[0] if worker.caller.roles else None

    def task(self) -> str:
        return f"t{self.draw.randint(1, max(1, self.made))}"

    def create(self) -> None:
        draw, several = self.draw, self.made > 2
        self.worker().create(
            draw.choice(("search", "implement", "fix")),
            depends_on=tuple({self.task() for _ in range(draw.choice((0, 0, 1, 2)))} if several else ()),
            files=tuple(draw.sample(PATHS, draw.choice((0, 0, 1, 2)))),
            review=draw.choice((None, None, "red")),
            key=draw.choice((None, None, f"k{self.made}")),
            not_before_seconds=draw.choice((0.0, 0.0, 0.0, 500.0)),
            priority=draw.choice((3, 5, 5)),
            max_attempts=draw.choice((None, 1)),
            run=draw.choice((None, "r1")) if several else None,
        )
        self.made += 1

    def claim(self) -> None:
        worker = self.worker()
        handle = worker.claim()["attempt"]
        if handle is not None:
            self.attempts.append((worker, handle))

    def report(self) -> None:
        worker, attempt = self.draw.choice(self.attempts[-RECENT:])
        outcome = self.draw.choice(("completed", "completed", "completed", "failed", "released", "approved", "changes"))
        with suppress(TrichromeError):
            worker.report(
                attempt, outcome, f"said {self.made}", data={"n": [1, 2.5, None]}, retry=self.draw.random() < 0.8
            )
        with suppress(TrichromeError):
            worker.report(attempt, "approved", "fine")

    def go_on(self) -> None:
        worker, attempt = self.draw.choice(self.attempts[-RECENT:])
        worker.reserve(attempt, self.draw.choice(PATHS), mode=self.draw.choice(("exclusive", "shared")))
        worker.progress(attempt, note="on it")

    def lose(self) -> None:
        """A server dies, alone or with its client, and somebody takes its place."""
        worker = self.worker()
        client = self.project.kill_server(worker)
        if self.draw.random() < 0.5:
            self.project.kill(client)
            self.project.sweep()
            client = self.project.process()
        self.workers[self.workers.index(worker)] = self.project.join(self.role(worker), client=client or "new")

    def decide(self) -> None:
        """The operator steps in."""
        c, operator = self.project.coordinator, self.project.operator.caller
        verbs: list[Callable[[], object]] = [
            lambda: tasks.retry(c, operator, self.task()),
            lambda: tasks.amend(c, operator, self.task(), priority=1, instructions="otherwise"),
            lambda: self.project.operator.cancel(task=self.task()),
            lambda: runs.pause(c, operator, "r1"),
            lambda: runs.resume(c, operator, "r1"),
            lambda: reviews.approve(c, operator, self.task()),
            lambda: reviews.reject(c, operator, self.task(), reason="no"),
        ]
        self.draw.choice(verbs)()

    def talk(self) -> None:
        worker, other = self.worker(), self.worker()
        notes.put(self.project.coordinator, worker.caller, self.draw.choice(("plan", "names")), f"text {self.made}")
        worker.send(self.draw.choice(("green", "red", "r1", "lead-1")), "hello")
        other.inbox()

    def wait(self) -> None:
        self.project.clock.pass_seconds(self.draw.choice((1.0, 60.0, 60.0, 60.0, 2000.0)))
        self.project.sweep()

    def salvage(self) -> None:
        """What a repair of a damaged log leaves."""
        if self.made:
            with self.project.store.writing(actor="operator", causation="salvage") as tx:
                tx.append(self.task(), [AttemptNumbersRaised(to=self.draw.randint(1, 9))])


def live_through(project: Project, *, seed: int, steps: int = 900) -> None:
    """Let so many things happen in a project; what the rules refuse does not."""
    past = _Past(project, seed)
    often = [past.create, past.claim, past.claim, past.report, past.report, past.report]
    seldom = [past.go_on, past.lose, past.decide, past.talk, past.wait, past.salvage]
    for _ in range(steps):
        with suppress(TrichromeError, IndexError):
            past.draw.choice(often * 2 + seldom)()


def kinds(project: Project) -> set[str]:
    """The kinds of events that a project's log holds."""
    with project.store.reading() as view:
        return {type(each.event).__name__ for each in view.events(limit=10**9)}
