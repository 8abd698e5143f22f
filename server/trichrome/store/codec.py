"""Events as the bytes of the log, and back.

A payload is compact JSON of the fields that differ from their defaults. The digest covers every stored byte of an
event and the digest before it in its stream: each event can be checked alone, and a hole shows. It detects damage;
it does not promise to stop a forger. Old schemas are upcast on reading and never rewritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final

from trichrome.domain.events import Event, Report
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.errors import StoreTooNewError

NO_DIGEST: Final = b""
"""What the first event of a stream names as the digest before it."""

KINDS: Final[Mapping[str, type]] = {cls.__name__: cls for cls in typing.get_args(Event)}
SCHEMAS: Final[Mapping[str, int]] = dict.fromkeys(KINDS, 1)
"""The newest schema of each kind; a higher one comes with an upcast from the one before."""

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: Final[Mapping[tuple[str, int], Upcast]] = {}
"""From (kind, schema) to the payload of the next schema."""

_DEFAULTS: Final = {
    cls: [(field.name, field.default) for field in dataclasses.fields(cls)] for cls in (*KINDS.values(), Report)
}
_TUPLES: Final = {
    cls: [
        field.name
        for field in dataclasses.fields(cls)
        if typing.get_origin(typing.get_type_hints(cls)[field.name]) is tuple
    ]
    for cls in (*KINDS.values(), Report)
}


def encode(event: Event) -> tuple[str, int, str]:
    """An event as (kind, schema, payload)."""
    kind = type(event).__name__
    return kind, SCHEMAS[kind], json.dumps(_fields(event), ensure_ascii=False, separators=(",", ":"))


def _fields(value: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, default in _DEFAULTS[type(value)]:
        content = getattr(value, name)
        if content == default:
            continue
        if isinstance(content, Report):
            content = _fields(content)
        elif isinstance(content, AttemptId):
            content = str(content)
        fields[name] = content
    return fields


def decode(kind: str, schema: int, payload: str) -> Event:
    """An event from its stored form, upcast to the newest schema.

    Raises:
        StoreTooNewError: a kind or schema that only a newer program knows.
    """
    cls = KINDS.get(kind)
    if cls is None or schema > SCHEMAS[kind]:
        raise StoreTooNewError(f"The log holds {kind} (schema {schema}) of a newer trichrome. Upgrade this one.")
    fields = json.loads(payload)
    for step in range(schema, SCHEMAS[kind]):
        fields = UPCASTS[kind, step](fields)
    report = fields.get("report")
    if report is not None:
        fields["report"] = Report(**_tupled(Report, report))
    if "reviews" in fields:
        task, _, number = fields["reviews"].partition(".")
        fields["reviews"] = AttemptId(TaskId(task), int(number))
    event: Event = cls(**_tupled(cls, fields))
    return event


def _tupled(cls: type, fields: dict[str, Any]) -> dict[str, Any]:
    for name in _TUPLES[cls]:
        if name in fields:
            fields[name] = tuple(fields[name])
    return fields


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
