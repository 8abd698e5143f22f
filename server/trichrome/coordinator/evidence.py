"""What can be seen of workers from here, and who says so.

The log tells what was called, the table of processes who lives, is stopped or runs something, hooks what an agent does
between its calls, and the age of a file whether its client writes on. `domain/evidence.py` judges; nothing here ends an
attempt, or writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from trichrome import logs
from trichrome.coordinator import liveness, signs
from trichrome.coordinator.answers import NeedsHelp
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import is_here, is_server_gone, supervisor_of
from trichrome.domain.evidence import (
    Child,
    Evidence,
    Glimpse,
    Judgement,
    Seen,
    WorkerState,
    judge,
    lasting,
    latest,
    told,
)
from trichrome.domain.ids import TaskId
from trichrome.store.port import LiveAttempt, Principal, Reading, Sign, Worker

_NEWEST_EVENTS: Final = 5
"""How many of a task's events are looked through for its worker's last call."""
HeldUp = Mapping[tuple[TaskId, WorkerState], NeedsHelp]
"""What holds up tasks; two with the same key are the same news."""
_NOT_AT_WORK: Final[frozenset[WorkerState]] = frozenset({"waiting_for_human", "idle", "detached", "suspect"})
"""What a worker that holds an attempt may be though it will not go on with it by itself."""


class Witness:
    """One look at workers, in one state of the views; what they share is read once.

    Attributes:
        held: by worker, the attempt that it holds; the oldest, should it hold several.
    """

    def __init__(self, c: Coordinator, view: Reading, lives: Iterable[LiveAttempt] | None = None) -> None:
        self._c = c
        self._view = view
        self._now = c.clock.now()
        self.held: dict[str, LiveAttempt] = {}
        for live in view.live_attempts() if lives is None else lives:
            self.held.setdefault(live.worker, live)
        self._signs: dict[str, list[Sign]] = defaultdict(list)
        for sign in view.signs():
            self._signs[sign.principal].append(sign)

    def judgement(self, worker: Worker) -> Judgement:
        """What a worker is doing, and what shows it."""
        return judge(self.evidence(worker))

    def told(self, worker: Worker) -> list[str]:
        """What a worker is doing, in sentences: its state, what would help, how its attempt may end, what was seen."""
        seen = self.evidence(worker)
        said = judge(seen)
        lines = [f"{worker.name} is {shown(said.state)}: {said.why}."]
        if said.help:
            lines.append(f"What helps: {said.help}.")
        if seen.attempt is not None and seen.gone is None:
            lines.append(f"{seen.attempt} ends when it reports, {self._end(seen, self.held[worker.name])}.")
        if seen.supervisor is not None:
            lines.append(f"Its supervisor (process {seen.supervisor}) looks after it.")
        marks = [told(sign) for sign in sorted(seen.signs, key=lambda sign: sign.ago)]
        if seen.transcript is not None:
            marks.append(f"its transcript grew {lasting(seen.transcript)} ago")
        return [*lines, *([f"Seen: {'; '.join(marks)}."] if marks else [])]

    def _end(self, seen: Evidence, live: LiveAttempt) -> str:
        """What else than its report ends an attempt, and when."""
        if seen.supervisor is not None:
            over = "" if live.ceiling_in is None else f", or in {lasting(live.ceiling_in)}, when its time is over"
            return f"or when its supervisor ends it{over}"
        gone = f"nothing is heard of it for {lasting(seen.free_in)}" if seen.free_in is not None else "its client ends"
        if live.ceiling_in is not None:
            return f"when {gone}, or in {lasting(live.ceiling_in)}, when its time is over"
        if any(sign.kind == "prompt_opened" for sign in latest(seen.signs)):
            return f"or when {gone}; its time stands still while a person is awaited"
        return f"or when {gone}"

    def evidence(self, worker: Worker) -> Evidence:
        """All that is seen of a worker."""
        live = self.held.get(worker.name)
        principal = live.principal if live is not None else self._view.principal(worker.principal)
        seen = (*self._told(worker, principal), *self._called(worker, live))
        supervisor = supervisor_of(self._c, principal) if principal is not None else None
        is_decisive = supervisor is None and (principal is None or liveness.is_lease_decisive(self._c, principal))
        return Evidence(
            attempt=None if live is None else str(live.attempt),
            gone=self._gone(principal, live) if supervisor is None else None,
            client=self._client(principal),
            server=self._server(principal),
            lapsed=live is not None and live.lapsed,
            free_in=live.lapses_in if live is not None and is_decisive else None,
            silent=max(0.0, principal.lease_seconds - live.lapses_in)
            if live is not None and principal is not None and is_decisive
            else None,
            signs=seen,
            transcript=self._transcript(principal),
            children=() if live is None or any(sign.kind != "called" for sign in seen) else self._children(principal),
            supervisor=supervisor,
        )

    def _gone(self, principal: Principal | None, live: LiveAttempt | None) -> str | None:
        if live is not None:
            return liveness.why_gone(self._c, live)
        if principal is None or liveness.is_lease_decisive(self._c, principal):
            return None
        return liveness.why_client_gone(self._c, principal)

    def _client(self, principal: Principal | None) -> Glimpse:
        if principal is None or principal.client is None or not is_here(self._c, principal):
            return Glimpse("unseen")
        return self._glimpse(principal.client)

    def _server(self, principal: Principal | None) -> Glimpse:
        if principal is None or is_server_gone(self._c, self._view, principal):
            return Glimpse("dead")
        return self._glimpse(principal.server) if is_here(self._c, principal) else Glimpse("unseen")

    def _glimpse(self, process: tuple[int, int]) -> Glimpse:
        if not self._c.is_alive(process):
            return Glimpse("dead", process[0])
        return Glimpse("stopped" if self._c.senses.is_stopped(process) else "alive", process[0])

    def _told(self, worker: Worker, principal: Principal | None) -> list[Seen]:
        """What hooks told of the worker's agents."""
        mine = self._signs.get(principal.id) if principal is not None else None
        return [] if mine is None else signs.of(worker, self._view.workers(), mine, now=self._now.monotonic)

    def _called(self, worker: Worker, live: LiveAttempt | None) -> Iterator[Seen]:
        """The last call that left an event on the task that it works on."""
        if live is not None:
            for each in reversed(self._view.newest_events(live.attempt.task, limit=_NEWEST_EVENTS)):
                if each.actor == worker.name:
                    yield Seen("called", worker.agent or "", max(0.0, self._now.wall - each.recorded_at))
                    return

    def _transcript(self, principal: Principal | None) -> float | None:
        if principal is None or not is_here(self._c, principal):
            return None
        for sign in self._signs.get(principal.id, ()):
            if sign.kind == "transcript" and (at := self._c.senses.changed_at(sign.detail)) is not None:
                return max(0.0, self._now.wall - at)
        return None

    def _children(self, principal: Principal | None) -> tuple[Child, ...]:
        if principal is None or principal.client is None or not is_here(self._c, principal):
            return ()
        return tuple(Child(*each) for each in self._c.senses.at_work(principal.client, principal.server))


