"""How commands speak: JSON for programs, a table at a terminal, plain lines elsewhere, refusals in one line.

Text from agents is data: whatever is printed for people loses characters that could act on a terminal, and is never
read as markup.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from trichrome.domain.text import clean
from trichrome.domain.text import one_line as _one_line
from trichrome.errors import TrichromeError

if TYPE_CHECKING:
    from rich.console import Console

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
    "suspect": "red",
    "gone": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}
"""Colours of states; roles are shown in their own."""


def new_app() -> typer.Typer:
    """What a module of commands registers them on."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)


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


def console() -> Console:
    """The terminal through rich, which reads nothing into what it is given; honours NO_COLOR."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """Print rows: with headers and colours at a terminal, as aligned plain lines elsewhere; the last column folds."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not is_terminal():
        widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(headers))]
        for row in cells:
            padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            _print(" " * indent + padded.rstrip())
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headers))
    for header in headers[:-1]:
        grid.add_column(header, no_wrap=True)
    grid.add_column(headers[-1], overflow="fold")
    for row in cells:
        grid.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    console().print(Padding(grid, (0, 0, 0, indent)))


@contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Turn a refusal inside into its document or its line, and exit code 1."""
    try:
        yield
    except TrichromeError as error:
        if as_json:
            document({"error": error.facts()})
        else:
            note(f"trichrome: {one_line(error.message)} ({error.code})")
        raise typer.Exit(REFUSED) from error


def data(value: Any, *, most: int) -> str:
    """Structured data for people, cut where it is long."""
    shown = json.dumps(value, indent=2, ensure_ascii=False)
    return shown if len(shown) <= most else f"{shown[:most]}\n... --json shows all of it"
