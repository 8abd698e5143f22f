"""Trichrome, through its coordinator, as its server uses it: `create`, `claim`, `report`.

A claim looks for workers whose process is gone, so nothing need be done to bring their tasks back.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from bench.peers.store import Held, Pulled
from bench.worker import introduced
from trichrome.bootstrap import open_project
from trichrome.coordinator import OPERATOR, Caller, attempts, tasks
from trichrome.coordinator.answers import Claimed
from trichrome.domain.drafts import Draft
from trichrome.errors import StaleAttemptError
from trichrome.store.port import TaskFilter

BACKOFF_SECONDS: Final = 0.5
"""A task that was rescued twice in a row waits; kept as short as the peers' timeouts are here."""
_MOST_ATTEMPTS: Final = 50
"""A task whose workers are killed on purpose is not to be given up."""


class Trichrome(Pulled):
    """A project, and this process as a worker that serves blue.

    Args:
        folder: of the project.
        options: `full` or `fast`; `next` claims in the call that reports; `limited` lets an attempt take one second.
    """

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        durability = "fast" if "fast" in options else "full"
        flags = {"durability": durability, "backoff_seconds": BACKOFF_SECONDS}
        self._project = open_project(folder, environment={}, flags=flags)
        self._c = self._project.coordinator
        self._claims_next = "next" in options
        self._draft = Draft(
            kind="search",
            instructions="Look.",
            max_attempts=_MOST_ATTEMPTS,
            time_limit_seconds=1.0 if "limited" in options else None,
        )
        self._run: str | None = None
        self._caller: Caller | None = None
        self._next: Held | None = None

    def put(self) -> str:
        made = tasks.create(self._c, OPERATOR, [self._draft], run=self._run)
        self._run = made["run"]
        return made["tasks"][0]["id"]

    def take(self) -> Held | None:
        held, self._next = self._next, None
        return held or _held(attempts.claim(self._c, self._me()))

    def acknowledge(self, held: Held) -> bool:
        try:
            answer = attempts.report(
                self._c, self._me(), held.handle, "completed", "Found it.", claim_next=self._claims_next
            )
        except StaleAttemptError:
            return False
        if self._claims_next:
            self._next = _held(answer["claimed"])
        return True

    def done(self) -> set[str]:
        with self._c.store.reading() as view:
            return {line.task.id for line in view.list_tasks(TaskFilter(state="completed", limit=10**9))}

    def close(self) -> None:
        self._project.close()

    def _me(self) -> Caller:
        """This process, introduced at its first call as worker: client and server at once."""
        if self._caller is None:
            self._caller = introduced(self._c, secrets.token_hex(8))
        return self._caller


def _held(claimed: Claimed) -> Held | None:
    return None if claimed["attempt"] is None else Held(claimed["task"]["id"], claimed["attempt"])


def opened(folder: Path, _slot: int, *options: str) -> Trichrome:
    return Trichrome(folder, options)
