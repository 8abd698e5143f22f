"""How commands and the supervisor of a project find each other: one lock, two documents in the log.

Guarantees: at most one supervisor a project, whatever was killed, since the kernel lets go of its lock; and what a dead
one left is found by the mark that it wrote down, ended and put away by whoever comes next.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from trichrome.coordinator import Coordinator, liveness, supervision
from trichrome.coordinator.principals import disconnect_gone
from trichrome.domain.ids import TaskId
from trichrome.errors import ConflictError, InvalidError, NotFoundError, StoreUnavailableError, TrichromeError
from trichrome.supervisor import life, limits, marks
from trichrome.supervisor.workspaces import Workspaces

_LOCK: Final = "supervisor.lock"
_ORDERS_LOCK: Final = "orders.lock"
_ASKS_SECONDS: Final = 2.0
"""A command that only asks whether the lock is held, holds it for a moment itself."""
_ORDERS_SECONDS: Final = 10.0
_SWEEP_GRACE_SECONDS: Final = 3.0
_SWEEP_SECONDS: Final = 30.0

Orders = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Healed:
    """What a supervisor that died had left.

    Attributes:
        processes: how many processes of it still ran.
        attempts: those that were ended, since their workers are gone.
        kept: workspaces that stay, a line each.
    """

    processes: int = 0
    attempts: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def told(self) -> str:
        """It in a sentence."""
        parts = [f"ended {self.processes} of its processes"] if self.processes else []
        parts += [f"gave back {', '.join(self.attempts)}"] if self.attempts else []
        parts += [f"kept {each}" for each in self.kept]
        return f"A supervisor had died here: {'; '.join(parts) or 'nothing of it was left'}."


@contextmanager
def alone(c: Coordinator, data: Path) -> Iterator[None]:
    """Be the one supervisor of a project.

    Raises:
        ConflictError: `worker_in_use`, when there is one.
    """
    lock = FileLock(data / _LOCK, mode=0o600)
    try:
        lock.acquire(timeout=_ASKS_SECONDS)
    except Timeout:
        raise ConflictError(
            f"A supervisor runs here already{_pid(c)}, so none was started. `trichrome workers` shows what it does, "
            "`trichrome scale ROLE=N` changes how many workers it keeps, `trichrome stop` ends it.",
            code="worker_in_use",
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_running(data: Path) -> bool:
    """Whether a project has a supervisor now."""
    path = data / _LOCK
    if not path.exists():
        return False
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _pid(c: Coordinator) -> str:
    told = supervision.fleet(c)
    return f" (process {told['supervisor']['pid']})" if told is not None else ""


# --- orders -----------------------------------------------------------------------------------------------------------


def give(c: Coordinator, data: Path, change: Callable[[Orders], None]) -> Orders:
    """Change what is wanted of the supervisor that runs; answers all that is wanted.

    Raises:
        NotFoundError: none runs.
        StoreUnavailableError: another command takes too long.
    """
    if not is_running(data):
        raise NotFoundError("No supervisor runs here, so nothing was changed. `trichrome start` starts one.")
    with _ordering(data):
        wanted = supervision.orders(c)
        change(wanted)
        supervision.put_orders(c, wanted)
    return wanted


def forget_orders(c: Coordinator, data: Path) -> None:
    """Let go of what was wanted of an earlier supervisor."""
    with _ordering(data):
        supervision.put_orders(c, {})


@contextmanager
def _ordering(data: Path) -> Iterator[None]:
    """Be the only one who changes the orders: what one wants must not undo what another does."""
    try:
        with FileLock(data / _ORDERS_LOCK, mode=0o600, timeout=_ORDERS_SECONDS):
            yield
    except Timeout as error:
        raise StoreUnavailableError(
            f"Another command has been giving orders for {_ORDERS_SECONDS:.0f} s, so nothing was changed. Try again."
        ) from error


def check_worker(c: Coordinator, worker: str) -> None:
    """Refuse a worker that the supervisor does not keep.

    Raises:
        NotFoundError: with those that it keeps.
    """
    known = [each["name"] for each in (supervision.fleet(c) or {"workers": []})["workers"]]
    if worker not in known:
        raise NotFoundError(
            f"The supervisor keeps no worker {worker[:80]!r}. It keeps {', '.join(known) or 'none'}.", field="worker"
        )


def check_scale(wanted: int, role: str, *, known: tuple[str, ...], concurrency: int | None) -> None:
    """Refuse a number of workers that a role cannot have.

    Raises:
        InvalidError: `unknown_role`, or more than its concurrency allows.
    """
    if role not in known:
        raise InvalidError(
            f"There is no role {role[:80]!r}. Roles: {', '.join(known)}.", code="unknown_role", field="role"
        )
    if concurrency is not None and wanted > concurrency:
        raise InvalidError(
            f"{role} may have {concurrency} workers at a time, not {wanted}. Ask for fewer, or raise "
            f"`concurrency` under [roles.{role}] in .trichrome/config.toml.",
            field="role",
        )


# --- what a dead one left ---------------------------------------------------------------------------------------------


def heal(c: Coordinator, project: Path, data: Path) -> Healed | None:
    """End and put away what a supervisor left that died; for whoever holds the lock. None when none died.

    Work that was not committed is committed to its task's branch.
    """
    left = supervision.fleet(c)
    shutil.rmtree(data / life.SCRATCH, ignore_errors=True)
    if left is None:
        return None
    mark = left["supervisor"]["supervision"]
    processes = marks.sweep(
        lambda: marks.carrying(marks.SUPERVISION, mark),
        grace_seconds=_SWEEP_GRACE_SECONDS,
        bound_seconds=_SWEEP_SECONDS,
    )
    limits.remove_left()
    workspaces = Workspaces(project, data)
    kept = [line for worker in left["workers"] if "task" in worker for line in _put_away(workspaces, worker["task"])]
    attempts = [str(attempt) for attempt in liveness.sweep(c)]
    disconnect_gone(c)
    supervision.put_fleet(c, None)
    return Healed(processes, tuple(attempts), tuple(kept))


def _put_away(workspaces: Workspaces, task: str) -> list[str]:
    try:
        return [f"{each.path} ({each.note})" for each in workspaces.put_away_all(TaskId(task))]
    except TrichromeError as error:
        return [f"the workspace of {task} ({error.message})"]
