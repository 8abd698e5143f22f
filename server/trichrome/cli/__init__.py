"""The command line: each command in a module of its own, imported when it is called.

Guarantees: nothing here imports the MCP SDK; exit codes are 0 well, 1 refused or failed, 2 usage, 3 timed out, 130
interrupted; with `--json` standard output carries one JSON document, or one object a line for `events`, and nothing
else, refusals included.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import typer.main
from typer.core import TyperCommand, TyperGroup

GROUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "Working with tasks": {
        "route": "route",
        "create": "create",
        "list": "tasks",
        "show": "tasks",
        "amend": "steering",
        "cancel": "steering",
        "retry": "steering",
        "approve": "steering",
        "reject": "steering",
        "merge": "merge",
    },
    "Working with runs": {
        "wait": "wait",
        "pause": "steering",
        "resume": "steering",
    },
    "Workers": {
        "start": "start",
        "stop": "stop",
        "restart": "stop",
        "scale": "scale",
    },
    "Looking": {
        "status": "status",
        "workers": "workers",
        "logs": "logs",
        "workspaces": "workspaces",
        "explain": "tasks",
        "events": "events",
    },
    "Looking after": {
        "repair": "repair",
        "backup": "backup",
        "restore": "backup",
        "torture": "torture",
    },
    "Setting up": {
        "demo": "demo",
        "init": "init",
        "integrate": "integrate",
        "doctor": "doctor",
        "mcp": "mcp",
        "version": "version",
    },
}
"""Every command by its group, with the module below `trichrome.cli` that holds it."""

OPERATORS: Final = frozenset(
    {
        *("create", "amend", "cancel", "retry", "approve", "reject", "merge", "pause", "resume"),
        *("start", "stop", "restart", "scale", "repair", "restore"),
    }
)
"""The commands that decide over work; a worker's session reports, and decides nothing."""

_ABOUT: Final = """Multi-Claude orchestration: several Claude instances work on one request.

Blue searches, green writes code, red reviews. They coordinate through one durable log in the project's .trichrome
folder, which these commands read and write too.
"""
_SESSION: Final = "TRICHROME_SESSION"
"""The mark of a supervised worker's session, which every process in it inherits."""
_NEXT: Final = "`trichrome COMMAND --help` tells more, with an example. New here? Try `trichrome demo`."


class _Commands(Mapping[str, TyperCommand]):
    """The commands by name, without some; looking one up imports its module."""

    def __init__(self, without: Collection[str]) -> None:
        self._modules = {
            name: module for group in GROUPS.values() for name, module in group.items() if name not in without
        }

    def __getitem__(self, name: str) -> TyperCommand:
        app = import_module(f"trichrome.cli.{self._modules[name]}").app
        found = typer.main.get_command(app)
        return cast("TyperCommand", found.commands[name] if isinstance(found, TyperGroup) else found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


class _Root(TyperGroup):
    """`trichrome` itself: the list of commands by group."""

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """Write each group with its commands and what they do."""
        room = formatter.width - 4 - max(map(len, self.commands))
        for title, names in GROUPS.items():
            rows = [(name, self.commands[name].get_short_help_str(room)) for name in names if name in self.commands]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is meant; one of the operator's is refused to a worker's session."""
        name, command, rest = super().resolve_command(ctx, args)
        is_help = {"-h", "--help"} & set(rest)
        if name in OPERATORS and not is_help and _SESSION in os.environ:
            from trichrome.cli.output import refusals
            from trichrome.errors import NotPermittedError

            with refusals("--json" in rest):
                raise NotPermittedError(
                    f"`trichrome {name}` is for the operator, and this is a worker's session, so nothing was done. "
                    "Report what should happen: with `report_result` and its `follow_ups`, or `send_message`."
                )
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; the refusal of an option that it does not have names all that it has."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter.__base__ as error:  # type: ignore[misc]  # every misuse; typer exports no name for it
            if hasattr(error, "possibilities"):
                options = (each for each in error.ctx.command.params if each.param_type_name == "option")
                error.possibilities = [each.opts[0] for each in options if not each.hidden]
            raise


def commands(*, about: str = _ABOUT, after: str = _NEXT, without: Collection[str] = ()) -> TyperGroup:
    """The command `trichrome`, with all that it can do but for some; `about` and `after` frame its help."""
    return _Root(
        name="trichrome",
        help=about,
        epilog=after,
        commands=cast("dict[str, Any]", _Commands(without)),
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def main(arguments: Sequence[str]) -> int:
    """Run a command line; answers the exit code."""
    if sys.stdout is None:
        _last_word("standard output is closed, so nothing was done.")
        return 1
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the terminal's alphabet may be small
    try:
        commands().main(args=_asked(arguments), prog_name="trichrome")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except OSError as error:
        if error.filename is not None:
            raise
        _last_word(f"the answer cannot be written: {error.strerror}.")
        _forget_what_cannot_be_written()
        return 1
    return 0


def _last_word(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(f"trichrome: {text}\n")
            sys.stderr.flush()


def _open_what_is_closed() -> None:
    """Stand in for an input and an error stream that were closed: Python has none then, and nothing expects that."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  it lives as long as the process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it lives as long as the process


def _forget_what_cannot_be_written() -> None:
    """Let the flush at exit succeed: what is still held would fail again, with a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    os.close(nowhere)


def _asked(arguments: Sequence[str]) -> list[str]:
    """The command line that is meant: nothing at all asks for help, and everybody tries `--version`."""
    match list(arguments):
        case []:
            return ["--help"]
        case ["--version"]:
            return ["version"]
        case asked:
            return asked
