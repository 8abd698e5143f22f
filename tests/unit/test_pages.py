"""Events out of bytes: all that is there is found, whatever the page size, and no bytes raise."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store

from trichrome.store import codec
from trichrome.store.sqlite.pages import Remains, Trace

PAGE_SIZES: Final = [2**power for power in range(9, 17)]
Found = tuple[Any, ...]


def proven(file: Path, *parts: str) -> set[Found]:
    """Position and columns of every event that is found and proves itself, in some parts or in all."""
    with Remains(file) as remains:
        return {
            (trace.position, *event)
            for trace in remains.traces()
            if not parts or trace.part in parts
            for event in trace.readings
            if event[-1] == digest(*event[:-1])
        }


def digest(*event: Any) -> bytes:
    names = ("stream", "version", "schema", "kind", "payload", "recorded_at", "actor", "causation")
    return codec.digest(event[-1], **dict(zip(names, event[:-1], strict=True)))


def stored(file: Path) -> set[Found]:
    """What SQLite finds."""
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    found = set(connection.execute("select * from events"))
    connection.close()
    return found


def written(file: Path, page_size: int = 4096, *, events: int = 60) -> set[Found]:
    """A file of events alone, with texts from nothing to several pages."""
    connection = apsw.Connection(str(file))
    connection.pragma("page_size", page_size)
    connection.execute(
        "create table events (position integer primary key, stream text, version integer, schema integer, kind text, "
        "payload text, recorded_at real, actor text, causation text, previous blob, digest blob) strict"
    )
    connection.execute("create unique index by_stream on events (stream, version)")
    draw = random.Random(page_size)
    with connection:
        previous = b""
        for count in range(1, events + 1):
            payload = "ä" * draw.choice([0, 7, page_size // 5, page_size // 2, page_size * 3])
            event = ("n.naïve name", count, 1, "ContextShared", payload, draw.choice([1.5, 3.0]), "x-1", "", previous)
            previous = digest(*event)
            connection.execute(f"insert into events values (?, {', '.join('?' * 10)})", (count * 3, *event, previous))
    connection.close()
    return stored(file)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A log with a WAL that has been gone round, so that it holds what was overwritten in part."""
    folder = tmp_path_factory.mktemp("log")
    clock = ManualClock()
    store = open_store("sqlite", folder, clock)
    worker = Project(store, clock).join()
    other = apsw.Connection(str(folder / "events.db"))
    for turn in range(3):
        for count in range(12 - 4 * turn):
            worker.create(instructions=f"{turn} {count} " + "x" * (3000 * (count % 4)))
        if turn < 2:
            other.pragma("wal_checkpoint", "restart")
    yield folder / "events.db"
    other.close()
    store.close()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("has_header", [True, False])
def test_every_event_is_found_whatever_the_page_size(tmp_path: Path, page_size: int, has_header: bool) -> None:
    events = written(tmp_path / "events.db", page_size)
    if not has_header:
        data = (tmp_path / "events.db").read_bytes()
        (tmp_path / "events.db").write_bytes(bytes(page_size) + data[page_size:])

    found = proven(tmp_path / "events.db")

    assert found == events
    assert len(found) == 60


def test_every_entry_of_the_index_names_its_event(tmp_path: Path) -> None:
    events = written(tmp_path / "events.db", events=300)

    with Remains(tmp_path / "events.db") as remains:
        named = {(each.position, each.stream, each.version) for each in remains.traces() if is_entry(each)}

    assert named == {event[:3] for event in events}


def is_entry(trace: Trace) -> bool:
    return next(trace.readings, None) is None


def test_file_and_commits_hold_what_sqlite_sees_and_the_rest_is_told_apart(log: Path) -> None:
    live = stored(log)

    committed, all_of_it = proven(log, "file", "wal"), proven(log)
    newest, older = proven(log, "wal"), proven(log, "uncommitted")

    assert committed == live
    assert all_of_it == live
    assert newest - proven(log, "file")
    assert older


