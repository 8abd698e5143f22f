"""What came of a torture, for people, for a page and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from trichrome.torture.bench import Outcome
from trichrome.torture.faults import KINDS
from trichrome.torture.histories import about
from trichrome.torture.promises import PROMISES, Broken

_MOST_LINES: Final = 60
"""The most lines of one task's history that are shown: the last ones, which lead up to what broke."""
_MOST_BROKEN: Final = 10

Section = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""A title, headers, and rows."""


def facts(outcome: Outcome) -> dict[str, Any]:
    """All of it, for a program."""
    told: dict[str, Any] = {
        "ok": not outcome.verdict.broken,
        "seed": outcome.options.seed,
        "workers": outcome.options.workers,
        "seconds": round(outcome.seconds, 1),
        "faults": {kind: outcome.done[kind] for kind in KINDS if outcome.done[kind]},
        "calls": len(outcome.evidence.calls),
        "events": len(outcome.evidence.facts),
        "call_seconds": spread(_calls(outcome)),
        "rescue_seconds": spread(outcome.verdict.rescues),
        "lost_to_damage": sum(len(damage.lost) for damage in outcome.evidence.damages),
        "promises": {promise: outcome.verdict.checked[promise] for promise in PROMISES},
    }
    if outcome.given_up:
        told["given_up"] = dict(outcome.given_up)
    if outcome.verdict.broken:
        told["broken"] = [
            {"promise": each.promise, "what": each.what, **({"task": each.task} if each.task is not None else {})}
            for each in outcome.verdict.broken[:_MOST_BROKEN]
        ]
        told["history"] = history(outcome)
    if outcome.kept is not None:
        told["kept"] = str(outcome.kept)
    return told


def sections(outcome: Outcome) -> Iterator[Section]:
    """The tables: faults, figures, promises."""
    kinds: list[tuple[str, ...]] = [(kind, f"{outcome.done[kind]}") for kind in KINDS if outcome.done[kind]]
    yield "Faults", ("kind", "times"), [*kinds, ("all", f"{outcome.done.total()}")]
    told = facts(outcome)
    rows: list[tuple[str, ...]] = [
        ("time", f"{outcome.seconds:.0f} s"),
        ("workers", f"{outcome.options.workers}, in {_lives(outcome)} lives"),
        ("calls", f"{told['calls']}"),
        ("events in the log", f"{told['events']}"),
        ("a call took", _spread(told["call_seconds"])),
        ("a dead client's task was free after", _spread(told["rescue_seconds"])),
        ("events lost to damage of the file, all named", f"{told['lost_to_damage']}"),
    ]
    if outcome.given_up:
        rows.append(("faults that no client came to do", f"{outcome.given_up.total()}"))
    yield "Figures", ("", ""), rows
    broken = {each.promise for each in outcome.verdict.broken}
    yield (
        "Promises",
        ("promise", "checked", ""),
        [
            (promise, f"{outcome.verdict.checked[promise]}", "broken" if promise in broken else "held")
            for promise in PROMISES
        ],
    )


def broken(outcome: Outcome) -> Sequence[Broken]:
    """What broke, each promise once, the first time that it did."""
    first: dict[str, Broken] = {}
    for each in outcome.verdict.broken:
        first.setdefault(each.promise, each)
    return list(first.values())[:_MOST_BROKEN]


def history(outcome: Outcome) -> list[str]:
    """What happened to the task of the first broken promise that is one task's, in order, up to where it broke."""
    first = next((each for each in outcome.verdict.broken if each.task is not None), None)
    if first is None or first.task is None:
        return []
    lines = [(at, words) for at, words in about(outcome.evidence, first.task) if at <= first.at]
    began = lines[0][0] if lines else 0.0
    return [f"{at - began:8.3f} s  {words}" for at, words in lines[-_MOST_LINES:]]


def markdown(outcome: Outcome) -> str:
    """A page."""
    parts = [f"# Torture, seed {outcome.options.seed}", _verdict(outcome)]
    for title, headers, rows in sections(outcome):
        lines = [_row(headers), _row(["---"] * len(headers)), *map(_row, rows)]
        parts += [f"## {title}", "\n".join(lines)]
    if outcome.verdict.broken:
        told = "\n".join(f"- **{each.promise}**: {_escaped(each.what)}" for each in broken(outcome))
        parts += ["## What broke", told, "```\n" + "\n".join(history(outcome)) + "\n```"]
    return "\n\n".join(parts) + "\n"


def _verdict(outcome: Outcome) -> str:
    if not outcome.verdict.broken:
        return "Every promise held."
    return f"A promise broke. Everything was kept in `{outcome.kept}`."


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _lives(outcome: Outcome) -> int:
    return len({call.client for call in outcome.evidence.calls if call.server and call.client != "operator"})


def _calls(outcome: Outcome) -> list[float]:
    """How long calls took that did not ask to wait."""
    return [
        call.told - call.asked
        for call in outcome.evidence.calls
        if call.told is not None and call.client != "operator" and not call.arguments.get("wait_seconds")
    ]


def spread(values: list[float]) -> dict[str, float]:
    """The middle and the worst of a hundred; nothing of nothing."""
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 4)
        for name, part in (("p50", 0.5), ("p99", 0.99))
    }


def _spread(spread: dict[str, float]) -> str:
    return "  ".join(f"{name} {_seconds(seconds)}" for name, seconds in spread.items()) or "none did"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
