"""Hooks that are plain files

The whole run of each command hook, as Claude Code starts it: a bare Python, one line that opens the file, the hook's
input on a pipe, until the process is over. The floor, in turns with it, is the same Python with nothing to do. Most
runs are the short ones: a command without a flag, a shell command of a person; `expand` with a flag makes a plan.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.measure import Aim, Figure, Scale, Spread, Taken, interleaved, ratio
from bench.place import scratch
from trichrome.hooks import FOLDER
from trichrome.hooks.table import hooks

AIM: Final = Aim("at most", 40.0)
"""Milliseconds above the floor."""
_BASH: Final = {"tool_name": "Bash", "tool_input": {"command": "cd src && git commit -am 'one'"}}
RUNS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "expand.plain": (
        "expand",
        "a slash command without a flag",
        {"command_name": "trichrome:search", "command_args": "auth patterns"},
    ),
    "expand.plan": (
        "expand",
        "one with --multi-agent: flags, routing, plan, instructions",
        {"command_name": "trichrome:search", "command_args": '"auth patterns" --multi-agent --parallel'},
    ),
    "guard.person": ("guard", "a shell command with git, of a person", _BASH),
    "guard.worker": ("guard", "the same of a worker", {**_BASH, "agent_type": "trichrome:green"}),
}


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    with scratch() as folder:
        for name, (file, says, told) in RUNS.items():
            work = {"ours": _runner(_command(file), told, folder), "floor": _runner(_BARE, told, folder)}
            samples = interleaved(scale.of(40, 8), {who: _milliseconds(run) for who, run in work.items()})
            above = [one - other for one, other in zip(samples["ours"], samples["floor"], strict=True)]
            taken.add(
                Figure(
                    f"hooks.{name}",
                    says,
                    "ms",
                    Spread.of(samples["ours"]),
                    Spread.of(samples["floor"]),
                    "a bare Python",
                    ratio(samples["ours"], samples["floor"]),
                )
            )
            taken.add(Figure(f"hooks.{name}.above", f"{says}: above the bare Python", "ms", Spread.of(above), aim=AIM))
    return taken


_BARE: Final = [sys.executable, "-I", "-S", "-c", "pass"]


def _command(file: str) -> list[str]:
    for groups in hooks("trichrome", str(FOLDER), python=sys.executable).values():
        for handler in (handler for group in groups for handler in group["hooks"]):
            if handler["type"] == "command" and Path(handler["args"][-1]).stem == file:
                return [handler["command"], *handler["args"]]
    raise LookupError(file)


def _runner(command: list[str], told: dict[str, Any], folder: Path) -> Callable[[], object]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    asked = json.dumps({**told, "cwd": str(folder)})
    return lambda: subprocess.run(
        command, input=asked, capture_output=True, text=True, cwd=folder, env=environment, check=True, timeout=30
    )


def _milliseconds(run: Callable[[], object]) -> Callable[[], float]:
    import time

    def timed() -> float:
        begin = time.perf_counter()
        run()
        return (time.perf_counter() - begin) * 1000

    return timed
