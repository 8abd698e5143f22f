"""`trichrome repair`: what is wrong with the log and what lies beside it, and mending it.

Guarantee: without `--yes` (or `--emergency`) nothing is made, changed or removed. What is damaged is put aside, and
never deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Final, get_args

import typer

from trichrome.cli.output import REFUSED, Json, document, new_app, note, refusals, say, table
from trichrome.cli.project import Place
from trichrome.cli.project import place as place_here
from trichrome.cli.repair import log as salvaging
from trichrome.cli.repair import orphans as ownerless
from trichrome.cli.repair import views as views_anew
from trichrome.cli.repair.checks import findings, is_missing, of_backups
from trichrome.cli.repair.emergency import repair as begin_anew
from trichrome.cli.repair.preparing import begun, prepare
from trichrome.cli.repair.words import Part, Repair
from trichrome.errors import NotFoundError

app = new_app()

_PARTS: Final[tuple[Part, ...]] = get_args(Part)
_PLANS: Final[Mapping[Part, Callable[[Place], Repair]]] = {
    "log": salvaging.plan,
    "views": views_anew.plan,
    "orphans": ownerless.plan,
}
_DEEDS: Final[Mapping[Part, Callable[[Place], Repair]]] = {
    "log": salvaging.repair,
    "views": views_anew.repair,
    "orphans": ownerless.repair,
}


@app.command(epilog="Example: trichrome repair --check")
def repair(
    check: Annotated[bool, typer.Option("--check", help="Only say what is wrong; so does no option at all.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Save what is readable of a damaged log into a new one.")] = False,
    views: Annotated[bool, typer.Option("--views", help="Make the views anew from the log.")] = False,
    orphans: Annotated[bool, typer.Option("--orphans", help="Let go of what has lost its owner.")] = False,
    everything: Annotated[bool, typer.Option("--repair-all", help="Check, then do what is needed of these.")] = False,
    emergency: Annotated[
        bool,
        typer.Option("--emergency", help="The log cannot be opened: at once, save what can be, keep all, begin anew."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, only what would be done is said.")] = False,
    as_json: Json = False,
) -> None:
    """Find out what is wrong with the log, and mend it.

    Without --yes nothing is changed: you are told what would be done. --emergency alone acts at once, without it. A
    check exits with 1 when something is wrong.
    """
    asked = [part for part, is_asked in zip(_PARTS, (log, views, orphans), strict=True) if is_asked]
    if sum((check, bool(asked), everything, emergency)) > 1:
        raise typer.BadParameter("Choose --check, --repair-all, --emergency, or some of --log, --views, --orphans.")
    if yes and not (asked or everything or emergency):
        raise typer.BadParameter(
            "A check changes nothing, so it has no use for --yes. `trichrome repair --repair-all --yes` does what is "
            "needed."
        )
    with refusals(as_json):
        place = place_here()
        if emergency:
            _tell([*_prepared(place), begin_anew(place)], as_json, command=None)
        elif yes and (asked or everything):
            done = [*_prepared(place), *(_DEEDS[part](place) for part in _chosen(place, asked))]
            _tell(done, as_json, command=None)
        elif asked or everything:
            planned = (
                [salvaging.plan(place)] if begun(place) else [_PLANS[part](place) for part in _chosen(place, asked)]
            )
            command = " ".join(f"--{part}" for part in asked) or "--repair-all"
            _tell(planned, as_json, command=f"trichrome repair {command} --yes")
        else:
            _check(place, as_json)


def _prepared(place: Place) -> Iterator[Repair]:
    if finished := prepare(place):
        yield {"part": "log", "steps": finished}


def _check(place: Place, as_json: bool) -> None:
    wrong = [*findings(place), *of_backups(place)]
    is_well = all(each["state"] == "warn" for each in wrong)
    if as_json:
        document({"ok": is_well, "findings": wrong})
    else:
        if wrong:
            table(("", "", ""), [(each["part"], each["state"], each["found"]) for each in wrong])
        for mend in dict.fromkeys(each["mend"] for each in wrong):
            say(f"What helps: {mend}")
        if wrong:
            note("Nothing is broken." if is_well else "Something is wrong.")
        else:
            note("There is no log here yet." if is_missing(place) else "All is well.")
    if not is_well:
        raise typer.Exit(REFUSED)


def _chosen(place: Place, asked: Sequence[Part]) -> Iterator[Part]:
    """The parts that were asked for; without any, those that the check asks for when it is their turn."""
    if is_missing(place):
        _refuse_missing(place)
        return
    for part in _PARTS:
        if part in asked or (not asked and any(each.get("mended_by") == part for each in findings(place))):
            yield part


def _refuse_missing(place: Place) -> None:
    """Say how a log that is missing comes back; one that never was there needs no repair.

    Raises:
        NotFoundError: there was one.
    """
    for each in findings(place):
        raise NotFoundError(f"{each['found']}. Nothing was changed; `{each['mend']}` says what comes back with it.")


def _tell(done: Sequence[Repair], as_json: bool, *, command: str | None) -> None:
    """Say what was done; or what would be, with the command that does it."""
    is_idle = not any(each["steps"] for each in done)
    if as_json:
        answer = {"done": command is None and not is_idle, "repairs": list(done)}
        document(answer if command is None or is_idle else {**answer, "next": command})
        return
    if is_idle:
        note("There is nothing to repair.")
        return
    for each in done:
        for line in _lines(each):
            say(line)
    note("Done." if command is None else f"Nothing was changed. This does it: {command}")


def _lines(repair: Repair) -> Iterator[str]:
    yield repair["part"]
    yield from (f"  {step}" for step in repair["steps"] or ["nothing to do"])
    for title, lines in (("Lost", repair.get("lost")), ("What to run now", repair.get("next"))):
        if lines:
            yield title
            yield from (f"  {line}" for line in lines)
    for what, file in repair.get("files", {}).items():
        yield f"{what}: {file}"
