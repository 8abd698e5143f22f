"""Scripts as workers: any program that speaks to our server, and some that do not behave."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import Server, ending
from tests.support.sessions import assignment, started

from trichrome.runners.port import Usage
from trichrome.runners.script import ScriptRunner

WORKER = """
import asyncio, json, os
from mcp import Client, StdioServerParameters

async def main():
    config = json.load(open(os.environ["TRICHROME_MCP_CONFIG"]))["mcpServers"]["trichrome"]
    env = {**os.environ, **config["env"]}
    server = StdioServerParameters(command=config["command"], args=config["args"], env=env)
    async with Client(server) as client:
        claimed = await client.call_tool("claim_task", {"task": os.environ["TRICHROME_TASK"]})
        print("I work on", claimed.structured_content["task"]["instructions"])
        print(json.dumps({"type": "used", "model": "own", "input": 7, "cost_usd": 0.5}))
        await client.call_tool("report_result", {
            "attempt": claimed.structured_content["attempt"], "outcome": "completed", "summary": "Done by a script.",
        })

asyncio.run(main())
"""
GARBAGE = r"""
import sys
sys.stdout.buffer.write(b"\xff\x00{[\n" + b'{"type": "used"}\n' * 3 + b"no newline at the end")
sys.stderr.write("Traceback\nValueError: nothing works\n")
sys.exit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def lead(project: Path) -> Iterator[Server]:
    with ending() as start:
        yield start(project)


def script(folder: Path, source: str) -> ScriptRunner:
    path = folder / "agent of mine.py"
    path.write_text(source)
    return ScriptRunner(shlex.join([sys.executable, str(path)]))


def test_script_claims_and_reports_by_itself(project: Path, tmp_path: Path, lead: Server) -> None:
    for word in ("one", "two"):
        lead.call("create_task", kind="search", instructions=f"Find {word}")
    given = assignment(project, tmp_path / "scratch", task="t2")

    with started(script(tmp_path, WORKER), given) as session:
        over, told = session.over()

    assert over.kind == "ended"
    assert (told.said, told.usage, told.cost_usd) == ("I work on Find two", {"own": Usage(input=7)}, 0.5)
    assert lead.call("get_task", task="t2")["result"]["summary"] == "Done by a script."
    assert lead.call("get_task", task="t1")["state"] == "ready"


def test_script_that_fails_with_garbage_is_told_as_it_was(project: Path, tmp_path: Path) -> None:
    with started(script(tmp_path, GARBAGE), assignment(project, tmp_path / "scratch")) as session:
        over, told = session.over()

    assert (over.kind, over.reason) == ("failed", "The session left with exit code 3. ValueError: nothing works")
    assert told.said.endswith("no newline at the end")
