"""How commands speak: JSON for programs, a table at a terminal, plain lines elsewhere, refusals in one line.

Text from agents is data: whatever is printed for people loses characters that could act on a terminal, and is never
read as markup.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trichrome.domain.text import clean
from trichrome.domain.text import one_line as _one_line
from trichrome.errors import ErrorFacts, TrichromeError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

REFUSED: Final = 1
USAGE: Final = 2
TIMED_OUT: Final = 3

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
"""The option of every command that answers something."""

STYLES: Final[Mapping[str, str]] = {
    "blocked": "dim",
    "ready": "cyan",
    "running": "yellow",
    "in_review": "magenta",
    "completed": "green",
    "failed": "red",
    "cancelled": "dim",
    "working": "yellow",
    "tool_running": "yellow",
    "waiting_for_human": "magenta",
    "detached": "red",
    "suspect": "red",
    "gone": "red",
    "starting": "cyan",
    "parked": "magenta",
    "paused": "dim",
    "stopping": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}
"""Colours of states; roles are shown in their own."""

COMMANDS: Final[Mapping[str, str]] = {
    "cancel_task": "cancel",
    "create_task": "create",
    "get_status": "status",
    "get_task": "show",
    "list_tasks": "list",
}
"""What a person at a shell runs where advice names a tool; the other tools are for Claudes alone."""
_TOOL: Final = re.compile(rf"(?<![\w'\"])({'|'.join(COMMANDS)})(?:\((?:\w+=)?'?([\w.]+)'?\))?(?![\w'\"])")

_GAP: Final = "  "
_ENOUGH: Final = 40
"""Columns that make a last column worth folding beside the others."""


def new_app() -> typer.Typer:
    """What a module of commands registers them on."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


def counted(count: int, thing: str) -> str:
    """So many of a thing, in words: `1 event`, `2,000 events`."""
    return f"{count:,} {thing}{'s' if count != 1 else ''}"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def document(value: object) -> None:
    """Print one JSON document on one line; escaped, so that any terminal and any pipe can take it."""
    _print(json.dumps(value, separators=(",", ":")))


def say(text: str = "") -> None:
    """Print text for people."""
    _print(clean(text))


def note(text: str) -> None:
    """Print an aside for people, out of the way of what is piped on."""
    sys.stderr.write(f"{clean(text)}\n")
    sys.stderr.flush()


one_line: Final = _one_line
"""Text as one line, cut where it is longer than `most` characters."""


def is_terminal() -> bool:
    """Whether somebody watches standard output."""
    return sys.stdout.isatty()


def program() -> str:
    """How a person here starts this program: by its bare name where that is found."""
    if shutil.which("trichrome"):
        return "trichrome"
    started = Path(sys.argv[0])
    if started.name == "trichrome":
        return shlex.quote(str(started.absolute()))
    return f"{shlex.quote(sys.executable)} -m trichrome"


def console() -> Console:
    """The terminal through rich, which reads nothing into what it is given; honours NO_COLOR."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0, brief: bool = False) -> None:
    """Print rows: with headers and colours at a terminal, as aligned plain lines elsewhere.

    At a terminal the last column folds, or is cut where `brief` is said, and has lines of its own where little room is
    left beside the others.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not is_terminal():
        widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(headers))]
        for row in cells:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            _print(" " * indent + padded.rstrip())
        return
    from rich.cells import cell_len
    from rich.padding import Padding

    terminal = console()
    widths = [max(map(cell_len, column)) for column in zip(headers, *cells, strict=True)]
    room = terminal.width - indent - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
    is_beside = widths[-1] <= room or room >= _ENOUGH
    drawn = _beside(headers, cells, room, brief=brief) if is_beside else _below(cells, widths, brief=brief)
    terminal.print(Padding(drawn, (0, 0, 0, indent)))


def _beside(headers: Sequence[str], cells: Sequence[Sequence[str]], room: int, *, brief: bool) -> RenderableType:
    """Rows whose last column takes the room beside the others."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold", show_header=any(headers))
    for header in headers[:-1]:
        grid.add_column(header, no_wrap=True)
    grid.add_column(headers[-1], max_width=room, no_wrap=brief, overflow="ellipsis" if brief else "fold")
    for row in cells:
        grid.add_row(*map(_styled, row))
    return grid


def _below(cells: Sequence[Sequence[str]], widths: Sequence[int], *, brief: bool) -> RenderableType:
    """Rows whose last column has lines of its own below the others, which say enough without headers."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for row in cells:
        columns = [_styled(cell) for cell in row]
        for column, width in zip(columns[:-1], widths, strict=False):
            column.align("left", width)
        first = Text(_GAP).join(columns[:-1])
        first.rstrip()
        parts.append(first)
        if row[-1]:
            columns[-1].no_wrap, columns[-1].overflow = brief, "ellipsis" if brief else "fold"
            parts.append(Padding(columns[-1], (0, 0, 0, len(_GAP) * 2)))
    return Group(*parts)


def _styled(cell: str) -> Text:
    from rich.text import Text

    return Text(cell, style=STYLES.get(cell, ""))


def for_shell(advice: str) -> str:
    """Advice that names tools, as both surfaces get it, with the commands that do the same."""
    return _TOOL.sub(lambda found: f"`{' '.join(filter(None, ('trichrome', COMMANDS[found[1]], found[2])))}`", advice)


@contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Turn a refusal inside into its document or its line, and exit code 1."""
    try:
        yield
    except TrichromeError as error:
        facts: ErrorFacts = {**error.facts(), "message": for_shell(error.message)}
        if as_json:
            document({"error": facts})
        else:
            note(f"trichrome: {one_line(facts['message'])} ({facts['code']})")
        raise typer.Exit(REFUSED) from error


def data(value: Any, *, most: int) -> str:
    """Structured data for people, cut where it is long."""
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return shown if len(shown) <= most else f"{shown[:most]}\n... --json shows all of it"
