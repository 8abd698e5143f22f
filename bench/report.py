"""A run's record, and how it is shown: JSON for machines, tables in a terminal, `docs/performance.md` for readers."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import plots
from bench.families import FAMILIES, Family, words
from bench.machine import Machine
from bench.measure import Figure, Spread

MARK: Final = "<!-- Written by `python -m bench` from here on, out of performance.json. -->"
"""In the page: what stands above is written by hand and kept."""
HEADLINES: Final = (
    "cycles.full.ours",
    "cycles.full.claim_next",
    "peers.rate.persist_queue.next",
    "peers.rate.procrastinate",
    "roundtrip.claim.full.2026-07-28",
    "size.1000000",
    "waking.claim.full.p50",
    "rescue.waiting.p50",
    "start.discover",
    "tokens.all",
)
"""The figures that the page opens with."""
_COLUMNS: Final = ("figure", "measured", "floor", "ratio", "aim", "")
_HOW: Final = """\
## Run it yourself

```sh
make bench          # everything on this page, in about ten minutes; it sets itself up
make bench-quick    # the same with fewer rounds, in about a minute

.venv/bin/python -m bench cycles size       # some families alone
```

Run it on a quiet machine: nothing else is started while it measures, and it says so when others keep the machine busy.
"""


Chosen = Literal["full", "quick"]


@dataclass(frozen=True, slots=True)
class Record:
    """What a run found, and on what."""

    machine: Machine
    scale: Chosen
    families: tuple[Family, ...]

    @property
    def is_for_the_page(self) -> bool:
        """Whether it is whole: every family, at full scale."""
        taken = {family.name for family in self.families if family.taken is not None}
        return self.scale == "full" and taken >= set(FAMILIES)

    def figures(self) -> Iterator[Figure]:
        """Every figure, in reading order."""
        for family in self.families:
            if family.taken is not None:
                yield from family.taken.figures

    def write(self, path: Path) -> None:
        """Keep it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_RECORD.dump_json(self, indent=1) + b"\n")

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record that was kept.

        Raises:
            FileNotFoundError: none was.
        """
        return _RECORD.validate_json(path.read_bytes())


_RECORD: Final = TypeAdapter(Record)


# --- one figure in words ----------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A number to three digits, or whole."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(found: Spread) -> str:
    """A median, with its quartiles where there are any."""
    middle, low, high = number(found.median), number(found.low), number(found.high)
    return middle if low == high else f"{middle} ({low} to {high})"


def verdict(figure: Figure, scale: Chosen) -> str:
    """Whether its aim is held or missed; unclear where so few rounds as a quick run has lie on both sides of it."""
    if figure.aim is None:
        return ""
    held = figure.ratio or figure.value
    if scale == "quick" and figure.aim.is_met(held.low) is not figure.aim.is_met(held.high):
        return "unclear"
    return "held" if figure.is_met else "missed"


def cells(figure: Figure, scale: Chosen) -> tuple[str, str, str, str, str, str]:
    """A line of the table: figure, measured, floor, ratio, aim, verdict."""
    floor = "" if figure.floor is None else f"{number(figure.floor.median)} {figure.unit}".rstrip()
    return (
        figure.says,
        f"{number(figure.value.median)} {figure.unit}".rstrip(),
        f"{floor}, {figure.against}" if floor and figure.against else floor,
        "" if figure.ratio is None else spread(figure.ratio),
        "" if figure.aim is None else str(figure.aim),
        verdict(figure, scale),
    )


def missed(figures: Iterable[Figure], scale: Chosen) -> list[str]:
    """Each missed aim as a sentence, with what its note says."""
    return [
        f"{figure.says}: {spread(figure.ratio or figure.value)}, aim {figure.aim}. {figure.note}".rstrip()
        for figure in figures
        if verdict(figure, scale) == "missed"
    ]


def tally(figures: Iterable[Figure], scale: Chosen) -> str:
    """How many aims hold."""
    verdicts = Counter(filter(None, (verdict(figure, scale) for figure in figures)))
    if not verdicts:
        return "There is no aim here."
    unclear = f" {verdicts['unclear']} are unclear: a whole run has more rounds." if verdicts["unclear"] else ""
    return f"{verdicts['held']} of {verdicts.total()} aims are held.{unclear}"


def busy(machine: Machine) -> str:
    """What a reader must know about a machine that was busy; nothing for a quiet one."""
    if not machine.is_busy:
        return ""
    return (
        f"The machine was busy before the run (load {machine.load:.1f} on {machine.cores} cores), so the quartiles are "
        "wider than they need be."
    )


# --- a terminal -------------------------------------------------------------------------------------------------------


def show_family(console: Console, family: Family, scale: Chosen) -> None:
    """A family's table, or why there is none."""
    console.print(_heading(family))
    if family.taken is None:
        console.print(Text(f"could not be taken: {family.failure}", "red"))
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, justify="right" if column in {"measured", "ratio"} else "left")
    for figure in family.taken.figures:
        *most, found = cells(figure, scale)
        table.add_row(*map(Text, most), Text(found, {"held": "green", "missed": "yellow"}.get(found, "")))
    console.print(table)


def _heading(family: Family) -> Text:
    heading, _ = words(family.name)
    return Text("\n").append(heading, "bold").append(f"  {family.name}, {family.seconds:.0f} s", "dim")


