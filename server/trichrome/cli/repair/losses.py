"""What a salvage could not save, in words: stream by stream, and what becomes of each task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trichrome.domain import ids
from trichrome.domain.ids import RunId, TaskId

if TYPE_CHECKING:
    from trichrome.domain.tasks import Task
    from trichrome.store.port import Reading


def told(view: Reading, holes: Mapping[str, int]) -> list[str]:
    """What each hole means now, as the new log stands.

    Args:
        view: the new log.
        holes: the first version that is missing, by stream.
    """
    return [_told(view, stream, version) for stream, version in holes.items()]


def _told(view: Reading, stream: str, version: int) -> str:
    lost = f"all that happened from version {version} on"
    if ids.is_task(stream):
        task = view.task(TaskId(stream))
        return (
            f"{stream}, a task, is gone: create it anew, if it is wanted"
            if task is None
            else f"{stream}: {lost}; {_becomes(task)}"
        )
    if ids.is_run(stream):
        return f"{stream}, a run: {'that it was there' if view.run(RunId(stream)) is None else lost}"
    if stream.startswith("n."):
        return f"note {stream.removeprefix('n.')}: {'all of it' if version == 1 else f'versions from {version} on'}"
    if stream.startswith("m"):
        return f"message {stream}: {'all of it' if version == 1 else 'who has read it'}"
    return f"of the log itself, {lost}"


def _becomes(task: Task) -> str:
    """What becomes of a task whose last events are lost."""
    last = task.attempt
    match task.state:
        case "ready":
            return "it will be done again" if last is not None else "it can be claimed"
        case "running" if last is not None:
            return f"{task.id}.{last.number} counts as running, until {last.worker} calls, or leaves"
        case "in_review":
            return "its result is there, and in review"
        case "completed":
            return "its result is there"
        case state:
            return f"it is {state}"
