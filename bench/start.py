"""Starting, and the memory that stays

From the start of the process to the last byte of its first answer, `initialize` (2025-11-25) or `server/discover`
(2026-07-28), with files in the page cache and bytecode compiled. The floor is the bare low-level server of the same SDK
(`bench/bare.py`), started in turns with ours; the two differ by what we import before the first answer, listed below
with the reason for each. What opens a project is imported at the first call of a tool, and only then. That call is
timed too, without an aim: it comes once, while a model thinks.

Memory is the resident set: after the tools were listed, which is where most sessions stay; after the first calls; and
the most that it ever was. The project is there already: the one server that makes a new one also runs the migrations.

Several servers started at once are timed till the last of them has answered. The command line is held against an empty
command of the library that reads its arguments; beside it is what Python alone takes, and what the tables take.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil

from bench.measure import Aim, Figure, Scale, Spread, Taken, Work, interleaved, ratio, timed
from bench.place import project, scratch
from bench.wire import BARE, TRICHROME, Era, Talk, environment

FIRST: Final[Mapping[Era, str]] = {"2025-11-25": "initialize", "2026-07-28": "server/discover"}
"""Each era's first request."""
AIM: Final = Aim("at most", 1.1)
CALLS: Final = 10
REASONS: Final[Mapping[str, str]] = {
    "argparse": "reads the flags, and answers `--help` without the protocol",
    "gc": "collecting is off while the rest is imported",
    "trichrome": "the package",
    "runpy": "of `python -m`; the bare server is started as a file",
    "trichrome.processes": "records who the client is, before anybody above can be re-parented",
    "trichrome.errors": "refusals",
    "trichrome.version": "said in the first answer",
    "trichrome.logs": "where a defect is written to; it imports its library at the first line",
    "trichrome.domain": "a package",
    "trichrome.domain.ids": "handles",
    "trichrome.domain.text": "names in refusals are cleaned",
    "trichrome.mcp_server": "the start of the server",
    "trichrome.mcp_server.server": "its life",
    "trichrome.mcp_server.wire": "lines in, lines out",
    "trichrome.mcp_server.threads": "where calls run",
    "trichrome.mcp_server.serving": "its handlers, from which the first answer says what it can do",
    "trichrome.mcp_server.session": "who is served",
    "trichrome.mcp_server.registry": "what a tool is",
    "trichrome.mcp_server.resources": "what can be read",
    "trichrome.mcp_server.prompts": "what can be asked",
    "trichrome.mcp_server.tools": "the tools, which clients ask for at once",
    "trichrome.mcp_server.tools.lead": "the lead's",
    "trichrome.mcp_server.tools.team": "everybody's",
    "trichrome.mcp_server.tools.worker": "the worker's",
}
"""Why each module that the bare server does not need is imported before the first answer."""
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "pass": ["-c", "pass"],
    "typer": ["-c", "import typer; typer.run(lambda: None)"],
    "rich": ["-c", "import rich.console, rich.table"],
    "version": ["-m", "trichrome", "version"],
    "status": ["-m", "trichrome", "status"],
}
"""Commands to time, as arguments of Python."""

_MEBI: Final = 1 << 20
_MILLI: Final = 1e3


def take(scale: Scale) -> Taken:
    """Take the family's figures."""
    taken = Taken()
    with scratch() as folder:
        with project("fast", folder):
            pass  # makes it
        _cold_starts(taken, folder, rounds=scale.of(8, 1))
        _first_calls(taken, folder, rounds=scale.of(5, 1))
        _modules(taken, folder)
        _at_once(taken, folder, servers=scale.of(20, 2), rounds=scale.of(2, 1))
        _commands(taken, folder, rounds=scale.of(10, 1))
    return taken


def _cold_starts(taken: Taken, folder: Path, *, rounds: int) -> None:
    works: dict[str, Work] = {}
    for era in FIRST:
        works[f"bare.{era}"] = _first_answer(BARE, folder, era)
        works[f"ours.{era}"] = _first_answer(TRICHROME, folder, era)
    samples = interleaved(rounds, works)
    for era, request in FIRST.items():
        ours, bare = samples[f"ours.{era}"], samples[f"bare.{era}"]
        taken.add(
            _figure(f"start.{request.rpartition('/')[2]}", f"start to the answer of {request}", "ms", ours, bare, AIM)
        )


def _first_answer(command: Sequence[str], folder: Path, era: Era) -> Callable[[], float]:
    def start() -> float:
        begin = time.perf_counter()
        with Talk(command, folder, era=era) as talk:
            talk.open()
            return (time.perf_counter() - begin) * _MILLI

    return start


def _figure(
    name: str, says: str, unit: str, ours: Sequence[float], bare: Sequence[float], aim: Aim | None = None
) -> Figure:
    return Figure(
        name=name,
        says=says,
        unit=unit,
        value=Spread.of(ours),
        floor=Spread.of(bare),
        against="the bare server",
        ratio=ratio(ours, bare),
        aim=aim,
    )


