"""The log against itself: what each event may follow, by the rules of a task's life alone.

The product's own fold is not used: it would believe what it wrote. Where a repair lost a part of a stream, the stream
goes on from what is left of it; the numbers that it had given out stay given out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from trichrome.domain.events import (
    AttemptAdopted,
    AttemptExpired,
    AttemptFailed,
    AttemptNumbersRaised,
    AttemptReleased,
    AttemptRescued,
    AttemptResumed,
    ChangesRequested,
    FilesReserved,
    ProgressReported,
    ResultSuperseded,
    ReviewRequested,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskRetried,
)
from trichrome.torture.histories import Damage, Fact
from trichrome.torture.promises import Promise, Verdict

_MENDING: Final = "repair"
"""The causation of events by which a repair mends what a hole swallowed; they follow no rule but its own."""


@dataclass(slots=True)
class _Task:
    """A task as far as the rules need it.

    Attributes:
        live: the number of its live attempt.
        last: the number of its last attempt, live or not.
        judged: the attempt whose report is under review.
    """

    depends_on: tuple[str, ...] = ()
    live: int | None = None
    last: int = 0
    judged: int | None = None
    is_completed: bool = False
    is_over: bool = False


@dataclass(slots=True)
class Log:
    """The streams as they stand, and what was found wrong on the way.

    Attributes:
        facts: each stream's events that are in the log.
        given: the highest attempt number that a task ever gave out, lost ones included.
    """

    verdict: Verdict
    facts: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    given: dict[str, int] = field(default_factory=dict)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _position: int = 0

    def take(self, fact: Fact) -> None:
        """Check an event against what came before it, then take it in."""
        is_next = fact.version == len(self.facts[fact.stream]) + 1 and fact.position > self._position
        self._check("the chain is whole", is_next, fact, f"version {fact.version} does not follow")
        self._position = fact.position
        self.facts[fact.stream].append(fact)
        if not isinstance(fact.event, _OF_TASKS):
            return
        if fact.causation != _MENDING:
            self._judge(fact, self._tasks.get(fact.stream, _Task()))
        _fold(self._tasks, fact)
        self.given[fact.stream] = max(self.given.get(fact.stream, 0), self._tasks[fact.stream].last)

    def lose(self, damage: Damage) -> None:
        """Go on without what a damage took; whatever is lost unnamed breaks a promise."""
        lost = set(damage.lost)
        for stream in {fact.stream for fact in lost}:
            self.facts[stream] = [fact for fact in self.facts[stream] if fact not in lost]
            self._tasks.pop(stream, None)
            for fact in self.facts[stream]:
                if isinstance(fact.event, _OF_TASKS):
                    _fold(self._tasks, fact)
            if damage.is_unseen:
                self.given.pop(stream, None)
                if stream in self._tasks:
                    self.given[stream] = self._tasks[stream].last
        self._position = max((facts[-1].position for facts in self.facts.values() if facts), default=0)
        unnamed = set(damage.unnamed)
        for fact in damage.lost:
            self._check(
                "repair names what is lost",
                fact not in unnamed,
                fact,
                f"{type(fact.event).__name__} at position {fact.position} is gone, and nobody said so",
            )

    def ends(self, at: float) -> None:
        """Check that every task is over."""
        for name, task in self._tasks.items():
            self.verdict.check("every task ends", task.is_over, f"{name} is not over", task=name, at=at)

    def exists(self, task: str) -> bool:
        """Whether a task is in the log, or was not lost from it."""
        return task in self._tasks

    def _check(self, promise: Promise, held: object, fact: Fact, what: str) -> None:
        task = fact.stream if isinstance(fact.event, _OF_TASKS) else None
        self.verdict.check(promise, held, f"{fact.stream}: {what}", task=task, at=fact.seen)

    def _judge(self, fact: Fact, task: _Task) -> None:
        match fact.event:
            case TaskCreated():
                is_new = fact.stream not in self.given
                self._check("numbers rise", is_new, fact, "a task of this number was there before")
            case TaskClaimed(attempt=number):
                self._check("one live attempt", task.live is None, fact, f"{number} began while {task.live} is live")
                given = self.given.get(fact.stream, 0)
                self._check("numbers rise", number > given, fact, f"{number} began after {given}")
                self._check("completed once", not task.is_over, fact, f"{number} began though the task is over")
                is_free = all(self._tasks[on].is_completed for on in task.depends_on if on in self._tasks)
                self._check("dependencies first", is_free, fact, f"{number} began too early")
            case AttemptResumed(attempt=number):
                is_last = task.live is None and number == task.last and not task.is_over
                self._check("one live attempt", is_last, fact, f"{number} came back, but {task.last} began since")
            case AttemptAdopted(attempt=number) | AttemptRescued(attempt=number) | AttemptExpired(attempt=number):
                self._check("one live attempt", number == task.live, fact, f"{number} is not the live one")
            case ResultSuperseded(attempt=number):
                self._check("nothing stale counts", number != task.live, fact, f"{number} is live, but was put aside")
            case ChangesRequested(attempt=number):
                self._check("nothing stale counts", number == task.judged, fact, f"{number} is not under review")
            case TaskCompleted(attempt=number, approved_by=by):
                self._check("completed once", not task.is_completed, fact, "completed again")
                counts = number == (task.live if by is None else task.judged)
                self._check("nothing stale counts", counts, fact, f"completed by {number}, which is over")
            case (
                ProgressReported(attempt=number)
                | FilesReserved(attempt=number)
                | AttemptReleased(attempt=number)
                | AttemptFailed(attempt=number)
                | ReviewRequested(attempt=number)
            ):
                self._check("nothing stale counts", number == task.live, fact, f"{number} is over, but counted")
            case TaskFailed(attempt=number) if number is not None:
                self._check("nothing stale counts", number == task.live, fact, f"failed by {number}, which is over")
            case _:
                pass


_OF_TASKS: Final = (
    TaskCreated,
    TaskClaimed,
    AttemptAdopted,
    AttemptResumed,
    AttemptReleased,
    AttemptRescued,
    AttemptExpired,
    AttemptFailed,
    ProgressReported,
    FilesReserved,
    ResultSuperseded,
    ReviewRequested,
    ChangesRequested,
    TaskCompleted,
    TaskFailed,
    TaskCancelled,
    TaskRetried,
    AttemptNumbersRaised,
)


def _fold(tasks: dict[str, _Task], fact: Fact) -> None:
    """What an event makes of its task."""
    task = tasks.setdefault(fact.stream, _Task())
    match fact.event:
        case TaskCreated(depends_on=depends_on):
            task.depends_on = tuple(depends_on)
        case TaskClaimed(attempt=number) | AttemptResumed(attempt=number):
            task.live, task.last = number, max(task.last, number)
        case AttemptReleased() | AttemptRescued() | AttemptExpired() | AttemptFailed():
            task.live = None
        case ReviewRequested(attempt=number):
            task.live, task.judged = None, number
        case ChangesRequested():
            task.judged = None
        case TaskCompleted():
            task.live, task.judged, task.is_completed, task.is_over = None, None, True, True
        case TaskFailed() | TaskCancelled():
            task.live, task.judged, task.is_over = None, None, True
        case TaskRetried():
            task.is_over = False
        case AttemptNumbersRaised(to=number):
            task.last = max(task.last, number)
        case _:
            pass


def walk(verdict: Verdict, facts: Iterable[Fact], damages: Iterable[Damage]) -> Log:
    """Take in every fact, and each damage where it came; answers the log as it stands at the end."""
    log = Log(verdict)
    ahead = sorted(damages, key=lambda damage: damage.after, reverse=True)
    for number, fact in enumerate(facts):
        while ahead and ahead[-1].after <= number:
            log.lose(ahead.pop())
        log.take(fact)
    for damage in reversed(ahead):
        log.lose(damage)
    return log
