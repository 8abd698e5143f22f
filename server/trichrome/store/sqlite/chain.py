"""The chain of digests: each event carries the digest before it in its stream, so that damage and holes show."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import apsw

from trichrome.store import codec
from trichrome.store.sqlite.rows import proves_itself

_EVENTS: Final = (
    "select position, stream, version, schema, kind, payload, recorded_at, actor, causation, previous, digest "
    "from events order by stream, version"
)


@dataclass(frozen=True, slots=True)
class Chain:
    """What a walk along every stream of a log found.

    Attributes:
        events: how many there are.
        position: the last one's position; 0 when there is none.
        heads: one digest over the last event of every stream. Logs with the same heads hold the same events.
        faults: where a digest does not fit, or an event is missing, a line each.
    """

    events: int
    position: int
    heads: str
    faults: list[str]


def walk(connection: apsw.Connection) -> Chain:
    """Go along every stream from its first event to its last, and check each digest."""
    faults: list[str] = []
    heads = hashlib.sha256()
    events = last = 0
    before: tuple[str, int, bytes] = ("", 0, codec.NO_DIGEST)
    for row in connection.execute(_EVENTS):
        position, stream, version, *_, previous, digest = row
        if stream != before[0]:
            heads.update(_head(before))
            before = (stream, 0, codec.NO_DIGEST)
        if not proves_itself(row[1:]) or previous != before[2] or version != before[1] + 1:
            faults.append(f"events: {stream} version {version} (position {position}) breaks its chain")
        before = (stream, version, digest)
        events += 1
        last = max(last, position)
    heads.update(_head(before))
    return Chain(events, last, heads.hexdigest(), faults)


def _head(last: tuple[str, int, bytes]) -> bytes:
    stream, version, digest = last
    return f"{stream}\0{version}\0".encode() + digest
