"""A worker of your own, without a model: it names the files in which a word of the instructions occurs.

    trichrome start --blue 1 --runner 'script:python examples/agent.py'

It is started once a task, in the task's workspace. It needs the `mcp` package, which comes with Trichrome. What it
finds in its environment is told in docs/supervisor.md.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters


def tell(kind: str, **facts: Any) -> None:
    """Say something that `trichrome logs` shows; with `called`, that a tool was used."""
    print(json.dumps({"type": kind, **facts}), flush=True)


def server() -> StdioServerParameters:
    """Trichrome's server, as the file describes it that this worker was given."""
    config = json.loads(Path(os.environ["TRICHROME_MCP_CONFIG"]).read_text(encoding="utf-8"))
    entry = config["mcpServers"]["trichrome"]
    return StdioServerParameters(command=entry["command"], args=entry["args"], env={**os.environ, **entry["env"]})


def look(instructions: str) -> list[str]:
    """Do the work: the Python files here that hold the last word of the instructions."""
    tell("called", tool="look")
    word = instructions.rsplit(maxsplit=1)[-1]
    files = sorted(path for path in Path().glob("*.py") if word in path.read_text(encoding="utf-8", errors="replace"))
    return [str(path) for path in files]


async def main() -> None:
    """Claim the task, do it, report it, and end: the next task gets a process of its own."""
    async with Client(server()) as trichrome:
        claim = await trichrome.call_tool("claim_task", {"task": os.environ["TRICHROME_TASK"]})
        claimed = claim.structured_content or {}
        if claim.is_error or claimed.get("attempt") is None:
            return  # another worker was faster
        found = look(claimed["task"]["instructions"])
        summary = f"It is in {', '.join(found)}." if found else "It is nowhere."
        report = {"attempt": claimed["attempt"], "outcome": "completed", "summary": summary, "data": {"files": found}}
        reported = await trichrome.call_tool("report_result", report)
        if reported.is_error:
            raise SystemExit(f"the report was refused: {reported.structured_content}")
        tell("said", text=summary)


if __name__ == "__main__":
    asyncio.run(main())
