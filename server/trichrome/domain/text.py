"""What may be in a text that one agent leaves for another, and how long it may be.

Text from agents is data. It is stored without characters that could act on a terminal, reorder what a person reads,
or break an encoder: control characters (but tab and newline), bidirectional overrides, lone surrogates.
"""

from __future__ import annotations

import json
import re
from typing import Final

from trichrome.errors import InvalidError

INSTRUCTIONS_BYTES: Final = 64 * 1024
SUMMARY_BYTES: Final = 4 * 1024
DATA_BYTES: Final = 32 * 1024
DATA_LEVELS: Final = 64
"""How deep data may nest: far below where encoders and decoders give up."""
NOTE_BYTES: Final = 32 * 1024
"""Little enough for an answer of 40,000 bytes to carry it whole, escaped and beside an inbox: whoever merges into a
note that it read cut would destroy the rest."""
MESSAGE_BYTES: Final = 4 * 1024
NAME_CHARS: Final = 80
"""Names of roles, kinds, keys, workers and notes."""
PATHS_A_CALL: Final = 200
PATH_BYTES: Final = 1024
TASKS_A_CALL: Final = 200

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]*")


def clean(text: str) -> str:
    """The text without control, bidirectional and lone-surrogate characters; CRLF becomes LF."""
    return _UNSAFE.sub("", text)


def cleaned_json(value: object, *, levels: int = DATA_LEVELS) -> object:
    """A JSON value with every string in it, keys included, cleaned.

    Raises:
        ValueError: it nests deeper than so many levels, which not every reader would get through.
    """
    if levels < 0:
        raise ValueError("nested too deep")
    match value:
        case str():
            return clean(value)
        case list() | tuple():
            return [cleaned_json(item, levels=levels - 1) for item in value]
        case dict():
            return {clean(str(key)): cleaned_json(item, levels=levels - 1) for key, item in value.items()}
        case _:
            return value


def required(text: str, *, field: str, limit: int) -> str:
    """A cleaned text that must say something.

    Args:
        text: as the caller wrote it.
        field: the argument's name, for the refusal.
        limit: the longest accepted, in bytes of UTF-8.

    Raises:
        InvalidError: empty (`invalid`), or longer than `limit` (`too_large`).
    """
    cleaned = optional(text, field=field, limit=limit)
    if cleaned is None or not cleaned.strip():
        raise InvalidError(f"{field} is empty. Say in it what is meant.", field=field)
    return cleaned


def optional(text: str | None, *, field: str, limit: int) -> str | None:
    """Like `required`, but nothing is accepted too."""
    if text is None:
        return None
    cleaned = clean(text)
    if len(cleaned.encode()) > limit:
        raise InvalidError(
            f"{field} has {len(cleaned.encode())} bytes; the most is {limit}. Shorten it; put what is long into a file "
            "and name the file.",
            code="too_large",
            field=field,
        )
    return cleaned


def data(value: object, *, field: str = "data", limit: int = DATA_BYTES) -> object:
    """Cleaned JSON data of bounded size.

    Raises:
        InvalidError: not JSON (`invalid`; NaN and infinities are not) or too deep, or over `limit` bytes compact
            (`too_large`).
    """
    if value is None:
        return None
    try:
        cleaned = cleaned_json(value)
        size = len(json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise InvalidError(
            f"{field} is not JSON, or nests deeper than {DATA_LEVELS} levels. Use objects, lists, texts and finite "
            "numbers.",
            field=field,
        ) from error
    if size > limit:
        raise InvalidError(
            f"{field} has {size} bytes as JSON; the most is {limit}. Write it to a file and list that in artifacts.",
            code="too_large",
            field=field,
        )
    return cleaned


def shortened(text: str, *, limit: int) -> str:
    """Cleaned text, cut where it is longer than `limit` bytes; its beginning is kept."""
    cleaned = clean(text).strip()
    if len(raw := cleaned.encode()) <= limit:
        return cleaned
    return f"{raw[: limit - 4].decode(errors='ignore')} ..."


def ending(text: str, *, limit: int) -> str:
    """Cleaned text, cut where it is longer than `limit` bytes; its end is kept."""
    cleaned = clean(text).strip()
    if len(raw := cleaned.encode()) <= limit:
        return cleaned
    return f"... {raw[4 - limit :].decode(errors='ignore')}"


def one_line(text: str, *, most: int | None = None) -> str:
    """Cleaned text as one line, cut where it is longer than `most` characters."""
    line = " ".join(clean(text).split())
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."


def name(text: str, *, field: str, most: int = NAME_CHARS) -> str:
    """The cleaned name that an agent gave to something: one line of at most `most` characters.

    Raises:
        InvalidError: empty, too long, or with a newline or a tab, which would forge lines wherever it is listed.
    """
    if len(text) > most:
        raise InvalidError(f"{field} is too long; the most is {most} characters.", field=field)
    if "\n" in text or "\t" in text:
        raise InvalidError(f"{field} has a newline or a tab. Write it on one line.", field=field)
    return required(text, field=field, limit=most * 4)


def word(text: str, *, field: str) -> str:
    """A lower-case name: a kind, a role, a worker.

    Raises:
        InvalidError: anything but `[a-z][a-z0-9_-]*` of at most `NAME_CHARS`.
    """
    if len(text) > NAME_CHARS or not _WORD.fullmatch(text):
        raise InvalidError(
            f"{field} {text[:40]!r} is not a lower-case word. Use letters, digits, - and _, starting with a letter.",
            field=field,
        )
    return text
