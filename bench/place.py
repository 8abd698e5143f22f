"""Where a benchmark works: a scratch folder on the disk of this checkout, since a disk in memory syncs nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from trichrome.bootstrap import Project, open_project

Durability = Literal["full", "fast"]
SCRATCH = Path(__file__).parent / ".scratch"


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def project(durability: Durability = "full", folder: Path | None = None) -> Iterator[Project]:
    """A fresh project in a scratch folder, or the one in `folder`, opened as the server opens it."""
    if folder is None:
        with scratch() as fresh, project(durability, fresh) as opened:
            yield opened
        return
    opened = open_project(folder, environment={}, flags={"durability": durability})
    try:
        yield opened
    finally:
        opened.close()
