"""The simulated world: one clock, machines with processes, a log, and actors that take turns on all of it.

Everything that happens by chance is drawn from one generator, and one actor runs at a time, so a seed is a history.
Time passes only while nobody has anything to do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.simulation.baton import Baton
from tests.simulation.plan import Plan
from tests.support.clocks import ManualClock
from tests.support.projects import ROLES

from trichrome.coordinator import Coordinator, Settings
from trichrome.store.port import Store

STEP_SECONDS: Final = 0.001
"""How long a step takes on the clock."""
LONGEST: Final = 20_000
"""Steps after which a history counts as going round in circles."""

COMES_TO_AN_END: Final = "a history comes to its end"
NO_DEFECTS: Final = "whatever happens, a call is answered or refused"


class KilledError(BaseException):
    """The process that runs this code is dead; nothing of it runs any more."""


class OverError(BaseException):
    """The history is over, so every actor leaves."""


@dataclass(eq=False)
class Process:
    """A process of a machine, living until it is killed."""

    machine: Machine
    ref: tuple[int, int]

    @property
    def is_alive(self) -> bool:
        """Whether it still runs, or would."""
        return self.ref in self.machine.alive

    def kill(self) -> None:
        """What `kill -9` does."""
        self.machine.alive.discard(self.ref)


@dataclass(eq=False)
class Machine:
    """A pid namespace of the host: who lives elsewhere cannot be seen from here."""

    world: World
    namespace: str
    alive: set[tuple[int, int]] = field(default_factory=set)

    @property
    def name(self) -> tuple[str, str, str]:
        """What processes of it say about where they are."""
        return ("here", self.world.clock.boot, self.namespace)

    def start(self) -> Process:
        """A new process. Numbers are used again, starts are not."""
        self.world.started += 1
        process = Process(self, (100 + self.world.started % 7, self.world.started))
        self.alive.add(process.ref)
        return process

    def coordinator(self, store: Store) -> Coordinator:
        """What a program started here works with, in this boot."""
        world = self.world
        return Coordinator(
            store=store,
            clock=world.clock,
            roles=ROLES,
            settings=Settings(on_lead_gone=world.plan.on_lead_gone),
            machine=self.name,
            is_alive=self.alive.__contains__,
            draw=world.draw.random,
        )


@dataclass(eq=False)
class Actor:
    """Something that acts by itself: an agent, or the keeper of a server.

    Attributes:
        process: whose code it runs now; None for what nothing can kill.
        behind: the processes without which it cannot go on.
        wake: when it wants to go on, on the monotonic clock.
        seen: goes on earlier once the log is longer than that.
    """

    name: str
    process: Process | None = None
    behind: Callable[[], tuple[Process, ...]] = tuple
    wake: float = 0.0
    seen: int | None = None
    baton: Baton = field(init=False)


class World:
    """All there is.

    Attributes:
        calm: no more faults.
        stopped: the processes that stand still.
        trace: what happened: when, who, and what.
        broken: the first promise that was found broken.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.draw = random.Random(plan.seed)
        self.clock = ManualClock()
        self.started = 0
        self.steps = 0
        self.stopped: set[Process] = set()
        self.calm = False
        self.trace: list[tuple[float, str, str, Any]] = []
        self.length: Callable[[], int] = lambda: 0
        self.broken: BrokenError | None = None
        self.machines = [Machine(self, f"pid:[{number}]") for number in range(1, 3)]
        self.director = Actor("director")
        self.director.baton = Baton()
        self.current = self.director
        self._actors = [self.director]
        self._is_over = False

    # --- taking turns -------------------------------------------------------------------------------------------------

    def enter(self, actor: Actor, act: Callable[[], None]) -> None:
        """Let an actor take part from now on."""

        def played() -> Baton:
            self.current = actor
            try:
                self._alive(actor)
                act()
            except (KilledError, OverError):
                pass
            except BaseException as error:  # noqa: BLE001 - the top of a thread: whatever it was, the director raises it
                if self.broken is None:
                    self.breaks(NO_DEFECTS, actor.name, repr(error))
                    assert self.broken is not None
                    self.broken.__cause__ = error
            self._actors.remove(actor)
            return self._next().baton

        actor.baton, actor.wake = Baton(played), self.clock.monotonic
        self._actors.append(actor)

    def moment(self) -> None:
        """A point at which other processes may run, and this one may be killed or stopped."""
        actor = self.current
        self.clock.monotonic += STEP_SECONDS
        self.clock.wall += STEP_SECONDS
        self.steps += 1
        if self.draw.random() < self.plan.restless:
            self._rest(actor)

    def sleep(self, seconds: float, *, unless_log: int | None = None) -> None:
        """Let time pass; shorter, when the log gets longer than `unless_log`."""
        actor = self.current
        actor.wake, actor.seen = self.clock.monotonic + seconds, unless_log
        self._rest(actor)

    def _rest(self, actor: Actor) -> None:
        following = self._next()
        if following is not actor:
            actor.baton.pass_to(following.baton)
            self.current = actor
        actor.wake, actor.seen = 0.0, None
        self._alive(actor)

    def _alive(self, actor: Actor) -> None:
        if actor is self.director:
            if self.broken is not None and not self._is_over:
                raise self.broken
            if self.steps > LONGEST:
                raise BrokenError(COMES_TO_AN_END, "", f"{LONGEST} steps were not enough")
        elif self._is_over or self.broken is not None:
            raise OverError
        elif actor.process is not None and not actor.process.is_alive:
            raise KilledError

    def _next(self) -> Actor:
        if self._is_over or self.broken is not None or self.steps > LONGEST:
            return self.director
        now, length, ready, first = self.clock.monotonic, self.length(), [], None
        for each in self._actors:
            if each.wake <= now or (each.seen is not None and each.seen < length):
                if not self.stopped or self.stopped.isdisjoint(each.behind()):
                    ready.append(each)
            elif (first is None or each.wake < first.wake) and (
                not self.stopped or self.stopped.isdisjoint(each.behind())
            ):
                first = each
        if ready:
            return ready[int(self.draw.random() * len(ready))]
        assert first is not None
        self.clock.pass_seconds(first.wake - now)
        return first

    def reboot(self) -> None:
        """The host starts again: every process is gone, and the clock of the boot begins anew."""
        before = self.clock.monotonic
        for machine in self.machines:
            machine.alive.clear()
        self.clock.reboot()
        for actor in self._actors:
            actor.wake -= before - self.clock.monotonic

    def close(self) -> None:
        """Let every actor leave."""
        self._is_over = True
        for actor in self._actors[:]:
            if actor is not self.director:
                self.director.baton.pass_to(actor.baton)
        self.current = self.director

    # --- what is said about it ----------------------------------------------------------------------------------------

    def note(self, what: str, told: Any = "") -> None:
        """Write down what happens now."""
        self.trace.append((self.clock.monotonic, self.current.name, what, told))

    def breaks(self, promise: str, about: str, why: str) -> None:
        """Note that a promise is broken; the first one ends the history."""
        if self.broken is None:
            self.broken = BrokenError(promise, about, why)

    @contextmanager
    def running(self, process: Process | None) -> Iterator[None]:
        """Let the current actor run another process's code."""
        actor = self.current
        before, actor.process = actor.process, process
        try:
            yield
        finally:
            actor.process = before

    def happens(self, fault: str, chance: float) -> bool:
        """Whether a fault happens here and now."""
        if self.calm or fault not in self.plan.faults or self.current is self.director:
            return False
        return self.draw.random() < chance


class BrokenError(Exception):
    """A promise was broken.

    Attributes:
        promise: which.
        about: the task (or run, message, note) concerned.
    """

    def __init__(self, promise: str, about: str, why: str) -> None:
        super().__init__(f"{promise}: {about}: {why}")
        self.promise = promise
        self.about = about
        self.why = why
