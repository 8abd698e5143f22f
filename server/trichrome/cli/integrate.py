"""`trichrome integrate`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trichrome.cli.output import Json, counted, document, is_terminal, new_app, note, refusals, say
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from trichrome.cli.integrating.planning import Part, Places
    from trichrome.cli.integrating.recording import Change

app = new_app()


@app.command(epilog="Example: trichrome integrate --claude-code --dry-run")
def integrate(
    claude_code: Annotated[
        bool, typer.Option("--claude-code", help="Server, hooks, subagents and slash commands for Claude Code.")
    ] = False,
    desktop: Annotated[
        bool, typer.Option("--desktop", help="The server for Claude Desktop, with this project.")
    ] = False,
    superclaude: Annotated[
        bool, typer.Option("--superclaude", help="What makes /sc: commands multi-agent; none of its files is touched.")
    ] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="The project's own roles as subagents in its .claude/agents.")
    ] = False,
    scope: Annotated[
        Literal["user", "project"], typer.Option(help="For all your projects, or in this one's files.")
    ] = "user",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the difference; write nothing.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take back all that was written here.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Write the registrations into the files of Claude Code and Claude Desktop, for people without the plugin.

    Shows the difference first, and keeps what was there. Without a choice: Claude Code, and what else is installed.
    """
    with refusals(as_json):
        from trichrome import config
        from trichrome.cli.integrating import planning, recording
        from trichrome.roles import load_roles

        project = _project()
        places = planning.Places(project, "project" if roles else scope)
        record = recording.Record(places)
        asked: dict[Part, bool] = {
            "claude-code": claude_code,
            "desktop": desktop,
            "superclaude": superclaude,
            "roles": roles,
        }
        chosen = _chosen(places, asked) | record.parts()
        if undo:
            changes = list(record.undone())
            wishes = []
        else:
            if chosen & {"claude-code", "superclaude"}:
                planning.check_plugin(places)
            settings = None if project is None else config.load(project).config.roles
            wishes = list(planning.wishes(chosen, places, load_roles(project, settings)))
            changes = record.planned(wishes)
        needed = [change for change in changes if change.is_needed]
        if not as_json:
            _show(needed, chosen, is_undo=undo)
        if needed and not dry_run and _agreed(needed, yes=yes, as_json=as_json):
            try:
                kept = record.kept() if undo else []
                record.undo() if undo else record.write(changes, wishes, chosen)
            except OSError as error:
                raise InvalidError(
                    f"{error.filename} cannot be written: {error.strerror}. What was written before it is noted: "
                    "mend that and run this again, or take all back with `trichrome integrate --undo`."
                ) from error
            _tell(needed, kept, is_undo=undo, as_json=as_json)
        elif as_json:
            document({"changed": [], "would_change": [str(each.file) for each in needed]})
        elif not needed:
            say("There is nothing to take back." if undo else "All of it is there already.")


def _project() -> Path | None:
    """The project folder; None outside of any, as in the home folder."""
    from trichrome import config

    try:
        return config.project_folder()
    except InvalidError:
        return None


def _chosen(places: Places, asked: Mapping[Part, bool]) -> set[Part]:
    if any(asked.values()):
        return {part for part, is_asked in asked.items() if is_asked}
    has_desktop = places.desktop.parent.is_dir() and places.project is not None
    return {"claude-code", "desktop"} if has_desktop else {"claude-code"}


def _show(changes: Iterable[Change], chosen: set[Part], *, is_undo: bool) -> None:
    if not is_undo:
        note(f"For {', '.join(sorted(chosen))}.")
    for change in changes:
        before, after = (_lines(text) for text in (change.before, change.after))
        for line in difflib.unified_diff(before, after, str(change.file), str(change.file), lineterm="", n=2):
            _say_coloured(line)


def _lines(text: str | None) -> list[str]:
    return (text or "").removeprefix("\ufeff").splitlines()


def _say_coloured(line: str) -> None:
    if not is_terminal():
        say(line)
        return
    from rich.text import Text

    from trichrome.cli.output import console

    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
    console().print(Text(line, style=style), soft_wrap=True)


def _agreed(changes: list[Change], *, yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidError("Nobody is there to ask, so nothing was written. Look with --dry-run, then add --yes.")
    return typer.confirm(f"Change {counted(len(changes), 'file')}?", err=True)


def _tell(changes: list[Change], kept: list[Path], *, is_undo: bool, as_json: bool) -> None:
    told: dict[str, Any] = {"changed": [str(each.file) for each in changes], "kept": [str(each) for each in kept]}
    if as_json:
        document(told)
        return
    say(
        f"Changed {counted(len(changes), 'file')}."
        + ("" if is_undo else " To take it back: trichrome integrate --undo")
    )
    for path in kept:
        note(f"{path} was changed since, so it stays. Remove it yourself if you no longer need it.")
    if not is_undo:
        note("Restart Claude to have it.")
