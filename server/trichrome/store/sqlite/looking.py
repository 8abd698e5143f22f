"""Looking at a log's file without touching it, for whoever has to say what is wrong with it.

Guarantee: nothing in its folder is made, migrated, finished or written. Where SQLite would have to make a file to read
a WAL that somebody left, it looks at a copy in a temporary folder. What was seen of a file that somebody changed
meanwhile is not told.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote

import apsw

from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite import tail
from trichrome.store.sqlite.connection import BUSY_MILLISECONDS, file_name, version_of
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.parts import parts_of
from trichrome.store.sqlite.store import SqliteStore, Transaction
from trichrome.store.sqlite.succession import identity
from trichrome.store.sqlite.version import LATEST

_FLAGS: Final = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
_LOOKS: Final = 5
"""How often whoever is disturbed looks at most."""

T = TypeVar("T")


class ChangedError(StoreUnavailableError):
    """Somebody wrote to a file while it was looked at as if nobody did."""


def undisturbed(look: Callable[[], T]) -> T:
    """What a look finds; one that somebody disturbs is begun anew.

    Raises:
        ChangedError: it was disturbed each time.
    """
    for _ in range(_LOOKS - 1):
        try:
            return look()
        except ChangedError:
            continue
    return look()


@contextmanager
def looking(path: Path) -> Iterator[apsw.Connection]:
    """A connection that sees the file's last state, and can only read.

    Raises:
        StoreUnavailableError: it cannot be read, or is damaged.
        ChangedError: somebody opened the file meanwhile, so that what was seen may be of two states.
    """
    _, wal, shared, _ = parts_of(path)
    with translated(path), ExitStack() as held:
        name, how = path, "mode=ro"
        if not wal.exists():
            how = "immutable=1"  # nobody has it open; SQLite would make a WAL
            held.enter_context(_unchanged(path, wal))
        elif not os.access(shared, os.W_OK):
            folder = held.enter_context(TemporaryDirectory(prefix="trichrome-look-"))
            with _unchanged(path, wal):
                name = Path(shutil.copy(path, folder))
                shutil.copy(wal, folder)
        connection = apsw.Connection(f"file:{quote(file_name(name))}?{how}", flags=_FLAGS)
        held.callback(connection.close)
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        yield connection


@contextmanager
def _unchanged(path: Path, wal: Path) -> Iterator[None]:
    before = _state(path), _state(wal)
    why: Exception | None = None
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever went wrong may come of the change alone
        why = error
    if (_state(path), _state(wal)) != before:
        raise ChangedError(
            f"Another program began to write to {path} while it was looked at, so nothing was told or changed. Try "
            "again."
        ) from why
    if why is not None:
        raise why


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class ReadOnlyStore(SqliteStore):
    """The port over a file that is only looked at; whatever would write or make a file is refused."""

    def _open(self) -> None:
        with ExitStack() as held, translated(self._path):
            self._connection = held.enter_context(looking(self._path))
            if (form := version_of(self._connection)) < LATEST:
                raise StoreUnavailableError(
                    f"{self._path} has form {form}, of an older program, so no more was looked at and nothing was "
                    f"changed. `trichrome status` brings it to form {LATEST}, and backs it up before."
                )
            self._lost_at = tail.positions(self._connection)
            self._identity = identity(self._name)
            self._held = held.pop_all()

    def _follow(self) -> None:
        """It goes on with the file that it has: whoever looks wants one answer."""

    @contextmanager
    def writing(self, *, actor: str, causation: str) -> Iterator[Transaction]:
        """Refuse."""
        self._refuse(f"{actor}'s {causation}")
        yield

    def watch(self) -> NoReturn:
        """Refuse."""
        self._refuse("whoever would wait for changes")

    def back_up_if_due(self) -> NoReturn:
        """Refuse."""
        self._refuse("a backup")

    def _refuse(self, what: str) -> NoReturn:
        raise StoreUnavailableError(f"{self._path} was opened to be looked at, so {what} wrote nothing.")

    def close(self) -> None:
        """Let go of the file."""
        self._held.close()
