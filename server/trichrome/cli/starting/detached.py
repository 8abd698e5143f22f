"""The supervisor as a process of its own, which goes on when this one is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import note, one_line
from trichrome.coordinator import supervision
from trichrome.errors import StoreUnavailableError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.cli.starting import Wanted

_LOG: Final = "supervisor.out"
"""What the process says beside what the workers' logs tell: how it ended, or what ended it."""
_LOOK_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 5.0
"""How long nobody wonders what `start` is doing."""
_TAIL_LINES: Final = 20
_TAIL_CHARS: Final = 1000


def begin(project: Project, wanted: Wanted, *, runner: str | None) -> int:
    """Start the process that goes on, and wait until it keeps its workers; answers its number.

    It may first put in order what an earlier supervisor left, for as long as that takes. Whoever does not wait for it
    (Ctrl-C) gives it up: it is asked to leave.

    Args:
        project: whose tasks its workers do.
        wanted: which workers.
        runner: the runner as it was named on the command line; None for that of the settings.

    Raises:
        StoreUnavailableError: it ended; with its last words.
    """
    path = _emptied(project.data / "logs")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as log:  # noqa: PTH123  opened with its mode
        child = subprocess.Popen(  # -P: a `json.py` in the project must not become the supervisor's
            [sys.executable, "-P", "-m", "trichrome", "start", "--quiet", *_arguments(wanted, runner)],
            cwd=project.folder,
            env={**os.environ, "TRICHROME_HOME": str(project.folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        ended = _until_up(project, child)
    except BaseException:
        child.terminate()
        raise
    if ended:
        raise StoreUnavailableError(
            f"The supervisor ended with {ended}. Nothing is lost. Its last words: {_tail(path)} `trichrome start` "
            "without --detach shows more."
        )
    return child.pid


def _emptied(logs: Path) -> Path:
    """The file for what it says, with what the one before said kept beside it."""
    logs.mkdir(mode=0o700, exist_ok=True)
    path = logs / _LOG
    if path.exists():
        path.replace(path.with_name(f"{_LOG}.1"))
    return path


def _arguments(wanted: Wanted, runner: str | None) -> list[str]:
    arguments = [word for role, number in wanted.scale.items() for word in ("--role", f"{role}={number}")]
    arguments += ["--runner", runner] if runner is not None else []
    arguments += ["--until-idle"] if wanted.until_idle else []
    return arguments + (["--max-cost", str(wanted.max_cost)] if wanted.max_cost is not None else [])


def _until_up(project: Project, child: subprocess.Popen[bytes]) -> int | None:
    """Wait until it keeps its workers (None) or has ended: answers with what, 0 where there was nothing to do."""
    patient_until = time.monotonic() + _PATIENCE_SECONDS
    is_told = False
    while (ended := child.poll()) is None:
        told = supervision.fleet(project.coordinator)
        if told is not None and told["supervisor"]["pid"] == child.pid:
            return None
        if not is_told and time.monotonic() > patient_until:
            note("Not up yet: it puts in order what an earlier supervisor left. Ctrl-C gives it up.")
            is_told = True
        time.sleep(_LOOK_SECONDS)
    return ended


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    return one_line(" ".join(lines), most=_TAIL_CHARS) or "none."
