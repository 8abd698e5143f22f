"""The handles people and models read: `t17`, `r3`, `m5`, and the attempt `t17.2`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NewType

from trichrome.errors import InvalidError

TaskId = NewType("TaskId", str)
RunId = NewType("RunId", str)
MessageId = NewType("MessageId", str)

_NUMBER: Final = r"([1-9][0-9]{0,17})"
_TASK: Final = re.compile(rf"t{_NUMBER}")
_RUN: Final = re.compile(rf"r{_NUMBER}")
_ATTEMPT: Final = re.compile(rf"(t{_NUMBER})\.{_NUMBER}")


class AttemptId(NamedTuple):
    """One numbered try at a task; as text `t17.2`. It is the fencing token: the number only rises."""

    task: TaskId
    number: int

    def __str__(self) -> str:
        return f"{self.task}.{self.number}"


def number(handle: str) -> int:
    """The number in a handle: 17 for `t17`; what ages are compared by."""
    return int(handle[1:])


def is_task(stream: str) -> bool:
    """Whether a stream is a task's."""
    return _TASK.fullmatch(stream) is not None


def is_run(stream: str) -> bool:
    """Whether a stream is a run's."""
    return _RUN.fullmatch(stream) is not None


def task_id(text: str, *, field: str = "task") -> TaskId:
    """Read a task handle.

    Raises:
        InvalidError: the text is not like `t17`.
    """
    if not _TASK.fullmatch(text):
        raise InvalidError(f"{text[:40]!r} is not a task. A task looks like t17; list_tasks shows them.", field=field)
    return TaskId(text)


def run_id(text: str, *, field: str = "run") -> RunId:
    """Read a run handle.

    Raises:
        InvalidError: the text is not like `r3`.
    """
    if not _RUN.fullmatch(text):
        raise InvalidError(f"{text[:40]!r} is not a run. A run looks like r3; create_task answers it.", field=field)
    return RunId(text)


def attempt_id(text: str, *, field: str = "attempt") -> AttemptId:
    """Read an attempt handle.

    Raises:
        InvalidError: the text is not like `t17.2`.
    """
    match = _ATTEMPT.fullmatch(text)
    if match is None:
        raise InvalidError(
            f"{text[:40]!r} is not an attempt. An attempt looks like t17.2; claim_task answers yours.", field=field
        )
    return AttemptId(TaskId(match[1]), int(match[3]))
