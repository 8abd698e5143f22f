"""`trichrome logs`: what the supervisor and its sessions did, from the files that they write.

The log of events is not opened, so that this works whatever state it is in. Text of agents is data: it is shown without
characters that could act on a terminal, one line each, and never read as markup.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer

from trichrome.cli.events import check_reader
from trichrome.cli.output import Json, document, new_app, note, one_line, refusals, say
from trichrome.cli.project import place
from trichrome.errors import NotFoundError
from trichrome.supervisor.journal import SUPERVISOR

_LOOK_SECONDS: Final = 0.2
_HEAD: Final = ("timestamp", "worker", "task", "attempt", "event", "level")
"""Fields that have a place of their own in a line, or none."""
_SAID_CHARS: Final = 400
_OUTPUT: Final = "output.jsonl"
"""What a session wrote to its standard output, in the folder beside its worker's log."""

app = new_app()

Entry = Mapping[str, Any]


@app.command(epilog="Example: trichrome logs blue-1 --follow")
def logs(
    worker: Annotated[
        str | None, typer.Argument(metavar="[WORKER]", help="A worker, such as blue-1; by default all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, metavar="N", help="Begin with the newest so many.")
    ] = 50,
    raw: Annotated[bool, typer.Option("--raw", help="What the worker's session itself wrote, as it wrote it.")] = False,
    as_json: Json = False,
) -> None:
    """Show what supervised workers did: sessions, claims, what they said, how each ended."""
    if raw and (worker is None or as_json):
        raise typer.BadParameter("it needs a WORKER, and goes without --json.", param_hint="--raw")
    with refusals(as_json):
        sources = _Sources(place(reads_settings=False).folder / "logs", worker, raw=raw)
        _show(sources.newest(lines), as_json=as_json, raw=raw)
        if not follow:
            if worker is None and not sources.names():
                note("No worker was started here yet. `trichrome start` starts some.")
            return
        with suppress(KeyboardInterrupt):  # the way to end it, so no failure
            while True:
                _show(sources.more(), as_json=as_json, raw=raw)
                check_reader()
                time.sleep(_LOOK_SECONDS)


def _show(entries: Iterable[Entry], *, as_json: bool, raw: bool) -> None:
    for entry in entries:
        if as_json:
            document(entry)
        else:
            say(str(entry["event"]) if raw else _line(entry))


def _line(entry: Entry) -> str:
    rest = "; ".join(
        _named(name) + one_line(_text(value), most=_SAID_CHARS)
        for name, value in entry.items()
        if name not in _HEAD and value not in (None, "", [], {})
    )
    at = entry.get("attempt") or entry.get("task") or ""
    told = f"{_time(entry):<8}  {one_line(_text(entry['worker'])):<9} {one_line(_text(at)):<6} "
    return f"{told}{one_line(_text(entry['event']), most=_SAID_CHARS)}{f'  {rest}' if rest else ''}".rstrip()


def _named(name: str) -> str:
    """What stands before a field's value; what was said speaks for itself."""
    return "" if name == "text" else f"{name.replace('_', ' ')}: "


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _time(entry: Entry) -> str:
    try:
        return f"{dt.datetime.fromisoformat(entry['timestamp']).astimezone():%H:%M:%S}"
    except (KeyError, TypeError, ValueError):  # a line that was cut short
        return ""


# --- the files --------------------------------------------------------------------------------------------------------


class _Sources:
    """The files of one worker, or of all there are and all that come."""

    def __init__(self, folder: Path, worker: str | None, *, raw: bool) -> None:
        """Find them.

        Raises:
            NotFoundError: that worker has none.
        """
        self._folder = folder
        self._raw = raw
        self._worker = worker
        self._files: dict[str, _File] = {}
        if worker is not None and worker not in self.names():
            known = ", ".join(name for name in self.names() if name != SUPERVISOR)
            what = "output" if raw else "log"
            there = f"Workers that have one: {known}." if known else "No worker was started here yet."
            raise NotFoundError(
                f"There is no {what} of a worker {worker[:80]!r}. {there} `trichrome workers` shows those that run.",
                field="worker",
            )

    def names(self) -> list[str]:
        """The workers that have one."""
        if self._raw:
            return sorted({path.parent.name for path in self._folder.glob(f"*/{_OUTPUT}*")})
        return sorted(path.stem for path in self._folder.glob("*.log"))

    def newest(self, wanted: int) -> list[Entry]:
        """The newest so many entries of all; from here on `more` tells what comes."""
        found = [entry for file in self._opened() for entry in file.before()]
        found += self.more()
        return _in_order(found)[-wanted:] if wanted else []

    def more(self) -> list[Entry]:
        """What came since the last look."""
        return _in_order(entry for file in self._opened() for entry in file.more())

    def _opened(self) -> list[_File]:
        for name in self.names() if self._worker is None else [self._worker]:
            if name not in self._files:
                path = self._folder / name / _OUTPUT if self._raw else self._folder / f"{name}.log"
                self._files[name] = _File(name, path, raw=self._raw)
        return list(self._files.values())


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries by time; those that tell none stay where they are among their worker's."""
    latest: dict[str, str] = {}
    keyed = []
    for entry in entries:
        moment = str(entry.get("timestamp", latest.get(entry["worker"], "")))
        latest[entry["worker"]] = moment
        keyed.append((moment, entry))
    return [entry for _, entry in sorted(keyed, key=lambda each: each[0])]


class _File:
    """One file that grows, is rotated, and may be cut to nothing; each whole line is told once."""

    def __init__(self, worker: str, path: Path, *, raw: bool) -> None:
        self._worker = worker
        self._path = path
        self._raw = raw
        self._open: IO[bytes] | None = None
        self._rest = b""

    def before(self) -> Iterator[Entry]:
        """What earlier parts of the file hold, the oldest first; the file itself is left to `more`."""
        self._reopen()
        mine = None if self._open is None else os.fstat(self._open.fileno()).st_ino
        for part in sorted(self._path.parent.glob(f"{self._path.name}.*"), reverse=True):
            with suppress(FileNotFoundError), part.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != mine:  # it was rotated a moment ago
                    yield from map(self._entry, file.read().splitlines())

    def more(self) -> Iterator[Entry]:
        """The lines that came since the last look, through any rotation."""
        yield from self._new_lines()
        if self._is_replaced():
            self._reopen()
            yield from self._new_lines()

    def _new_lines(self) -> Iterator[Entry]:
        if self._open is None:
            return
        if os.fstat(self._open.fileno()).st_size < self._open.tell():
            self._open.seek(0)
            self._rest = b""
        *whole, self._rest = (self._rest + self._open.read()).split(b"\n")
        yield from map(self._entry, whole)

    def _is_replaced(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return self._open is None or not os.path.samestat(there, os.fstat(self._open.fileno()))

    def _reopen(self) -> None:
        if self._open is not None:
            self._open.close()
        self._rest = b""
        try:
            self._open = self._path.open("rb")
        except FileNotFoundError:
            self._open = None

    def _entry(self, line: bytes) -> Entry:
        """A line as an entry; one that is none, such as a half that a crash left, is told as it is."""
        text = line.decode("utf-8", "replace")
        if not self._raw:
            with suppress(ValueError):
                read = json.loads(text)
                if isinstance(read, dict) and "event" in read:
                    return {**read, "worker": self._worker}
        return {"worker": self._worker, "event": text}
