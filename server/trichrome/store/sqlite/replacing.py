"""The one way to put a new log in the log's place: alone with it, made ready beside it, and told to all who wait.

Guarantee: the new log is complete before it becomes the log. Until then the old one is as it was, whatever crashes, and
what a crash leaves behind the next replacement removes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from trichrome.store.sqlite.alone import alone
from trichrome.store.sqlite.errors import translated
from trichrome.store.sqlite.succession import succeed, told
from trichrome.store.sqlite.watch import Bell

SCRATCH: Final = "successor-"
"""How the folder begins in which a successor is made ready; one that is left behind may be removed by who is alone."""


@dataclass(slots=True)
class Replacement:
    """A log that is to take another one's place.

    Attributes:
        file: where it has to be made, in a folder of its own.
        aside: the folder that holds the old files; None until it is done.
    """

    file: Path
    aside: Path | None = None


@contextmanager
def replacing(path: Path) -> Iterator[Replacement]:
    """Be alone with a log; what is made inside as its successor is the log afterwards. Nothing made, nothing replaced.

    Whoever is inside opens no store of that path: it would wait for itself.

    Raises:
        StoreUnavailableError: others did not let go of the log in time, or the disk refused. The log is as it was.
    """
    with alone(path), translated(path):
        with told(path):
            scratch = _scratch(path)
        try:
            new = Replacement(scratch / path.name)
            yield new
            if new.file.exists():
                new.aside = succeed(path, new.file)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if new.aside is not None:
        Bell(path).ring()


def _scratch(path: Path) -> Path:
    for left in path.parent.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    return Path(mkdtemp(prefix=SCRATCH, dir=path.parent))
