"""What of the folder `.trichrome` no session may read.

It holds the log, what other sessions wrote, and the servers of a session with their keys. Notes, artifacts, roles and
workspaces beside them are for all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDERS: Final = ("backups", "logs", "scratch")
"""The private folders; the files beside them, such as the log and the configuration, are private too."""


def is_private(path: Path, data: Path) -> bool:
    """Whether a path, free of links, is one of these, or leads into one.

    Args:
        path: what somebody wants to read.
        data: the `.trichrome` folder, free of links.
    """
    if not path.is_relative_to(data) or path == data:
        return False
    first, *more = path.relative_to(data).parts
    return first in FOLDERS or (not more and not path.is_dir())
