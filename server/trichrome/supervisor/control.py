"""How commands and the supervisor of a project find each other: one lock, two documents in the log.

Guarantee: at most one supervisor a project, whatever was killed, since the kernel lets go of its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from trichrome.coordinator import Coordinator, supervision
from trichrome.errors import ConflictError, InvalidError, NotFoundError, StoreUnavailableError

_LOCK: Final = "supervisor.lock"
_ORDERS_LOCK: Final = "orders.lock"
_ASKS_SECONDS: Final = 2.0
"""A command that only asks whether the lock is held, holds it for a moment itself."""
_ORDERS_SECONDS: Final = 10.0

Orders = dict[str, Any]


@contextmanager
def alone(c: Coordinator, data: Path) -> Iterator[Callable[[], bool]]:
    """Be the one supervisor of a project; gives a question: whether the lock is still the project's.

    It is not once somebody removed it, with the rest of `.trichrome`: another supervisor may have the new one.

    Raises:
        ConflictError: `worker_in_use`, when there is one.
    """
    lock = FileLock(data / _LOCK, mode=0o600)
    try:
        lock.acquire(timeout=_ASKS_SECONDS)
    except Timeout:
        raise ConflictError(_taken(c), code="worker_in_use") from None
    mine = _identity(data / _LOCK)
    try:
        yield lambda: _identity(data / _LOCK) == mine
    finally:
        lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        there = path.stat()
        return there.st_dev, there.st_ino
    return None


def _taken(c: Coordinator) -> str:
    told = supervision.fleet(c)
    which = f" (process {told['supervisor']['pid']})" if told is not None else ""
    if told is not None and told["stopping"]:
        return (
            f"A supervisor runs here already{which}, and is stopping, so none was started. Wait until it is gone, or "
            "end it with `trichrome stop --force`; then start again."
        )
    return (
        f"A supervisor runs here already{which}, so none was started. `trichrome workers` shows what it does, "
        "`trichrome scale ROLE=N` changes how many workers it keeps, `trichrome stop` ends it."
    )


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
