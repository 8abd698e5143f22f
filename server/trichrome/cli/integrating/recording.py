"""Writing what was planned, and taking it back: each file whole or not at all, with a record from before the first one.

Guarantee: a file that nobody changed since gets back its very bytes. One that somebody did change loses what is ours
and nothing else. A crash anywhere leaves what the next run, or `--undo`, puts right.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from trichrome.cli.integrating.planning import Part, Places, Wish, fulfilled, read, removed
from trichrome.errors import InvalidError
from trichrome.files import sync

_RECORD: Final = "record.json"


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after; None is a file that is not there."""

    file: Path
    before: str | None
    after: str | None

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Entry:
    """What the record keeps of a file: what was there (as a backup's name), what we left, what of it is ours."""

    file: str
    backup: str | None
    left: str
    wishes: tuple[Mapping[str, Any], ...]
    folders: tuple[str, ...] = ()


class Record:
    """What was integrated in one place, with the backups beside it."""

    def __init__(self, places: Places) -> None:
        if places.scope == "project":
            self._folder = places.home / ".trichrome" / "integrated"
        else:
            state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
            self._folder = state / "trichrome" / f"integrated-{_digest(str(places.config))[:12]}"

    @property
    def is_there(self) -> bool:
        """Whether anything was integrated."""
        return (self._folder / _RECORD).exists()

    def parts(self) -> set[Part]:
        """What was chosen so far: a later choice adds to it.

        Raises:
            InvalidError: the record cannot be read.
        """
        return set(self._said().get("parts", ()))

    def entries(self) -> list[Entry]:
        """What was left where; nothing where nothing was.

        Raises:
            InvalidError: the record cannot be read.
        """
        try:
            return [Entry(**each) for each in self._said().get("files", ())]
        except TypeError as error:
            raise self._unreadable(error) from error

    def _said(self) -> dict[str, Any]:
        text = read(self._folder / _RECORD)
        try:
            said = {} if text is None else json.loads(text)
        except ValueError as error:
            raise self._unreadable(error) from error
        if not isinstance(said, dict):
            raise self._unreadable("it is no object")
        return said

    def _unreadable(self, why: object) -> InvalidError:
        return InvalidError(f"{self._folder / _RECORD} cannot be read, so nothing was changed: {why}")

    def undone(self) -> Iterator[Change]:
        """Each file as it would be without us.

        Raises:
            InvalidError: a file cannot be read.
        """
        for entry in self.entries():
            now = read(Path(entry.file))
            yield Change(Path(entry.file), now, self._without(entry, now))

    def kept(self) -> list[Path]:
        """Files of ours that somebody changed since; they stay."""
        return [change.file for change in self.undone() if change.before is not None and change.after == change.before]

    def planned(self, wishes: Iterable[Wish]) -> list[Change]:
        """Each file as it would be with what is wished for, from what it would be without us.

        Raises:
            TrichromeError: as `fulfilled`.
        """
        bases = {change.file: change.after for change in self.undone()}
        texts: dict[Path, str | None] = {}
        for wish in wishes:
            base = texts[wish.file] if wish.file in texts else bases.get(wish.file, read(wish.file))
            texts[wish.file] = fulfilled(wish, base)
        left = {file: text for file, text in bases.items() if file not in texts}
        return [Change(file, read(file), text) for file, text in (texts | left).items()]

    def write(self, changes: Iterable[Change], wishes: Iterable[Wish], parts: set[Part]) -> None:
        """Note what will be there and what was, then write it.

        Raises:
            OSError: the disk refuses; what was noted lets the next run go on.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        changes = list(changes)
        before = {change.file: change.after for change in self.undone()}
        wanted: dict[str, list[Mapping[str, Any]]] = {}
        for wish in wishes:
            wanted.setdefault(str(wish.file), []).append({**asdict(wish), "file": str(wish.file), "at": list(wish.at)})
        entries = [
            self._entry(change, before.get(change.file, change.before), wanted[str(change.file)])
            for change in changes
            if str(change.file) in wanted and change.after is not None
        ]
        said = {"parts": sorted(parts), "files": [asdict(each) for each in entries]}
        _write(self._folder / _RECORD, json.dumps(said, indent=1))
        for change in changes:
            _put(change)

    def undo(self) -> list[Change]:
        """Write each file as it would be without us, and forget what was integrated; answers what was written."""
        changes = [change for change in self.undone() if change.is_needed]
        entries = self.entries()
        for change in changes:
            _put(change)
        for folder in sorted({each for entry in entries for each in entry.folders}, key=len, reverse=True):
            _remove_empty(Path(folder))
        for file in self._folder.glob("*"):
            file.unlink()
        _remove_empty(self._folder)
        return changes

    def _entry(self, change: Change, was: str | None, wished: list[Mapping[str, Any]]) -> Entry:
        backup = None
        if was is not None:
            backup = f"{_digest(str(change.file))[:16]}.before"
            _write(self._folder / backup, was)
        made = [str(folder) for folder in change.file.parents if not folder.exists()]
        known = next((each.folders for each in self.entries() if each.file == str(change.file)), ())
        assert change.after is not None
        return Entry(str(change.file), backup, _digest(change.after), tuple(wished), (*known, *made))

    def _without(self, entry: Entry, now: str | None) -> str | None:
        """What a file would be without us: what it was, where it is as we left it."""
        if now is None:
            return None
        was = read(self._folder / entry.backup) if entry.backup is not None else None
        if _digest(now) == entry.left:
            return was
        for wished in entry.wishes:
            if wished["kind"] != "file":
                now = removed(Wish(Path(entry.file), wished["kind"], wished["value"], tuple(wished["at"])), now)
        return now


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _put(change: Change) -> None:
    if not change.is_needed:
        return
    if change.after is None:
        change.file.unlink(missing_ok=True)
        return
    change.file.parent.mkdir(parents=True, exist_ok=True)
    _write(change.file.resolve(), change.after)


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or as it was; a link stays one, and so do the rights."""
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o600)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # something else is in it by now
