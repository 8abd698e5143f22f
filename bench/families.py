"""The families of figures, in reading order, and taking one in a process of its own.

Guarantee: when `take` returns or raises, nothing that the family started is still running.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import importlib
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from pydantic import TypeAdapter

from bench.measure import Scale, Taken

FAMILIES: Final = (
    "roundtrip",
    "cycles",
    "peers",
    "size",
    "crowd",
    "start",
    "hooks",
    "waking",
    "rescue",
    "makespan",
    "log",
    "backup",
    "tokens",
    "counts",
)
PACKAGE: Final = "bench"
"""Where their modules are."""
LIMIT_SECONDS: Final = (600, 150)
"""How long one family may take, at full and at quick scale; a slow disk must not be mistaken for a hang."""
_GRACE_SECONDS: Final = 10.0
"""How long an interrupted family may take to tidy up."""
_MARK: Final = "BENCH_MARK"
"""In the environment of whatever a family starts, so that it is found even where it has left its parent."""
_LAST_LINES: Final = 8
_TAKEN: Final = TypeAdapter(Taken)


@dataclass(frozen=True, slots=True)
class Family:
    """What came of a family.

    Attributes:
        seconds: how long it took.
        taken: its figures; None when it failed.
        failure: why, and its last lines.
    """

    name: str
    seconds: float
    taken: Taken | None = None
    failure: str = ""


def words(name: str) -> tuple[str, str]:
    """A family's heading and text: the first line of its module's docstring, and the rest. The module is not run."""
    found = importlib.util.find_spec(f"{PACKAGE}.{name}")
    if found is None or found.origin is None:
        return name, ""
    docstring = ast.get_docstring(ast.parse(Path(found.origin).read_text(encoding="utf-8"))) or name
    heading, _, text = docstring.partition("\n")
    return heading.removesuffix("."), text.strip()


def take(
    name: str,
    scale: Scale,
    *,
    folder: Path,
    limit_seconds: float | None = None,
    tell: Callable[[float], None] = lambda _seconds: None,
) -> Family:
    """Take a family's figures in a process of its own.

    Args:
        name: which.
        scale: how much work it does.
        folder: where what it prints is kept, as `<name>.log`.
        limit_seconds: how long it may take; None for `LIMIT_SECONDS`.
        tell: is called about once a second with the seconds so far.
    """
    limit = scale.of(*LIMIT_SECONDS) if limit_seconds is None else limit_seconds
    log, answer, mark = folder / f"{name}.log", folder / f"{name}.json", secrets.token_hex(8)
    answer.unlink(missing_ok=True)
    module = f"{PACKAGE}.{name}"
    command = [sys.executable, "-m", "bench.families", module, str(answer), *(["--quick"] if scale.is_quick else [])]
    environment = {**os.environ, _MARK: mark, "PYTHONHASHSEED": "0", "PYTHONUNBUFFERED": "1"}
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=Path(__file__).parents[1],
            start_new_session=True,  # an interrupt from the terminal is ours to pass on, once
        )
        try:
            is_over = _watch(process, begin, limit, tell)
        finally:
            _end(process, mark)
    seconds = time.perf_counter() - begin
    if not is_over:
        return Family(name, seconds, failure=f"not done after {limit:g} s; its last lines:\n{_last_lines(log)}")
    if process.returncode != 0 or not answer.exists():
        return Family(name, seconds, failure=f"exit status {process.returncode}; its last lines:\n{_last_lines(log)}")
    return Family(name, seconds, _TAKEN.validate_json(answer.read_bytes()))


def _watch(process: subprocess.Popen[bytes], begin: float, limit: float, tell: Callable[[float], None]) -> bool:
    """Wait for the process; answers whether it ended in time."""
    while (elapsed := time.perf_counter() - begin) < limit:
        try:
            process.wait(min(1.0, limit - elapsed))
        except subprocess.TimeoutExpired:
            tell(time.perf_counter() - begin)
        else:
            return True
    return False


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """End a family with all that it started: asked first, so that it can tidy up, then made to."""
    started = _descendants(process.pid)
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        started |= _descendants(process.pid)
    finally:  # also when a second interrupt cuts the grace short
        for each in started | _marked(mark):
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.kill()
        process.wait()


def _descendants(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _marked(mark: str) -> set[psutil.Process]:
    found = set()
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if each.environ().get(_MARK) == mark:
                found.add(each)
    return found


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip(" ^~")][-_LAST_LINES:])


def main(argv: Sequence[str] | None = None) -> None:
    """The family's own process: take its figures, and write them down."""
    parser = argparse.ArgumentParser(prog="python -m bench.families")
    parser.add_argument("module")
    parser.add_argument("answer", type=Path)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
    taken = importlib.import_module(chosen.module).take(Scale(chosen.quick))
    chosen.answer.write_text(json.dumps(dataclasses.asdict(taken), allow_nan=False), encoding="utf-8")


if __name__ == "__main__":
    main()
