"""Where the project is, why there, and on what."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

NETWORK: Final = frozenset(
    {
        "9p",
        "afpfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "fuse.ceph",
        "fuse.davfs",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "fuse.vmhgfs-fuse",
        "glusterfs",
        "gpfs",
        "lustre",
        "nfs",
        "nfs4",
        "prl_fs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "webdav",
    }
)
"""File systems that several machines may write, so that one machine's locks and shared memory do not hold."""


def project() -> tuple[Path, str]:
    """The project folder, and why it is that one.

    Raises:
        InvalidError: there is none that may be used.
    """
    from trichrome.config import project_folder

    chosen = project_folder()
    if os.environ.get("TRICHROME_HOME"):
        return chosen, "TRICHROME_HOME names it"
    if named := os.environ.get("CLAUDE_PROJECT_DIR"):
        began, why = Path(named).resolve(), "Claude Code was started there"
    else:
        began, why = Path.cwd().resolve(), "it is the current folder"
    return chosen, why if chosen == began else f"it is the main worktree of the git repository that holds {began}"


def is_open(folder: Path) -> bool:
    """Whether this user can see what a project's `.trichrome` folder holds; one that is not there holds nothing."""
    from trichrome.config import FOLDER

    return not (folder / FOLDER).exists() or os.access(folder / FOLDER, os.R_OK | os.X_OK)


def file_system(folder: Path) -> tuple[str, bool]:
    """The kind of file system a folder is on (empty when nobody knows), and whether it is a network's."""
    import psutil

    best, kind = "", ""
    for partition in psutil.disk_partitions(all=True):
        mounted = partition.mountpoint
        if folder.is_relative_to(mounted) and len(mounted) >= len(best):
            best, kind = mounted, partition.fstype
    return kind, kind.lower() in NETWORK
