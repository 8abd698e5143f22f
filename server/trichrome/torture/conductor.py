"""Faults, one after the other and at once, on workers that work; then peace, until all is done.

Guarantee: the faults of the plan begin in its order, each upon a worker that has worked since its last one. When
`peace` returns, no dial, lock or stopped process is left as a fault left it.
"""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil

from trichrome.torture.crew import Crew, Worker, send
from trichrome.torture.dials import Dials, Disk
from trichrome.torture.faults import DAMAGES, Fault
from trichrome.torture.follower import Follower
from trichrome.torture.histories import Call, Window, failure
from trichrome.torture.world import Command, Losses, World

TICK_SECONDS: Final = 0.01
ANSWERS: Final = 3
"""How many answers a worker reads between two faults, so that there is work for them to strike."""
ORDER_SECONDS: Final = 20.0
"""How long a client may take to do what it was ordered; then it is asked no more."""
PATIENCE_SECONDS: Final = 60.0
"""How long the log may stand still, with all faults over and tasks left to do, before these count as stuck."""
_HELP_SECONDS: Final = 0.5
_AFTER_SECONDS: Final = 1.0
"""How long after a fault of the whole log a refusal may still be due to it."""
_JUMPS: Final = (-86_400.0, -3_600.0, -7.0, 7.0, 3_600.0, 86_400.0 * 30)

_SIGNALLED: Final[Mapping[str, tuple[bool, bool]]] = {
    "server killed": (False, True),
    "client killed": (True, False),
    "server and client killed": (True, True),
    "server stopped": (False, True),
    "client stopped": (True, False),
    "server and client stopped": (True, True),
}
"""Whom a signal goes to: the client, the server."""
_DISKS: Final = {"disk full": Disk.FULL, "disk read-only": Disk.READ_ONLY, "disk failing": Disk.FAILING}


