"""The example tasks of `start --create-examples`: enough to see a team at work on any project.

They read whatever is there, and change one new file at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain.drafts import Draft

if TYPE_CHECKING:
    from trichrome.coordinator import Coordinator
    from trichrome.coordinator.answers import Created

PAGE: Final = "docs/OVERVIEW.md"
"""The file that the example's implementation writes."""

_EXAMPLES: Final = (
    Draft(
        kind="search",
        instructions="Find what this project is for and how it is started: its README, install, usage, main, scripts."
        " Report each with its file and line.",
        ref="purpose",
    ),
    Draft(
        kind="search",
        instructions="Find how this project is tested: its test files, fixtures and coverage. Report each with its file"
        " and line.",
        ref="tests",
    ),
    Draft(
        kind="implement",
        instructions=f"Write {PAGE}, one page for somebody new: what the project is for, how it is started, how it is"
        " tested. Build it from the results of the searches, cite file and line, and change no other file.",
        acceptance=f"{PAGE} exists, says nothing that the cited lines do not show, and is the only file changed.",
        depends_on=("purpose", "tests"),
        files=(PAGE,),
        review="red",
        ref="page",
    ),
)


def create(coordinator: Coordinator) -> Created:
    """Create the examples as a run of their own: two searches, an implementation that waits for both, its review."""
    return tasks.create(coordinator, OPERATOR, _EXAMPLES)