# --- the first calls, and memory --------------------------------------------------------------------------------------


def _first_calls(taken: Taken, folder: Path, *, rounds: int) -> None:
    ours, bare = [], []
    for _ in range(rounds):
        with Talk(TRICHROME, folder) as server:
            ours.append(_called(server, "get_status"))
        with Talk(BARE, folder) as floor:
            bare.append(_called(floor, "nothing"))
    for name, says, unit, aim in (
        ("call", "the first call of a tool, which opens the project", "ms", None),
        ("memory.listed", "memory once the tools are listed", "MiB", AIM),
        ("memory.working", "memory after the first calls", "MiB", AIM),
        ("memory.peak", "the most memory until then", "MiB", AIM),
    ):
        if name in ours[0]:
            values, floors = ([each[name] for each in found] for found in (ours, bare))
            taken.add(_figure(f"start.{name}", says, unit, values, floors, aim))


def _called(talk: Talk, tool: str) -> dict[str, float]:
    """The milliseconds of a server's first call; its resident MiB before, after, and at most where the system tells."""
    process = psutil.Process(talk.process.pid)
    talk.open()
    talk.asked(talk.request("tools/list"))
    found = {"memory.listed": process.memory_info().rss / _MEBI}
    first, *_ = [talk.call(tool)[0] for _ in range(CALLS)]
    found |= {"call": first * _MILLI, "memory.working": process.memory_info().rss / _MEBI}
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        found["memory.peak"] = int(peak.split()[1]) / 1024
    return found


# --- imports ----------------------------------------------------------------------------------------------------------


def _modules(taken: Taken, folder: Path) -> None:
    more = set[str]()
    for era in FIRST:
        ours, bare = _imported((TRICHROME, BARE), folder, era)
        more |= ours - bare
    unexplained = sorted(more - set(REASONS))
    taken.add(
        Figure(
            name="start.modules",
            says="modules imported before the first answer that the bare server does not import",
            unit="modules",
            value=Spread.of([len(more)]),
            note="; ".join(f"`{name}`: {why}" for name, why in REASONS.items() if name in more),
        )
    )
    taken.add(
        Figure(
            name="start.unexplained",
            says="modules among them that nobody gave a reason for",
            unit="modules",
            value=Spread.of([len(unexplained)]),
            aim=Aim("at most", 0),
            note=", ".join(f"`{name}`" for name in unexplained),
        )
    )


def _imported(commands: Sequence[Sequence[str]], folder: Path, era: Era) -> list[set[str]]:
    """What each server has imported when its first answer has come."""
    with ExitStack() as stack:
        talks = [
            stack.enter_context(Talk([python, "-X", "importtime", *rest], folder, era=era, errors=subprocess.PIPE))
            for python, *rest in commands
        ]
        return [_said_imported(talk) for talk in talks]


def _said_imported(talk: Talk) -> set[str]:
    talk.open()
    talk.process.kill()
    said = talk.process.stderr.read().decode()  # type: ignore[union-attr]  # it is the pipe asked for
    lines = [line for line in said.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


# --- many servers, and the command line -------------------------------------------------------------------------------


def _at_once(taken: Taken, folder: Path, *, servers: int, rounds: int) -> None:
    ours, bare = [], []
    for _ in range(rounds):
        ours.append(_last_answer(TRICHROME, folder, servers))
        bare.append(_last_answer(BARE, folder, servers))
    taken.add(
        _figure(
            "start.together",
            f"{servers} servers started at once, till the last has answered `initialize`",
            "ms",
            ours,
            bare,
            AIM,
        )
    )


def _last_answer(command: Sequence[str], folder: Path, servers: int) -> float:
    begin = time.perf_counter()
    with ExitStack() as stack:
        for talk in [stack.enter_context(Talk(command, folder)) for _ in range(servers)]:
            talk.open()  # all of them start meanwhile
        return (time.perf_counter() - begin) * _MILLI


def _commands(taken: Taken, folder: Path, *, rounds: int) -> None:
    works: dict[str, Work] = {
        name: lambda arguments=arguments: timed(lambda: _run(arguments, folder)) * _MILLI  # type: ignore[misc]  # bound now
        for name, arguments in COMMANDS.items()
    }
    samples = interleaved(rounds, works)
    for name in ("version", "status"):
        taken.add(
            Figure(
                name=f"start.cli.{name}",
                says=f"`trichrome {name}`, from start to exit",
                unit="ms",
                value=Spread.of(samples[name]),
                floor=Spread.of(samples["typer"]),
                against="an empty command of typer",
                ratio=ratio(samples[name], samples["typer"]),
                note=", ".join(f"{floor} {Spread.of(samples[floor]).median:.0f} ms" for floor in ("pass", "rich")),
            )
        )


def _run(arguments: Sequence[str], folder: Path) -> None:
    subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, check=True
    )
