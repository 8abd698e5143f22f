"""What a supervisor has left that died, and the workspaces that nobody needs any more.

Guarantee: while a supervisor runs, nothing of its is named or touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from trichrome.cli.project import Place
from trichrome.cli.repair.words import Orphan
from trichrome.errors import ConflictError, TrichromeError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.coordinator.supervision import Document

_LOOK = "trichrome workspaces"


def found(place: Place, project: Project) -> Iterator[Orphan]:
    """Everything of it."""
    from trichrome.coordinator import supervision
    from trichrome.supervisor import control

    told = supervision.fleet(project.coordinator)
    runs = control.is_running(place.folder)
    if told is not None and not runs:
        yield from _died(told)
    mine = {worker["task"] for worker in (told["workers"] if told is not None else ()) if "task" in worker}
    try:
        yield from _workspaces(place, mine, runs=runs)
    except TrichromeError as error:
        yield Orphan(f"workspaces cannot be looked at: {error.message}", look=_LOOK)


def _died(told: Document) -> Iterator[Orphan]:
    import psutil

    from trichrome.supervisor import marks

    pid, mark = told["supervisor"]["pid"], told["supervisor"]["supervision"]
    yield Orphan(f"the supervisor (process {pid}) died, and what it had begun is not put away", is_wrong=True)
    for process in marks.carrying(marks.SUPERVISION, mark):
        with suppress(psutil.Error):
            yield Orphan(
                f"process {process.pid} ({process.name()}): the supervisor that started it died", is_wrong=True
            )


def _workspaces(place: Place, mine: set[str], *, runs: bool) -> Iterator[Orphan]:
    """Folders of tasks that no worker of the supervisor has in hand; where one runs, only those with work in them."""
    from trichrome.supervisor.workspaces import Workspaces

    for line in Workspaces(place.project, place.folder).listing():
        if line.path is None or line.task in mine:
            continue
        where = line.path.relative_to(place.folder.resolve())
        if line.note is not None:
            yield Orphan(f"{where} is kept: {line.note}", look=_LOOK)
        elif not runs:
            yield Orphan(f"{where}: nobody works there, and all that was done is in its branch")


def heal(place: Place, project: Project) -> list[str]:
    """End and put away what a dead supervisor left; answers what has to stay, in words."""
    from trichrome.supervisor import control, healing
    from trichrome.supervisor.workspaces import Workspaces

    with suppress(ConflictError), control.alone(project.coordinator, place.folder):  # one that runs has healed it
        healed = healing.heal(project.coordinator, place.project, place.folder)
        if healed is not None:
            return [f"kept {each}" for each in healed.kept]
        Workspaces(place.project, place.folder).sweep(keep=())
    return []
