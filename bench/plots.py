"""Pictures as SVG: the same bytes for the same points; legible on light and dark pages, and without colour vision."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from bench.measure import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
"""Of Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), those that show on white and on black."""
_MARKERS: Final = ("o", "s", "^", "D", "v", "P")
_HATCHES: Final = ("", "//", "..", "xx", "\\\\", "++")
_NEUTRAL: Final = "#7a7a7a"
"""Contrast 4.3 on white and 4.4 on GitHub's dark page."""
_STYLE: Final[Any] = {
    "svg.hashsalt": "trichrome",
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _NEUTRAL,
    "axes.edgecolor": _NEUTRAL,
    "axes.labelcolor": _NEUTRAL,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "xtick.color": _NEUTRAL,
    "ytick.color": _NEUTRAL,
    "grid.color": _NEUTRAL,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
}


def svg(plot: Plot) -> str:
    """Draw a plot: lines over numbers; over words groups of bars, or of dots where the axis has no zero to stand on."""
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(("default", _STYLE)):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = figure.add_subplot()
        is_words = any(isinstance(x, str) for points in plot.lines.values() for x, _ in points)
        (_lines if not is_words else _dots if plot.is_log[1] else _bars)(axes, plot)
        axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        axes.set_axisbelow(True)
        axes.margins(y=0.1)
        axes.grid(axis="y")
        if len(plot.lines) > 1:
            axes.legend()
        if not plot.is_log[1]:
            axes.set_ylim(bottom=0)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def _lines(axes: Axes, plot: Plot) -> None:
    for index, (name, points) in enumerate(plot.lines.items()):
        xs: list[Any] = [x for x, _ in points]
        axes.plot(
            xs,
            [y for _, y in points],
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=4,
        )
    if plot.is_log[0]:
        axes.set_xscale("log")
    if plot.is_log[1]:
        axes.set_yscale("log")


def _bars(axes: Axes, plot: Plot) -> None:
    wide = 0.8 / len(plot.lines)
    places = _places(axes, plot, apart=wide)
    for index, (name, points) in enumerate(plot.lines.items()):
        axes.bar(
            places[name],
            [y for _, y in points],
            wide,
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            hatch=_HATCHES[index % len(_HATCHES)],
            edgecolor="none" if index == 0 else _NEUTRAL,
        )


def _dots(axes: Axes, plot: Plot) -> None:
    places = _places(axes, plot, apart=0.14)
    for index, (name, points) in enumerate(plot.lines.items()):
        axes.plot(
            places[name],
            [y for _, y in points],
            linestyle="none",
            label=name,
            color=_COLOURS[index % len(_COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)],
            markersize=7,
        )
    axes.set_yscale("log")
    axes.grid(axis="x")


def _places(axes: Axes, plot: Plot, *, apart: float) -> dict[str, list[float]]:
    """Write the words below the axis; answers where each series' points stand, side by side around their words."""
    words = list(dict.fromkeys(str(x) for points in plot.lines.values() for x, _ in points))
    is_crowded = sum(map(len, words)) > 60
    axes.set_xticks(range(len(words)), words, rotation=30 if is_crowded else 0, ha="right" if is_crowded else "center")
    axes.set_xlim(-0.5, len(words) - 0.5)
    middle = (len(plot.lines) - 1) / 2
    return {
        name: [words.index(str(x)) + apart * (index - middle) for x, _ in points]
        for index, (name, points) in enumerate(plot.lines.items())
    }
