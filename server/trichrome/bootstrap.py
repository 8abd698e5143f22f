"""The composition root: the one place that picks adapters and puts the parts together."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trichrome import config as configuration
from trichrome.clock import Clock, SystemClock
from trichrome.config import FOLDER, LOG_FILE, Loaded
from trichrome.coordinator import Coordinator, Senses, Settings
from trichrome.processes import ProcessRef, at_work, is_alive, is_stopped, this_machine
from trichrome.roles import Roles, load_roles
from trichrome.store.port import Store


@dataclass(frozen=True, slots=True)
class Project:
    """An opened project."""

    folder: Path
    data: Path
    loaded: Loaded
    roles: Roles
    coordinator: Coordinator

    def close(self) -> None:
        """Let go of the log."""
        self.coordinator.store.close()


def open_project(
    folder: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    clock: Clock | None = None,
) -> Project:
    """Open the project that the environment, or the current folder, means; its log is made at the first time.

    The clock is the machine's own unless another is given.

    Raises:
        TrichromeError: `invalid` for a setting, `store_unavailable`, `store_too_new`, `not_permitted`.
    """
    chosen = configuration.project_folder(environment) if folder is None else folder
    data = configuration.open_folder(chosen)
    loaded = configuration.load(chosen, environment=environment, flags=flags)
    clock = SystemClock() if clock is None else clock
    return _project(chosen, loaded, clock, lambda: _store(data, loaded, clock))


def look_at(folder: Path, *, environment: Mapping[str, str] | None = None) -> Project:
    """Open a project whose log is there, to look at it and nothing else: nothing is made, migrated or written.

    Raises:
        TrichromeError: as `open_project`.
    """
    from trichrome.store.sqlite.looking import ReadOnlyStore

    configuration.check_folder(folder)
    loaded = configuration.load(folder, environment=environment)
    clock = SystemClock()
    return _project(folder, loaded, clock, lambda: ReadOnlyStore(folder / FOLDER / LOG_FILE, clock))


def open_successor(folder: Path, log: Path) -> Project:
    """Open a project on a log that a repair has made, and not put in its place yet.

    Raises:
        TrichromeError: as `open_project`.
    """
    from trichrome.store.sqlite import SqliteStore

    clock = SystemClock()
    return _project(folder, configuration.load(folder), clock, lambda: SqliteStore(log, clock))


def _project(folder: Path, loaded: Loaded, clock: Clock, store: Callable[[], Store]) -> Project:
    settings = loaded.config
    machine = this_machine()
    roles = load_roles(folder, settings.roles)
    coordinator = Coordinator(
        store=store(),
        clock=clock,
        roles={name: policy.kinds for name, policy in roles.policies.items()},
        settings=Settings(
            max_attempts=settings.max_attempts,
            time_limit_seconds=settings.time_limit_seconds,
            backoff_seconds=settings.backoff_seconds,
            backoff_cap_seconds=settings.backoff_cap_seconds,
            max_review_rounds=settings.max_review_rounds,
            on_lead_gone=settings.on_lead_gone,
        ),
        machine=(machine.host, machine.boot, machine.pid_namespace),
        is_alive=lambda process: is_alive(ProcessRef(*process)),
        senses=Senses(
            is_stopped=lambda process: is_stopped(ProcessRef(*process)),
            at_work=lambda client, server: at_work(ProcessRef(*client), ProcessRef(*server)),
            changed_at=_changed_at,
        ),
        draw=random.random,
        model_of=lambda role: roles.read(role).model,
    )
    return Project(folder, folder / FOLDER, loaded, roles, coordinator)


def _changed_at(path: str) -> float | None:
    try:
        return Path(path).stat().st_mtime
    except (OSError, ValueError):  # a null byte in a path is a ValueError
        return None


def _store(data: Path, loaded: Loaded, clock: Clock) -> Store:
    if loaded.config.store == "memory":
        from trichrome.store.memory import MemoryStore

        return MemoryStore(clock)
    from trichrome.store.sqlite import SqliteStore

    return SqliteStore(
        data / LOG_FILE,
        clock,
        durability=loaded.config.durability,
        backup_every_hours=loaded.config.backup_every_hours,
        backups_kept=loaded.config.backups_kept,
    )
