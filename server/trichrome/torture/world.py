"""What is done to the whole scratch project: its log locked, backed up, spoiled, damaged and repaired.

Whatever is mended is mended by the product's own commands, each in a process of its own, as a person would.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from trichrome.config import FOLDER, LOG_FILE
from trichrome.torture.histories import Call, Fact

COMMAND_SECONDS: Final = 120.0
"""How long a command may take."""
_TIDY_SECONDS: Final = 5.0
_MOST_PAGES: Final = 6
_STREAM: Final = re.compile(r"note (?P<note>[^:]+):|(?:message )?(?P<stream>[trm]\d+)\b")
_VERSION: Final = re.compile(r"from (?:version )?(\d+) on")
_SOME: Final = re.compile(r"(\d+) events at most")
_DATABASE: Final = (".db", ".db-wal", ".db-shm")


class Command:
    """One command of the product, at work."""

    def __init__(self, project: Path, *arguments: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRICHROME_")}
        self._name = " ".join(arguments)
        self._began = time.monotonic()
        self._deadline = self._began + COMMAND_SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trichrome", *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited, "TRICHROME_HOME": str(project)},
            cwd=project,
            start_new_session=True,
        )

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or had time enough to."""
        return self._process.poll() is not None or time.monotonic() > self._deadline

    def ended(self) -> Call:
        """What came of it, in the form of a call."""
        try:
            out, err = self._process.communicate(timeout=max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
        try:
            answer: Any = json.loads(out)
        except ValueError:
            said = err.decode(errors="replace").strip()[-500:] or f"it ended with {self._process.returncode}"
            answer = {"error": {"code": "internal", "message": said}}
        return Call("operator", 0, self._process.pid, self._name, {}, self._began, answer, time.monotonic())


@dataclass(frozen=True, slots=True)
class Losses:
    """What a repair says that is lost.

    Attributes:
        is_any: whether it found anything to repair.
        streams: the first version that is missing, by stream.
        at_most: how many events are lost at most, named or not: some that are lost leave no trace but a gap.
    """

    is_any: bool
    streams: Mapping[str, int]
    at_most: int

    def names(self, fact: Fact) -> bool:
        """Whether a fact is among what is named as lost."""
        return fact.version >= self.streams.get(fact.stream, fact.version + 1)

    @classmethod
    def told(cls, repair: Call) -> Losses:
        """Read it from the answer of `trichrome repair`, whose words are for people."""
        answer = repair.answer or {}
        lines = [line for each in answer.get("repairs", ()) for line in each.get("lost", ())]
        streams = {}
        at_most = 0
        for line in lines:
            if (found := _STREAM.match(line)) is not None:
                version = _VERSION.search(line)
                streams[found["stream"] or f"n.{found['note']}"] = int(version[1]) if version is not None else 1
            elif (found := _SOME.match(line)) is not None:
                at_most = int(found[1])
        return cls(bool(answer.get("done")), streams, at_most)


class World:
    """The scratch project's files."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.log = project / FOLDER / LOG_FILE
        self.wal = self.log.with_name(LOG_FILE + "-wal")

    def command(self, *arguments: str) -> Command:
        """Begin a command."""
        return Command(self.project, *arguments)

    def lock(self) -> apsw.Connection | None:
        """Begin to hold the log's lock as a program would that knows no manners; None while others hold it."""
        connection = apsw.Connection(str(self.log))
        try:
            connection.execute("begin immediate")
        except apsw.BusyError:
            connection.close()
            return None
        return connection

    def unlock(self, connection: apsw.Connection) -> None:
        """Let go of it."""
        connection.execute("rollback")
        connection.close()

    def spoil(self) -> bool:
        """Make a view say something else than the log, of a task that is over; answers whether there was one."""
        connection = apsw.Connection(str(self.log))
        try:
            over = "select min(number) from tasks where ended is not null"
            connection.execute(f"update tasks set kind = 'spoiled' where number = ({over})")  # noqa: S608 - a constant
            return bool(connection.changes())
        except apsw.BusyError:
            return False
        finally:
            connection.close()

    def put_aside(self, aside: Path) -> None:
        """Copy the file, its write-ahead log and that one's index, before whoever has it open tidies them up."""
        for file in self.log.parent.glob(f"{LOG_FILE}*"):
            if file.suffix in _DATABASE:
                shutil.copyfile(file, aside / file.name)

    def put_back(self, aside: Path) -> None:
        """Put the copies in the place of what was tidied up, as a crash would have left them."""
        for file in aside.iterdir():
            shutil.move(file, self.log.parent / file.name)

    def tidy(self) -> None:
        """Have everything in the file itself, as after a program that closed it, so that no WAL stands in for a page.

        The last one to close it does that; a killed one may take a moment to be gone with all its threads.
        """
        deadline = time.monotonic() + _TIDY_SECONDS
        while self.wal.exists() and time.monotonic() < deadline:
            connection = apsw.Connection(str(self.log))
            connection.pragma("user_version")
            connection.close()

    def overwrite_pages(self, chance: random.Random) -> None:
        """Overwrite some pages of the file with noise."""
        size = self._page_size()
        pages = self.log.stat().st_size // size
        with self.log.open("r+b") as file:
            for _ in range(chance.randint(1, _MOST_PAGES)):
                file.seek(chance.randrange(pages) * size)
                file.write(chance.randbytes(size))

    def cut_wal(self, chance: random.Random) -> None:
        """Cut the write-ahead log anywhere."""
        if self.wal.exists():
            os.truncate(self.wal, chance.randrange(self.wal.stat().st_size + 1))

    def _page_size(self) -> int:
        with self.log.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:18], "big")
        return 65536 if size == 1 else size
