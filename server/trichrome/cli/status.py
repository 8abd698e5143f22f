"""`trichrome status`: everything on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trichrome.cli.output import Json, document, new_app, note, say, table
from trichrome.cli.project import opened
from trichrome.cli.workers import DIED, has_died

if TYPE_CHECKING:
    from trichrome.coordinator.answers import Status

app = new_app()


@app.command(epilog="Example: trichrome status --json")
def status(as_json: Json = False) -> None:
    """Show tasks by state, workers, and what needs you."""
    with opened(as_json) as project:
        from trichrome.coordinator import queries

        found = queries.status(project.coordinator)
        folder = project.folder
        is_dead = not as_json and has_died(project)
    if as_json:
        document(found)
        return
    say(f"Project {folder}")
    _show(found)
    if is_dead:
        note(DIED)


def _show(found: Status) -> None:
    counts = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in found["tasks"].items())
    say(f"Tasks   {counts or 'none yet'}")
    if found["workers"]:
        say("Workers")
        rows = [(w["worker"], w["role"], w["state"], w.get("attempt", ""), w.get("why", "")) for w in found["workers"]]
        table(("", "", "", "", ""), rows, indent=2)
    else:
        say("Workers none connected")
    if leaderless := found.get("leaderless"):
        say(f"Leaderless {', '.join(leaderless)}: whoever created them is gone; they go on")
    if found["needs_you"]:
        say("Needs you")
        table(("", "", ""), [(n["id"], n["why"], n["help"]) for n in found["needs_you"]], indent=2)
