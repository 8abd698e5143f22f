"""A client that works, and does to itself what it is ordered.

It is the client process that a server sees: it starts the server, speaks to it over pipes, and starts another when
that one is gone. Orders come in on its standard input, a JSON object a line; at the end of input it leaves. Started as
`python -m trichrome.torture.client CONFIG`, with the standard library alone.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final

from trichrome.torture.deeds import DEEDS
from trichrome.torture.pipes import Answer, Calls, GoneError, History, Server, greet

_OVER: Final = frozenset(
    {
        "already_claimed",
        "already_reported",
        "files_conflict",
        "invalid",
        "not_found",
        "not_owner",
        "not_permitted",
        "stale_attempt",
    }
)
"""Refusals that tell a worker to let an attempt go; were it still its own, the next claim would answer it again."""
_LONGEST_SECONDS: Final = 0.4
"""How long the work between two calls takes at most."""
_PATHS: Final = ("src/a.py", "src/b.py", "src", "docs/*.md", "docs/index.md", "Makefile")
_KINDS: Final = ("search", "analyze", "implement", "fix", "test", "document")
_HOLDS: Final = re.compile(r"already works on (t\d+)\.")


class LeaveError(Exception):
    """It is time to leave."""


class Client:
    """One life of one worker.

    Attributes:
        chance: what it draws from.
        server: the one that it speaks to.
        calls: what it asks.
        held: the attempt that it works on.
        reporting: the report that is on its way, until it is answered.
        reported: the last report that was acknowledged.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.chance = random.Random(f"{config['seed']} {config['name']}")
        self.calls = Calls(History(config["history"]))
        self.server: Server | None = None
        self.held: str | None = config["held"]
        self.reporting: Answer | None = None
        self.reported: Answer | None = None
        self._is_review = False
        self._former: list[str] = list(config["former"])
        self._mine: list[str] = []
        self._keyed: list[Answer] = []
        self._orders: list[Answer] = []
        self._is_finishing = config["finishing"]
        self._heard = b""
        if self._is_finishing:
            self.calls.history.note(finishing=True)

    # --- asking -------------------------------------------------------------------------------------------------------

    def connect(self) -> Server:
        """Start a server and greet it.

        Raises:
            GoneError: it did not come up.
        """
        server = Server(self._config["server"], os.environ, self._config["errors"])
        self.calls.history.note(server=server.pid)
        try:
            greet(server, self._config["calls_itself"])
        except GoneError:
            server.end()
            raise
        return server

    @property
    def own(self) -> Server:
        """The server that it speaks to."""
        assert self.server is not None
        return self.server

    def call(self, tool: str, *, by: Server | None = None, **arguments: Any) -> Answer:
        """Call a tool, by its own server unless another is named.

        Raises:
            GoneError: no answer came.
        """
        server = by or self.own
        return self.calls.answer(server, self.calls.ask(server, tool, arguments))

    def token(self, words: str) -> str:
        """Words that nobody else says."""
        return f"{self._config['name']}:{self.calls.last + 1} {words}"

    def happens(self, percent: float) -> bool:
        """Whether something does that happens so often."""
        return self.chance.uniform(0, 100) < percent

    def did(self, order: Answer) -> None:
        """Write down that an ordered fault takes place now."""
        order["did"] = True
        self.calls.history.note(fault=order["fault"])

    # --- living -------------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """Work until told to leave."""
        try:
            while True:
                try:
                    self.server = self.connect()
                    while True:
                        self.listen(0.0)
                        if not self._obey():
                            self._work()
                except GoneError:
                    if self.server is not None:
                        self.server.end()
                    self.listen(0.05)
        except LeaveError:
            if self.server is not None:
                self.server.end(kill=False)

    def listen(self, seconds: float) -> bool:
        """Take orders, for so long or until some come; answers whether they did.

        Raises:
            LeaveError: one says so, or whoever gives them is gone.
        """
        if not select.select([0], [], [], seconds)[0]:
            return False
        chunk = os.read(0, 1 << 16)
        if not chunk:
            raise LeaveError
        *lines, self._heard = (self._heard + chunk).split(b"\n")
        for order in map(json.loads, lines):
            match order["do"]:
                case "leave":
                    raise LeaveError
                case "finish":
                    self._is_finishing = True
                    self.calls.history.note(finishing=True)
                case _:
                    self._orders.append(order)
        return True

    def _obey(self) -> bool:
        """Do the oldest order, where it can be done now; answers whether it was."""
        if not self._orders:
            return False
        order = self._orders[0]
        try:
            return DEEDS[order["do"]](self, order)
        finally:
            if "did" in order:
                self._orders.pop(0)

    def _work(self) -> None:
        """Do the next thing that a worker does."""
        if self.reporting is not None:
            self.report(self.reporting)
        elif self.held is not None:
            self._go_on(self.held)
        else:
            self._find_work()

    def _find_work(self) -> None:
        if self._former and self.happens(6):  # an attempt that is over, or was another's
            self.call("report_progress", attempt=self.chance.choice(self._former[-20:]), note=self.token("old"))
        if self.happens(4) and not self._is_finishing:
            self._create()
        if self.happens(3):
            self.call("share_context", name=f"note-{self.chance.randrange(5)}", text=self.token("shared"))
        self.take(self.call("claim_task", wait_seconds=self.chance.choice((0, 1))))

    def take(self, claimed: Answer) -> None:
        """Take what a claim answered; where there is nothing to do, see that there will be."""
        if "error" in claimed:
            self.listen(0.1)
        elif claimed["attempt"] is not None:
            self.held, self._is_review = claimed["attempt"], "reviews" in claimed["task"]
        elif (held := _HOLDS.search(claimed["next"])) is not None:
            self.take(self.call("claim_task", task=held[1]))
        elif not self._is_finishing:
            self._create()

    def _go_on(self, attempt: str) -> None:
        """Work on an attempt for a while, then report it."""
        answer: Answer = {}
        if self.happens(35):
            answer = self.call("report_progress", attempt=attempt, note=self.token("note"), fraction=0.5)
        elif self.happens(15):
            answer = self.call("reserve_files", attempt=attempt, paths=[f"own/{self._config['name']}"])
        if "error" in answer or "orders" in answer:
            self._heed(answer)
            return
        if not self.listen(self.chance.uniform(0, _LONGEST_SECONDS)):
            self.report(self.said(attempt))

    def _heed(self, answer: Answer) -> bool:
        """Let our attempt go when an answer says so; answers whether it does."""
        is_over = "orders" in answer or answer.get("error", {}).get("code") in _OVER
        if is_over:
            self._let_go()
        elif "error" in answer:
            self.listen(0.1)
        return is_over

    def _let_go(self) -> None:
        if self.held is not None:
            self._former.append(self.held)
        self.held = None

    def said(self, attempt: str) -> Answer:
        """A report as a worker may make it."""
        report: Answer = {"attempt": attempt, "outcome": "completed", "summary": self.token(f"did {attempt}")}
        if self._is_review:
            report["outcome"] = "changes" if self.happens(30) else "approved"
        elif self.happens(6):
            report["outcome"] = "released"
        elif self.happens(8):
            report |= {"outcome": "failed", "retry": not self.happens(10)}
        if self.happens(50):
            report["claim_next"] = True
        return report

    def report(self, report: Answer) -> None:
        """Report; where no answer comes, the same is reported again by the next server."""
        self.reporting = report
        answer = self.call("report_result", **report)
        if "error" in answer:
            if self._heed(answer):
                self.reporting = None
            return
        self.reporting, self.reported = None, report
        self._let_go()
        if "claimed" in answer:
            self.take(answer["claimed"])

    # --- creating -----------------------------------------------------------------------------------------------------

    def _create(self) -> None:
        """Create a few tasks of all sorts; now and then the same again, or cancel one."""
        if self._keyed and self.happens(30):
            again = dict(self.chance.choice(self._keyed))
            if self.happens(30):
                again["instructions"] = self.token("other content")
            self.call("create_task", **again)
        if self._mine and self.happens(15):
            self.call("cancel_task", task=self.chance.choice(self._mine[-10:]), reason=self.token("cancelled"))
        wanted = [{**self.draft(place), "ref": f"{place}"} for place in range(self.chance.randint(2, 6))]
        for place, task in enumerate(wanted):
            if place and self.happens(50):
                task["depends_on"] = self.chance.sample([f"{earlier}" for earlier in range(place)], min(place, 2))
        created = self.call("create_task", tasks=wanted)
        self._mine += [task["id"] for task in created.get("tasks", ())]
        if self.happens(40):
            self._keyed.append({**self.draft(0), "key": self.token("key")})
            self.call("create_task", **self._keyed[-1])

    def draft(self, place: int) -> Answer:
        """A task as somebody may want it."""
        task: Answer = {
            "kind": self.chance.choice(_KINDS),
            "instructions": self.token(f"task {place}"),
            "priority": self.chance.randrange(10),
            "max_attempts": 1000,
        }
        if self.happens(30):
            task["files"] = self.chance.sample(_PATHS, 2)
        if self._config["reviews"] and self.happens(20):
            task["review"] = "red"
        if self.happens(10):
            task["not_before_seconds"] = round(self.chance.uniform(0, 1), 2)
        return task


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us decides when we leave
    Client(json.loads(sys.argv[1])).live()
