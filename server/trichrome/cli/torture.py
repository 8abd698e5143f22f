"""`trichrome torture`: real workers on a scratch project while everything breaks; then what was promised is checked."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trichrome.cli.output import REFUSED, Json, document, new_app, note, one_line, refusals, say, table
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from trichrome.torture.bench import Outcome
    from trichrome.torture.conductor import Conductor

_FAULTS = 200
_INTERRUPTED = 128
_LOOK_SECONDS = 0.2
_LINE_SECONDS = 10.0

app = new_app()


@app.command(epilog="Example: trichrome torture --faults 500 --workers 8 --seed 7 --report torture.md")
def torture(
    faults: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=f"How many faults; {_FAULTS} unless --seconds says when.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", min=1, help="Stop with new faults after so long.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many workers at once.")] = 4,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Which faults, in which order; drawn and told unless it is given.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page of Markdown too.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the scratch project, whatever comes of it.")] = False,
    as_json: Json = False,
) -> None:
    """Kill, stop, cut off and starve real workers, then check what was promised.

    Works on a scratch project of its own and touches no other. The seed says which faults come in which order; in the
    middle of what each one strikes is up to real processes, so two runs of one seed are alike, not the same. Exits
    with 1 when a promise broke, and keeps everything.
    """
    with refusals(as_json):
        if report is not None:
            _check_writable(report)
        from trichrome.torture.bench import Options, StoppedError
        from trichrome.torture.bench import torture as run

        chosen = random.randrange(10**6) if seed is None else seed
        count = faults if faults is not None or seconds is not None else _FAULTS
        counter = _Counter(count, chosen)
        try:
            outcome = run(Options(chosen, workers, count, seconds, keep), counter.tell)
        except StoppedError as stopped:
            counter.clear()
            note(f"Stopped. Nothing is left of it. The seed was {chosen}.")
            raise typer.Exit(_INTERRUPTED + stopped.number) from stopped
        counter.clear()
    _tell(outcome, report, as_json=as_json)
    if outcome.verdict.broken:
        raise typer.Exit(REFUSED)


def _check_writable(page: Path) -> None:
    """Refuse at once what would be found out after minutes.

    Raises:
        InvalidError: the page cannot be written there.
    """
    place = page if page.exists() else page.absolute().parent
    if page.is_dir() or not os.access(place, os.W_OK):
        raise InvalidError(
            f"{page} cannot be written, so nothing was begun. Name a file in a folder that is there and yours.",
            field="report",
        )


class _Counter:
    """How far it is: one line that is written over at a terminal, a line now and then elsewhere."""

    def __init__(self, faults: int | None, seed: int) -> None:
        self._of = "" if faults is None else f" of {faults}"
        self._seed = seed
        self._is_live = sys.stderr.isatty()
        self._began = time.monotonic()
        self._next = 0.0

    def tell(self, conductor: Conductor) -> None:
        """Say how far it is, if it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_LOOK_SECONDS if self._is_live else _LINE_SECONDS)
        line = (
            f"seed {self._seed}: {conductor.done.total()}{self._of} faults, {conductor.events} events, "
            f"{now - self._began:.0f} s"
        )
        sys.stderr.write(f"\r\x1b[K{line}" if self._is_live else f"{line}\n")
        sys.stderr.flush()

    def clear(self) -> None:
        """Let the line go."""
        if self._is_live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _tell(outcome: Outcome, page: Path | None, *, as_json: bool) -> None:
    from trichrome.torture import report

    if page is not None:
        page.write_text(report.markdown(outcome), encoding="utf-8")
    if as_json:
        document(report.facts(outcome))
        return
    for title, headers, rows in report.sections(outcome):
        say(title)
        table(headers, rows, indent=2)
        say()
    seed = outcome.options.seed
    if not outcome.verdict.broken:
        say(f"Every promise held (seed {seed}).")
    else:
        for each in report.broken(outcome):
            say(f"Broken: {each.promise}: {one_line(each.what, most=400)}")
        for line in report.history(outcome):
            say(f"  {one_line(line, most=400)}")
        say(f"Seed {seed}. Again: trichrome torture {_again(outcome)}")
    if outcome.kept is not None:
        note(f"Kept: {outcome.kept}")


def _again(outcome: Outcome) -> str:
    """The options that give the same faults in the same order."""
    asked = outcome.options
    length = f" --faults {asked.faults}" if asked.faults is not None else f" --seconds {asked.seconds:g}"
    return f"--seed {asked.seed} --workers {asked.workers}{length}"
