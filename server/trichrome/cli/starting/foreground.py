"""The supervisor in this process, which tells what happens, a line an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from trichrome.cli.output import document, is_terminal, note, one_line, say

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.cli.starting import Wanted
    from trichrome.supervisor.supervisor import Done, Supervisor

_UNTOLD: Final = frozenset({"said", "put away"})
"""What the workers' logs tell, and one line an event would drown in."""
_PIPED_CHARS: Final = 400
_LONG_CHARS: Final = 80
"""A reason longer than this is told once."""


def keep(
    project: Project, wanted: Wanted, *, begun: Callable[[], object], quiet: bool = False, as_json: bool = False
) -> Done:
    """Keep workers here until a stop is wanted, or nothing is left to do.

    Args:
        project: whose tasks they do.
        wanted: which workers.
        begun: called once this is the project's supervisor.
        quiet: tell nothing of what the workers do but how it ends.
        as_json: tell it to a program.

    Raises:
        TrichromeError: a supervisor runs here already, or the log cannot be used.
    """
    from trichrome.supervisor import keeping
    from trichrome.supervisor.signals import handed

    lines = Lines()

    def begin(supervisor: Supervisor) -> None:
        signals.hand_to(supervisor)
        begun()
        if not as_json:
            say(f"Keeping {wanted.told()} in {project.folder}. Ctrl-C stops; `trichrome workers` shows more.")

    with handed() as signals:
        done = keeping.keep(
            project,
            wanted.runner,
            wanted.scale,
            max_cost=wanted.max_cost,
            until_idle=wanted.until_idle,
            tell=[] if quiet else [_as_document if as_json else lines.tell],
            begun=begin,
        )
    if quiet:
        say(f"The supervisor stopped: {one_line(done.reason)}")
    if not as_json and done.stuck:
        for line in done.stuck:
            note(lines.told(line))
        note("Once that is mended, `trichrome start` again goes on.")
    return done


def _as_document(worker: str, event: str, **facts: Any) -> None:
    document({"worker": worker, "event": event, **{name: value for name, value in facts.items() if value is not None}})


class Lines:
    """What happens, for people. What keeps every worker from working is told at length once."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()

    def tell(self, worker: str, event: str, **facts: Any) -> None:
        """Print an event as a line."""
        if event in _UNTOLD:
            return
        if event == "stopping":
            say(f"{worker:<10} {_stopping(**facts)}")
            return
        at = facts.get("attempt") or facts.get("task") or ""
        why = one_line(str(facts.get("reason") or facts.get("why") or ""))
        cost = facts.get("cost_usd")
        money = f" (${cost:.2f})" if cost else ""
        who = facts.get("who", "") if worker != facts.get("who") else ""
        words = " ".join(filter(None, (event, who, at)))
        say(f"{worker:<10} {self.told(f'{words}: {why}{money}' if why else f'{words}{money}')}")
        if len(why) > _LONG_CHARS:
            self._reasons.add(why)

    def told(self, line: str) -> str:
        """A line with what was told before left out of it."""
        line = one_line(line)
        for reason in self._reasons:
            line = line.replace(reason, "as above")
        return one_line(line, most=None if is_terminal() else _PIPED_CHARS)


def _stopping(*, force: bool, running: list[str], grace_seconds: float | None, **_facts: Any) -> str:
    if not running:
        return "stopping: no session runs"
    if force:
        return f"stopping: {', '.join(running)} ended at once"
    return (
        f"stopping: waits for {', '.join(running)}, {grace_seconds or 0:g} s at most. A second Ctrl-C, or `trichrome"
        " stop --force`, ends them at once."
    )
