"""The log as it grows, read from outside while others write it, and once more whole after a damage and its repair."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from trichrome.bootstrap import Project, open_project
from trichrome.coordinator import OPERATOR, reviews, tasks
from trichrome.domain.ids import TaskId
from trichrome.domain.tasks import FINAL, Task
from trichrome.store.port import Reading, Recorded, TaskFilter, Watch
from trichrome.torture.histories import Damage, Fact
from trichrome.torture.world import Losses

_A_LOOK: Final = 1000
"""The most events that one look reads, so that it is never long."""
_ALL: Final = 10**9


class Follower:
    """The scratch project's log, seen by somebody who takes no part.

    Attributes:
        facts: every event, in the order in which it was first seen.
        damages: what happened to the file, oldest first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.facts: list[Fact] = []
        self.damages: list[Damage] = []
        self._present: list[Fact] = []
        self._project: Project
        self._watch: Watch
        self._mark: object = None
        self.open()

    def open(self) -> None:
        """Begin to look, or begin again."""
        self._project = open_project(self._folder, environment={}, flags={"backup_every_hours": 0})
        self._watch = self._project.coordinator.store.watch()
        self._mark = None

    def close(self) -> None:
        """Let go of the file."""
        self._watch.close()
        self._project.close()

    @property
    def project(self) -> Project:
        """The scratch project."""
        return self._project

    def look(self, count_dead: Callable[[], object]) -> int:
        """Read what is new; answers how many events are.

        Args:
            count_dead: notes who is dead, between the reading and the moment that the events are said to be seen at:
                so nobody whose death an event tells of can seem to have died after it.
        """
        if (mark := self._watch.mark()) == self._mark:
            return 0
        found = self._events(after=self._present[-1].position if self._present else 0, limit=_A_LOOK)
        if len(found) < _A_LOOK:
            self._mark = mark
        if found:
            count_dead()
            self._see(found)
        return len(found)

    def look_at_all(self, count_dead: Callable[[], object]) -> None:
        """Read all that is new."""
        self._mark = None
        while self.look(count_dead):
            """Each look reads the next part."""

    def _events(self, *, after: int, limit: int) -> list[Recorded]:
        with self._project.coordinator.store.reading() as view:
            return view.events(after=after, limit=limit)

    def _see(self, found: Collection[Recorded]) -> None:
        seen = time.monotonic()
        new = [
            Fact(each.position, each.stream, each.version, each.event, seen, each.causation, each.digest)
            for each in found
        ]
        self.facts += new
        self._present += new

    def compare(self, told: Losses, *, is_cut: bool) -> None:
        """Read the whole log after a repair, and note what is not there any more.

        Args:
            told: what the repair says of it.
            is_cut: the end of the log was cut off. Where nothing in the file tells of that, nobody can name it, nor
                know which numbers it gave out: whatever came after all that is left is lost without a word.
        """
        found = self._events(after=0, limit=_ALL)
        there = {(each.position, each.digest) for each in found}
        lost = tuple(fact for fact in self._present if (fact.position, fact.digest) not in there)
        end = max((fact.position for fact in set(self._present).difference(lost)), default=0)
        unnamed = tuple(
            fact
            for fact in lost
            if not (told.names(fact) or len(lost) <= told.at_most or (is_cut and fact.position > end))
        )
        is_unseen = is_cut and not told.is_any
        self.damages.append(Damage(time.monotonic(), len(self.facts), lost, unnamed, is_unseen=is_unseen))
        known = {(fact.position, fact.digest) for fact in self._present}
        gone = set(lost)
        self._present = [fact for fact in self._present if fact not in gone]
        self._see([each for each in found if (each.position, each.digest) not in known])

    # --- helping to an end --------------------------------------------------------------------------------------------

    def is_all_over(self) -> bool:
        """Whether no task is left to do."""
        with self._project.coordinator.store.reading() as view:
            return set(view.count_tasks()) <= FINAL

    def help_on(self) -> None:
        """Do what only a lead or an operator can: cancel what waits for a failure, pass what has lost its review.

        Where a damage took the table of who is there, nobody can see that a worker is gone, and its attempts live on
        for ten minutes. Those are cancelled rather than waited for.
        """
        c = self._project.coordinator
        with c.store.reading() as view:
            left = [line.task for line in view.list_tasks(TaskFilter(is_open=True, limit=_ALL))]
            in_vain = [task.id for task in left if task.state == "blocked" and _waits_in_vain(view, task)]
            unjudged = [task.id for task in left if task.state == "in_review" and _is_unjudged(view, task)]
            if self.damages:
                in_vain += [task.id for task in left if task.state == "running" and _is_nobodys(view, task)]
        for name in in_vain:
            tasks.cancel(c, OPERATOR, task=name, reason="nobody can go on with it")
        for name in unjudged:
            reviews.approve(c, OPERATOR, name)

    def differences(self) -> list[str]:
        """Where the log, its chain and its views do not fit, as it says itself."""
        return self._project.coordinator.store.differences()


def _waits_in_vain(view: Reading, task: Task) -> bool:
    """Whether a dependency failed, was cancelled, or is gone."""
    known = [view.task(TaskId(each)) for each in view.brief(task.id).depends_on]
    return any(each is None or each.state in {"failed", "cancelled"} for each in known)


def _is_nobodys(view: Reading, task: Task) -> bool:
    """Whether nothing is known of whoever works on a task."""
    return task.attempt is not None and view.principal(task.attempt.principal) is None


def _is_unjudged(view: Reading, task: Task) -> bool:
    """Whether a task waits for a review that is over without a verdict, or gone."""
    review = view.task(task.review_task) if task.review_task is not None else None
    return review is None or review.is_final
