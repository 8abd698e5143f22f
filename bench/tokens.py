"""What coordination costs a model to read and write

Tokens are counted as compact bytes of JSON over four, so that the figure needs no model and never varies. A tool costs
its name, description and input schema, once a session; the ceilings are the design's: 2,000 tokens for all tools, 1,000
for a worker's. A call costs the tool's name with its arguments, which the model writes, and the answer, which it reads.

A typical task is a search with instructions of three sentences, reported with a summary, some data and a proposal. Its
life is create, claim, report, and the lead's wait for it. The floor of a life is what any way of working together must
say: the task's own words, written once and read once, its result, written once, and the summary of it, read once. The
answers are those of the real server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench import place
from bench.measure import Aim, Figure, Plot, Scale, Spread, Taken, ratio
from bench.wire import TRICHROME, Talk
from trichrome.mcp_server import tools
from trichrome.mcp_server.registry import Tool, Toolset

BYTES_A_TOKEN: Final = 4
CEILINGS: Final[Mapping[Toolset, int]] = {"worker": 1_000, "lead": 2_000, "all": 2_000}
TASK: Final = {
    "instructions": "Find every place where a request's token is checked, and say which of them compare it in constant "
    "time. Start from src/auth and follow the callers. Leave tests and vendored code out.",
    "acceptance": "A list of file:line, each with yes or no.",
}
RESULT: Final = {
    "summary": "Three checks: two in src/auth/token.py compare in constant time, the one in src/api/legacy.py uses ==. "
    "No other module reads the header.",
    "outcome": "completed",
    "data": {"src/auth/token.py:41": True, "src/auth/token.py:88": True, "src/api/legacy.py:17": False},
    "follow_ups": ["Mend the comparison in src/api/legacy.py:17."],
}


def take(_scale: Scale) -> Taken:
    """Count; there is nothing to repeat."""
    taken = Taken()
    for toolset, ceiling in CEILINGS.items():
        size = sum(schema(tool) for tool in tools.of(toolset))
        says = "all tools' schemas" if toolset == "all" else f"schemas of a {toolset}'s tools"
        taken.add(_held(f"tokens.{toolset}", says, size, ceiling, "the ceiling", aim=Aim("at most", 1)))
    with place.scratch() as folder:
        instructions, life = _life(folder)
    taken.add(_plain("tokens.instructions", "the server's instructions, read by every session", instructions))
    words = 2 * tokens(TASK) + tokens(RESULT) + tokens(RESULT["summary"])
    each = life["create_task"] + life["wait"]
    taken.add(
        _held(
            "tokens.life",
            "a task's life: create_task, claim_task, report_result, wait",
            each + life["claim_task"] + life["report_result"],
            words,
            "its own words",
        )
    )
    taken.add(
        _held(
            "tokens.life.next",
            "a task's life in a row of tasks: create_task, report_result with claim_next, wait",
            each + life["report_result with claim_next"],
            words,
            "its own words",
        )
    )
    for call, size in life.items():
        taken.add(_plain(f"tokens.call.{call.replace(' ', '_')}", f"{call}: the call and its answer", size))
    for tool in tools.of("all"):
        taken.add(_plain(f"tokens.tool.{tool.name}", f"{tool.name}: its schema", schema(tool)))
    bars = [(tool.name, schema(tool)) for tool in tools.of("all")]
    taken.plots.append(Plot("tokens-tools", "What each tool costs a session", "", "tokens", {"schema": bars}))
    return taken


def tokens(value: object) -> float:
    """Compact bytes over four."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) / BYTES_A_TOKEN


def schema(tool: Tool[Any]) -> float:
    """Tokens of a tool as a model is shown it."""
    wire = tool.wire().model_dump(by_alias=True, mode="json")
    return tokens({name: wire[name] for name in ("name", "description", "inputSchema")})


def _life(folder: Path) -> tuple[float, dict[str, float]]:
    """Tokens of the instructions, and of each call in the life of a task."""
    life: dict[str, float] = {}
    with Talk(TRICHROME, folder) as server:
        instructions = json.loads(server.open())["result"]["instructions"]

        def call(label: str, tool: str, **arguments: Any) -> dict[str, Any]:
            _, answer = server.call(tool, **arguments)
            assert "error" not in answer, answer
            life[label] = tokens({"name": tool, "arguments": arguments}) + tokens(answer)
            return answer

        run = call("create_task", "create_task", kind="search", **TASK)["run"]
        server.call("create_task", kind="search", run=run, **TASK)
        held = call("claim_task", "claim_task")["attempt"]
        answer = call("report_result with claim_next", "report_result", attempt=held, **RESULT, claim_next=True)
        call("wait", "wait", run=run)
        call("report_result", "report_result", attempt=answer["claimed"]["attempt"], **RESULT)
    return tokens(instructions), life


def _plain(name: str, says: str, size: float) -> Figure:
    return Figure(name, says, "tokens", Spread.of([size]))


def _held(name: str, says: str, size: float, floor: float, against: str, *, aim: Aim | None = None) -> Figure:
    return Figure(
        name,
        says,
        "tokens",
        Spread.of([size]),
        floor=Spread.of([floor]),
        against=against,
        ratio=ratio([size], [floor]),
        aim=aim,
    )
