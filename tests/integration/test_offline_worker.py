"""Offline workers for real: processes of their own, each a client of its own server, on one project."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
import pytest
from anyio.abc import Process
from mcp import Client, StdioServerParameters
from tests.support.sessions import assignment, started

from trichrome.runners.offline import OfflineRunner

pytestmark = pytest.mark.anyio

BOUND_SECONDS = 60.0
ENDLESS = "Find /(a+)+$/"
FOR_EVER = OfflineRunner(wait_seconds=20)
Start = Callable[..., Awaitable[Process]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "auth.py").write_text("def login(user):\n    return check(user)\n")
    (tmp_path / "shop.py").write_text("def total(prices):\n    return sum(prices)\n")
    return tmp_path


@pytest.fixture
def environment(project: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRICHROME_", "CLAUDE"))}
    return {**kept, "TRICHROME_HOME": str(project), "TRICHROME_DURABILITY": "fast"}


class Lead:
    """A lead's tools over a server of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self._client.call_tool(tool, arguments)
        assert not result.is_error, result.structured_content
        answer: dict[str, Any] = result.structured_content
        return answer

    async def until(self, task: str, *states: str) -> dict[str, Any]:
        """The task, once it is in one of these states."""
        with anyio.fail_after(BOUND_SECONDS):
            while (found := await self.call("get_task", task=task))["state"] not in states:  # noqa: ASYNC110 - as a person
                await anyio.sleep(0.05)
        return found


@pytest.fixture
async def lead(environment: dict[str, str]) -> AsyncIterator[Lead]:
    server = StdioServerParameters(command=sys.executable, args=["-m", "trichrome", "mcp"], env=environment)
    async with Client(server) as client:
        yield Lead(client)


@pytest.fixture
async def start(project: Path, environment: dict[str, str]) -> AsyncIterator[Start]:
    """Starts workers as their runner says, and ends those that the test left."""
    async with AsyncExitStack() as stack:

        async def started(role: str, runner: OfflineRunner = FOR_EVER) -> Process:
            launch = runner.standing(role, project)
            process = await anyio.open_process(
                launch.command, env={**environment, **launch.environment}, stdin=None, stdout=None, stderr=None
            )
            stack.push_async_callback(process.aclose)
            stack.callback(lambda: process.returncode is None and process.kill())
            return process

        yield started


async def stopped(process: Process) -> int:
    process.send_signal(signal.SIGTERM)
    with anyio.fail_after(BOUND_SECONDS):
        return await process.wait()


def plan(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"tasks": list(tasks)}


SEARCH_AND_REPORT = plan(
    {"ref": "auth", "kind": "search", "instructions": "Find authentication patterns"},
    {"ref": "sums", "kind": "search", "instructions": "Where is `sum` called?"},
    {"kind": "document", "instructions": "Report what was found", "depends_on": ["auth", "sums"], "review": "red"},
)


async def test_three_colours_search_report_and_review_one_project(lead: Lead, start: Start, project: Path) -> None:
    workers = [await start(role) for role in ("blue", "green", "red")]
    created = await lead.call("create_task", **SEARCH_AND_REPORT)
    report = await lead.until(created["tasks"][2]["id"], "completed", "failed")

    codes = [await stopped(worker) for worker in workers]

    assert report["state"] == "completed"
    assert [attempt["state"] for attempt in report["attempts"]] == ["completed"]
    text = (project / report["result"]["artifacts"][0]).read_text()
    assert "- `auth.py:1` `def login(user):`" in text
    assert "- `shop.py:2` `return sum(prices)`" in text
    assert "**No model was used.**" in text
    assert codes == [0, 0, 0]


async def test_report_of_a_file_that_changed_is_sent_back_and_mended(lead: Lead, start: Start, project: Path) -> None:
    await start("blue")
    created = await lead.call("create_task", **SEARCH_AND_REPORT)
    auth, sums, document = (task["id"] for task in created["tasks"])
    await lead.until(auth, "completed")
    await lead.until(sums, "completed")
    (project / "auth.py").write_text("# moved\ndef login(user):\n    return check(user)\n")

    await start("green")
    await start("red")
    report = await lead.until(document, "completed", "failed")

    assert report["state"] == "completed"
    assert len(report["attempts"]) == 2
    assert "- `auth.py:2` `def login(user):`" in (project / report["result"]["artifacts"][0]).read_text()


async def at_work(worker: Process) -> None:
    """The worker has read its task, and works on it in a process beside its server."""
    with anyio.fail_after(BOUND_SECONDS):
        while len(psutil.Process(worker.pid).children()) < 2:  # noqa: ASYNC110 - as a person
            await anyio.sleep(0.01)


async def test_stopped_worker_gives_back_a_task_that_would_never_end(lead: Lead, start: Start, project: Path) -> None:
    (project / "trap.txt").write_text("a" * 60 + "!\n")
    worker = await start("blue")
    created = await lead.call("create_task", kind="search", instructions=ENDLESS)
    (task,) = (task["id"] for task in created["tasks"])
    await lead.until(task, "running")
    await at_work(worker)

    code = await stopped(worker)

    given_back = await lead.until(task, "ready")
    assert code == 0
    assert [attempt["state"] for attempt in given_back["attempts"]] == ["released"]


async def test_worker_whose_server_is_killed_goes_on_with_another(lead: Lead, start: Start) -> None:
    worker = await start("blue")
    first = await lead.call("create_task", kind="search", instructions="Find logins")
    await lead.until(first["tasks"][0]["id"], "completed")
    (server,) = [child for child in psutil.Process(worker.pid).children() if "mcp" in child.cmdline()]

    server.kill()
    second = await lead.call("create_task", kind="search", instructions="Find sums")
    found = await lead.until(second["tasks"][0]["id"], "completed")

    assert [attempt["state"] for attempt in found["attempts"]] == ["completed"]
    assert worker.returncode is None


async def test_idle_worker_leaves_by_itself(lead: Lead, start: Start) -> None:
    created = await lead.call("create_task", kind="search", instructions="Find logins")
    worker = await start("blue", OfflineRunner(wait_seconds=0, until_idle=1))

    with anyio.fail_after(BOUND_SECONDS):
        code = await worker.wait()

    found = await lead.until(created["tasks"][0]["id"], "completed")
    assert code == 0
    assert found["result"]["data"]["findings"][0]["file"] == "auth.py"


async def test_worker_of_an_unknown_role_leaves_with_a_failure(start: Start) -> None:
    worker = await start("mauve")

    with anyio.fail_after(BOUND_SECONDS):
        assert await worker.wait() == 1


async def test_worker_of_one_task_does_that_one_and_leaves(lead: Lead, project: Path, tmp_path: Path) -> None:
    for words in ("Find logins", "Find sums"):
        await lead.call("create_task", kind="search", instructions=words)
    runner = OfflineRunner()

    with started(runner, assignment(project, tmp_path / "scratch", task="t2")) as session:
        over, told = await anyio.to_thread.run_sync(session.over)

    found = await lead.until("t2", "completed")
    first = await lead.call("get_task", task="t1")
    assert (over.kind, first["state"]) == ("ended", "ready")
    assert told.said == found["result"]["summary"]


async def test_worker_of_a_task_that_another_has_leaves_at_once(lead: Lead, project: Path, tmp_path: Path) -> None:
    await lead.call("create_task", kind="search", instructions="Find logins")
    await lead.call("claim_task", task="t1")
    runner = OfflineRunner()

    with started(runner, assignment(project, tmp_path / "scratch")) as session:
        over, told = await anyio.to_thread.run_sync(session.over)

    assert (over.kind, told.said) == ("ended", "")