def test_an_event_goes_on_in_pages_that_the_wal_has_newer_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    written(file, events=10)
    connection = apsw.Connection(str(file))
    connection.execute("create table junk (text text)")
    connection.execute("insert into junk values (?)", ("junk" * 20_000,))
    connection.pragma("journal_mode", "wal")
    connection.execute("drop table junk")
    connection.pragma("wal_checkpoint", "truncate")
    size = file.stat().st_size
    for count in range(11, 16):
        event = ("n.x", count, 1, "ContextShared", "z" * 15_000, 2.5, "x-1", "", b"")
        connection.execute(f"insert into events values (?, {', '.join('?' * 10)})", (count * 3, *event, digest(*event)))
    events = stored(file)

    assert proven(file) == events
    assert file.stat().st_size == size
    assert connection.pragma("page_count") * 4096 == size

    data = file.with_name("events.db-wal").read_bytes()
    frames = [data[offset : offset + 24 + 4096] for offset in range(32, len(data), 24 + 4096)]
    never_committed = b"".join(frame[:16] + bytes(8) + b"x" * 4096 for frame in frames)
    of_a_round_before = b"".join(frame[:8] + bytes(16) + b"x" * 4096 for frame in frames)
    torn = data[: 32 + 16] + bytes(8) + data[32 + 24 :]
    for wal in (data + never_committed, torn + of_a_round_before, bytes(32) + data[32:]):
        assert of_bytes(file.read_bytes(), wal) == events
    connection.close()


def test_a_commit_that_was_torn_and_all_after_it_count_as_uncommitted(log: Path, tmp_path: Path) -> None:
    file, wal = tmp_path / "events.db", tmp_path / "events.db-wal"
    file.write_bytes(log.read_bytes())
    data = bytearray(log.with_name("events.db-wal").read_bytes())
    data[32 + 16] ^= 1
    wal.write_bytes(data)

    assert proven(file, "wal") == set()
    assert proven(file) == stored(log)


def test_what_the_disk_refuses_to_read_is_left_out_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = written(tmp_path / "events.db")
    bad = {5, 17}

    class Disk(apsw.VFSFile):
        def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - SQLite's name
            if any(offset < (sector + 1) * 4096 and sector * 4096 < offset + amount for sector in bad):
                raise apsw.IOError
            return super().xRead(amount, offset)

    monkeypatch.setattr(apsw, "VFSFile", Disk)
    with Remains(tmp_path / "events.db") as remains:
        found = {
            (each.position, *event)
            for each in remains.traces()
            for event in each.readings
            if event[-1] == digest(*event[:-1])
        }

    assert remains.refused == len(bad)
    assert 0 < len(events - found) < 12
    assert found < events


def test_of_a_file_that_is_not_there_nothing_is_found(tmp_path: Path) -> None:
    assert proven(tmp_path / "events.db") == set()
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=20_000), st.binary(max_size=5_000))
def test_no_bytes_raise(file: bytes, wal: bytes) -> None:
    assert of_bytes(file, wal) == set()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, set[Found]]:
    """A small log: the bytes of its file and of its WAL, each with a part of the events, and what it holds."""
    file = tmp_path_factory.mktemp("small") / "events.db"
    written(file, 512, events=25)
    connection = apsw.Connection(str(file))
    connection.pragma("journal_mode", "wal")
    previous = connection.execute("select digest from events order by position desc").fetchall()[0][0]
    for count in range(26, 40):
        event = ("n.naïve name", count, 1, "ContextShared", "w" * 50 * count, 2.5, "x-1", "", previous)
        previous = digest(*event)
        connection.execute(f"insert into events values (?, {', '.join('?' * 10)})", (count * 3, *event, previous))
    found = file.read_bytes(), file.with_name("events.db-wal").read_bytes(), stored(file)
    connection.close()
    return found


@given(data=st.data())
def test_what_was_changed_anywhere_neither_raises_nor_proves_itself(
    small: tuple[bytes, bytes, set[Found]], data: st.DataObject
) -> None:
    *files, events = small
    changed = []
    for file in files:
        bytes_ = bytearray(file)
        for _ in range(data.draw(st.integers(0, 8))):
            at = data.draw(st.integers(0, len(bytes_) - 1))
            change = data.draw(st.binary(min_size=1, max_size=20))
            bytes_[at : at + len(change)] = change
        changed.append(bytes(bytes_[: data.draw(st.integers(0, len(bytes_)))]))

    found = of_bytes(*changed)

    assert {event[1:] for event in found} <= {event[1:] for event in events}


def of_bytes(file: bytes, wal: bytes) -> set[Found]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.db"
        path.write_bytes(file)
        path.with_name("events.db-wal").write_bytes(wal)
        return proven(path)
