"""The reference store where processes can be interrupted: before each transaction, in it, and after its commit.

Transactions run one after another, as the port promises; between two of them anybody else may have theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from tests.simulation.world import KilledError, World

from trichrome.domain.events import Event
from trichrome.errors import StoreUnavailableError
from trichrome.store.memory import MemoryStore
from trichrome.store.port import Reading, Recorded

WITH_CLIENT: Final = 0.3
"""How likely a server takes its client along when it dies."""


class SimulatedStore(MemoryStore):
    """The memory store in a world.

    Attributes:
        recorded: is told each event once it is committed.
        committed: is told the events of each transaction, whose it was, and what call.
    """

    def __init__(self, world: World) -> None:
        super().__init__(world.clock)
        self.world = world
        self.recorded: Callable[[Recorded], None] = lambda _event: None
        self.committed: Callable[[Sequence[Recorded], str, str], None] = lambda _events, _actor, _causation: None
        world.length = self.log.__len__

    def record(self, stream: str, event: Event, actor: str, causation: str) -> Recorded:
        """Put one event at the log's end, unless the process dies here."""
        self.dies("die in a transaction")
        return super().record(stream, event, actor, causation)

    def reading(self) -> Any:
        """One consistent look; others may act before it."""
        self.before()
        return super().reading()

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[Any]:
        """All of it on return, nothing of it on an exception; others may act before and after it."""
        self.before()
        self.refuses()
        length = len(self.log)
        try:
            with super().writing(actor=actor, causation=causation) as tx:
                yield tx
                self.refuses()
        except KilledError:
            self.world.note("what it had written is rolled back")
            raise
        self.after(self.log[length:], actor, causation)

    def before(self) -> None:
        """A process may die or be interrupted before a transaction."""
        self.dies("die between transactions")
        self.world.moment()

    def after(self, events: Sequence[Recorded], actor: str, causation: str) -> None:
        """A process may die or be interrupted after a commit, before anybody hears of it."""
        for recorded in events:
            self.world.note("event", recorded)
            self.recorded(recorded)
        self.committed(events, actor, causation)
        self.dies("die after a commit")
        self.world.moment()

    def refuses(self) -> None:
        """Perhaps the disk is full, or somebody else holds the lock for too long."""
        if self.world.happens("refuse", 0.005):
            self.world.note("the store refuses")
            raise StoreUnavailableError("The disk is full, so nothing was changed. Free some space and try again.")

    def dies(self, where: str) -> None:
        """Perhaps the process that runs this code dies here."""
        world = self.world
        process = world.current.process
        if process is not None and world.happens(where, world.plan.harsh):
            dying = {process, *world.current.behind()} if world.draw.random() < WITH_CLIENT else {process}
            world.note("dies with its client" if len(dying) > 1 else "dies", where.removeprefix("die "))
            for each in dying:
                each.kill()
            raise KilledError

    def looking(self) -> AbstractContextManager[Reading]:
        """A look that interrupts nobody: for who judges, and is no process."""
        return super().reading()
