"""What the agents in the clients do: ask for tasks, work on them, and lead; well, badly, twice, late, or never again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.clients import Client, LostError
from tests.simulation.world import World

from trichrome.coordinator import attempts, messages, notes, tasks, waiting
from trichrome.domain.drafts import Draft
from trichrome.errors import TrichromeError

PATHS: Final = ("src", "src/a.py", "docs/*", "docs/x.md")
THINKING_SECONDS: Final = (0.1, 1.0, 10.0, 60.0, 400.0)
PATIENCE_SECONDS: Final = 600.0
"""How long an idle agent waits for something new before it asks again."""
OVER: Final = frozenset({"stale_attempt", "already_reported", "not_owner", "not_found", "already_claimed"})
"""Refusals after which an agent lets go of what it worked on."""


@dataclass(eq=False)
class Agent:
    """An agent of a client that does tasks.

    Attributes:
        handle: the attempt that it knows it has.
        is_review: whether that is a review.
        retired: it asks for nothing more.
    """

    client: Client
    name: str | None = None
    handle: str | None = None
    is_review: bool = False
    retired: bool = False

    @property
    def world(self) -> World:
        return self.client.world

    @property
    def roles(self) -> tuple[str, ...] | None:
        return None if self.client.role is None else (self.client.role,)

    def live(self) -> None:
        """Work until the client dies or there is nothing to work for."""
        while not self.retired:
            try:
                if self.handle is None:
                    self.ask()
                elif self.world.happens("forget", 0.02):
                    self.retired = True  # it lives on, and its attempt with it, until its time is over
                else:
                    self.work()
            except LostError:
                self.world.sleep(self.world.draw.choice((0.0, 0.0, 1.0)))
                if self.handle is not None and self.world.happens("forget", 0.3):
                    self.handle = None
            except TrichromeError as error:
                if error.code in OVER or (error.code == "files_conflict" and not self.is_live()):
                    self.handle = None
                self.world.sleep(1.0)

    def is_live(self) -> bool:
        """Whether what it works on is still its own, which it cannot know, but a model would find out by asking."""
        task, _, number = (self.handle or "").partition(".")
        known = self.client.truth.judge.tasks.get(task)
        return known is not None and known.live and known.number == int(number)

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Claim, and wait for something new when there is nothing."""
        length = self.world.length()
        named = self.world.draw.choice(self.open_tasks()) if self.world.happens("repeat", 0.05) else None
        self.take(self.claim(named))
        if self.handle is None:
            self.world.sleep(PATIENCE_SECONDS, unless_log=length + self.world.draw.choice((0, 4, 12)))

    def open_tasks(self) -> list[str]:
        """Tasks that a lead may have told it of."""
        return list(self.client.truth.judge.tasks) or ["t1"]

    def claim(self, named: str | None) -> Any:
        answer = self.client.call(
            "claim",
            lambda c, me: waiting.claim(c, me, task=named),
            agent=self.name,
            task=named,
            roles=self.roles,
        )
        told = re.search(r"already works on (t\d+)", answer["next"])
        if answer["attempt"] is None and told is not None and named is None and self.name is None:
            return self.claim(told[1])  # it can only be its own, as this client has no other agent
        return answer

    def take(self, answer: Any) -> None:
        """Begin with what a claim answered."""
        self.handle = answer["attempt"]
        if self.handle is not None:
            self.is_review = "reviews" in answer["task"]

    # --- working ------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Think, perhaps say something on the way, then report."""
        draw, world = self.world.draw, self.world
        world.sleep(draw.choice(THINKING_SECONDS[:2] if world.calm else THINKING_SECONDS))
        if draw.random() < 0.5:
            draw.choice((self.progress, self.reserve, self.share, self.send))()
        else:
            self.report()

    def progress(self) -> None:
        handle = str(self.handle)
        self.client.call(
            "progress", lambda c, me: attempts.progress(c, me, handle, note="on it"), agent=self.name, handle=handle
        )

    def reserve(self) -> None:
        handle, path = str(self.handle), self.world.draw.choice(PATHS)
        mode: Any = self.world.draw.choice(("exclusive", "shared"))
        self.client.call(
            "reserve",
            lambda c, me: attempts.reserve(c, me, handle, [path], mode=mode),
            agent=self.name,
            handle=handle,
            path=path,
        )

    def share(self) -> None:
        handle = str(self.handle)
        text = f"{self.client.identity} knows at step {self.world.steps}"
        self.client.call(
            "share",
            lambda c, me: notes.put(c, me, "plan", text, attempt=handle),
            agent=self.name,
            handle=handle,
        )

    def send(self) -> None:
        to = self.world.draw.choice(("lead", "blue", "green", "r1"))
        self.client.call("send", lambda c, me: messages.send(c, me, to, "hello"), agent=self.name)

    def report(self) -> None:
        """Report, and go on with what comes next; sometimes say it twice."""
        draw, handle, world = self.world.draw, str(self.handle), self.world
        arguments = {
            "outcome": draw.choice(self.outcomes()),
            "summary": f"{self.client.identity} said at step {self.world.steps}",
            "retry": draw.random() < 0.8,
            "claim_next": draw.random() < 0.5,
        }
        answer = self.persist(handle, arguments)
        if world.happens("repeat", 0.2):
            self.persist(handle, arguments | {"claim_next": False})
        self.handle = None
        if "claimed" in answer:
            self.take(answer["claimed"])

    def outcomes(self) -> tuple[str, ...]:
        """What an agent may come to."""
        if self.world.calm:
            return ("approved",) if self.is_review else ("completed",)
        if self.is_review:
            return ("approved", "approved", "changes", "failed", "released")
        return ("completed", "completed", "completed", "completed", "failed", "released")

    def persist(self, handle: str, arguments: Any) -> Any:
        """Report, and report the same again until there is an answer."""
        while True:
            try:
                return self.client.call(
                    "report",
                    lambda c, me: attempts.report(c, me, handle, **arguments),
                    agent=self.name,
                    handle=handle,
                    roles=self.roles,
                    **arguments,
                )
            except LostError:
                if self.world.happens("forget", 0.2):
                    raise
            except TrichromeError as error:
                if not error.retryable:
                    raise
            self.world.sleep(1.0)


