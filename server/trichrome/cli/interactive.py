"""The prompt of `start --interactive`: the commands of the shell, beside a board that shows tasks and workers live.

A line is what the shell would be given, with or without `trichrome` before it, and is run by the same commands.
Whatever a line does, the prompt goes on; it ends with `quit`, `stop`, Ctrl-D, or Ctrl-C and a yes.
"""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from trichrome.cli import commands
from trichrome.cli.output import STYLES, note, one_line, say
from trichrome.cli.workers import at, listing, money, reason
from trichrome.coordinator.evidence import shown
from trichrome.domain.tasks import STATES
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from typer.core import TyperGroup

    from trichrome.bootstrap import Project

_ABOUT: Final = "The commands of the shell, with or without `trichrome` before them."
_LEAVING: Final = (
    "`quit`, `stop` or Ctrl-D stops the workers, gives them the grace to finish, and leaves; `stop --force` gives none."
)
_NOT_HERE: Final = ("demo", "init", "mcp", "repair", "restore", "start", "torture")
"""Commands that want a terminal, or a project, for themselves."""
_PROMPT: Final = "trichrome> "
_REFRESH_SECONDS: Final = 0.5
_MOST_WORKERS: Final = 12
"""Workers on the board; a terminal must have room for what is typed."""


def check_terminal() -> None:
    """Refuse where nobody can type, or see the board.

    Raises:
        InvalidError: with what to do instead.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidError(
            "--interactive needs a terminal for its prompt, and there is none here; nothing was started. Leave it out,"
            " or start with --detach and look with `trichrome workers` and `trichrome logs --follow`.",
            field="interactive",
        )


class _Closed(BaseException):
    """The terminal was closed, or somebody ends this process; no command may take it for a failure of its own."""


def run(project: Project) -> None:
    """Read commands at the terminal and run them, until the person there wants to leave or closes the terminal.

    The prompt says that leaving stops the workers; the caller does that.

    Raises:
        InvalidError: there is no terminal.
    """
    check_terminal()
    from prompt_toolkit.patch_stdout import patch_stdout

    board = _Board(project)
    try:
        with _closing(), patch_stdout(raw=True):  # commands clean what they print, and may colour it
            say(f"Project {project.folder}. `help` lists the commands. {_LEAVING}")
            _converse(_session(board), commands(about=_ABOUT, after=_LEAVING, without=_NOT_HERE))
    except _Closed:
        return
    finally:
        board.close()


@contextmanager
def _closing() -> Iterator[None]:
    """Raise `_Closed` at what would end this process without a word to the workers."""

    def close(_number: int, _frame: FrameType | None) -> None:
        raise _Closed

    before = {number: signal.signal(number, close) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _session(board: _Board) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.styles import Style

    return PromptSession(
        _PROMPT,
        bottom_toolbar=board.drawn,
        refresh_interval=_REFRESH_SECONDS,
        completer=WordCompleter(["help", "quit", *commands(without=_NOT_HERE).commands], sentence=True),
        complete_while_typing=False,
        style=Style.from_dict({"bottom-toolbar": "noreverse"}),
    )


def _converse(session: PromptSession[str], group: TyperGroup) -> None:
    while True:
        try:
            line = session.prompt()
        except EOFError:
            return
        except KeyboardInterrupt:
            if _wants_to_leave(session):
                return
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            note(f"That line cannot be read: {error}. Put text with spaces or apostrophes into double quotes.")
            continue
        if words[:1] == ["trichrome"]:
            words = words[1:]
        match words:
            case []:
                pass
            case ["quit" | "exit"]:
                return
            case ["help", *about]:
                _do(group, [*about, "--help"])
            case ["stop", *options]:
                if _do(group, words) == 0 and not {"-h", "--help"} & set(options):
                    return
            case ["start", *_]:
                note("The supervisor runs already: `scale ROLE=N` changes how many workers it keeps, `stop` ends it.")
            case [name, *_] if name in _NOT_HERE:
                note(f"`{name}` wants a terminal for itself: run `trichrome {name}` in another one.")
            case _:
                _do(group, words)


def _wants_to_leave(session: PromptSession[str]) -> bool:
    """Ask; whoever presses Ctrl-C or Ctrl-D again means it."""
    try:
        return session.prompt("Stop the workers and leave? [y/N] ").strip().lower() in ("y", "yes")
    except (KeyboardInterrupt, EOFError):
        return True
    finally:
        session.message = _PROMPT


def _do(group: TyperGroup, words: list[str]) -> int:
    """Run one command, which says itself what is amiss; answers its exit code."""
    try:
        group.main(args=words, prog_name="trichrome")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001  the prompt goes on, whatever a command ran into
        note(f"trichrome: {words[0]} failed: {one_line(repr(error))}. What it had done is kept; `doctor` looks closer.")
    return 1


# --- the board --------------------------------------------------------------------------------------------------------


class _Board:
    """Tasks by state, spend, and a line a worker; looked up anew when the log has changed, twice a second at most."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._c = project.coordinator
        self._watch = self._c.store.watch()
        self._mark: object = None
        self._again = 0.0
        self._drawn: StyleAndTextTuples = []

    def drawn(self) -> StyleAndTextTuples:
        """The board as styled text, as it is now."""
        now = time.monotonic()
        if now >= self._again:
            self._again = now + _REFRESH_SECONDS
            if (mark := self._watch.mark()) != self._mark:
                self._mark = mark
                self._drawn = list(self._lines())
        return self._drawn

    def _lines(self) -> Iterator[tuple[str, str]]:
        with self._c.store.reading() as view:
            counts = view.count_tasks()
        found = listing(self._project)
        yield "bold", "Tasks  "
        told = [(STYLES[state], f"{counts[state]} {shown(state)}") for state in STATES if counts.get(state)]
        for number, (style, text) in enumerate(told or [("", "none yet")]):
            yield "", "  " if number else ""
            yield style, text
        if "supervisor" in found:
            yield "", f"   {money(found['supervisor']['cost_usd'])} spent"
        else:
            yield "bold", "   No supervisor runs: the workers are stopped. `quit` leaves."
        for line in found["workers"][:_MOST_WORKERS]:
            yield "", f"\n{one_line(line['worker'], most=14):<14} "
            yield STYLES.get(line["state"], ""), f"{shown(line['state']):<17} "
            yield "", one_line(f"{at(line):<7} {reason(line)}")
        if (more := len(found["workers"]) - _MOST_WORKERS) > 0:
            yield "", f"\nand {more} more: `workers` shows them"

    def close(self) -> None:
        """Let go of the watch."""
        self._watch.close()
