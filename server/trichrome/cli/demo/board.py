"""What is seen of a demo: a live board at a terminal, a line an event elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from trichrome.cli.output import STYLES, console, is_terminal, one_line, say
from trichrome.coordinator import history
from trichrome.coordinator.answers import WorkerLine
from trichrome.domain.events import ProgressReported, TaskCreated
from trichrome.domain.ids import TaskId
from trichrome.store.port import Recorded, TaskLine

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.table import Table

_NEWEST: Final = 8
_ROLES: Final = {"blue": "blue", "green": "green", "red": "red"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the demo.

    Attributes:
        asked: the instructions of each task.
        events: what happened to the run's tasks since the look before.
        is_over: whether nothing more will happen.
    """

    seconds: float
    lines: Sequence[TaskLine]
    asked: Mapping[TaskId, str]
    workers: Sequence[WorkerLine]
    events: Sequence[Recorded]
    is_over: bool


class Board(Protocol):
    """Where looks are shown."""

    def show(self, snapshot: Snapshot) -> None:
        """Show one look."""
        ...


@contextmanager
def open_board(run: str, model: str, *, quiet: bool) -> Iterator[Board]:
    """Open what suits standard output; `quiet` shows nothing. `model` says what the workers think with."""
    if quiet:
        yield _Nothing()
    elif is_terminal():
        from rich.live import Live

        with Live(console=console(), auto_refresh=False, vertical_overflow="crop") as live:
            yield _LiveBoard(f"Run {run}, {model}", live)
    else:
        yield _Lines()


class _Nothing:
    def show(self, snapshot: Snapshot) -> None:
        """Show nothing."""


class _Lines:
    def show(self, snapshot: Snapshot) -> None:
        """Print a line for each event."""
        for recorded in snapshot.events:
            say(f"{snapshot.seconds:5.1f} s  {_told(recorded)}")


def _told(recorded: Recorded) -> str:
    return f"{one_line(recorded.stream):<4} {one_line(history.sentence(recorded.stream, recorded.event), most=150)}"


class _LiveBoard:
    """Tasks, workers and the newest events, drawn over and over in place."""

    def __init__(self, title: str, live: Live) -> None:
        self._title = title
        self._live = live
        self._newest: deque[str] = deque(maxlen=_NEWEST)

    def show(self, snapshot: Snapshot) -> None:
        """Draw the board anew."""
        told = (each for each in snapshot.events if not isinstance(each.event, TaskCreated | ProgressReported))
        self._newest.extend(_told(each) for each in told)
        self._live.update(self._drawn(snapshot), refresh=True)

    def _drawn(self, snapshot: Snapshot) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        title = Text(self._title, style="bold")
        title.append(f"   {snapshot.seconds:.1f} s", style="dim")
        newest = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._newest]
        parts = [_head("Tasks"), _tasks(snapshot), _head("Workers"), _workers(snapshot.workers)]
        return Group(title, *parts, *([_head("Log"), *newest] if newest else []))


def _head(title: str) -> RenderableType:
    from rich.text import Text

    return Text(f"\n{title}", style="bold dim")


def _grid(columns: int) -> Table:
    """A table without lines, whose last column takes what room is left."""
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False, expand=True)
    for _ in range(columns - 1):
        grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    return grid


def _tasks(snapshot: Snapshot) -> Table:
    from rich.text import Text

    grid = _grid(4)
    for line in snapshot.lines:
        task = line.task
        worker = task.attempt.worker if task.attempt is not None else task.role
        grid.add_row(
            Text(task.id),
            Text(task.state.replace("_", " "), style=STYLES[task.state]),
            Text(worker, style=_ROLES.get(task.role, "")),
            Text(one_line(snapshot.asked[task.id])),
        )
    return grid


def _workers(workers: Sequence[WorkerLine]) -> Table:
    from rich.text import Text

    grid = _grid(3)
    for each in sorted(workers, key=lambda worker: worker["worker"]):
        grid.add_row(
            Text(one_line(each["worker"]), style=_ROLES.get(each.get("role", ""), "")),
            Text(each["state"], style=STYLES.get(each["state"], "dim")),
            Text(each.get("attempt", "")),
        )
    if not workers:
        grid.add_row(Text("The workers are starting.", style="dim"), "", "")
    return grid