@dataclass(eq=False)
class Lead(Agent):
    """An agent that asks for the work, and waits for it.

    Attributes:
        batches: how often it has still to ask.
        ended: the tasks that it was told are over.
    """

    batches: int = 1
    cursor: int | None = None
    run: str | None = None
    ended: set[str] = field(default_factory=set)

    def live(self) -> None:
        """Ask for all that is wanted, then wait for it."""
        while True:
            try:
                if self.batches:
                    self.create()
                    self.batches -= 1
                elif self.run is not None:
                    self.wait()
            except LostError:
                pass
            except TrichromeError:
                self.world.sleep(5.0)
            self.world.sleep(self.world.draw.choice((1.0, 30.0)) if self.batches else 300.0)

    def create(self) -> None:
        """Ask for some tasks at once, under keys, and again until there is an answer."""
        draw, number = self.world.draw, self.batches
        drafts = [
            Draft(
                kind=draw.choice(("search", "implement", "fix")),
                instructions="do it",
                depends_on=tuple(f"s{on}" for on in range(place) if draw.random() < 0.4),
                files=tuple(draw.sample(PATHS, draw.choice((0, 0, 1)))),
                review=draw.choice((None, None, "red", "blue")),
                priority=draw.choice((3, 5, 5)),
                key=f"k{number}.{place}",
                max_attempts=draw.choice((None, None, 1, 2)),
                not_before_seconds=draw.choice((0.0, 0.0, 100.0)),
                time_limit_seconds=draw.choice((None, 300.0)),
                ref=f"s{place}",
            )
            for place in range(draw.choice((1, 2, 3, 4)))
        ]
        run = self.run if draw.random() < 0.5 else None
        while True:
            try:
                answer = self.client.call(
                    "create", lambda c, me: tasks.create(c, me, drafts, run=run), keys=[each.key for each in drafts]
                )
            except LostError:
                continue
            except TrichromeError as error:
                if not error.retryable:
                    raise
            else:
                if self.run != answer["run"]:
                    self.run, self.cursor, self.ended = answer["run"], None, set()
                return
            self.world.sleep(1.0)

    def wait(self) -> None:
        """Ask what has come of the run."""
        answer = self.client.call(
            "wait", lambda c, me: waiting.wait(c, me, run=self.run, cursor=self.cursor, wait_seconds=0)
        )
        self.cursor = answer["cursor"]
        self.ended.update(task["id"] for task in answer["changed"])
