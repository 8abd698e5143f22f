"""The loop of an offline worker: claim, work, report, and the next one; or one named task alone.

Guarantees: each result is reported until the server has answered for it, over as many connections as that takes; what
is no longer this worker's is dropped without a second report; a worker that is stopped gives back what it holds; a
failure of the work fails the attempt, with its reason, and not the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.lowlevel

from trichrome.errors import TrichromeError
from trichrome.runners.connection import Tools, give_back
from trichrome.runners.offline.findings import quote
from trichrome.runners.offline.work import Result

NOT_OURS: Final = frozenset({"stale_attempt", "already_reported", "not_owner", "not_found"})
"""Refusals of a report that mean: the attempt is over, or somebody else's. Drop the work and go on."""

NOT_TO_BE_HAD: Final = NOT_OURS | {"already_claimed", "files_conflict", "not_permitted", "invalid"}
"""Refusals of a named claim that mean: another worker was faster, or the task is not ready any more."""

RETRY_SECONDS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Pauses before a call is repeated that the server calls retryable; then its refusal stands."""

REPORT_SECONDS: Final = 30.0
"""How long a stop waits for a report that is on its way, so that work that was done is not done again."""

log = logging.getLogger(__name__)


@dataclass
class Worker:
    """One worker of one role. What it holds outlives a connection: `run` may be called again with another.

    Attributes:
        work: does one claimed task; whatever it raises fails the attempt.
        wait_seconds: how long one `claim_task` blocks.
        until_idle: how many waits in a row without work end `run`; None never does.
        task: the one task to take, by name; None takes one after the other.
    """

    role: str
    work: Callable[[Mapping[str, Any]], Awaitable[Result]]
    wait_seconds: int = 30
    until_idle: int | None = None
    task: str | None = None
    _claimed: Mapping[str, Any] | None = field(default=None, init=False)
    _result: Result | None = field(default=None, init=False)
    _idle: int = field(default=0, init=False)
    _is_done: bool = field(default=False, init=False)
    _running: anyio.CancelScope | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)

    async def run(self, tools: Tools) -> None:
        """Work until idle, done or stopped. A connection must outlive this call: the last word goes over it.

        Raises:
            ConnectionError: the connection is gone; call again with a new one.
            TrichromeError: the server refuses what this worker cannot mend.
        """
        with anyio.CancelScope() as scope:
            self._running = scope
            if self._stopping:
                scope.cancel()
            try:
                while not self._is_done and (self.until_idle is None or self._idle < self.until_idle):
                    await anyio.lowlevel.checkpoint()  # a shielded report alone would never see the stop
                    await self._step(tools)
            finally:
                self._running = None
        if self._stopping and self._claimed is not None:
            await give_back(tools, self._claimed["attempt"])

    def stop(self) -> bool:
        """Let `run` give back what is held and return; False when it is not running, or is stopping already."""
        if self._running is None or self._stopping:
            return False
        self._stopping = True
        self._running.cancel()
        return True

    async def _step(self, tools: Tools) -> None:
        if self._claimed is None:
            await self._claim(tools)
        elif self._result is None:
            self._result = await self._worked(tools, self._claimed)
        else:
            with anyio.move_on_after(REPORT_SECONDS, shield=True):
                await self._report(tools, self._claimed["attempt"], self._result)

    async def _claim(self, tools: Tools) -> None:
        if self.task is not None:
            await self._claim_named(tools, self.task)
            return
        answer = await _patiently(tools, "claim_task", {"role": self.role, "wait_seconds": self.wait_seconds})
        self._hold(answer)
        self._idle = 0 if self._claimed else self._idle + 1

    async def _claim_named(self, tools: Tools, task: str) -> None:
        try:
            self._hold(await _patiently(tools, "claim_task", {"task": task}))
        except TrichromeError as refusal:
            if refusal.code not in NOT_TO_BE_HAD:
                raise
            log.info("%s is not to be had: %s", task, refusal.message)
        self._is_done = self._claimed is None

    def _hold(self, claim: Mapping[str, Any] | None) -> None:
        """Take what a claim answered as the work at hand; nothing, when it answered that there is none."""
        self._claimed = claim if claim and claim.get("attempt") else None
        self._result = None
        if self._claimed:
            log.info(
                "%s took %s: %s", self.role, self._claimed["attempt"], quote(self._claimed["task"]["instructions"])
            )

    async def _worked(self, tools: Tools, claimed: Mapping[str, Any]) -> Result:
        try:
            return await self.work(await _completed(tools, claimed))
        except ConnectionError:
            raise
        except Exception as error:  # whatever one task breaks, the worker is there for the next
            log.exception("%s failed", claimed["attempt"])
            return Result("failed", f"The work ended with {type(error).__name__}: {quote(str(error))}")

    async def _report(self, tools: Tools, attempt: str, result: Result) -> None:
        arguments = {"attempt": attempt, **result.arguments(), "claim_next": self.task is None}
        try:
            answer = await _patiently(tools, "report_result", arguments)
        except TrichromeError as refusal:
            if refusal.code in NOT_OURS:
                log.info("%s is no longer ours: %s", attempt, refusal.message)
                self._let_go(None)
            elif result.outcome == "failed":
                raise
            else:
                self._result = Result("failed", f"The server refused the result: {refusal.message}", retry=False)
            return
        log.info("%s %s: %s", attempt, result.outcome, quote(result.summary))
        self._let_go(answer.get("claimed"))

    def _let_go(self, claimed: Mapping[str, Any] | None) -> None:
        """Go on without the task at hand, with the one that came with the answer."""
        self._hold(claimed)
        self._is_done = self.task is not None and self._claimed is None


async def _patiently(tools: Tools, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a tool, again after a pause where the server says that this may help."""
    for pause in RETRY_SECONDS:
        try:
            return await tools.call(tool, arguments)
        except TrichromeError as refusal:
            if not refusal.retryable:
                raise
            log.info("%s: %s", tool, refusal.message)
        await anyio.sleep(pause)
    return await tools.call(tool, arguments)


async def _completed(tools: Tools, claimed: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claim with the data of every dependency: an answer has a ceiling, and has words where it left data out."""
    dependencies = [await _with_data(tools, dependency) for dependency in claimed.get("dependencies") or ()]
    return {**claimed, "dependencies": dependencies}


async def _with_data(tools: Tools, dependency: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(dependency.get("data"), str):
        return dependency
    task = await _patiently(tools, "get_task", {"task": dependency["id"]})
    return {**dependency, "data": task.get("result", {}).get("data")}
