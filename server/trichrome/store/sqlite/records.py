"""What is shaped like a row of `events`, or like an entry of its index, in any bytes.

Guarantee: no bytes make it raise. The shapes are those of sqlite.org/fileformat2.html: a record is a header of types
and the columns after it; in its cell the record's length and the rowid stand before it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

Columns = tuple[str, int, int, str, str, float, str, str, bytes, bytes]
"""An event but for its position: stream, version, schema, kind, payload, recorded_at, actor, causation, previous,
digest."""

BEFORE: Final = 16
"""More bytes than stand before a record in its cell."""
AFTER: Final = 1024
"""More bytes than a record's header, stream and version take."""
LONGEST: Final = 16 * 1024 * 1024
"""More bytes than any event takes."""
LAST_POSITION: Final = 2**48
"""No log comes so far."""
_LONGEST_ROWID: Final = 7
"""How many bytes it takes to write such a position."""

_NUMBER: Final = rb"[\x01-\x06\x08\x09]"
_LENGTH: Final = rb"[\x80-\xff]{0,3}[\x00-\x7f]"
_ROW: Final = re.compile(
    # The header's length, NULL for the rowid, then the types of the columns; a digest is 32 bytes, the one before it
    # that or nothing. Later forms may add columns.
    rb"[\x0c-\x40]\x00" + _LENGTH + _NUMBER * 2 + _LENGTH * 2 + rb"[\x01-\x09]" + _LENGTH * 2 + rb"[\x0c\x4c]\x4c",
    re.DOTALL,
)
_ROW_COLUMNS: Final = 11
_ENTRY: Final = re.compile(rb"[\x04-\x07]" + _LENGTH + _NUMBER * 2 + rb"[trmnl]", re.DOTALL)
"""The header's length, the types of stream, version and position, and the stream."""
_ENTRY_COLUMNS: Final = 3
_STREAM: Final = re.compile(r"[trm][1-9][0-9]{0,17}|n\.[^\x00-\x1f]{1,400}|log")
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""How many bytes an integer of a type takes."""
_REAL, _ZERO, _BLOB = 7, 8, 12
_MORE: Final = 0x80
"""Set in a byte of a number when another one follows."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record whose header was read.

    Attributes:
        offset: where it begins in the bytes it was found in.
        header: how long its header is.
        types: of its columns.
        length: how long it is as a whole.
    """

    offset: int
    header: int
    types: tuple[int, ...]
    length: int


@dataclass(frozen=True, slots=True)
class Mention:
    """What speaks of an event: a row, or an entry of the index."""

    record: Record
    stream: str
    version: int
    position: int


def rows(data: bytes, begin: int, end: int) -> Iterator[Mention]:
    """What begins like a row of `events` between two offsets; the rest of it need not be there."""
    for record in _records(_ROW, data, begin, end):
        if len(record.types) >= _ROW_COLUMNS:
            size = _size(record.types[1])
            at = record.offset + record.header
            stream, version = _value(record.types[1], data, at), _value(record.types[2], data, at + size)
            position = _rowid_before(data, record.offset, record.length)
            if (found := _mention(record, stream, version, position)) is not None:
                yield found


def entries(data: bytes, begin: int, end: int) -> Iterator[Mention]:
    """Entries of the index by stream and version that begin between two offsets."""
    for record in _records(_ENTRY, data, begin, end):
        if len(record.types) == _ENTRY_COLUMNS and _stands_before(data, record.offset, record.length):
            stream, version, position = _values(record, data[record.offset : record.offset + record.length])
            if (found := _mention(record, stream, version, position)) is not None:
                yield found


def columns(record: Record, payload: bytes) -> Columns | None:
    """A row's columns, from all of its bytes; None where they are none of an event."""
    _, *found = _values(record, payload)[:_ROW_COLUMNS]
    if None in found:
        return None
    stream, version, schema, kind, text, at, actor, causation, previous, digest = found
    if not all(isinstance(each, str) for each in (stream, kind, text, actor, causation)):
        return None
    return stream, version, schema, kind, text, float(at), actor, causation, previous, digest  # whole ones are integers


def _mention(record: Record, stream: object, version: object, position: object) -> Mention | None:
    if not isinstance(stream, str) or not isinstance(version, int) or not isinstance(position, int):
        return None
    if _STREAM.fullmatch(stream) is None or version < 1 or not 0 < position < LAST_POSITION:
        return None
    return Mention(record, stream, version, position)


def _records(shape: re.Pattern[bytes], data: bytes, begin: int, end: int) -> Iterator[Record]:
    found = shape.search(data, begin)
    while found is not None and found.start() < end:
        if (record := _record(data, found.start())) is not None:
            yield record
        found = shape.search(data, found.start() + 1)


def _record(data: bytes, offset: int) -> Record | None:
    header = data[offset]
    at, end = offset + 1, offset + header
    types = []
    while at < end and (found := _varint(data, at)) is not None:
        kind, at = found
        types.append(kind)
    length = header + sum(map(_size, types))
    return Record(offset, header, tuple(types), length) if at == end and length <= LONGEST else None


def _varint(data: bytes, at: int) -> tuple[int, int] | None:
    """A number of up to four bytes, and where it ends."""
    value = 0
    for byte in data[at : at + 4]:
        value, at = value << 7 | byte & ~_MORE, at + 1
        if byte < _MORE:
            return value, at
    return None


@lru_cache(maxsize=4096)
def _as_varint(value: int) -> bytes:
    found = bytearray([value & 0x7F])
    while value := value >> 7:
        found.insert(0, value & 0x7F | _MORE)
    return bytes(found)


def _stands_before(data: bytes, offset: int, length: int) -> bool:
    return data.endswith(_as_varint(length), 0, offset)


def _rowid_before(data: bytes, offset: int, length: int) -> int | None:
    """The rowid before a record, before which the record's length must stand."""
    begin = offset - 1
    while begin > offset - _LONGEST_ROWID and begin > 0 and data[begin - 1] >= _MORE:
        begin -= 1
    if begin < 0 or data[offset - 1] >= _MORE or not _stands_before(data, begin, length):
        return None
    value = 0
    for byte in data[begin:offset]:
        value = value << 7 | byte & ~_MORE
    return value


@lru_cache(maxsize=4096)
def _size(kind: int) -> int:
    """How many bytes a value of a type takes."""
    if kind >= _BLOB:
        return (kind - _BLOB) // 2
    return 8 if kind == _REAL else _INTEGERS.get(kind, 0)


def _values(record: Record, payload: bytes) -> list[Any]:
    at = record.header
    found = []
    for kind in record.types:
        found.append(_value(kind, payload, at))
        at += _size(kind)
    return found


def _value(kind: int, data: bytes, at: int) -> Any:
    """A value; None where it is NULL, or none of its type."""
    size = _size(kind)
    stored = data[at : at + size]
    if len(stored) < size:
        return None
    if kind >= _BLOB:
        if kind % 2 == 0:
            return stored
        try:
            return stored.decode()
        except UnicodeDecodeError:
            return None
    match kind:
        case 7:  # a real
            return struct.unpack(">d", stored)[0]
        case 8 | 9:
            return kind - _ZERO
        case _:
            return int.from_bytes(stored, "big", signed=True) if size else None
