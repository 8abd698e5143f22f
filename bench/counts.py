"""What the hot paths do, counted

How long a call takes changes with the machine and with what else runs on it. What the call does can be counted, and
counts the same each time. The counts of the hottest paths are kept in the repository and compared with by every run, so
that whoever makes a path longer sees it at once.

Each path is the tool as the server runs it: arguments checked, work done, answer written as JSON; on a project of its
own, with `durability = "full"`, in the middle of a queue. Shown is the median of nine calls: calls of Python functions
and the bytecodes they run, SQL statements and the steps of SQLite's virtual machine, transactions that write, syncs,
and bytes written to the write-ahead log. At full scale, where valgrind is installed, callgrind counts the processor's
instructions too; those vary by some thousandths, so only a hundredth or more is called a change.
"""

from __future__ import annotations

import ctypes
import gc
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from bench.measure import Figure, Scale, Spread, Taken, ratio

if TYPE_CHECKING:
    import apsw

KEPT: Final = Path(__file__).with_name("counts.json")
SQLITE: Final = ("SQL statements", "SQLite steps", "writing transactions", "syncs", "bytes to the WAL")
BEFORE: Final = 40
"""Tasks in the queue before anything is counted."""
CALLS: Final = 9
_TOLERANCE: Final = {"instructions": 0.01}
"""What of a count may differ before it counts as changed; nothing of the others."""
LIMIT_SECONDS: Final = 300
"""For callgrind, which is some fifty times slower than the processor."""

Counts = dict[str, dict[str, int]]
"""By path, then by what is counted."""
Answer = dict[str, Any]
Call = Callable[..., Answer]
Counted = Callable[[str, Callable[[], Answer]], Answer]
"""Does a piece of work, and counts what it does for a path."""


def take(scale: Scale) -> Taken:
    """Count, and compare with what is kept."""
    now: dict[str, dict[str, int]] = defaultdict(dict)
    takers = [_of_python, _of_sqlite]
    if not scale.is_quick and shutil.which("valgrind"):
        takers.append(_of_processor)
    for counts in takers:
        for path, found in counts().items():
            now[path] |= found
    kept = _read().get(_key(), {})
    return Taken([_figure(path, what, count, kept) for path, found in now.items() for what, count in found.items()])


def _figure(path: str, what: str, count: int, kept: Counts) -> Figure:
    before = kept.get(path, {}).get(what)
    return Figure(
        name=f"counts.{path}.{what.replace(' ', '_')}",
        says=f"{path}: {what}",
        unit="",
        value=Spread.of([count]),
        floor=None if before is None else Spread.of([before]),
        against="" if before is None else "kept",
        ratio=ratio([count], [before]) if before else None,
    )


# --- what is kept -----------------------------------------------------------------------------------------------------


def _key() -> str:
    """What the counts depend on besides the code and the packages, which requirements.lock pins."""
    return f"{platform.system()} {platform.machine()}, Python {sys.version_info.major}.{sys.version_info.minor}"


def _read() -> dict[str, dict[str, dict[str, int]]]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


