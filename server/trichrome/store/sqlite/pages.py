"""Events out of the bytes of a log's file and of its WAL, whatever is left of them.

Neither the header is trusted, nor the b-trees, nor the schema, nor that a page is what it says: what is shaped like an
event is found wherever it stands. It is only a proposal; an event proves itself by its digest, and that is the caller's
to look at.

Guarantee: no bytes make it raise. It goes over them once, keeps some megabytes of them, and an offset for each page of
the WAL. The shapes are those of sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import apsw

from trichrome.store.sqlite.connection import file_name
from trichrome.store.sqlite.parts import wal_of
from trichrome.store.sqlite.records import AFTER, BEFORE, Columns, Record, columns, entries, rows

Part = Literal["file", "wal", "uncommitted"]
"""Where something was found: in the file, in a commit in its WAL, or elsewhere in the WAL."""

_BLOCK: Final = 1024 * 1024
"""What is looked through at once."""
_SECTOR: Final = 4096
"""What is left out at once where the disk refuses to read."""
_PAGE_SIZES: Final = (4096, 512, 1024, 2048, 8192, 16384, 32768, 65536)
"""Those there are, the likeliest first."""
_FILE_MAGIC: Final = b"SQLite format 3\0"
_WAL_MAGICS: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that speaks of an event.

    Attributes:
        readings: what the event may be, the likeliest first; none where it is the index that speaks.
    """

    part: Part
    stream: str
    version: int
    position: int
    readings: Iterator[Columns]


class Remains:
    """What is left of a log: its file and its WAL, each as far as it is there; nothing is written.

    Attributes:
        missing: how many bytes the file is shorter than it says.
    """

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            self._file = stack.enter_context(_Bytes(path))
            self._wal = stack.enter_context(_Bytes(wal_of(path)))
            header, wal_header = self._file.read(0, 100), self._wal.read(0, _WAL_HEADER)
            self._open = stack.pop_all()
        is_whole = header.startswith(_FILE_MAGIC)
        size = int.from_bytes(header[16:18], "big") if is_whole else 0
        size = 65536 if size == 1 else size
        pages = int.from_bytes(header[28:32], "big") if is_whole else 0
        self.missing = max(0, pages * size - self._file.size)
        said = (size, int.from_bytes(wal_header[8:12], "big") if wal_header.startswith(_WAL_MAGICS) else 0)
        self._page_sizes = tuple(dict.fromkeys(each for each in (*said, *_PAGE_SIZES) if each in _PAGE_SIZES))
        self._frames: dict[int, _Frames] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def refused(self) -> int:
        """How many sectors the disk refused to read; they count as zeros."""
        return len(self._file.refused) + len(self._wal.refused)

    def traces(self) -> Iterator[Trace]:
        """Everything that speaks of an event, in no order."""
        for source in (self._file, self._wal):
            for begin in range(0, source.size, _BLOCK):
                base = max(0, begin - BEFORE)
                data = source.read(base, begin - base + _BLOCK + AFTER)
                for found in rows(data, begin - base, begin - base + _BLOCK):
                    at = base + found.record.offset
                    readings = self._readings(source, at, found.record)
                    yield Trace(self._part(source, at), found.stream, found.version, found.position, readings)
                for found in entries(data, begin - base, begin - base + _BLOCK):
                    at = base + found.record.offset
                    yield Trace(self._part(source, at), found.stream, found.version, found.position, iter(()))

    def _part(self, source: _Bytes, offset: int) -> Part:
        if source is self._file:
            return "file"
        return "wal" if self._laid_out(self._page_sizes[0]).is_committed(offset) else "uncommitted"

    def _laid_out(self, page_size: int) -> _Frames:
        if page_size not in self._frames:
            self._frames[page_size] = _Frames(self._wal, page_size)
        return self._frames[page_size]

    # --- records that go on in other pages ----------------------------------------------------------------------------

    def _readings(self, source: _Bytes, offset: int, record: Record) -> Iterator[Columns]:
        for payload in self._payloads(source, offset, record.length):
            if (found := columns(record, payload)) is not None:
                yield found

    def _payloads(self, source: _Bytes, offset: int, length: int) -> Iterator[bytes]:
        """What a record may be as a whole, by page sizes, and by where the pages are taken from that it goes on in."""
        for page_size in self._page_sizes:
            local = _local(length, page_size)
            begin = source.read(offset, min(length, local + 4))
            if local == length:
                yield begin
                continue
            first = int.from_bytes(begin[local:], "big")
            for frames in self._laid_out(page_size).views:
                rest = self._chain(first, length - local, page_size, frames)
                if rest is not None:
                    yield begin[:local] + rest

    def _chain(self, page: int, left: int, page_size: int, frames: Mapping[int, int]) -> bytes | None:
        """The rest of a record, from the pages it goes on in; None where they do not go on that long.

        Args:
            page: the first one's number.
            left: how many bytes are wanted.
            page_size: how long pages are.
            frames: where in the WAL to look for a page; what is not among them is taken from the file.
        """
        found, seen = bytearray(), set[int]()
        while left > 0:
            if page == 0 or page in seen:
                return None
            seen.add(page)
            if page in frames:
                data = self._wal.read(frames[page], page_size)
            else:
                data = self._file.read((page - 1) * page_size, page_size)
            if len(data) < page_size:
                return None
            page = int.from_bytes(data[:4], "big")
            found += data[4 : 4 + left]
            left -= page_size - 4
        return bytes(found)


