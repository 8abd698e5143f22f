"""Histories of work that power cuts interrupt, and what must be true of the disk that each leaves behind.

A history is a row of boots. In each, two stores of one log work in turn over a disk that can lose power; then the disk
is looked at as it may be after a cut at many moments, and one of those is what the next boot finds.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final, Literal

from tests.power.disk import Disk, Platter
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker

from trichrome.coordinator import Settings, notes
from trichrome.domain.drafts import Draft
from trichrome.domain.events import ContextShared, LogReopened, MessageSent, RunCreated, TaskClaimed, TaskCreated
from trichrome.errors import TrichromeError
from trichrome.store.port import Recorded
from trichrome.store.sqlite import SqliteStore
from trichrome.store.sqlite.connection import Durability

Fault = Literal["damaged", "lost", "reused", "invented"]
"""What a disk after a cut can be: unreadable or not what its log says; without what was acknowledged and synced; ready
to give out a number again that somebody holds; or with something that nobody wrote."""

LOG: Final = "events.db"
CALLS: Final = 16
"""Calls in a boot."""
BOOTS: Final = 3
"""Boots in a history."""


class Broken(Exception):  # noqa: N818 - not an error of the program, but what the checks look for
    """A promise that a disk after a cut does not keep."""

    def __init__(self, fault: Fault, what: str) -> None:
        super().__init__(what)
        self.fault = fault


@dataclass(frozen=True)
class Way:
    """How the stores of a history work.

    Attributes:
        durability: that of the two stores.
        synchronous: what SQLite is told instead, to see that the checks see it.
    """

    durability: tuple[Durability, Durability]
    synchronous: int | None = None


FULL: Final = Way(("full", "full"))
FAST: Final = Way(("fast", "fast"))
MIXED: Final = Way(("full", "fast"))
UNSYNCED: Final = Way(("full", "full"), synchronous=0)


@dataclass(frozen=True)
class Told:
    """An answer that has left.

    Attributes:
        steps: how much the disk had been through by then.
        position: the log's last.
        handles: what it gave out.
        is_synced: whether it told of a commit that its store synced.
    """

    steps: int
    position: int
    handles: frozenset[str]
    is_synced: bool


@dataclass
class Figures:
    """What came of the cuts."""

    cuts: int = 0
    with_losses: int = 0
    faults: dict[Fault, int] = field(default_factory=dict)
    first: str = ""

    def note(self, fault: Fault, what: str) -> None:
        """Count a fault."""
        self.faults[fault] = self.faults.get(fault, 0) + 1
        self.first = self.first or f"{fault}: {what}"

    def __str__(self) -> str:
        faults = ", ".join(f"{number} {fault}" for fault, number in self.faults.items()) or "no faults"
        return f"{self.cuts} cuts, {self.with_losses} lost something acknowledged, {faults}. {self.first}"


def cut(folder: Path, way: Way, *, cuts: int, seed: int, a_boot: int = 40, until: Fault | None = None) -> Figures:
    """Live through histories from a seed, with so many cuts in all, and say what came of them.

    Args:
        folder: empty; holds the disks.
        way: how the stores work.
        cuts: how many, in all.
        seed: of everything that is drawn.
        a_boot: how many of them in one boot.
        until: a fault to stop at.
    """
    figures = Figures()
    made = _made(folder / "made")
    for number in count():
        history = _History(folder, way, random.Random(f"{seed}.{number}"), figures, disk=made if number else {})
        for _ in range(BOOTS):
            goes_on = history.boot(min(a_boot, cuts - figures.cuts))
            if figures.cuts >= cuts or until in figures.faults:
                return figures
            if not goes_on:
                break
    raise AssertionError


class _History:
    """One history: what lies on the disk, and what was given out so far."""

    def __init__(
        self, folder: Path, way: Way, draw: random.Random, figures: Figures, *, disk: dict[str, bytes]
    ) -> None:
        self._live, self._after = folder / "live", folder / "after"
        self._way = way
        self._draw = draw
        self._figures = figures
        self._clock = ManualClock()
        self._disk = disk
        self._given: frozenset[str] = frozenset()

    def boot(self, cuts: int) -> bool:
        """Work, look at the disk after so many cuts, and go on with what one of them left, if one is good."""
        self._clock.reboot()
        _put(self._live, self._disk)
        disk = Disk(self._live)
        try:
            told, log = self._work(disk)
        finally:
            disk.unregister()
        moments = sorted(self._draw.randrange(len(disk.steps) + 1) for _ in range(cuts))
        platter, done = Platter(disk), 0
        good: list[tuple[dict[str, bytes], frozenset[str]]] = []
        for moment in moments:
            for step in disk.steps[done:moment]:
                platter.go_on(step)
            done = moment
            found = platter.after_cut(self._draw)
            before = [each for each in told if each.steps <= moment]
            given = self._given.union(*(each.handles for each in before))
            if self._is_good(found, before, log, given):
                good.append((found, given))
        if good:
            self._disk, self._given = self._draw.choice(good)
        return bool(good)

    # --- working ------------------------------------------------------------------------------------------------------

    def _work(self, disk: Disk) -> tuple[list[Told], list[Recorded]]:
        told: list[Told] = []
        with ExitStack() as stack:
            crews = [stack.enter_context(self._crew(disk, each)) for each in self._way.durability]
            position = 0
            for _ in range(CALLS):
                crew = self._draw.choice(crews)
                with crew.looked_at_by(self._draw.choice(crews)):
                    crew.call()
                news = crew.log(after=position)
                position = news[-1].position if news else position
                told.append(Told(len(disk.steps), position, handles(news), crew.is_synced and bool(news)))
            return told, crew.log(after=0)

    @contextmanager
    def _crew(self, disk: Disk, durability: Durability) -> Iterator[_Crew]:
        store = SqliteStore(self._live / LOG, self._clock, durability=durability, vfs=disk.name)
        try:
            pragma = store._connection.pragma
            if self._way.synchronous is not None:
                pragma("synchronous", self._way.synchronous)
            pragma("wal_autocheckpoint", self._draw.choice((8, 30, 1000)))
            pragma("journal_size_limit", self._draw.choice((0, 30_000, 10**6)))
            yield _Crew(store, self._clock, self._draw, is_synced=durability == "full")
        finally:
            store.close()

    # --- looking ------------------------------------------------------------------------------------------------------

    def _is_good(self, found: dict[str, bytes], told: list[Told], log: list[Recorded], given: frozenset[str]) -> bool:
        """Open what a cut left in yet another boot, and look whether all is as promised."""
        self._figures.cuts += 1
        _put(self._after, found)
        clock = ManualClock()
        clock.boot, clock.wall = "another", self._clock.wall + 100
        store: SqliteStore | None = None
        try:
            store = SqliteStore(self._after / LOG, clock, durability=self._draw.choice(self._way.durability))
            crew = _Crew(store, clock, self._draw, is_synced=True)
            self._check_whole(store)
            self._check_kept(crew.log(after=0), told, log)
            self._check_numbers(crew, given)
        except Broken as broken:
            self._figures.note(broken.fault, str(broken))
        except (TrichromeError, AssertionError) as error:
            self._figures.note("damaged", str(error))
        else:
            return True
        finally:
            if store is not None:
                store.close()
        return False

    def _check_whole(self, store: SqliteStore) -> None:
        for (text,) in store._connection.execute("pragma quick_check(1)"):
            if text != "ok":
                raise Broken("damaged", text)
        for difference in store.differences():
            raise Broken("damaged", difference)

    def _check_kept(self, there: list[Recorded], told: list[Told], log: list[Recorded]) -> None:
        """A beginning of the log is there, and in it what was synced; the new boot may have added its word."""
        kept = there[:-1] if there and isinstance(there[-1].event, LogReopened) and there[-1] not in log else there
        if kept != log[: len(kept)]:
            raise Broken("invented", f"{len(kept)} events are no beginning of the log's {len(log)}")
        last = kept[-1].position if kept else 0
        lost = [each for each in told if each.position > last]
        if any(each.is_synced for each in lost):
            raise Broken("lost", f"the log ends at {last}, and position {lost[-1].position} was acknowledged")
        self._figures.with_losses += bool(lost)

    def _check_numbers(self, crew: _Crew, given: frozenset[str]) -> None:
        """Work goes on, and nothing is given out that somebody holds."""
        before = crew.log(after=0)
        crew.do_all()
        if again := handles(crew.log(after=before[-1].position if before else 0)) & given:
            raise Broken("reused", f"{', '.join(sorted(again))} was given out again")


def handles(log: list[Recorded]) -> frozenset[str]:
    """Every number that events give out."""
    found = []
    for each in log:
        match each.event:
            case TaskCreated() | RunCreated() | MessageSent():
                found.append(each.stream)
            case TaskClaimed() as claimed:
                found += [f"{each.stream}.{claimed.attempt}", claimed.worker]
            case ContextShared() as shared:
                found.append(f"{each.stream} version {shared.version}")
            case _:
                pass
    return frozenset(found)


def _made(folder: Path) -> dict[str, bytes]:
    """What lies on a disk where a log has been made and nothing happened. The first history begins without."""
    folder.mkdir()
    SqliteStore(folder / LOG, ManualClock()).close()
    return {LOG: (folder / LOG).read_bytes()}


def _put(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


# --- calls ------------------------------------------------------------------------------------------------------------


class _Crew:
    """Workers of one store, who do what comes to their minds."""

    def __init__(self, store: SqliteStore, clock: ManualClock, draw: random.Random, *, is_synced: bool) -> None:
        self._project = Project(store, clock, settings=Settings(max_attempts=1000, max_review_rounds=1000))
        self._project._principals = draw.randrange(10**6) * 1000
        self._draw = draw
        self._lead = self._project.join()
        self._workers: list[Worker] = []
        self._held: list[tuple[Worker, str]] = []
        self.is_synced = is_synced

    def log(self, *, after: int) -> list[Recorded]:
        with self._project.store.reading() as view:
            return view.events(after=after, limit=10**6)

    @contextmanager
    def looked_at_by(self, other: _Crew) -> Iterator[None]:
        """Now and then somebody reads meanwhile, and so holds checkpoints back."""
        if other is self or self._draw.random() < 0.7:
            yield
            return
        with other._project.store.reading() as view:
            view.position()
            yield

    def call(self) -> None:
        """Any call; a refusal is an answer too."""
        calls: tuple[Callable[[], object], ...] = (
            self._create, self._claim, self._claim, self._claim, self._report, self._report, self._progress,
            self._send, self._share,
        )  # fmt: skip
        with suppress(TrichromeError):
            self._draw.choice(calls)()

    def do_all(self) -> None:
        """Take every task that can be had, and make one of everything."""
        self._project.sweep()
        self._project.clock.pass_seconds(3600)
        self._create()
        while self._claim():
            pass
        self._send()
        self._share()

    def _create(self) -> None:
        drafts = [
            Draft(kind="search", instructions="x" * self._draw.choice((10, 3000)), ref=str(number), review=review)
            for number in range(self._draw.randint(1, 2))
            for review in (self._draw.choice((None, None, "red")),)
        ]
        self._lead.create_all(*drafts)

    def _claim(self) -> bool:
        worker = self._lead.agent(f"a{len(self._workers)}")
        attempt = worker.claim()["attempt"]
        if attempt is not None:
            self._workers.append(worker)
            self._held.append((worker, attempt))
        return attempt is not None

    def _report(self) -> None:
        if self._held:
            worker, attempt = self._held.pop(self._draw.randrange(len(self._held)))
            outcome = self._draw.choice(("completed", "completed", "failed", "released"))
            answer = worker.report(attempt, outcome, claim_next=self._draw.random() < 0.5)
            if again := answer.get("claimed", {}).get("attempt"):
                self._held.append((worker, again))

    def _progress(self) -> None:
        if self._held:
            worker, attempt = self._draw.choice(self._held)
            worker.progress(attempt, note="half")

    def _send(self) -> None:
        if self._workers:
            self._lead.send(self._workers[-1].name, "go on")

    def _share(self) -> None:
        notes.put(self._project.coordinator, self._lead.caller, "plan", str(self._draw.random()))
