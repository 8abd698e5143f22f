"""The composition root: the one place that picks adapters and puts the parts together."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trichrome import config as configuration
from trichrome.clock import SystemClock
from trichrome.config import LOG_FILE, Loaded
from trichrome.coordinator import Coordinator, Settings
from trichrome.processes import ProcessRef, is_alive, this_machine
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
) -> Project:
    """Open the project that the environment, or the current folder, means; its log is made at the first time.

    Raises:
        TrichromeError: `invalid` for a setting, `store_unavailable`, `store_too_new`, `not_permitted`.
    """
    chosen = configuration.project_folder(environment) if folder is None else folder
    data = configuration.open_folder(chosen)
    loaded = configuration.load(chosen, environment=environment, flags=flags)
    settings = loaded.config
    clock = SystemClock()
    machine = this_machine()
    roles = load_roles(chosen, settings.roles)
    coordinator = Coordinator(
        store=_store(data, loaded, clock),
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
        draw=random.random,
    )
    return Project(chosen, data, loaded, roles, coordinator)


def _store(data: Path, loaded: Loaded, clock: SystemClock) -> Store:
    if loaded.config.store == "memory":
        from trichrome.store.memory import MemoryStore

        return MemoryStore(clock)
    from trichrome.store.sqlite import SqliteStore

    return SqliteStore(data / LOG_FILE, clock, durability=loaded.config.durability)
