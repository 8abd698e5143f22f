"""A log that is damaged anywhere gives back every event whose digest holds, names the rest, and goes on."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker, open_store

from trichrome.coordinator import liveness, notes
from trichrome.domain import tails
from trichrome.domain.events import ContextShared, LogSalvaged
from trichrome.errors import StoreTooNewError, StoreUnavailableError
from trichrome.store import codec
from trichrome.store.sqlite import salvage as salvaging
from trichrome.store.sqlite import tail
from trichrome.store.sqlite.alone import alone
from trichrome.store.sqlite.restoring import restore
from trichrome.store.sqlite.rows import INSERT_EVENT
from trichrome.store.sqlite.rows import event as event_row
from trichrome.store.sqlite.salvage import Salvaged, salvage
from trichrome.store.sqlite.succession import succeed

PAGE: Final = 4096
FRAME: Final = 24 + PAGE
WAL_HEADER: Final = 32
LONG: Final = (6_000, 13_000)
"""Texts that spill over to one page more, and to several."""

Event = tuple[Any, ...]
Key = tuple[str, int]
"""A stream, and a version in it."""


def events_of(file: Path) -> dict[Key, Event]:
    """Every event of a log that can be read: position and columns by stream and version."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    found = {(row[1], row[2]): row for row in connection.execute("select * from events")}
    connection.close()
    return found


@dataclass(frozen=True)
class Sound:
    """A log in order, as bytes.

    Attributes:
        events: what it holds, the WAL included.
        pages: by event, the numbers of the pages that it lies on.
        half: a backup from the middle of its life, and what that held.
    """

    file: bytes
    wal: bytes
    events: dict[Key, Event]
    pages: dict[Key, set[int]]
    half: Path
    half_events: dict[Key, Event]

    @property
    def frames(self) -> dict[int, list[int]]:
        """By page, the numbers of the frames in the WAL that hold it."""
        found: dict[int, list[int]] = {}
        for frame, offset in enumerate(range(WAL_HEADER, len(self.wal), FRAME)):
            found.setdefault(int.from_bytes(self.wal[offset : offset + 4], "big"), []).append(frame)
        return found


def live(worker: Worker, draw: random.Random, *, tasks: int) -> None:
    """Some tasks' lives, with texts of all lengths."""
    project = worker.project
    reviewer = project.join("red")
    for count in range(tasks):
        length = LONG[count % len(LONG)] if count % 4 == 0 else draw.randrange(10, 1500)
        worker.create(
            instructions=f"{count} " + "x" * length,
            review="red" if count % 5 == 0 else None,
            depends_on=(f"t{draw.randrange(1, 3)}",) if count > 4 and count % 7 == 0 else (),
        )
        if count % 3:
            attempt = worker.take()
            worker.progress(attempt, note="half")
            worker.report(attempt, summary="done " * draw.randrange(1, 400))
        if (found := reviewer.claim())["attempt"] is not None:
            reviewer.report(found["attempt"], "approved")
        if count % 6 == 0:
            worker.send("red", "look at this")
            notes.put(project.coordinator, worker.caller, f"note-{count}", "y" * draw.randrange(10, 3000))
        project.clock.pass_seconds(1)


def pages_of(connection: apsw.Connection) -> dict[Key, set[int]]:
    """By event, the pages it lies on, as SQLite's own statistics tell: leaves in order, and where they spill over to."""
    leaves, spilled = [], dict[tuple[str, int], set[int]]()
    for path, page, kind, cells in connection.execute(
        "select path, pageno, pagetype, ncell from dbstat where name = 'events' order by path"
    ):
        if kind == "leaf":
            leaves.append((path, page, cells))
        elif kind == "overflow":
            leaf, _, cell = path.partition("+")[0].rpartition("/")
            spilled.setdefault((f"{leaf}/", int(cell, 16)), set()).add(page)
    keys = iter(connection.execute("select stream, version from events order by position"))
    return {
        next(keys): {page} | spilled.get((path, cell), set()) for path, page, cells in leaves for cell in range(cells)
    }


