"""Events as the bytes of the log, and back.

A payload is compact JSON of the fields that differ from their defaults. The digest covers every stored byte of an
event and the digest before it in its stream: each event can be checked alone, and a hole shows. It detects damage;
it does not promise to stop a forger. Old schemas are upcast on reading and never rewritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json, to_json

from trichrome.domain.events import Event, Report
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.domain.values import made
from trichrome.errors import StoreTooNewError

NO_DIGEST: Final = b""
"""What the first event of a stream names as the digest before it."""

KINDS: Final[Mapping[str, type]] = {cls.__name__: cls for cls in typing.get_args(Event)}
SCHEMAS: Final[Mapping[str, int]] = dict.fromkeys(KINDS, 1)
"""The newest schema of each kind; a higher one comes with an upcast from the one before."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = {}
"""From (kind, schema) to the payload of the next schema."""


def _attempt(text: str) -> AttemptId:
    task, _, number = text.partition(".")
    return AttemptId(TaskId(task), int(number))


class NoEventError(ValueError):
    """A payload that is none of its kind: the log was damaged, or written by something else."""


def _report(fields: dict[str, Any]) -> Report:
    if not _is_form(Report.__name__, *fields):
        raise NoEventError("a report of another form")
    for name in _LISTS:
        if name in fields:
            fields[name] = tuple(fields[name])
    return made(Report, fields)


def _reader(kind: object) -> Callable[[Any], Any] | None:
    """What makes a field of an annotation out of JSON; None where JSON's own value is it."""
    if typing.get_origin(kind) is tuple:
        return tuple
    meant = {kind, *typing.get_args(kind)}
    return _report if Report in meant else _attempt if AttemptId in meant else None


def _readers(cls: type) -> list[tuple[str, Callable[[Any], Any]]]:
    hints = typing.get_type_hints(cls)
    return [(name, read) for name, hint in hints.items() if (read := _reader(hint)) is not None]


_READERS: Final = {kind: _readers(cls) for kind, cls in KINDS.items()}
_LISTS: Final = [name for name, _ in _readers(Report)]
_DEFAULTS: Final = {
    cls: {field.name: field.default for field in dataclasses.fields(cls)} for cls in (*KINDS.values(), Report)
}
_REQUIRED: Final = {
    cls.__name__: frozenset(name for name, default in defaults.items() if default is dataclasses.MISSING)
    for cls, defaults in _DEFAULTS.items()
}
_KNOWN: Final = {cls.__name__: frozenset(defaults) for cls, defaults in _DEFAULTS.items()}


@lru_cache(maxsize=1024)
def _is_form(kind: str, *names: str) -> bool:
    """Whether a kind has fields of these names, and needs no other; a log holds few forms, each very often."""
    return _REQUIRED[kind] <= set(names) <= _KNOWN[kind]


def compact(value: object) -> str:
    """JSON without a needless byte."""
    return to_json(value).decode()


def encode(event: Event) -> tuple[str, int, str]:
    """An event as (kind, schema, payload)."""
    kind = type(event).__name__
    return kind, SCHEMAS[kind], compact(_fields(event))


def _fields(value: Event | Report) -> dict[str, Any]:
    defaults = _DEFAULTS[type(value)]
    fields = {name: content for name, content in vars(value).items() if content != defaults[name]}
    if "report" in fields:
        fields["report"] = _fields(fields["report"])
    if "reviews" in fields:
        fields["reviews"] = str(fields["reviews"])
    return fields


def decode(kind: str, schema: int, payload: str) -> Event:
    """An event from its stored form, upcast to the newest schema.

    Raises:
        StoreTooNewError: a kind or schema that only a newer program knows.
        NoEventError: a payload that is none of its kind.
    """
    newest = SCHEMAS.get(kind, -1)
    if schema > newest:
        raise StoreTooNewError(f"The log holds {kind} (schema {schema}) of a newer trichrome. Upgrade this one.")
    try:
        fields = from_json(payload)
        if schema < newest:
            for step in range(schema, newest):
                fields = UPCASTS[kind, step](fields)
        if not _is_form(kind, *fields):
            raise NoEventError("fields of another form")
        for name, read in _READERS[kind]:
            if name in fields:
                fields[name] = read(fields[name])
        event: Event = made(KINDS[kind], fields)
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # whatever a value of the wrong type leads to
        raise NoEventError(f"a payload that is no {kind} of schema {newest}") from error
    return event


def digest(
    previous: bytes,
    *,
    stream: str,
    version: int,
    schema: int,
    kind: str,
    payload: str,
    recorded_at: float,
    actor: str,
    causation: str,
) -> bytes:
    """SHA-256 over the stored bytes of an event and the digest before it in its stream."""
    head = f"{stream}\0{version}\0{schema}\0{kind}\0{recorded_at!r}\0{actor}\0{causation}\0"
    return hashlib.sha256(previous + head.encode() + payload.encode()).digest()
