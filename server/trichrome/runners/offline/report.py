"""Green's work: a Markdown report whose every finding can be checked by a program.

A citation is one list item of two code spans, the place and the line: ``- `src/auth.py:12` `def login(user):` ``. What
other agents wrote appears in code spans alone, so it can neither pass for a citation nor for the report's own words,
and a viewer renders nothing of it. `citations(render(...))` gives back the findings that went in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trichrome.runners.files import Project, visible
from trichrome.runners.offline.findings import Finding, counted, quote

NO_MODEL: Final = "No model was used"
"""How every result of an offline worker says what it is."""

_SPAN = r"(?<!`)(?P<{0}_fence>`+)(?!`)(?P<{0}>.+?)(?<!`)(?P={0}_fence)(?!`)"
_CITATION = re.compile(f"- {_SPAN.format('where')} {_SPAN.format('text')}")


@dataclass(frozen=True, slots=True)
class Section:
    """What one task found.

    Attributes:
        task: its id.
        summary: what its worker said, in one line.
        unreadable: entries of its findings that were none.
    """

    task: str
    summary: str
    findings: tuple[Finding, ...]
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Corrections:
    """What a second look at cited lines changed.

    Attributes:
        moved: the finding as it was, and as it is now.
        dropped: findings whose line is in the file no more.
    """

    moved: tuple[tuple[Finding, Finding], ...] = ()
    dropped: tuple[Finding, ...] = ()


def code(text: str) -> str:
    """Text as a Markdown code span on one line, whatever backticks it holds."""
    line = visible(text) or " "
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    fence = "`" * (longest + 1)
    return f"{fence}{pad}{line}{pad}{fence}"


def render(attempt: str, instructions: str, sections: Sequence[Section], corrections: Corrections) -> str:
    """Write the report of one attempt."""
    return "\n".join(_report(attempt, instructions, sections, corrections)) + "\n"


def _report(attempt: str, instructions: str, sections: Sequence[Section], corrections: Corrections) -> Iterator[str]:
    cited = [finding for section in sections for finding in section.findings]
    files = {finding.file for finding in cited}
    yield f"# Findings, reported by {attempt}"
    yield ""
    yield f"**{NO_MODEL}.** The lines below were found by searching and are cited as they stand, uninterpreted."
    yield ""
    yield f"Asked for: {code(quote(instructions))}"
    yield ""
    yield f"It cites {counted(len(cited), 'line')} in {counted(len(files), 'file')}."
    for section in sections:
        said = quote(section.summary.partition("\n")[0])
        yield from ("", f"## {section.task}", "", f"Its worker said: {code(said)}", "")
        yield from (f"- {code(finding.where)} {code(finding.text)}" for finding in section.findings)
        if not section.findings:
            yield "It cites no line."
        if section.unreadable:
            yield from ("", f"Left out for citing no line of a file: {section.unreadable} of its findings.")
    if corrections.moved or corrections.dropped:
        yield from ("", "## Corrected after review", "")
        yield from (f"* {code(old.where)} is now {code(new.where)}." for old, new in corrections.moved)
        yield from (f"* {code(gone.where)} left out: {code(gone.text)} is not there." for gone in corrections.dropped)


def citations(report: str) -> list[Finding]:
    """Every citation of a report, in order; a line that has not the form is not one."""
    return [finding for line in report.split("\n") if (finding := _citation(line)) is not None]


def _citation(line: str) -> Finding | None:
    found = _CITATION.fullmatch(line)
    if found is None:
        return None
    file, colon, number = _unpadded(found["where"]).rpartition(":")
    if not (colon and file and number.isdecimal() and int(number) > 0):
        return None
    return Finding(file=file, line=int(number), text=quote(_unpadded(found["text"])))


def _unpadded(content: str) -> str:
    """A code span's content: Markdown takes one space off both ends when both have one and something is between."""
    padded = content.startswith(" ") and content.endswith(" ") and content.strip()
    return content[1:-1] if padded else content


def corrected(project: Project, findings: Sequence[Finding]) -> tuple[tuple[Finding, ...], Corrections]:
    """Look every cited line up again: one that moved is cited where it is now, one that is gone is dropped."""
    kept: list[Finding] = []
    moved: list[tuple[Finding, Finding]] = []
    dropped: list[Finding] = []
    for finding in findings:
        now = _found_again(project, finding)
        if now is None:
            dropped.append(finding)
            continue
        kept.append(now)
        if now != finding:
            moved.append((finding, now))
    return tuple(dict.fromkeys(kept)), Corrections(tuple(moved), tuple(dropped))


def _found_again(project: Project, finding: Finding) -> Finding | None:
    """The finding at the nearest line that reads as cited."""
    lines = project.lines(finding.file) or ()
    numbers = [number for number, line in enumerate(lines, start=1) if quote(line) == finding.text]
    if not numbers:
        return None
    nearest = min(numbers, key=lambda number: (abs(number - finding.line), number))
    return Finding(finding.file, nearest, finding.text, finding.match)
