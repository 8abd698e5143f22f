"""A supervisor put together and run on a project: alone, after what a dead one left is put away, with its reaper.

Guarantee: when `keep` returns or raises, nothing that it started runs, and the log names no fleet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

from trichrome.bootstrap import Project
from trichrome.coordinator import costs, supervision
from trichrome.errors import TrichromeError
from trichrome.processes import this_process
from trichrome.runners.port import Runner
from trichrome.supervisor import control, healing, limits, marks, reaper
from trichrome.supervisor.fleet import Rules
from trichrome.supervisor.journal import SUPERVISOR, Journal
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.means import At, Means, Place, Tell
from trichrome.supervisor.reaper import Reaper
from trichrome.supervisor.session import Session
from trichrome.supervisor.supervisor import Done, Supervisor
from trichrome.supervisor.workspaces import Workspaces

_SWEEP_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 1.0
"""How soon another reaper may follow one; it doubles."""
_LONGEST_PAUSE_SECONDS: Final = 60.0


def usual_rules(project: Project) -> Rules:
    """The numbers that a project's settings give the policy."""
    config = project.loaded.config
    return Rules(stop_grace=config.stop_grace_seconds, backoff=config.restart_backoff_seconds)


def keep(
    project: Project,
    runner: Runner,
    scale: Mapping[str, int],
    *,
    max_cost: float | None = None,
    until_idle: bool = False,
    rules: Rules | None = None,
    tell: Iterable[Tell] = (),
    at: At = lambda _moment: None,
    begun: Callable[[Supervisor], None] = lambda _supervisor: None,
) -> Done:
    """Keep workers until a stop is wanted, or nothing is left to do.

    Args:
        project: whose tasks they do.
        runner: what starts their sessions.
        scale: how many workers each role shall have.
        max_cost: what all sessions may cost, in US dollars.
        until_idle: end once nothing is claimable, running or due.
        rules: the numbers that the policy goes by, instead of those of the settings.
        tell: who else is told what happens, beside the workers' logs.
        at: is told each named moment of a worker's life.
        begun: is given the supervisor before its first turn.

    Raises:
        ConflictError: a supervisor runs here already.
        TrichromeError: the log cannot be used.
    """
    c, config = project.coordinator, project.loaded.config
    with ExitStack() as held:
        is_ours = held.enter_context(control.alone(c, project.data))
        journal = Journal(project.data / "logs")
        held.callback(journal.close)
        listeners = [journal.tell, *tell]

        def tell_all(worker: str, event: str, **facts: Any) -> None:
            for listener in listeners:
                listener(worker, event, **facts)

        healed = healing.heal(c, project.folder, project.data)
        if healed is not None:
            tell_all(SUPERVISOR, "healed", reason=healed.told())
        control.forget_orders(c, project.data)
        supervision_id = secrets.token_hex(8)
        place = Place(
            project.folder,
            project.data,
            this_process(),
            supervision_id,
            Limits(config.session_memory_mib * 1024 * 1024, config.session_processes),
        )
        watchman = _Watchman(supervision_id, project, is_ours, tell_all)
        held.callback(_leave, project, supervision_id, watchman)
        workspaces = Workspaces(project.folder, project.data)
        if (lacking := _lacking(workspaces)) is not None:
            tell_all(SUPERVISOR, "no worktrees", reason=lacking)
        supervisor = Supervisor(
            c,
            Means(
                roles=project.roles,
                runner=runner,
                place=place,
                workspaces=workspaces,
                start=Session.start,
                tell=tell_all,
                at=at,
                check=watchman.check,
            ),
            scale=scale,
            rules=rules or usual_rules(project),
            max_cost=max_cost,
            guess=_guess(scale) if max_cost is not None else 0.0,
            until_idle=until_idle,
        )
        begun(supervisor)
        done = supervisor.run()
        tell_all(SUPERVISOR, "stopped", reason=done.reason, stuck=list(done.stuck) or None)
        return done


def _lacking(workspaces: Workspaces) -> str | None:
    """Why workers that write have no worktree of their own, for people."""
    try:
        lacking = workspaces.lacks()
    except TrichromeError as error:
        return error.message
    return None if lacking is None else f"workers that write work in the project folder itself, since {lacking}"


class _Watchman:
    """Sees to it that there is a reaper, and that the project is still this supervisor's."""

    def __init__(self, supervision_id: str, project: Project, is_ours: Callable[[], bool], tell: Tell) -> None:
        self._supervision = supervision_id
        self._is_ours = is_ours
        self._data = project.data
        self._clock = project.coordinator.clock
        self._tell = tell
        self._reaper: Reaper | None = reaper.start(supervision_id)
        self._pause = _PAUSE_SECONDS
        self._not_before = 0.0

    def check(self) -> str | None:
        """Start another reaper where there is none; answers why the supervisor cannot go on."""
        if not self._is_ours():
            return f"{self._data} was removed or replaced, and with it the log that it works for"
        if self._reaper is not None and self._reaper.is_alive():
            return None
        now = self._clock.now().monotonic
        if now >= self._not_before:
            self._not_before, self._pause = now + self._pause, min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
            self.dismiss()
            self._start()
        return None

    def _start(self) -> None:
        try:
            self._reaper = reaper.start(self._supervision)
        except OSError as error:
            reason = f"no reaper can be started ({error.strerror}): what a `kill -9` leaves, the next start ends"
            self._tell(SUPERVISOR, "refused", reason=reason)
        else:
            self._tell(SUPERVISOR, "reaper started", reason="the one before was gone")

    def dismiss(self) -> None:
        """Let it leave."""
        if self._reaper is not None:
            self._reaper.dismiss()
            self._reaper = None


def _leave(project: Project, supervision_id: str, watchman: _Watchman) -> None:
    """The last look: nothing that bears the mark runs on, and nobody looks for a fleet."""
    marks.sweep(
        lambda: marks.carrying(marks.SUPERVISION, supervision_id), grace_seconds=1.0, bound_seconds=_SWEEP_SECONDS
    )
    limits.remove_left()
    watchman.dismiss()
    with suppress(TrichromeError):  # a log that refuses keeps the document: whoever comes next looks for what it names
        supervision.put_fleet(project.coordinator, None)


def _guess(scale: Mapping[str, int]) -> float:
    """What a session is taken to cost before the first has ended: the dearest role's usual part."""
    return max((costs.expected({role: 1})[1] for role, count in scale.items() if count), default=0.0)
