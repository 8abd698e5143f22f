"""Somebody whom modes of files stop, as they do not stop root."""

from __future__ import annotations

import os
import subprocess

from tests.support.commands import BOUND, Ended, Shell

_WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]


def as_anybody(shell: Shell, *arguments: str) -> Ended:
    """Run a command as such a one."""
    before = _WITHOUT_RIGHTS if os.getuid() == 0 else []
    done = subprocess.run(
        [*before, *shell.command(*arguments)],
        cwd=shell.folder,
        env=shell.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
