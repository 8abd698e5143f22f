"""The demo with a model: a supervisor keeps the workers, until nothing is left to do."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.runners.port import Runner
    from trichrome.supervisor.supervisor import Done, Supervisor

MOST_USD: Final = 5.0
"""No session is begun that would take the demo over this."""


def supervised(
    project: Project, runner: Runner, roles: Sequence[str], look: Callable[[], object]
) -> tuple[Done, int | None]:
    """Have supervised workers do what there is; when this returns, nothing of them runs.

    Args:
        project: whose tasks they do.
        runner: what starts their sessions.
        roles: one worker each.
        look: called whenever something happened.

    Returns:
        How it ended, and the signal that stopped it; None when it ended by itself.
    """
    from trichrome.supervisor import keeping
    from trichrome.supervisor.signals import handed

    supervisors: list[Supervisor] = []

    def tell(_worker: str, _event: str, **_facts: Any) -> None:
        look()

    with handed() as signals:

        def begun(supervisor: Supervisor) -> None:
            signals.hand_to(supervisor)
            supervisors.append(supervisor)

        done = keeping.keep(
            project, runner, Counter(roles), max_cost=MOST_USD, until_idle=True, tell=[tell], begun=begun
        )
    look()
    return done, signal.SIGINT if any(each.fleet.stopping for each in supervisors) else None