def show_counts(console: Console, family: Family, changed: Callable[[Figure], bool]) -> None:
    """The counts beside the kept ones, as a difference, and how to accept it."""
    console.print(_heading(family))
    figures = family.taken.figures if family.taken is not None else []
    table = Table(*("path", "count", "kept", "now", "change"), box=SIMPLE_HEAD, pad_edge=False)
    for figure in figures:
        path, _, what = figure.says.partition(": ")
        kept = "" if figure.floor is None else number(figure.floor.median)
        change, style = _change(figure) if changed(figure) else ("", "dim")
        table.add_row(path, what, kept, number(figure.value.median), change, style=style)
    console.print(table)
    if not any(map(changed, figures)):
        console.print("Every count is as it was kept.")
    elif any(figure.floor is not None for figure in figures):
        console.print("Some counts changed. `python -m bench counts --keep` accepts them into bench/counts.json.")
    else:
        console.print("Nothing is kept for this Python yet. `python -m bench counts --keep` keeps these.")


def _change(figure: Figure) -> tuple[str, str]:
    if figure.ratio is None:
        return "new", ""
    grown = figure.ratio.median - 1
    return f"{grown * 100:+.1f} %", "yellow" if grown > 0 else "green"


def show_end(console: Console, record: Record) -> None:
    """What holds, what does not, and what to make of it."""
    seconds = sum(family.seconds for family in record.families)
    console.print(Text(f"\n{tally(record.figures(), record.scale)} It took {seconds:.0f} s.", "bold"))
    for sentence in missed(record.figures(), record.scale):
        console.print(Text(f"missed: {sentence}", "yellow"))
    for family in record.families:
        if family.taken is None:
            console.print(Text(f"failed: {family.name}", "red"))
    if record.is_for_the_page:
        for name in sorted(set(HEADLINES) - {figure.name for figure in record.figures()}):
            console.print(Text(f"the page cannot open with {name}: there is no such figure", "red"))
    if warning := busy(record.machine):
        console.print(Text(warning, "yellow"))


# --- the page ---------------------------------------------------------------------------------------------------------


def write_page(record: Record, page: Path) -> None:
    """Write the page's measured part and its pictures anew; its head, written by hand, is kept.

    Raises:
        FileNotFoundError: there is no page, so no head.
    """
    head = page.read_text(encoding="utf-8").partition(MARK)[0].rstrip()
    images = page.parent / "images" / page.stem
    images.mkdir(parents=True, exist_ok=True)
    drawn = {path.name for family in record.families for path in _draw(family, images)}
    for old in images.glob("*.svg"):
        if old.name not in drawn:
            old.unlink()
    page.write_text("\n\n".join((head, MARK, "\n".join(_page(record)))), encoding="utf-8")


def _draw(family: Family, images: Path) -> Iterator[Path]:
    for plot in family.taken.plots if family.taken is not None else ():
        path = images / f"{plot.name}.svg"
        path.write_text(plots.svg(plot), encoding="utf-8")
        yield path


def _page(record: Record) -> Iterator[str]:
    figures = list(record.figures())
    named = {figure.name: figure for figure in figures}
    yield from _table([named[name] for name in HEADLINES if name in named], record.scale)
    yield _HOW
    yield from _ground(record.machine)
    yield "## Aims\n"
    sentences = missed(figures, record.scale)
    yield tally(figures, record.scale) + (" These are not:\n" if sentences else "\n")
    if sentences:
        yield "\n".join(f"- {sentence}" for sentence in sentences) + "\n"
    for family in record.families:
        yield from _family(family, record.scale)


def _ground(machine: Machine) -> Iterator[str]:
    yield "## On what it ran\n"
    yield textwrap.dedent(f"""\
        | | |
        |---|---|
        | processor | {machine.cpu}, {machine.cores} cores |
        | system | {machine.system} |
        | file system | {machine.file_system}, {machine.syncs_a_second:,.0f} writes of 4 KiB with fdatasync a second |
        | Python | {machine.python} |
        | SQLite | {machine.sqlite} |
        | MCP SDK | mcp {machine.mcp} |
        | load before | {machine.load:.2f} |
        | when | {machine.date}, commit {machine.commit or "unknown"} |
        """)
    if warning := busy(machine):
        yield f"{warning}\n"


def _family(family: Family, scale: Chosen) -> Iterator[str]:
    heading, text = words(family.name)
    yield f"## {heading}\n"
    yield f"{text}\n"
    if family.taken is None:
        return
    yield from _matrix(family.taken.figures) if family.name == "counts" else _table(family.taken.figures, scale)
    notes: dict[str, list[str]] = {}
    for figure in family.taken.figures:
        if figure.note:
            notes.setdefault(figure.note, []).append(figure.says)
    if notes:
        yield "\n".join(f"- {'; '.join(about)}: {note}" for note, about in notes.items()) + "\n"
    for plot in family.taken.plots:
        yield f"![{plot.title}](images/performance/{plot.name}.svg)\n"


def _table(figures: Sequence[Figure], scale: Chosen) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---|--:|---|--:|---|---|"
    for figure in figures:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells(figure, scale))} |"
    yield ""


def _matrix(figures: Sequence[Figure]) -> Iterator[str]:
    """Counts as a table of paths: what they are compared with is the repository's business, not the reader's."""
    counted: dict[str, dict[str, str]] = {}
    for figure in figures:
        path, _, what = figure.says.partition(": ")
        counted.setdefault(what, {})[path] = number(figure.value.median)
    paths = list(dict.fromkeys(path for row in counted.values() for path in row))
    yield f"| | {' | '.join(paths)} |"
    yield f"|---|{'--:|' * len(paths)}"
    for what, row in counted.items():
        yield f"| {what} | {' | '.join(row.get(path, '') for path in paths)} |"
    yield ""