def keep(figures: Iterable[Figure]) -> None:
    """Let these counts be those to compare with, on this Python."""
    mine: dict[str, dict[str, int]] = defaultdict(dict)
    for figure in figures:
        path, _, what = figure.says.partition(": ")
        mine[path][what] = int(figure.value.median)
    KEPT.write_text(json.dumps(_read() | {_key(): mine}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def has_changed(figure: Figure) -> bool:
    """Whether a count is new, or differs from the kept one."""
    if figure.floor is None:
        return True
    difference = abs(figure.value.median - figure.floor.median)
    return difference > _TOLERANCE.get(figure.name.rpartition(".")[2], 0) * figure.floor.median


# --- the paths --------------------------------------------------------------------------------------------------------


@contextmanager
def _calling() -> Iterator[Call]:
    """Tools of a fresh project, called by one worker as the server calls them."""
    from bench import place
    from bench.worker import introduced
    from trichrome.mcp_server import registry, tools

    named = {tool.name: tool for tool in tools.TOOLS}
    # A counting file cannot be opened through a symbolic link: apsw takes SQLite's note of one for an error.
    with place.scratch() as folder, place.project("full", folder.resolve()) as project:
        context = registry.Call(project.coordinator, introduced(project.coordinator, "counted"), threading.Event())

        def call(name: str, **arguments: Any) -> dict[str, Any]:
            tool = named[name]
            answer = tool.run(context, tool.parse(arguments))
            json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
            return dict(answer)

        yield call


def _walk(call: Call, counted: Counted, *, calls: int) -> None:
    """Go each path some times, in the middle of a queue."""
    run = call("create_task", kind="search", instructions="Find it.")["run"]
    report = {"outcome": "completed", "summary": "In src/auth.py, line 7.", "data": {"line": 7}}

    create = partial(call, "create_task", run=run, kind="search", instructions="Find where tokens are checked.")
    for _ in range(BEFORE):
        create()
    for _ in range(calls):
        counted("create_task", create)
        held = counted("claim_task", partial(call, "claim_task"))["attempt"]
        counted("report_result", partial(call, "report_result", attempt=held, **report))
    held = call("claim_task")["attempt"]
    for _ in range(calls):
        answer = counted(
            "report_result with claim_next",
            partial(call, "report_result", attempt=held, claim_next=True, **report),
        )
        held = answer["claimed"]["attempt"]


def _medians(samples: Mapping[str, list[dict[str, int]]]) -> Counts:
    return {
        path: {what: int(statistics.median_low([each[what] for each in found])) for what in found[0]}
        for path, found in samples.items()
    }


# --- counting ---------------------------------------------------------------------------------------------------------


def _of_python() -> Counts:
    samples: dict[str, list[dict[str, int]]] = defaultdict(list)

    def counted(path: str, work: Callable[[], Answer]) -> Answer:
        seen: Counter[str] = Counter()

        def trace(frame: FrameType, event: str, _arg: object) -> Any:
            frame.f_trace_lines, frame.f_trace_opcodes = False, True
            seen[event] += 1
            return trace

        gc.disable()  # what is collected in between belongs to nobody
        sys.settrace(trace)
        try:
            answer = work()
        finally:
            sys.settrace(None)
            gc.enable()
        samples[path].append({"Python calls": seen["call"], "bytecodes": seen["opcode"]})
        return answer

    with _calling() as call:
        _walk(call, counted, calls=CALLS)
    return _medians(samples)


def _of_sqlite() -> Counts:
    import apsw

    samples: dict[str, list[dict[str, int]]] = defaultdict(list)
    seen: Counter[str] = Counter()

    def hook(connection: apsw.Connection) -> None:
        def ended(statement: dict[str, Any]) -> None:
            seen["SQL statements"] += 1
            seen["SQLite steps"] += statement["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

        def committed() -> bool:
            seen["writing transactions"] += 1
            return False

        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, ended)
        connection.set_commit_hook(committed)

    def counted(path: str, work: Callable[[], Answer]) -> Answer:
        seen.clear()
        answer = work()
        samples[path].append({what: seen[what] for what in SQLITE})
        return answer

    apsw.connection_hooks.append(hook)
    files = _counting_files(seen)
    try:
        with _calling() as call:
            _walk(call, counted, calls=CALLS)
    finally:
        files.unregister()
        apsw.connection_hooks.remove(hook)
    return _medians(samples)


def _counting_files(seen: Counter[str]) -> apsw.VFS:
    """Files as the system has them, that say when they are synced or grow."""
    import apsw

    system = apsw.vfs_names()[0]

    class File(apsw.VFSFile):
        def __init__(self, name: apsw.URIFilename | str | None, flags: list[int]) -> None:
            super().__init__(system, name, flags)
            self._is_log = bool(flags[0] & apsw.SQLITE_OPEN_WAL)

        def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite names it
            seen["syncs"] += 1
            super().xSync(flags)

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - likewise
            seen["bytes to the WAL"] += len(data) if self._is_log else 0
            super().xWrite(data, offset)

    class Files(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("counting", system, makedefault=True)

        def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> File:  # noqa: N802 - likewise
            return File(name, flags)

    return Files()


def _of_processor() -> Counts:
    """The processor's instructions: callgrind counts while a function runs that nothing else calls."""
    with tempfile.TemporaryDirectory() as folder:
        border = "PyRun_SimpleStringFlags"
        answer = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--callgrind-out-file={folder}/out",
                f"--toggle-collect={border}",
                f"--dump-after={border}",
                *(sys.executable, "-m", "bench.counts"),
            ],
            stdout=subprocess.PIPE,
            text=True,
            timeout=LIMIT_SECONDS,
            check=True,
        )
        samples: dict[str, list[dict[str, int]]] = defaultdict(list)
        for place, path in enumerate(answer.stdout.splitlines(), 1):
            total = re.search(r"^totals: (\d+)", Path(folder, f"out.{place}").read_text(encoding="utf-8"), re.MULTILINE)
            assert total is not None
            samples[path].append({"instructions": int(total[1])})
        return _medians(samples)


def main() -> None:
    """What runs under callgrind: the paths, each call inside `PyRun_SimpleString`, its path printed."""
    running = sys.modules["__main__"]

    def counted(path: str, work: Callable[[], Answer]) -> Answer:
        answers: list[Answer] = []
        running.step = lambda: answers.append(work())  # type: ignore[attr-defined]
        gc.disable()
        ctypes.pythonapi.PyRun_SimpleString(b"step()")
        gc.enable()
        print(path)
        return answers[0]

    with _calling() as call:
        _walk(call, counted, calls=3)


if __name__ == "__main__":
    main()