def made(folder: Path, *, with_wal: bool) -> Sound:
    clock, draw = ManualClock(), random.Random(4)
    store = open_store("sqlite", folder, clock)
    file, half = folder / "events.db", folder / "half.db"
    worker = Project(store, clock).join()
    live(worker, draw, tasks=15)
    whole(file, half)
    live(worker, draw, tasks=12)
    connection = apsw.Connection(str(file))
    connection.pragma("wal_checkpoint", "restart" if with_wal else "truncate")
    if with_wal:
        live(worker, draw, tasks=5)
    pages = pages_of(connection)
    wal = file.with_name("events.db-wal").read_bytes()
    sound = Sound(file.read_bytes(), wal[: used(connection)], events_of(file), pages, half, events_of(half))
    connection.close()
    store.close()
    return sound


def used(connection: apsw.Connection) -> int:
    """How much of the WAL belongs to its present round."""
    ((_, frames, _),) = connection.execute("pragma wal_checkpoint(noop)").fetchall()
    assert isinstance(frames, int)
    return WAL_HEADER + frames * FRAME


def whole(log: Path, to: Path) -> None:
    with (
        apsw.Connection(str(log)) as source,
        apsw.Connection(str(to)) as copy,
        copy.backup("main", source, "main") as b,
    ):
        b.step()
    copy.pragma("journal_mode", "delete")
    copy.close()
    source.close()


