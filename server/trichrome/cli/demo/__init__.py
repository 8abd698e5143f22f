"""`trichrome demo`: real workers coordinate real work on a project, with or without a model, while somebody watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import REFUSED, Json, document, new_app, note, one_line, program, refusals, say

if TYPE_CHECKING:
    from trichrome.cli.demo.place import Place
    from trichrome.cli.demo.play import Played
    from trichrome.runners.port import Runner

_INTERRUPTED = 128
_OFFLINE: Final = "offline"
_APART: Final = "workers with a model write, and nothing of yours is to change."

app = new_app()


@app.command(epilog='Example: trichrome demo --query "retry and back-off"')
def demo(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", exists=True, file_okay=False, help="What to work on; by default this project."
        ),
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What to look for; by default what the project is about.")
    ] = None,
    runner: Annotated[
        str, typer.Option(metavar="NAME", help="offline works without a model; claude, api or script:COMMAND with one.")
    ] = _OFFLINE,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary project, where one was needed.")] = False,
    as_json: Json = False,
) -> None:
    """Watch workers search, report and review, without a model.

    Two blue workers search the project, green writes a report of what they found, red checks every line that it
    cites. Each is a process of its own with an MCP server of its own, as Claude instances would be; with --runner
    claude they are Claude instances, on a copy of the project.
    """
    if query is not None and not query.strip():
        raise typer.BadParameter("say what to look for, or leave it out.", param_hint="--query")
    with refusals(as_json):
        from trichrome.cli.demo.place import settle
        from trichrome.cli.demo.play import play
        from trichrome.cli.demo.themes import choose

        chosen = _runner(runner)
        with settle(folder, keep=keep, apart=None if chosen is None else _APART) as place:
            themes = choose(place.folder, query)
            if not as_json:
                _greet(place, themes, chosen)
            played = play(place.project, themes, chosen, quiet=as_json)
            report = place.kept(played.report) if played.report is not None else None
            if as_json:
                document(_facts(place, played, report, chosen))
            else:
                _tell(place, played, report, chosen)
            is_kept = place.is_temporary and keep
        if is_kept:
            note(f"Kept: TRICHROME_HOME={place.folder} {program()} list")
    if played.interrupted_by is not None:
        raise typer.Exit(_INTERRUPTED + played.interrupted_by)
    if not played.is_approved:
        raise typer.Exit(REFUSED)


def _runner(name: str) -> Runner | None:
    """What starts sessions with a model; None where none is wanted."""
    from trichrome.supervisor import choice

    return None if name == _OFFLINE else choice.runner(name)


def _greet(place: Place, themes: list[str], runner: Runner | None) -> None:
    if runner is None:
        say("No model is used: the workers search, report and compare, and say so in what they write.")
    else:
        from trichrome.cli.demo.supervised import MOST_USD

        say(f"The workers are sessions of {runner.name}. No more is begun once they cost ${MOST_USD:.0f}.")
    say(f"Project {place.origin}")
    if place.why is not None:
        say(f"The demo works on a copy, {place.folder}: {place.why}")
    say(f"{len(themes)} searches, then a report, then its review:")
    say("\n".join(f"  {one_line(theme)}" for theme in themes))
    say()


def _facts(place: Place, played: Played, report: Path | None, runner: Runner | None) -> dict[str, object]:
    facts: dict[str, object] = {
        "run": played.run,
        "state": played.state,
        "approved": played.is_approved,
        "seconds": round(played.seconds, 2),
        "tasks": played.tasks,
        "attempts": played.attempts,
        "reviews": played.reviews,
        "sent_back": played.sent_back,
        "model": "none" if runner is None else runner.name,
        "project": str(place.origin),
    }
    if runner is not None:
        facts["cost_usd"] = round(played.cost_usd, 4)
    if report is not None:
        facts["report"] = str(report)
    if played.trouble is not None:
        facts["trouble"] = played.trouble
    return facts


def _tell(place: Place, played: Played, report: Path | None, runner: Runner | None) -> None:
    say()
    if played.trouble is not None:
        say(f"The demo did not get through: {played.trouble}")
    for line in played.found:
        say(f"  {one_line(line)}")
    told = f"{played.tasks} tasks in {played.attempts} attempts, {_counted(played.reviews, 'review')}"
    sent_back = f"sent back {_counted(played.sent_back, 'time')}" if played.sent_back else "nothing sent back"
    verdict = f"approved by {played.approved_by}" if played.is_approved else f"the report is {played.state}"
    cost = "No model was used." if runner is None else f"It cost ${played.cost_usd:.2f}."
    say(f"{played.seconds:.1f} s: {told}, {sent_back}; {verdict}. {cost}")
    if report is not None:
        say(f"Report: {report}")
    if not place.is_temporary:
        note("Look closer:")
        for command in (f"list --run {played.run}", f"show {played.document}", "events"):
            note(f"  {program()} {command}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