class Conductor:
    """Who does it all.

    Attributes:
        done: faults that took place, by kind.
        given_up: faults that no client came to do, by kind.
        windows: when the log may have refused.
        commands: what commands answered.
    """

    def __init__(self, crew: Crew, dials: Dials, follower: Follower, world: World, aside: Path) -> None:
        self.done: Counter[str] = Counter()
        self.given_up: Counter[str] = Counter()
        self.windows: list[Window] = []
        self.commands: list[Call] = []
        self._crew = crew
        self._dials = dials
        self._follower = follower
        self._world = world
        self._aside = aside
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._ordered: dict[Worker, tuple[Fault, float]] = {}
        self._busy: set[Worker] = set()
        self._answered: dict[Worker, int] = dict.fromkeys(crew.workers, 0)
        self._is_world_busy = False
        self._moved = time.monotonic()

    @property
    def events(self) -> int:
        """How many events the log has had."""
        return len(self._follower.facts)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Do what is due, and see what happened."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        if self._follower.look(self._crew.count):
            self._moved = time.monotonic()
        self._crew.follow()
        for worker, (fault, until) in list(self._ordered.items()):
            if any(fault.number in life.faults for life in worker.lives[-2:]):
                self._over(worker, fault)
            elif time.monotonic() > until:
                self.given_up[fault.kind] += 1
                self._free(worker)
        time.sleep(TICK_SECONDS)

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), what))

    # --- faults -------------------------------------------------------------------------------------------------------

    def begin(self, fault: Fault) -> bool:
        """Let a fault take place, if it can now; answers whether it does."""
        if fault.by == "world":
            is_free = not self._is_world_busy and not (self._busy and fault.kind in DAMAGES)
            if is_free:
                self._is_world_busy = True
                self._strike_world(fault)
            return is_free
        victims = [worker for worker in self._crew.workers if self._is_at_work(worker)]
        if not victims:
            return False
        worker = random.Random(fault.chance).choice(victims)
        self._busy.add(worker)
        if fault.by == "client":
            self._ordered[worker] = (fault, time.monotonic() + ORDER_SECONDS)
            worker.order(do=fault.kind, fault=fault.number)
        else:
            self._strike(worker, fault)
        return True

    def _is_at_work(self, worker: Worker) -> bool:
        """Whether a worker lives, has been answered often enough since its last fault, and suffers none."""
        is_answered = worker.told >= self._answered[worker] + ANSWERS
        return is_answered and worker not in self._busy and worker.server() is not None

    def _over(self, worker: Worker, fault: Fault) -> None:
        self.done[fault.kind] += 1
        self._free(worker)

    def _free(self, worker: Worker) -> None:
        self._busy.discard(worker)
        self._ordered.pop(worker, None)
        self._answered[worker] = worker.told

    def _strike(self, worker: Worker, fault: Fault) -> None:
        chance = random.Random(fault.chance)
        if fault.kind == "clock jumped":
            self._dials.set_clock(worker.number, ahead_seconds=chance.choice(_JUMPS), rate=1.0, since=0.0)
            self._over(worker, fault)
        elif fault.kind == "clock ran slow":
            self._dials.set_clock(worker.number, ahead_seconds=0.0, rate=chance.uniform(0, 0.9), since=time.time())
            self._after(fault.seconds, lambda: self._set_right(worker, fault))
        else:
            client, server = _SIGNALLED[fault.kind]
            if fault.kind.endswith("killed"):
                self._crew.kill_one(worker, client=client, server=server)
                self._over(worker, fault)
            else:
                stopped = worker.processes(client=client, server=server)
                send(signal.SIGSTOP, stopped)
                self._after(fault.seconds, lambda: self._go_on(worker, fault, stopped))

    def _set_right(self, worker: Worker, fault: Fault) -> None:
        self._dials.set_clock(worker.number, ahead_seconds=0.0, rate=1.0, since=0.0)
        self._over(worker, fault)

    def _go_on(self, worker: Worker, fault: Fault, stopped: list[psutil.Process]) -> None:
        send(signal.SIGCONT, stopped)
        self._over(worker, fault)

    # --- faults of the whole log --------------------------------------------------------------------------------------

    def _strike_world(self, fault: Fault) -> None:
        if fault.kind in _DISKS:
            self._spoil_disk(fault)
        elif fault.kind == "log locked":
            self._lock(fault)
        elif fault.kind == "backup":
            self._await(fault, self._world.command("backup"))
        elif fault.kind == "views rebuilt":
            self._world.spoil()
            self._await(fault, self._world.command("repair", "--views", "--yes"))
        else:
            self._damage(fault)

    def _calm(self, fault: Fault) -> None:
        self.done[fault.kind] += 1
        self._is_world_busy = False

    def _window(self, began: float, worker: int | None = None) -> None:
        self.windows.append(Window(began, time.monotonic() + _AFTER_SECONDS, worker))

    def _spoil_disk(self, fault: Fault) -> None:
        """All servers see it, or those of one worker alone."""
        began, chance = time.monotonic(), random.Random(fault.chance)
        one = chance.choice((None, *range(self._crew.size)))
        struck = range(self._crew.size) if one is None else (one,)
        for number in struck:
            self._dials.set_disk(number, _DISKS[fault.kind])

        def mend() -> None:
            for number in struck:
                self._dials.set_disk(number, Disk.WELL)
            self._window(began, one)
            self._calm(fault)

        self._after(fault.seconds, mend)

    def _lock(self, fault: Fault) -> None:
        held = self._world.lock()
        if held is None:
            self._after(TICK_SECONDS, lambda: self._lock(fault))
            return
        began = time.monotonic()

        def release() -> None:
            self._world.unlock(held)
            self._window(began)
            self._calm(fault)

        self._after(fault.seconds, release)

    def _await(self, fault: Fault, command: Command) -> None:
        if not command.is_over:
            self._after(TICK_SECONDS, lambda: self._await(fault, command))
            return
        self.commands.append(command.ended())
        self._calm(fault)

    def _damage(self, fault: Fault) -> None:
        """Kill all, spoil the file as a crash left it, and have it repaired; then everybody goes on."""
        began = time.monotonic()
        chance = random.Random(fault.chance)
        self._crew.kill()
        self._follower.look_at_all(self._crew.count)
        if fault.kind == "pages overwritten":
            self._follower.close()
            self._world.tidy()
            self._world.overwrite_pages(chance)
        else:
            self._world.put_aside(self._aside)
            self._follower.close()
            self._world.put_back(self._aside)
            self._world.cut_wal(chance)
        repair = self._world.command("repair", "--log", "--yes").ended()
        self.commands.append(repair)
        self._follower.open()
        self._follower.compare(Losses.told(repair), is_cut=fault.kind != "pages overwritten")
        self._moved = time.monotonic()
        self._window(began)
        self._calm(fault)

    # --- peace --------------------------------------------------------------------------------------------------------

    def conduct(
        self, plan: Iterator[Fault], until: float, patience_seconds: float, tell: Callable[[Conductor], None]
    ) -> None:
        """Let the faults of a plan take place, until there are no more, a moment has come, or nothing moves."""
        fault = next(plan, None)
        while fault is not None and time.monotonic() < until:
            if not self._is_world_busy and time.monotonic() - self._moved > patience_seconds:
                told = f"nothing happened for {patience_seconds:g} s, with {fault.kind!r} to come"
                self.commands.append(failure("work", told))
                return
            if self.begin(fault):
                fault = next(plan, None)
            self.tick()
            tell(self)

    def peace(self, patience_seconds: float, tell: Callable[[Conductor], None]) -> None:
        """Let what goes on come to its end, then the tasks; whatever does not in time is left as it is."""
        while self._busy or self._is_world_busy:
            self.tick()
            tell(self)
        for number in range(self._crew.size):
            self._dials.set_clock(number, ahead_seconds=0.0, rate=1.0, since=0.0)
        self._crew.finish()
        self._moved = time.monotonic()
        help_at = 0.0
        while time.monotonic() - self._moved < patience_seconds:
            self.tick()
            tell(self)
            if time.monotonic() < help_at:
                continue
            self._follower.help_on()
            if self._crew.is_finished and self._follower.is_all_over():
                break
            help_at = time.monotonic() + _HELP_SECONDS