@pytest.fixture(scope="module")
def in_file(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """A log that is in its file alone."""
    return made(tmp_path_factory.mktemp("file"), with_wal=False)


@pytest.fixture(scope="module")
def with_wal(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """A log whose newest part is in its WAL."""
    return made(tmp_path_factory.mktemp("wal"), with_wal=True)


@dataclass(frozen=True)
class Outcome:
    """What a salvage gave.

    Attributes:
        said: what it said itself.
        kept: the events that the log holds then, but for what it says of the salvage.
        left: those beside it.
        holes: by stream the first event that is not in the log.
        told: the position of the event that tells of the salvage.
    """

    said: Salvaged
    kept: dict[Key, Event]
    left: dict[Key, dict[str, Any]]
    holes: dict[str, int]
    told: int


@dataclass
class Place:
    """A folder with a log that was hit."""

    folder: Path
    sound: Sound

    @property
    def log(self) -> Path:
        return self.folder / "events.db"

    @property
    def to(self) -> Path:
        return self.folder / "events.db.salvage"

    def put(self, file: bytes, wal: bytes) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.log.write_bytes(file)
        if wal:
            self.log.with_name("events.db-wal").write_bytes(wal)

    def salvage(self, *backups: Path) -> Outcome:
        """Salvage, put what came of it in the log's place, and check what always holds."""
        sound = self.sound.events
        with alone(self.log):
            said = salvage(self.log, backups=backups, to=self.to, clock=ManualClock())
            aside = succeed(self.log, self.to)

        events = events_of(self.log)
        told = events[tails.LOG, 1][0]
        kept = {key: event for key, event in events.items() if key[0] != tails.LOG}
        lines = said.beside.read_text(encoding="utf-8").splitlines() if said.beside is not None else []
        left = {(event["stream"], event["version"]): event for event in map(json.loads, lines)}
        holes = dict(sorted(sound.keys() - kept.keys(), reverse=True))
        assert list(self.folder.glob("*.salvage*")) == []
        assert list(aside.iterdir()) != []
        assert kept.items() <= sound.items()
        assert {key: event["digest"] for key, event in left.items()} == {key: sound[key][-1].hex() for key in left}
        assert not left.keys() & kept.keys()
        assert (said.events, said.left) == (len(kept), len(lines))
        self.check_that_a_server_runs()
        return Outcome(said, kept, left, holes, told)

    def check_that_a_server_runs(self) -> None:
        clock = ManualClock()
        clock.wall += 1e6
        store = open_store("sqlite", self.folder, clock)
        assert store.differences() == []
        worker = Project(store, clock, _pids=10_000, _principals=1_000).join()
        task = worker.create(instructions="after the salvage")
        attempt = worker.take(task=task)
        assert worker.report(attempt)["state"] == "completed"
        assert not any(stream == task for stream, _ in self.sound.events)
        names = {event[7] for event in self.sound.events.values()}
        assert worker.name not in names
        with store.reading() as view:
            new = view.events(after=max(event[0] for event in self.sound.events.values()))
        assert isinstance(new[0].event, LogSalvaged)
        store.close()


@pytest.fixture
def place(tmp_path: Path, in_file: Sound) -> Place:
    return Place(tmp_path / "data", in_file)


def noise(page: int, size: int = PAGE) -> bytes:
    return random.Random(page).randbytes(size)


def hit(data: bytes, offset: int, change: bytes) -> bytes:
    return data[:offset] + change + data[offset + len(change) :]


# --- noise at every page ----------------------------------------------------------------------------------------------


def check(place: Place, lost: set[Key], *backups: Path) -> None:
    """Salvage, and hold what came of it against the events that lie on what was hit."""
    found = place.salvage(*backups)

    assert found.kept.keys() | found.left.keys() >= place.sound.events.keys() - lost
    assert found.said.holes == found.holes
    assert found.said.lost == len(place.sound.events) - len(found.kept)
    assert found.told == max(event[0] for event in place.sound.events.values()) + tails.EVENTS + 1


@pytest.mark.parametrize("with_backup", [False, True])
def test_noise_in_any_page_takes_the_events_on_it_alone(place: Place, in_file: Sound, with_backup: bool) -> None:
    pages = len(in_file.file) // PAGE
    assert pages > 50
    backups = [in_file.half] if with_backup else []
    held = in_file.half_events.keys() if with_backup else set()
    losses = 0
    for page in range(1, pages + 1):
        place.put(hit(in_file.file, (page - 1) * PAGE, noise(page)), b"")
        lost = {key for key, pages_of_it in in_file.pages.items() if page in pages_of_it} - held

        check(place, lost, *backups)

        losses += len(lost)
    assert losses >= len(in_file.events.keys() - held)


def test_noise_in_any_page_or_frame_of_a_log_with_a_wal_takes_the_events_on_it_alone(
    tmp_path: Path, with_wal: Sound
) -> None:
    place = Place(tmp_path / "data", with_wal)
    frames = with_wal.frames
    assert len(frames) > 20
    for page in range(1, len(with_wal.file) // PAGE + 1):
        if page in frames:  # what it holds is in the WAL, and newer there
            continue
        place.put(hit(with_wal.file, (page - 1) * PAGE, noise(page)), with_wal.wal)
        check(place, {key for key, pages in with_wal.pages.items() if page in pages})
    for page, (*_, newest) in frames.items():
        place.put(with_wal.file, hit(with_wal.wal, WAL_HEADER + newest * FRAME, noise(page, FRAME)))
        check(place, {key for key, pages in with_wal.pages.items() if page in pages})


# --- other damage -----------------------------------------------------------------------------------------------------


def pages_lost(sound: Sound, pages: set[int]) -> set[Key]:
    return {key for key, lies_on in sound.pages.items() if lies_on & pages}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_gives_back_what_lies_before_the_cut(
    place: Place, in_file: Sound, share: float
) -> None:
    size = int(len(in_file.file) * share)
    place.put(in_file.file[:size], b"")
    lost = pages_lost(in_file, set(range(size // PAGE + 1, len(in_file.file) // PAGE + 1)))

    found = place.salvage()

    assert found.kept.keys() | found.left.keys() >= in_file.events.keys() - lost
    assert found.said.holes.items() <= found.holes.items()
    assert found.said.missing == len(in_file.file) - size


@pytest.mark.parametrize("frames", [0, 0.5, 10, 30.99])
def test_a_wal_that_was_cut_off_gives_back_what_lies_before_the_cut(
    tmp_path: Path, with_wal: Sound, frames: float
) -> None:
    place = Place(tmp_path / "data", with_wal)
    place.put(with_wal.file, with_wal.wal[: WAL_HEADER + int(frames * FRAME)])
    cut = {page for page, where in with_wal.frames.items() if where[-1] >= int(frames)}

    found = place.salvage()

    assert found.kept.keys() | found.left.keys() >= with_wal.events.keys() - pages_lost(with_wal, cut)
    assert found.said.holes.items() <= found.holes.items()


def test_without_its_header_a_log_is_given_back_as_a_whole(tmp_path: Path, with_wal: Sound) -> None:
    place = Place(tmp_path / "data", with_wal)
    place.put(hit(with_wal.file, 0, bytes(PAGE)), with_wal.wal)

    assert place.salvage().kept.keys() == with_wal.events.keys()

    place.put(hit(with_wal.file, 0, bytes(PAGE)), hit(with_wal.wal, 0, bytes(WAL_HEADER)))

    assert place.salvage().kept.keys() == with_wal.events.keys()


def test_pages_that_changed_places_or_bear_another_one_s_contents(place: Place, in_file: Sound) -> None:
    draw = random.Random(1)
    for _ in range(12):
        one, other = draw.sample(range(2, len(in_file.file) // PAGE + 1), 2)
        contents = [in_file.file[(page - 1) * PAGE : page * PAGE] for page in (one, other)]
        swapped = hit(hit(in_file.file, (one - 1) * PAGE, contents[1]), (other - 1) * PAGE, contents[0])
        for file, touched in ((swapped, {one, other}), (hit(in_file.file, (one - 1) * PAGE, contents[1]), {one})):
            place.put(file, b"")

            found = place.salvage()

            assert found.kept.keys() | found.left.keys() >= in_file.events.keys() - pages_lost(in_file, touched)
            assert found.said.holes == found.holes


def test_of_an_empty_file_nothing_is_left_but_the_backup(place: Place, in_file: Sound) -> None:
    place.put(b"", b"")

    assert place.salvage().said.events == 0

    place.put(b"", b"")
    found = place.salvage(in_file.half)

    assert found.kept == in_file.half_events
    assert found.said.kept["half.db"] == len(in_file.half_events)


def test_a_log_that_is_gone_is_given_back_from_the_backup(place: Place, in_file: Sound) -> None:
    place.put(b"", b"")
    place.log.unlink()
    with alone(place.log):
        said = salvage(place.log, backups=[in_file.half], to=place.to, clock=ManualClock())

    assert said.events == len(in_file.half_events)


# --- what contradicts the log -----------------------------------------------------------------------------------------


def test_the_wal_of_another_log_is_kept_beside(place: Place, in_file: Sound, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    clock = ManualClock()
    store = open_store("sqlite", tmp_path / "other", clock)
    live(Project(store, clock).join(), random.Random(9), tasks=15)
    wal = (tmp_path / "other" / "events.db-wal").read_bytes()
    others = events_of(tmp_path / "other" / "events.db")
    store.close()
    place.put(in_file.file, wal)

    with alone(place.log):
        said = salvage(place.log, backups=[], to=place.to, clock=ManualClock())

    assert {key: event for key, event in events_of(place.to).items() if key[0] != tails.LOG} == in_file.events
    assert said.holes == {}
    assert said.left > 20
    assert said.beside is not None
    left = [json.loads(line) for line in said.beside.read_text(encoding="utf-8").splitlines()]
    assert {each["digest"] for each in left} <= {event[-1].hex() for event in others.values()}
    assert {each["why"] for each in left} == {"it is of another past"}


def test_what_a_restore_did_away_with_does_not_come_back(tmp_path: Path, in_file: Sound) -> None:
    log, later = tmp_path / "events.db", tmp_path / "later.db"
    log.write_bytes(in_file.file)
    later.write_bytes(in_file.file)
    restore(log, in_file.half, clock=ManualClock())

    with alone(log):
        said = salvage(log, backups=[later], to=tmp_path / "to.salvage", clock=ManualClock())

    assert said.kept["later.db"] == 0
    assert said.left == len(in_file.events) - len(in_file.half_events)
    assert said.holes == {}


def test_what_fits_no_longer_stands_beside_with_its_reason(place: Place, in_file: Sound) -> None:
    stream, last = max(in_file.events, key=lambda key: key[1])
    *_, before, digest = in_file.events[stream, 2]
    place.put(in_file.file.replace(before + digest, before + noise(1, 32)), b"")

    found = place.salvage()

    assert found.said.holes == {stream: 2}
    assert found.left.keys() == {(stream, version) for version in range(3, last + 1)}
    assert {each["why"] for each in found.left.values()} == {"what came before it is lost"}
    store = open_store("sqlite", place.folder, ManualClock())
    with store.reading() as view:
        (told,) = view.events(stream=tails.LOG)
    assert told.event == LogSalvaged((f"{stream} from 2",))
    store.close()


def test_an_event_that_names_another_before_it_than_there_is_stands_beside(place: Place, in_file: Sound) -> None:
    place.put(in_file.file, b"")
    log = apsw.Connection(str(place.log))
    for version, previous in ((1, b""), (2, noise(2, 32))):
        shared = ContextShared(name="odd", text="text", version=version, by="x-1")
        values = event_row(
            shared, stream="n.odd", version=version, previous=previous, recorded_at=1.5, actor="x-1", causation="call"
        )
        log.execute(INSERT_EVENT, values)
    log.close()

    with alone(place.log):
        said = salvage(place.log, backups=[], to=place.to, clock=ManualClock())

    assert said.holes == {"n.odd": 2}
    assert said.left == 1
    assert ("n.odd", 1) in events_of(place.to)
    assert ("n.odd", 2) not in events_of(place.to)


def test_of_two_events_in_one_position_that_of_the_log_itself_stays(
    place: Place, in_file: Sound, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    backup.write_bytes(in_file.file)
    place.put(in_file.file, b"")
    last = {stream: (version, event[0]) for (stream, version), event in sorted(in_file.events.items())}
    (mine, (_, here)), (other, (_, there)) = [each for each in sorted(last.items()) if each[1][0] > 1][:2]
    log = apsw.Connection(str(place.log))
    for verb in ("update", "delete"):
        log.execute(f"drop trigger events_refuse_{verb}")
    low, high = sorted((here, there))
    log.execute("delete from events where position = ?", (high,))
    log.execute("update events set position = ? where position = ?", (high, low))
    log.close()

    with alone(place.log):
        said = salvage(place.log, backups=[backup], to=place.to, clock=ManualClock())

    moved, gone = (mine, other) if here == low else (other, mine)
    assert said.holes == {gone: last[gone][0]}
    assert said.left == 1
    assert events_of(place.to)[moved, last[moved][0]][0] == high


# --- what a program makes of it ---------------------------------------------------------------------------------------


def test_a_log_of_a_newer_program_is_refused(place: Place, in_file: Sound) -> None:
    place.put(in_file.file, b"")
    digest = codec.digest(
        codec.NO_DIGEST,
        stream="t9999",
        version=1,
        schema=1,
        kind="TaskTeleported",
        payload="{}",
        recorded_at=1.5,
        actor="somebody",
        causation="call",
    )
    log = apsw.Connection(str(place.log))
    log.execute(
        "insert into events values (9999, 't9999', 1, 1, 'TaskTeleported', '{}', 1.5, 'somebody', 'call', x'', ?)",
        (digest,),
    )
    log.close()

    with alone(place.log), pytest.raises(StoreTooNewError, match="TaskTeleported"):
        salvage(place.log, backups=[], to=place.to, clock=ManualClock())

    assert list(place.folder.glob("*.salvage*")) == []

    log = apsw.Connection(str(place.log))
    log.execute("update log set minimum_version = 99")
    log.close()
    with alone(place.log), pytest.raises(StoreTooNewError, match="form 99"):
        salvage(place.log, backups=[], to=place.to, clock=ManualClock())


def test_a_salvage_that_fails_leaves_nothing_behind(
    place: Place, in_file: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put(in_file.file.replace(in_file.events["t1", 2][-1], noise(1, 32)), b"")
    before = place.log.read_bytes()

    def refused(*_: object) -> None:
        raise apsw.FullError("no room")

    monkeypatch.setattr(salvaging, "rebuild_within", refused)
    with alone(place.log), pytest.raises(StoreUnavailableError, match="full"):
        salvage(place.log, backups=[], to=place.to, clock=ManualClock())

    assert {each.name for each in place.folder.iterdir()} == {"events.db", "events.db.alone"}
    assert place.log.read_bytes() == before


def test_what_was_there_before_is_not_written_over(place: Place, in_file: Sound) -> None:
    place.put(in_file.file, b"")
    place.to.write_text("mine")

    with alone(place.log), pytest.raises(StoreUnavailableError, match="exists"):
        salvage(place.log, backups=[], to=place.to, clock=ManualClock())

    assert place.to.read_text() == "mine"


OVERWRITE = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY)
for page in sys.argv[2:]:
    os.pwrite(file, b"x" * 4096, (int(page) - 1) * 4096)
"""


def overwrite(log: Path, pages: set[int]) -> None:
    """Hit pages of a log that this process has open.

    In a process of its own: a file that is closed otherwise than by SQLite loses this one its locks.
    """
    connection = apsw.Connection(str(log))
    connection.pragma("wal_checkpoint", "truncate")
    connection.close()
    subprocess.run([sys.executable, "-c", OVERWRITE, str(log), *map(str, pages)], check=True)


def renewed(log: Path, clock: ManualClock) -> Salvaged:
    with alone(log):
        said = salvage(log, backups=[], to=log.with_name("events.db.salvage"), clock=clock)
        succeed(log, log.with_name("events.db.salvage"))
    return said


@pytest.fixture
def project(tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    store = open_store("sqlite", tmp_path, clock)
    yield Project(store, clock)
    store.close()


def test_a_running_server_goes_on_with_its_attempt_after_a_salvage(tmp_path: Path, project: Project) -> None:
    worker = project.join()
    live(worker, random.Random(2), tasks=6)
    attempt = worker.take(task=worker.create())
    long = worker.create(instructions="z" * 20_000)
    with apsw.Connection(str(tmp_path / "events.db")) as connection:
        page = max(pages_of(connection)[long, 1])
    connection.close()
    overwrite(tmp_path / "events.db", {page})

    said = renewed(tmp_path / "events.db", project.clock)
    worker.progress(attempt, note="going on")
    project.clock.pass_seconds(60)
    swept = project.sweep()
    answer = worker.report(attempt)

    assert said.holes == {long: 1}
    assert said.absent == ()
    assert swept == []
    assert answer["state"] == "completed"
    assert project.store.differences() == []


def test_a_running_server_is_known_again_where_nothing_but_events_could_be_read(
    tmp_path: Path, project: Project
) -> None:
    worker = project.join()
    live(worker, random.Random(2), tasks=6)
    name, attempt = worker.name, worker.take(task=worker.create())
    keeper = liveness.Keeper(project.coordinator, project.principal(worker))
    with apsw.Connection(str(tmp_path / "events.db")) as connection:
        events = set().union(*pages_of(connection).values())
        pages = set(range(1, connection.pragma("page_count") + 1)) - events
    connection.close()
    overwrite(tmp_path / "events.db", pages)

    said = renewed(tmp_path / "events.db", project.clock)
    ended = keeper.keep()
    answer = worker.claim()

    assert said.absent == ("principals", "workers", "worker_names", "signs", "fleet", "leases")
    assert ended == []
    assert (worker.name, answer["attempt"], answer["resumed"]) == (name, attempt, True)
    assert project.principal(worker).connected
    with apsw.Connection(str(tmp_path / "events.db")) as connection:
        ((newest,),) = connection.execute("select number from worker_names where prefix = 'lead'").fetchall()
    connection.close()
    assert newest == int(name.removeprefix("lead-"))
    keeper._lookout.close()


def test_jumps_of_the_log_that_are_lost_count_for_no_more_than_the_file_can_have_held(
    tmp_path: Path, project: Project
) -> None:
    project.join().create()
    jumps = 30
    with apsw.Connection(str(tmp_path / "events.db")) as log:
        for _ in range(jumps):
            tail.append(log, LogSalvaged(()), wall=0.0)
        log.execute("drop trigger events_refuse_update")
        log.execute("update events set digest = randomblob(32) where stream = ?", (tails.LOG,))
    log.close()

    said = renewed(tmp_path / "events.db", project.clock)

    told = [key for key in events_of(tmp_path / "events.db") if key[0] == tails.LOG]
    assert jumps <= said.lost < jumps * tails.NUMBERS
    assert len(told) < jumps
