"""The calm after the storm: no more faults, new workers, an operator who helps. Every task has to end in it.

What cannot move without somebody has to say so; and at the end views equal the log, the lead has heard of every end,
and whoever goes on calling has its messages.
"""

from __future__ import annotations

from typing import Final

from tests.simulation.director import Director
from tests.simulation.world import BrokenError

from trichrome.coordinator import reviews, runs, stuck, tasks
from trichrome.store.port import TaskFilter

ENDS: Final = "every task ends once the faults stop and workers go on"
SAYS_STUCK: Final = "what cannot move without somebody says so"
SAME_VIEWS: Final = "views equal the fold of the log"
HEARD: Final = "a lead that waits hears of every end"
DELIVERED: Final = "a message comes to whoever goes on calling"
ROUNDS: Final = 50
"""How often the director helps before it gives up."""
ROUND_SECONDS: Final = 100.0


def calm(d: Director) -> None:
    """Let every task come to its end.

    Raises:
        BrokenError: one does not, or something is not as it should be then.
    """
    d.world.note("calm")
    d.world.calm = True
    d.world.stopped.clear()
    for _ in range(2):
        d.employ("seen")
    for _ in range(ROUNDS):
        d.world.sleep(ROUND_SECONDS)
        d.sweep()
        if not d.lead.batches or not d.lead.client.process.is_alive:
            left = _open(d)
            if not left:
                break
            if _is_quiet(d):
                _help(d, left)
    else:
        raise BrokenError(ENDS, *_unfinished(d))
    d.world.sleep(4 * ROUND_SECONDS)
    _last_look(d)


def _open(d: Director) -> list[str]:
    """Tasks that are not over."""
    return [task.id for task in d.truth.judge.tasks.values() if not task.over]


def _unfinished(d: Director) -> tuple[str, str]:
    for task in _open(d):
        known = d.truth.judge.tasks[task]
        return task, f"still {known.worker}'s" if known.live else "still open"
    return "", "the lead still asks for work"


def _is_quiet(d: Director) -> bool:
    """Whether nothing moves, and nothing will by itself."""
    with d.store.looking() as view:
        return not view.live_attempts() and view.next_moment() is None


def _help(d: Director, left: list[str]) -> None:
    """Nothing moves: the product has to say so of each task, and the operator does what helps."""
    c, judge = d.coordinator, d.truth.judge
    with d.store.looking() as view:
        chosen = [line.task for line in view.list_tasks(TaskFilter(is_open=True, limit=10**9))]
        is_moving = any(view.is_claimable(task.id) for task in chosen)
        told = {stop.told["id"] for stop in stuck.stuck(c, view, chosen)}
    for task in left:
        below = judge.tasks[task].waits | {judge.tasks[task].review or ""}
        if not is_moving and task not in told and below.isdisjoint(left):
            raise BrokenError(SAYS_STUCK, task, "nothing moves, and nothing is said")
    for run, is_paused in list(judge.runs.items()):
        if is_paused:
            d.told("resume", runs.resume, run)
    awaited = {on for task in judge.tasks.values() if not task.over for on in task.waits}
    for known in list(judge.tasks.values()):
        if known.over in {"failed", "cancelled"} and known.id in awaited:
            d.told("retry", tasks.retry, known.id)
        if known.reviewed is not None and judge.tasks[str(known.review)].over:
            d.told("approve", reviews.approve, known.id)


def _last_look(d: Director) -> None:
    for difference in d.store.differences():
        raise BrokenError(SAME_VIEWS, difference.partition(":")[0], difference)
    if d.lead.client.process.is_alive and d.lead.run is not None:
        ended = {task.id for task in d.truth.judge.tasks.values() if task.made.run == d.lead.run}
        for task in sorted(ended - d.lead.ended):
            raise BrokenError(HEARD, task, f"{d.lead.run} was waited for")
    if d.truth.judge.messages:
        _call_twice(d)


def _call_twice(d: Director) -> None:
    """Whoever lives calls twice: the first answer brings what waits, the second call says that it came."""
    for agent in d.agents:
        if agent.client.process.is_alive:
            for _ in range(2):
                agent.claim(None)
            assert agent.client.server is not None
            with d.store.looking() as view:
                worker = view.worker_of(agent.client.server.principal.id, agent.name)
                waiting = view.undelivered(worker.name) if worker is not None else []
            for message, _ in waiting:
                raise BrokenError(DELIVERED, message.id, f"{message.undelivered} called twice")
