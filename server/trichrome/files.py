"""Names that are free, and names that the disk keeps."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path


def stamps(wall: float) -> Iterator[str]:
    """A moment as names have it, in UTC; then the same with 2, 3 and so on, for whoever finds it taken."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))
    yield stamp
    for count in itertools.count(2):
        yield f"{stamp}-{count}"


def sync(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