def _local(length: int, page_size: int) -> int:
    """How much of a record stands in its own page; four bytes with the number of the next follow if it is not all."""
    if length <= page_size - 35:
        return length
    least = (page_size - 12) * 32 // 255 - 23
    most = least + (length - least) % (page_size - 4)
    return most if most <= page_size - 35 else least


class _Frames:
    """The pages in a WAL.

    Attributes:
        views: where in the WAL each page's contents are: as SQLite would see them; by this round of the WAL, committed
            or not; nowhere; by whatever stands last.
    """

    def __init__(self, wal: _Bytes, page_size: int) -> None:
        committed, present, last = dict[int, int](), dict[int, int](), dict[int, int]()
        self.views: tuple[Mapping[int, int], ...] = (committed, present, {}, last)
        self._committed = 0
        header = wal.read(0, _WAL_HEADER)
        sums = _Sums(header)
        is_whole = len(header) == _WAL_HEADER and sums.fits(header[:24], header[24:])
        salts = header[16:24] if is_whole else wal.read(_WAL_HEADER + 8, 8)
        for offset in range(_WAL_HEADER, wal.size - _FRAME_HEADER - page_size + 1, _FRAME_HEADER + page_size):
            frame = wal.read(offset, _FRAME_HEADER + page_size)
            page = int.from_bytes(frame[:4], "big")
            last[page] = offset + _FRAME_HEADER
            if frame[8:16] == salts:
                present[page] = offset + _FRAME_HEADER
            is_whole = is_whole and frame[8:16] == salts
            is_whole = is_whole and sums.fits(frame[:8] + frame[_FRAME_HEADER:], frame[16:_FRAME_HEADER])
            if is_whole and any(frame[4:8]):  # how long the file is after this commit
                self._committed = offset + len(frame)
                committed.update(present)

    def is_committed(self, offset: int) -> bool:
        """Whether SQLite would count what stands at an offset as part of the log."""
        return offset < self._committed


class _Sums:
    """The running checksum of a WAL, in words of the order that its header says."""

    def __init__(self, header: bytes) -> None:
        self._order = ">" if header[:4] == _WAL_MAGICS[1] else "<"
        self._sums = 0, 0

    def fits(self, data: bytes, sums: bytes) -> bool:
        """Go on with more data, and tell whether these are the sums then."""
        one, two = self._sums
        words = iter(struct.unpack(f"{self._order}{len(data) // 4}I", data))
        for first, second in zip(words, words, strict=True):
            one = one + first + two & 0xFFFFFFFF
            two = two + second + one & 0xFFFFFFFF
        self._sums = one, two
        return sums == struct.pack(">II", one, two)


class _Bytes:
    """A file's bytes, or none, by the way that SQLite takes to it: closing it otherwise costs this process its locks.

    Attributes:
        refused: the sectors that the disk refused to read.
    """

    def __init__(self, path: Path) -> None:
        self.refused: set[int] = set()
        self.size = 0
        self._file: apsw.VFSFile | None = None
        if path.exists():
            flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0]
            self._file = apsw.VFSFile("", file_name(path), flags)
            self.size = self._file.xFileSize()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.xClose()

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes, or as many as there are."""
        size = min(size, self.size - offset)
        if self._file is None or offset < 0 or size <= 0:
            return b""
        try:
            return self._file.xRead(size, offset).ljust(size, b"\0")
        except apsw.Error:
            return b"".join(self._sector(self._file, at, offset, offset + size) for at in _sectors(offset, size))

    def _sector(self, file: apsw.VFSFile, at: int, begin: int, end: int) -> bytes:
        """What is wanted of one sector; zeros where the disk refuses it."""
        begin, end = max(begin, at), min(end, at + _SECTOR)
        try:
            return file.xRead(end - begin, begin).ljust(end - begin, b"\0")
        except apsw.Error:
            self.refused.add(at)
            return bytes(end - begin)


def _sectors(offset: int, size: int) -> range:
    return range(offset - offset % _SECTOR, offset + size, _SECTOR)
