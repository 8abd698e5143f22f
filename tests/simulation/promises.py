"""What every log must keep to, judged from its events alone.

The rules of a task's life are those that the torture bench checks too (`trichrome.torture.fold`). The judge adds what
takes a whole log to say: files, reviews, runs, ids, and what must stand in one transaction. It folds the events anew,
apart from the product's own fold and decisions, so that a rule which is missing there is not missing here too; it knows
nothing of clocks and processes, `truth` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from trichrome.domain import events as facts
from trichrome.domain.reservations import Hold, holds
from trichrome.store.port import Recorded
from trichrome.torture.fold import Log
from trichrome.torture.histories import Fact
from trichrome.torture.promises import Verdict

LOST_NUMBERS: Final = 1000
"""How far ids and attempt numbers jump where the log may have lost its tail."""

NO_GAPS: Final = "positions have no gaps"
COUNTED: Final = "each dependency is counted once, when it is completed"
AT_ONCE: Final = "what an event causes stands in the same transaction"
OWN_REVIEW: Final = "nobody reviews its own work"
ROUNDS: Final = "rounds of review are bounded"
FILES: Final = "live attempts hold no conflicting files"
ONE_TASK: Final = "a worker works on one task"
SAME_KEY: Final = "the same key makes one task"
PAUSED: Final = "nothing of a paused run is claimed"
MESSAGES: Final = "a message reaches those it was sent to, once"
NOTES: Final = "a note's versions rise by one"
JUMP: Final = "numbers that a lost tail may have used are not used again"
LIFE: Final = "a task's life has no other turns"

_TAKES: Final = (facts.TaskClaimed, facts.AttemptAdopted, facts.AttemptResumed, facts.FilesReserved)
"""After these an attempt holds more, or another worker holds it."""


@dataclass(slots=True)
class KnownTask:
    """A task as its events tell it."""

    made: facts.TaskCreated
    priority: int
    waits: set[str]
    number: int = 0
    live: bool = False
    worker: str = ""
    principal: str = ""
    ended_as: str = ""
    over: str = ""
    reviewed: int | None = None
    review: str | None = None
    rounds: int = 0
    holds: list[Hold] = field(default_factory=list)
    sure: int = 0
    """The position below which a lost tail may have used numbers of its own."""

    @property
    def id(self) -> str:
        """Its handle."""
        return self.made.task

    @property
    def is_ready(self) -> bool:
        """Whether nothing of its own keeps it from being claimed, but for the time."""
        return not (self.live or self.over or self.waits or self.reviewed is not None)


Breaks = Callable[[str, str, str], None]


class Judge:
    """Reads a log event by event.

    Attributes:
        breaks: is told each broken promise: which, about whom, and why.
    """

    def __init__(self, breaks: Breaks) -> None:
        self.breaks = breaks
        self.tasks: dict[str, KnownTask] = {}
        self.runs: dict[str, bool] = {}
        self.position = 0
        self._log = Log(Verdict())
        self._keys: dict[str, str] = {}
        self._notes: dict[str, tuple[int, int]] = {}
        self.messages: dict[str, set[str]] = {}
        self._salvages: list[int] = []
        self._newest: dict[str, tuple[int, int]] = {}

    def follows(self, events: Sequence[Recorded]) -> None:
        """Judge a transaction whose events were all seen."""
        for recorded in events:
            self._follows(recorded.stream, recorded.event)

    def see(self, recorded: Recorded) -> None:
        """Judge one event, and fold it."""
        stream, event = recorded.stream, recorded.event
        self._log.take(
            Fact(recorded.position, stream, recorded.version, event, recorded.recorded_at, causation=recorded.causation)
        )
        for broken in self._log.verdict.broken:
            self.breaks(broken.promise, broken.task or stream, broken.what)
        is_next = recorded.position == self.position + 1
        self._check(is_next, NO_GAPS, stream, f"position {recorded.position} after {self.position}")
        self.position = recorded.position
        match event:
            case facts.TaskCreated():
                self._check_id(stream)
                self._created(event)
            case facts.RunCreated():
                self._check_id(stream)
                self.runs[stream] = False
            case facts.RunPaused() | facts.RunResumed():
                self.runs[stream] = isinstance(event, facts.RunPaused)
            case facts.MessageSent():
                self._check_id(stream)
                self.messages[stream] = set(event.to)
            case facts.MessageDelivered():
                waits = self.messages[stream]
                self._check(event.worker in waits, MESSAGES, stream, f"{event.worker} has it already, or never should")
                waits.discard(event.worker)
            case facts.ContextShared():
                before, since = self._notes.get(stream, (0, 0))
                lost = self._lost(since)
                is_next = event.version == before + 1 if not lost else event.version > before + lost
                self._check(is_next, NOTES, stream, f"version {event.version} after {before}")
                self._notes[stream] = event.version, recorded.position
            case facts.LogSalvaged() | facts.LogReopened():
                self._salvages.append(recorded.position)
            case _:
                self._moves(self.tasks[stream], event, recorded.position)

    def _check(self, holds: bool, promise: str, about: str, why: str) -> None:
        if not holds:
            self.breaks(promise, about, why)

    # --- a task's life ------------------------------------------------------------------------------------------------

    def _created(self, event: facts.TaskCreated) -> None:
        waits: set[str] = {on for on in event.depends_on if self.tasks[on].over != "completed"}
        self._check(len(waits) == event.waiting_on, COUNTED, event.task, f"it waits for {sorted(waits)}")
        if event.key is not None:
            first = self._keys.setdefault(event.key, event.task)
            self._check(first == event.task, SAME_KEY, event.task, f"{event.key} had made {first}")
        self.tasks[event.task] = KnownTask(event, event.priority, waits, sure=self.position)

    def _moves(self, task: KnownTask, event: facts.Event, position: int) -> None:
        match event:
            case facts.DependencyCompleted(dependency=on):
                is_due = on in task.waits and self.tasks[on].over == "completed"
                self._check(is_due, COUNTED, task.id, f"it waits for {sorted(task.waits)}, and {on} was counted")
                task.waits.discard(on)
            case facts.TaskClaimed():
                self._claimed(task, event, position)
            case facts.AttemptAdopted() | facts.ProgressReported() | facts.FilesReserved():
                self._goes_on(task, event)
            case facts.AttemptResumed():
                is_rescued = task.ended_as == facts.AttemptRescued.__name__ and task.reviewed is None
                self._check(is_rescued, LIFE, task.id, f"it came back after {task.ended_as}")
                self._begins(task, event.worker, event.principal)
            case facts.AttemptReleased() | facts.AttemptRescued() | facts.AttemptExpired() | facts.AttemptFailed():
                self._ends(task, type(event).__name__)
            case facts.ReviewRequested():
                self._ends(task, "completed")
                task.reviewed, task.review = event.attempt, event.review
            case facts.ChangesRequested():
                task.reviewed, task.rounds = None, task.rounds + 1
                limit = task.made.max_review_rounds + 1
                self._check(task.rounds <= limit, ROUNDS, task.id, f"round {task.rounds} of {limit}")
            case facts.TaskCompleted() | facts.TaskFailed() | facts.TaskCancelled():
                self._over(task, event)
            case facts.ResultSuperseded():
                pass
            case facts.TaskRetried():
                self._check(task.over in {"failed", "cancelled"}, LIFE, task.id, f"retried when {task.over or 'open'}")
                task.over, task.rounds, task.reviewed = "", 0, None
            case facts.TaskAmended():
                self._check(not task.over, LIFE, task.id, "amended when over")
                task.priority = task.priority if event.priority is None else event.priority
            case facts.AttemptNumbersRaised():
                self._check(event.to >= self._unused(task), JUMP, task.id, f"raised to {event.to} from {task.number}")
                task.number, task.sure = max(task.number, event.to), position
            case _:
                self.breaks(LIFE, task.id, f"{type(event).__name__} is no event of a task")

    def _claimed(self, task: KnownTask, event: facts.TaskClaimed, position: int) -> None:
        self._check(event.attempt > self._unused(task), JUMP, task.id, f"{event.attempt} after {task.number}")
        self._check(task.reviewed is None, LIFE, task.id, "claimed while in review")
        self._check(not self.runs[task.made.run], PAUSED, task.id, task.made.run)
        self._check(task.made.author != event.worker, OWN_REVIEW, task.id, event.worker)
        task.number, task.sure = event.attempt, position
        self._begins(task, event.worker, event.principal)

    def _unused(self, task: KnownTask) -> int:
        """The highest attempt number that may have been given out, lost tails included."""
        return task.number + self._lost(task.sure)

    def _lost(self, since: int) -> int:
        return LOST_NUMBERS * sum(since < salvage for salvage in self._salvages)

    def _check_id(self, handle: str) -> None:
        """Check that an id is new, whatever a lost tail may have held."""
        kind, number = handle[0], int(handle[1:])
        newest, since = self._newest.get(kind, (0, 0))
        self._check(number > newest + self._lost(since), JUMP, handle, f"{kind}{newest} was the newest")
        self._newest[kind] = (number, self.position)

    def _begins(self, task: KnownTask, worker: str, principal: str) -> None:
        task.live, task.worker, task.principal = True, worker, principal
        task.holds = list(holds(task.made.files))

    def _goes_on(self, task: KnownTask, event: facts.Event) -> None:
        if isinstance(event, facts.AttemptAdopted):
            task.worker, task.principal = event.worker, event.principal
        elif isinstance(event, facts.FilesReserved):
            task.holds += holds(event.paths, event.mode)

    def conflicting(self, task: KnownTask, wanted: Iterable[Hold]) -> Iterator[KnownTask]:
        """Other tasks whose live attempts conflict with holding these."""
        asked = list(wanted)
        if asked:
            for other in self.tasks.values():
                if other.live and other is not task and any(h.conflicts_with(w) for h in other.holds for w in asked):
                    yield other

    def _ends(self, task: KnownTask, how: str) -> None:
        task.live, task.ended_as, task.holds = False, how, []

    def _over(self, task: KnownTask, event: facts.TaskCompleted | facts.TaskFailed | facts.TaskCancelled) -> None:
        self._check(not task.over, LIFE, task.id, f"it was {task.over} already")
        match event:
            case facts.TaskCompleted():
                task.over = "completed"
            case facts.TaskFailed():
                task.over = "failed"
            case _:
                task.over = "cancelled"
        task.reviewed = None
        if task.live:
            is_rescue = isinstance(event, facts.TaskFailed) and event.ended_as == "rescued"
            self._ends(task, facts.AttemptRescued.__name__ if is_rescue else type(event).__name__)

    # --- what follows from it -----------------------------------------------------------------------------------------

    def _follows(self, stream: str, event: facts.Event) -> None:
        """Check what must stand in the same transaction as an event."""
        if isinstance(event, facts.TaskCompleted):
            waiting = [each.id for each in self.tasks.values() if stream in each.waits and not each.over]
            self._check(not waiting, AT_ONCE, stream, f"{waiting} still wait for it")
        if isinstance(event, _TAKES) and self.tasks[stream].live:
            task = self.tasks[stream]
            held = [
                each.id for each in self.tasks.values() if each.live and each is not task and each.worker == task.worker
            ]
            self._check(not held, ONE_TASK, task.id, f"{task.worker} works on {held} too")
            for other in self.conflicting(task, task.holds):
                self.breaks(FILES, task.id, f"{other.id} holds {[hold.path for hold in other.holds]}")
        if isinstance(event, facts.ReviewRequested):
            self._check(event.review in self.tasks, AT_ONCE, stream, f"{event.review} was not opened")
        if isinstance(event, facts.TaskCompleted | facts.TaskFailed | facts.TaskCancelled | facts.ChangesRequested):
            review = self.tasks.get(self.tasks[stream].review or "")
            self._check(review is None or bool(review.over), AT_ONCE, stream, "its review is still open")
        if isinstance(event, facts.TaskCompleted) and event.outcome in {"approved", "changes"}:
            reviews = self.tasks[stream].made.reviews
            original = self.tasks.get(reviews.task) if reviews is not None else None
            is_judged = original is None or reviews is None or original.reviewed != reviews.number
            self._check(is_judged, AT_ONCE, stream, f"{reviews} was judged and is still in review")

    # --- what could happen next ---------------------------------------------------------------------------------------

    def claimable(self, roles: Sequence[str] | None, worker: str) -> list[KnownTask]:
        """What a worker could claim, were everything due: by priority, then age."""
        found = [
            task
            for task in self.tasks.values()
            if task.is_ready
            and (roles is None or task.made.role in roles)
            and task.made.author != worker
            and not self.runs[task.made.run]
            and not any(self.conflicting(task, holds(task.made.files)))
        ]
        return sorted(found, key=lambda task: (task.priority, int(task.id[1:])))
