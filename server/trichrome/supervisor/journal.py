"""What the workers did, in files for people: one rotating file of JSON lines a worker.

`.trichrome/logs/blue-1.log` tells of each session of `blue-1`: started, claimed, said, ended, with the place of its
transcript.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from trichrome import logs

SUPERVISOR: Final = "supervisor"
"""Whose doing it is that concerns no single worker."""


class Journal:
    """The files of all workers; each is opened at its first line."""

    def __init__(self, folder: Path) -> None:
        """For the folder of the logs."""
        self._folder = folder
        self._open: dict[str, tuple[Any, logging.Handler]] = {}

    def tell(self, worker: str, event: str, **facts: Any) -> None:
        """Write one line; facts that are None are left out."""
        if worker not in self._open:
            self._open[worker] = logs.own_file(self._folder / f"{worker}.log")
        known = {name: value for name, value in facts.items() if value is not None}
        self._open[worker][0].info(event, **known)

    def close(self) -> None:
        """Close the files."""
        for _, handler in self._open.values():
            handler.close()
        self._open.clear()
