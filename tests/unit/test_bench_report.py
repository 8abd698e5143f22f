"""What a run found, as people and programs read it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench import plots, report
from bench.families import FAMILIES, Family
from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, interleaved, percentile, ratio
from bench.report import MARK, Record
from inline_snapshot import snapshot
from rich.console import Console
from tests.support.figures import HELD, MACHINE, MISSED, PLAIN

LINES = Plot("by-size", "Claims", "ready tasks", "µs", {"ours": [(1000, 50.0), (10_000, 51.0)]}, is_log=(True, False))
BARS = Plot("cycles", "Cycles", "", "1/s", {"full": [("a", 1.0), ("b", 2.0)], "fast": [("a", 3.0), ("b", 4.0)]})

DOTS = replace(BARS, is_log=(False, True))


def record(*taken: Figure, picture: Plot | None = None, scale: str = "full") -> Record:
    """A whole run: `cycles` found something, the others nothing."""
    found = Taken(list(taken), [picture] if picture else [])
    families = tuple(Family(name, 3.0, found if name == "cycles" else Taken()) for name in FAMILIES)
    return Record(MACHINE, scale, families)  # type: ignore[arg-type]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_spread_is_the_median_with_the_quartiles_around_it() -> None:
    assert Spread.of([5.0, 1.0, 3.0, 2.0, 4.0]) == Spread(3.0, 2.0, 4.0, 5)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, 1)


def test_ratio_is_taken_round_by_round() -> None:
    assert ratio([1.0, 4.0, 9.0], [1.0, 2.0, 3.0]) == Spread(2.0, 1.5, 2.5, 3)


def test_rounds_without_their_floor_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])


def test_turns_change_and_the_first_round_only_warms_up() -> None:
    order: list[str] = []

    samples = interleaved(2, {name: lambda name=name: order.append(name) or 1.0 for name in "ab"})

    assert order == ["b", "a", "a", "b", "b", "a"]
    assert samples == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


@pytest.mark.parametrize(("percent", "found"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_percentile_is_a_sample(percent: float, found: float) -> None:
    assert percentile(range(1, 101), percent) == found


@pytest.mark.parametrize(
    ("aim", "value", "is_met"),
    [
        (Aim("at most", 1.1), 1.1, True),
        (Aim("at most", 1.1), 1.2, False),
        (Aim("at least", 0.8), 0.8, True),
        (Aim("at least", 0.8), 0.7, False),
    ],
)
def test_aim_holds_up_to_its_bound(aim: Aim, value: float, is_met: bool) -> None:
    assert aim.is_met(value) is is_met


def test_aim_is_about_the_ratio_and_without_one_about_the_value() -> None:
    assert (HELD.is_met, MISSED.is_met, PLAIN.is_met) == (True, False, None)
    assert Figure("a", "a", "ms", Spread.of([3.0]), aim=Aim("at most", 20)).is_met is True


def test_scale_chooses_the_count() -> None:
    assert (Scale().of(100, 5), Scale(is_quick=True).of(100, 5)) == (100, 5)


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1234567.8, "1,234,568"), (99.96, "100"), (12.345, "12.3"), (0.01234, "0.0123"), (3.0, "3"), (0.00001, "1e-05")],
)
def test_numbers_keep_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_line_of_the_table_says_it_all() -> None:
    assert report.cells(HELD, "full") == snapshot(
        ("cycles, full", "1,234 1/s", "1,500 1/s, by hand", "0.823 (0.81 to 0.83)", "at least 0.8", "held")
    )
    assert report.cells(PLAIN, "full") == snapshot(("a task's log", "1,234 bytes", "", "", "", ""))


def test_missed_aims_are_listed_with_ratio_and_note() -> None:
    assert report.missed([HELD, MISSED, PLAIN], "full") == snapshot(
        ["cycles, fast: 0.4 (0.39 to 0.41), aim at least 0.5. Python runs between the statements."]
    )


@pytest.mark.parametrize(
    ("aim", "scale", "found"),
    [
        (Aim("at least", 0.82), "quick", "unclear"),
        (Aim("at least", 0.82), "full", "held"),
        (Aim("at most", 0.82), "quick", "unclear"),
        (Aim("at least", 0.8), "quick", "held"),
        (Aim("at least", 0.81), "quick", "held"),
        (Aim("at most", 0.8), "quick", "missed"),
        (None, "quick", ""),
    ],
)
def test_an_aim_between_the_quartiles_of_a_quick_run_is_unclear(
    aim: Aim | None, scale: report.Chosen, found: str
) -> None:
    assert report.verdict(replace(HELD, aim=aim), scale) == found


def test_what_is_unclear_is_counted_apart_and_is_not_missed() -> None:
    unclear = replace(MISSED, aim=Aim("at least", 0.4))

    assert report.missed([HELD, unclear], "quick") == []
    assert report.tally([HELD, unclear, PLAIN], "quick") == (
        "1 of 2 aims are held. 1 are unclear: a whole run has more rounds."
    )


def shown(*families: Family) -> str:
    written = io.StringIO()
    console = Console(file=written, width=160)
    for family in families:
        report.show_family(console, family, "quick")
    report.show_end(console, Record(MACHINE, "quick", families))
    return written.getvalue()


def test_terminal_shows_what_is_held_and_what_is_missed() -> None:
    text = shown(Family("cycles", 3.0, Taken([HELD, MISSED])))

    assert "1 of 2 aims are held. It took 3 s." in text
    assert "missed: cycles, fast: 0.4" in text
    assert "busy" not in text


def test_terminal_shows_a_failed_family_among_the_others() -> None:
    text = shown(
        Family("cycles", 3.0, failure="exit status 1; its last lines:\nno [disk]"), Family("log", 1.0, Taken())
    )

    assert "could not be taken: exit status 1; its last lines:\nno [disk]" in text
    assert "failed: cycles" in text


def test_terminal_tells_of_a_headline_that_no_figure_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "HEADLINES", (HELD.name, "cycles.gone"))
    written = io.StringIO()

    report.show_end(Console(file=written, width=160), record(HELD))

    assert "the page cannot open with cycles.gone: there is no such figure" in written.getvalue()
    assert HELD.name not in written.getvalue()


# --- the record and the page ------------------------------------------------------------------------------------------


def test_record_reads_as_it_was_written(tmp_path: Path) -> None:
    whole = record(HELD, MISSED, PLAIN, picture=BARS)

    whole.write(tmp_path / "new" / "record.json")

    assert Record.read(tmp_path / "new" / "record.json") == Record(MACHINE, "full", whole.families)


def test_only_a_whole_run_at_full_scale_is_for_the_page() -> None:
    whole = record()
    partial = Record(MACHINE, "full", whole.families[1:])
    failed = Record(MACHINE, "full", (*whole.families[1:], Family(FAMILIES[0], 1.0, failure="exit status 1")))

    assert whole.is_for_the_page
    assert not any(each.is_for_the_page for each in (record(scale="quick"), partial, failed))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "HEADLINES", (HELD.name,))
    path = tmp_path / "performance.md"
    path.write_text(f"# By hand\n\nA claim.\n\n{MARK}\n\nwhat was found before\n")
    return path


def test_page_keeps_its_head_and_replaces_the_rest(page: Path) -> None:
    report.write_page(record(HELD), page)
    once = page.read_text()

    report.write_page(record(HELD), page)

    assert once.startswith(f"# By hand\n\nA claim.\n\n{MARK}\n\n| figure |")
    assert once.index("cycles, full") < once.index("## Run it yourself")
    assert "found before" not in once
    assert page.read_text() == once
    assert "1 of 1 aims are held.\n" in once


def test_page_lists_missed_aims_before_the_families(page: Path) -> None:
    report.write_page(record(HELD, MISSED), page)

    text = page.read_text()

    listed = "1 of 2 aims are held. These are not:\n\n- cycles, fast: 0.4 (0.39 to 0.41), aim at least 0.5. Python runs"
    assert listed in text
    assert text.index(listed) < text.index("| cycles, fast |")


def test_page_tells_how_to_run_it_and_on_what_it_ran(page: Path) -> None:
    report.write_page(record(HELD), page)

    text = page.read_text()

    assert "make bench-quick" in text
    assert "| processor | A processor, 4 cores |" in text
    assert "| file system | ext4, 1,234 writes of 4 KiB with fdatasync a second |" in text
    assert "| when | 2026-11-23, commit abc1234 |" in text
    assert "was busy" not in text


def test_page_shows_pictures_and_lets_go_of_old_ones(page: Path) -> None:
    images = page.parent / "images" / "performance"
    images.mkdir(parents=True)
    images.joinpath("old.svg").touch()

    report.write_page(record(HELD, picture=BARS), page)

    assert [path.name for path in images.iterdir()] == ["cycles.svg"]
    assert "![Cycles](images/performance/cycles.svg)" in page.read_text()


def test_page_shows_counts_by_path(page: Path) -> None:
    counted = [
        Figure(f"counts.{path}.syncs", f"{path}: syncs", "", Spread.of([count]))
        for path, count in (("claim", 1), ("report", 2))
    ]
    families = tuple(Family(name, 1.0, Taken(counted if name == "counts" else [])) for name in FAMILIES)

    report.write_page(Record(MACHINE, "full", families), page)

    assert "| | claim | report |\n|---|--:|--:|\n| syncs | 1 | 2 |\n" in page.read_text()


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plot", [LINES, BARS, DOTS], ids=["lines", "bars", "dots"])
def test_picture_is_the_same_each_time_and_its_text_is_text(plot: Plot) -> None:

    first, second = plots.svg(plot), plots.svg(plot)

    texts = {element.text for element in ET.fromstring(first).iter("{http://www.w3.org/2000/svg}text")}
    assert first == second
    assert plot.title in texts


def test_bars_stand_on_zero_and_an_axis_without_one_gets_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[str] = []
    bar, dot = Axes.bar, Axes.plot
    monkeypatch.setattr(Axes, "bar", lambda *each, **how: drawn.append("bar") or bar(*each, **how))
    monkeypatch.setattr(Axes, "plot", lambda *each, **how: drawn.append("dot") or dot(*each, **how))

    plots.svg(BARS)
    plots.svg(DOTS)

    assert drawn == ["bar", "bar", "dot", "dot"]
