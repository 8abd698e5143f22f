"""`python -m bench`: take the figures, show them, and write them down."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from rich.console import Console
from rich.text import Text

from bench import counts, machine, report
from bench.families import FAMILIES, Family, take
from bench.measure import Scale

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
INTERRUPTED: Final = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Trichrome: every figure a ratio against a floor of the same run. All families at full "
        "scale also write docs/performance.md. An aim that is missed is shown, and is no failure.",
        epilog="example: python -m bench --quick cycles tokens",
    )
    parser.add_argument(
        "families", nargs="*", metavar="FAMILY", help=f"which to take, of: {', '.join(FAMILIES)} (default: all)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute for all, instead of ten")
    parser.add_argument("--keep", action="store_true", help="let the counts of this run be those to compare with")
    parser.add_argument("--render", action="store_true", help="write docs/performance.md anew; nothing is measured")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; answers the exit status: 0 when every family could be taken."""
    parser = _parser()
    chosen = parser.parse_args(argv)
    if unknown := [name for name in chosen.families if name not in FAMILIES]:
        parser.error(f"there is no family {unknown[0]!r}; choose from {', '.join(FAMILIES)}")
    names = [name for name in FAMILIES if name in chosen.families or not chosen.families]
    if chosen.keep and "counts" not in names:
        parser.error("--keep is about the family counts: python -m bench counts --keep")
    if chosen.render:
        return _render()
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as `nohup` leaves it
            signal.signal(ending, signal.default_int_handler)
    try:
        with _alone():
            record = _measured(names, Scale(chosen.quick))
            _write(record, keeps=chosen.keep)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: nothing was recorded, and nothing is left running\n")
        return INTERRUPTED
    except _CannotBeginError as error:
        sys.stderr.write(f"{error} Nothing was measured.\n")
        return 1
    return 0 if all(family.taken is not None for family in record.families) else 1


class _CannotBeginError(Exception):
    """Why nothing can be measured here now."""


@contextmanager
def _alone() -> Iterator[None]:
    """Let no second run of this checkout begin: both would measure each other, and write the same files.

    Raises:
        _CannotBeginError: there is another one, or nothing can be written here.
    """
    lock = FileLock(RESULTS / "lock", timeout=0)
    try:
        RESULTS.mkdir(exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _CannotBeginError(
            "Another run of this checkout is measuring, and two at once measure each other. Begin when it is done."
        ) from None
    except OSError as error:
        raise _CannotBeginError(
            f"{RESULTS} cannot be written: {error.strerror}. Run it in a checkout of your own."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _measured(names: Sequence[str], scale: Scale) -> report.Record:
    ground = machine.look()
    if warning := report.busy(ground):
        sys.stderr.write(f"{warning}\n")
    console, progress, families = _console(), _Progress(len(names)), list[Family]()
    chosen: report.Chosen = "quick" if scale.is_quick else "full"
    for name in names:
        progress.begin(name)
        families.append(take(name, scale, folder=RESULTS, tell=progress.tell))
        progress.end()
        _show(console, families[-1], chosen)
    return report.Record(ground, chosen, tuple(families))


class _Progress:
    """Which family is being taken, and for how long: on stderr, one line that is written over at a terminal."""

    def __init__(self, families: int) -> None:
        self._families = families
        self._begun = 0
        self._since = time.monotonic()
        self._title = ""
        self._over, self._ending = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")

    def begin(self, name: str) -> None:
        self._begun += 1
        self._title = f"{self._begun} of {self._families}: {name}"
        self._say(self._title)

    def tell(self, seconds: float) -> None:
        if self._over:
            self._say(f"{self._title}, {seconds:.0f} s (all together {time.monotonic() - self._since:.0f} s)")

    def end(self) -> None:
        if self._over:
            self._say("")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{self._over}{text}{self._ending}")
        sys.stderr.flush()


def _show(console: Console, family: Family, scale: report.Chosen) -> None:
    if family.name == "counts" and family.taken is not None:
        report.show_counts(console, family, counts.has_changed)
    else:
        report.show_family(console, family, scale)


def _write(record: report.Record, *, keeps: bool) -> None:
    console = _console()
    report.show_end(console, record)
    record.write(RESULTS / "latest.json")
    wrote = [RESULTS / "latest.json"]
    if record.is_for_the_page:
        record.write(PAGE.with_suffix(".json"))
        report.write_page(record, PAGE)
        wrote += [PAGE.with_suffix(".json"), PAGE]
    if keeps:
        counts.keep(figure for figure in record.figures() if figure.name.startswith("counts."))
        wrote.append(counts.KEPT)
    console.print(Text(f"written: {', '.join(os.path.relpath(path) for path in wrote)}", "dim"))


def _render() -> int:
    try:
        record = report.Record.read(PAGE.with_suffix(".json"))
    except FileNotFoundError:
        sys.stderr.write("there is no docs/performance.json yet: python -m bench makes it\n")
        return 1
    report.write_page(record, PAGE)
    return 0


def _console() -> Console:
    """Where people read; wide enough for whole lines where it is no terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


if __name__ == "__main__":
    sys.exit(main())