def held_up(c: Coordinator, view: Reading, tasks: Collection[TaskId]) -> HeldUp:
    """Which of these tasks somebody holds who is not at work on them now, each with why and what would help."""
    found: dict[tuple[TaskId, WorkerState], NeedsHelp] = {}
    witness = Witness(c, view)
    for name, live in witness.held.items():
        task = live.attempt.task
        worker = view.worker(name) if task in tasks else None
        said = witness.judgement(worker) if worker is not None else None
        if said is not None and said.state in _NOT_AT_WORK:
            why = f"{name} is {shown(said.state)}: {said.why}"
            found[task, said.state] = {"id": str(task), "why": why, "help": said.help}
    return found


def shown(state: str) -> str:
    """A state as people read it."""
    return state.replace("_", " ")


# --- changes ----------------------------------------------------------------------------------------------------------


class Chronicle:
    """Says once in the program's log what a worker that holds an attempt turned to, and why.

    A server speaks for its own worker. For one whose server is gone or stopped, the first of those that are left does.
    """

    def __init__(self, c: Coordinator, principal: Principal) -> None:
        self._c = c
        self._principal = principal
        self._known: dict[str, WorkerState] = {}
        self._again = c.clock.now().monotonic

    def look(self) -> None:
        """Look, if the last look is a while ago."""
        now = self._c.clock.now().monotonic
        if now < self._again:
            return
        self._again = now + liveness.LOOK_SECONDS
        known, self._known = self._known, {}
        with self._c.store.reading() as view:
            if not (lives := view.live_attempts()):
                return  # as in each of a hundred idle servers
            witness = Witness(self._c, view, lives)
            for name, live in witness.held.items():
                worker = view.worker(name) if self._is_mine(view, live) else None
                if worker is None:
                    continue
                said = witness.judgement(worker)
                self._known[name] = said.state
                was = known.get(name, "working")
                if said.state != was:
                    logs.get("keeper").info(
                        "worker", worker=name, attempt=str(live.attempt), state=said.state, was=was, why=said.why
                    )

    def _is_mine(self, view: Reading, live: LiveAttempt) -> bool:
        owner = live.principal
        if owner is not None and owner.id == self._principal.id:
            return True
        if owner is not None and self._can_speak(view, owner):
            return False
        able = [each.id for each in view.principals() if self._can_speak(view, each)]
        return min(able, default=None) == self._principal.id

    def _can_speak(self, view: Reading, principal: Principal) -> bool:
        if is_server_gone(self._c, view, principal):
            return False
        return not (is_here(self._c, principal) and self._c.senses.is_stopped(principal.server))
