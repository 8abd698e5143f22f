"""Rows in, domain values out, and back: what the columns of the views mean."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from trichrome.domain import ids
from trichrome.domain.events import Event
from trichrome.domain.ids import RunId, TaskId, number
from trichrome.domain.reservations import Hold
from trichrome.domain.tasks import Attempt, AttemptState, Task
from trichrome.domain.values import maker
from trichrome.store import codec
from trichrome.store.codec import compact

STATIC: Final = (
    "number", "run", "kind", "role", "created_by", "files", "review", "reviews", "author", "max_attempts",
    "max_review_rounds", "not_before_seconds", "time_limit_seconds",
)  # fmt: skip
"""Columns of a task that its creation fixes."""
MUTABLE: Final = (
    "state", "priority", "waiting_on", "tries", "rescues", "rounds", "last_number", "review_task", "result", "attempt",
    "worker", "principal", "attempt_state", "attempt_digest", "holds",
)  # fmt: skip
"""Columns of a task that events change."""
_COLUMNS: Final = f"{', '.join(STATIC)}, {', '.join(MUTABLE)}"
INSERT_TASK: Final = (
    f"insert into tasks ({_COLUMNS}, claimable) values ({', '.join('?' * (len(STATIC) + len(MUTABLE) + 1))})"
)
SELECT_TASK: Final = f"select {_COLUMNS}, claimable, ended from tasks"
TASK: Final = f"{SELECT_TASK} where number = ?"
CLAIMABLE: Final = len(STATIC) + len(MUTABLE)
"""Where `claimable` stands in a row of `SELECT_TASK`; `ended` is the last."""
PAST_ATTEMPTS: Final = "select task, number, worker, principal, state, digest from past_attempts"
INSERT_PAST_ATTEMPT: Final = (
    "insert into past_attempts (task, number, worker, principal, state, digest) values (?, ?, ?, ?, ?, ?)"
)
INSERT_EVENT: Final = (
    "insert into events (stream, version, schema, kind, payload, recorded_at, actor, causation, previous, digest) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_EVENT_AT: Final = (
    "insert into events (position, stream, version, schema, kind, payload, recorded_at, actor, causation, previous, "
    "digest) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
"""The same, with the position before."""

_task = maker(Task)
_attempt = maker(Attempt)
_ATTEMPT: Final = CLAIMABLE - 6
"""Where the columns of the last attempt begin in a row of `SELECT_TASK`."""
_NO_ATTEMPT: Final = (None,) * 6


def event(
    event: Event, *, stream: str, version: int, previous: bytes, recorded_at: float, actor: str, causation: str
) -> tuple[Any, ...]:
    """The values of `INSERT_EVENT`; the last one is the digest, which the stream's next event names as `previous`."""
    kind, schema, payload = codec.encode(event)
    values = (stream, version, schema, kind, payload, recorded_at, actor, causation, previous)
    return (*values, _digest(values))


def proves_itself(values: tuple[Any, ...]) -> bool:
    """Whether the values of `INSERT_EVENT` bear the digest that belongs to them."""
    return bool(_digest(values[:-1]) == values[-1])


def _digest(values: tuple[Any, ...]) -> bytes:
    stream, version, schema, kind, payload, recorded_at, actor, causation, previous = values
    return codec.digest(
        previous,
        stream=stream,
        version=version,
        schema=schema,
        kind=kind,
        payload=payload,
        recorded_at=recorded_at,
        actor=actor,
        causation=causation,
    )


def task_from(columns: tuple[Any, ...]) -> Task:
    """A task from a row of `SELECT_TASK`."""
    attempt = None
    number_, worker, principal, state, digest, holding = columns[_ATTEMPT:CLAIMABLE]
    if number_ is not None:
        held = tuple(Hold(path, mode) for path, mode in json.loads(holding)) if holding else ()
        attempt = _attempt(number_, worker, principal, state, digest, held)
    return _task(
        TaskId(f"t{columns[0]}"),
        RunId(f"r{columns[1]}"),
        columns[2],
        columns[3],
        columns[4],
        columns[13],
        priority=columns[14],
        files=tuple(json.loads(columns[5])) if columns[5] else (),
        review=columns[6],
        reviews=ids.attempt_id(columns[7]) if columns[7] else None,
        author=columns[8],
        max_attempts=columns[9],
        max_review_rounds=columns[10],
        not_before_seconds=columns[11],
        time_limit_seconds=columns[12],
        waiting_on=columns[15],
        tries=columns[16],
        rescues=columns[17],
        rounds=columns[18],
        last_number=columns[19],
        attempt=attempt,
        review_task=columns[20],
        result=columns[21],
    )


def static(task: Task) -> tuple[Any, ...]:
    """The values of `STATIC`."""
    return (
        number(task.id),
        number(task.run),
        task.kind,
        task.role,
        task.created_by,
        compact(task.files) if task.files else None,
        task.review,
        str(task.reviews) if task.reviews else None,
        task.author,
        task.max_attempts,
        task.max_review_rounds,
        task.not_before_seconds,
        task.time_limit_seconds,
    )


def mutable(task: Task) -> tuple[Any, ...]:
    """The values of `MUTABLE`."""
    last = task.attempt
    attempt: tuple[Any, ...] = _NO_ATTEMPT
    if last is not None:
        held = compact([(hold.path, hold.mode) for hold in last.holds]) if last.holds else None
        attempt = (last.number, last.worker, last.principal, last.state, last.digest, held)
    return (
        task.state,
        task.priority,
        task.waiting_on,
        task.tries,
        task.rescues,
        task.rounds,
        task.last_number,
        task.review_task,
        task.result,
        *attempt,
    )


def past_attempt(task: TaskId, attempt: Attempt) -> tuple[Any, ...]:
    """The values of `INSERT_PAST_ATTEMPT`."""
    return (number(task), attempt.number, attempt.worker, attempt.principal, attempt.state, attempt.digest)


def past_attempt_from(columns: tuple[Any, ...]) -> tuple[int, Attempt]:
    """A task's number and an attempt of it that a newer one followed, from a row of `PAST_ATTEMPTS`."""
    of, attempt, worker, principal, state, digest = columns
    return of, Attempt(attempt, worker, principal, cast("AttemptState", state), digest)
