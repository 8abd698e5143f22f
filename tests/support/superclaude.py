"""SuperClaude from its own package, installed by its own installer into the home of a test."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path


def install(home: Path, config: Path) -> None:
    """Install it for the user whose home this is, where Claude Code with that configuration folder finds it."""
    command = [str(Path(sys.executable).parent / "superclaude"), "install"]
    environment = {**os.environ, "HOME": str(home)}
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
    shutil.copytree(home / ".claude", config, dirs_exist_ok=True)


def digests(config: Path) -> dict[str, str]:
    """The digest of every file that it installed."""
    files = [path for part in ("commands", "agents") for path in sorted((config / part).rglob("*")) if path.is_file()]
    return {str(path.relative_to(config)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
