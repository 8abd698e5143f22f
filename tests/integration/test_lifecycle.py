"""How servers and clients begin and end, and what that does to attempts: real processes, real launchers, real signals."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import psutil
import pytest
from mcp_types import CallToolRequestParams
from tests.support.servers import BOUND_SECONDS, ERAS, RELAY, TRICHROME, Era, Server, ending, environment, eventually

from trichrome.mcp_server import serving as serving_module
from trichrome.mcp_server.serving import Serving, tolerant
from trichrome.mcp_server.session import Session
from trichrome.processes import client_chain

Start = Callable[..., Server]
LEAVING_SECONDS = 2.5
"""How long leaving may take; half a second of it until the server looks whether its parent is there."""
ALMOST_A_PIPE = 40_000
"""Less than a pipe holds, by less than the answers that follow."""
SOON_SECONDS = 3.0
"""How long a dead client's task may stay claimed on a loaded machine."""


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture
def closed_log() -> Iterator[None]:
    """Close the log of a server that lives in the test's own process."""
    yield
    logger = logging.getLogger("trichrome")
    for handler in logger.handlers:
        handler.close()
    logger.handlers.clear()


def beside_python(name: str) -> str:
    found = Path(sys.executable).with_name(name)
    return str(found) if found.exists() else name


def in_shell(command: list[str]) -> list[str]:
    return ["sh", "-c", f"{shlex.join(command)}; true"]


WAYS = {
    "itself": TRICHROME,
    "sh -c": in_shell(TRICHROME),
    "uv run": [beside_python("uv"), "run", "--no-project", "--offline", "--python", sys.executable, "--", *TRICHROME],
    "uvx": [beside_python("uvx"), "--offline", "--no-index", "--python", sys.executable, "--from", "@wheel", "serve"],
}


def way(name: str, folder: Path) -> list[str]:
    """The command of one way to start a server; uvx gets a wheel whose program is the server."""
    command = WAYS[name]
    if "@wheel" not in command:
        return command
    wheel = folder / "serve-1-py3-none-any.whl"
    if not wheel.exists():
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("serve.py", f"import os, sys\ndef main(): os.execv({sys.executable!r}, {TRICHROME!r})\n")
            archive.writestr("serve-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: serve\nVersion: 1\n")
            archive.writestr(
                "serve-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr("serve-1.dist-info/entry_points.txt", "[console_scripts]\nserve = serve:main\n")
            archive.writestr("serve-1.dist-info/RECORD", "")
    return [str(wheel) if word == "@wheel" else word for word in command]


def created(server: Server, **more: Any) -> str:
    task: str = server.call("create_task", **{"kind": "search", "instructions": "look"} | more)["tasks"][0]["id"]
    return task


def state_of(server: Server, task: str) -> str:
    state: str = server.call("get_task", task=task)["state"]
    return state


# --- leaving ----------------------------------------------------------------------------------------------------------


def waits_for_tasks(server: Server) -> None:
    """Have a blocking call in flight."""
    server.ask_tool("claim_task", wait_seconds=60)
    eventually(lambda: server.call("get_status")["workers"])


def stuffs_its_pipe(server: Server) -> None:
    """Ask for far more than the pipe holds, and read none of it."""
    line = json.dumps(server.request("deaf", "tools/list")).encode() + b"\n"
    server.send_bytes(line * 100, reading=False)
    eventually(lambda: unread_bytes(server) >= ALMOST_A_PIPE)


def unread_bytes(server: Server) -> int:
    assert server.process.stdout is not None
    count = fcntl.ioctl(server.process.stdout, termios.FIONREAD, bytes(struct.calcsize("i")))
    found: int = struct.unpack("i", count)[0]
    return found


@pytest.mark.parametrize("how", ["end of input", "SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "occupied", [lambda _server: None, waits_for_tasks, stuffs_its_pipe], ids=["never called", "waiting", "full pipe"]
)
def test_server_leaves_at_the_end_of_its_input_and_at_signals(
    start: Start, tmp_path: Path, how: str, occupied: Callable[[Server], None]
) -> None:
    server = start(tmp_path)
    occupied(server)
    began = time.monotonic()

    if how == "end of input":
        server.close_input()
    else:
        server.process.send_signal(getattr(signal, how))

    assert server.left() == 0
    assert time.monotonic() - began < LEAVING_SECONDS
    assert server.said() == ""


def test_server_answers_what_was_asked_before_the_end_of_its_input(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)

    number = server.ask_tool("create_task", kind="search", instructions="x")
    server.close_input()

    assert server.tool_answer(number)["run"] == "r1"


@pytest.mark.parametrize(("launched", "deaf"), [("itself", False), ("uv run", False), ("sh -c", True)])
def test_server_never_outlives_its_client_although_its_pipes_stay_open(
    start: Start, tmp_path: Path, launched: str, deaf: bool
) -> None:
    # The client's pipes are the test's own, which live on; only the process is gone.
    server = start(
        tmp_path,
        command=[sys.executable, "-c", "import subprocess, sys; subprocess.call(sys.argv[1:])", *WAYS[launched]],
    )
    if deaf:
        server.call("create_task", kind="search", instructions="x")
        server.result("resources/subscribe", {"uri": "trichrome://status"})
        number = server.ask_tool("claim_task", wait_seconds=60)
        server.answer(number)
        line = json.dumps(server.request("deaf", "tools/list")).encode() + b"\n"
        server.send_bytes(line * 100 + b"nonsense\n" * 10, reading=False)
    serving = psutil.Process(server.pid)

    server.process.kill()
    took = eventually(lambda: not serving.is_running() or serving.status() == psutil.STATUS_ZOMBIE)

    assert took < LEAVING_SECONDS


def test_server_leaves_although_another_program_holds_the_log(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    created(server)
    with holding(tmp_path):
        server.ask_tool("create_task", kind="search", instructions="x")
        time.sleep(0.3)  # until the call, and the keeper, wait for the log
        began = time.monotonic()

        server.process.send_signal(signal.SIGTERM)

        assert server.left() == 0
        assert time.monotonic() - began < LEAVING_SECONDS + 1


class holding:  # noqa: N801 - reads as a verb, like a context manager of the standard library
    """A program that holds the log's write lock, and is stopped meanwhile."""

    PROGRAM = "import apsw, sys, time; c = apsw.Connection(sys.argv[1]); c.execute('begin immediate'); print(flush=True); time.sleep(60)"

    def __init__(self, project: Path) -> None:
        self.log = project / ".trichrome" / "events.db"

    def __enter__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM, str(self.log)], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process:
            pass


# --- claims that nobody read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
def test_waiting_claim_that_was_cancelled_leaves_no_attempt_behind(start: Start, tmp_path: Path, era: Era) -> None:
    server = start(tmp_path, era=era)
    number = server.ask_tool("claim_task", wait_seconds=60)
    eventually(lambda: server.call("get_status")["workers"])

    server.notify("notifications/cancelled", {"requestId": number})
    task = created(server)
    # A waiter that still lived would take the task within one of its naps.
    second = server.tool_answer(server.ask_tool("wait", tasks=[task], wait_seconds=1.2))

    assert not second["changed"]
    assert server.call("get_task", task=task)["attempts"] == []
    assert not [message for message in server.unread if message.get("id") == number]


def answers_to(server: Server, number: int) -> list[dict[str, Any]]:
    return [message for message in server.unread if message.get("id") == number]


def is_settled(server: Server, number: int) -> bool:
    """Whether a claim was answered, or took nothing, or gave back what it took."""
    return "running" not in server.call("get_status")["tasks"] or bool(answers_to(server, number))


def test_claim_whose_cancellation_races_with_the_task_is_answered_or_given_back_never_lost(
    start: Start, tmp_path: Path
) -> None:
    server = start(tmp_path)
    answered = 0

    for turn in range(60):
        created(server)
        number = server.ask_tool("claim_task")
        # From before the thread began to after it ended: the racing moments are all in between.
        time.sleep(turn % 20 * 0.0007)
        server.notify("notifications/cancelled", {"requestId": number})
        server.result("ping")
        eventually(partial(is_settled, server, number))
        read = answers_to(server, number)
        if read:
            answered += 1
            attempt = read[0]["result"]["structuredContent"]["attempt"]
            server.call("report_result", attempt=attempt, outcome="completed", summary="x")
            server.unread.clear()

    status = server.call("get_status")
    assert status["tasks"].get("completed", 0) == answered
    assert "running" not in status["tasks"]
    assert 0 < answered < 60, "the race never went both ways"


@pytest.mark.usefixtures("closed_log")
def test_claim_that_is_cancelled_between_its_end_and_its_answer_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICHROME_HOME", str(tmp_path))
    serving = Serving(Session(client_chain()), "all")
    context: Any = SimpleNamespace(request_id=1, session=SimpleNamespace(client_params=None))
    answers: list[Any] = []

    async def call(tool: str, **arguments: Any) -> None:
        answers.append(await serving.call_tool(context, CallToolRequestParams(name=tool, arguments=arguments)))

    async def race() -> None:
        await call("create_task", kind="search", instructions="x")
        async with anyio.create_task_group() as group:
            group.start_soon(call, "claim_task")
            for _ in range(10):  # until the thread has begun; it takes far longer than that
                await anyio.lowlevel.checkpoint()
            eventually(lambda: not serving.calls)  # blocks: the loop must not see the end of the thread yet
            time.sleep(0.05)  # noqa: ASYNC251 - until the thread has queued its result
            asyncio.get_running_loop().call_soon(group.cancel_scope.cancel)
        await call("get_task", task="t1")

    anyio.run(race)
    serving.leave()

    created, detail = (answer.structured_content for answer in answers)
    assert created["run"] == "r1"
    assert [attempt["state"] for attempt in detail["attempts"]] == ["released"]


def test_claim_whose_answer_could_not_be_written_is_released(start: Start, tmp_path: Path) -> None:
    other, server = start(tmp_path), start(tmp_path)
    task = created(other)
    server.call("get_status")

    server.close_output()
    server.ask_tool("claim_task")
    server.left()

    assert state_of(other, task) == "ready"
    assert other.call("claim_task")["attempt"] == f"{task}.2"
    assert any("never read" in line for line in other.call("get_task", task=task)["history"])


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_claim_whose_answer_waits_at_a_full_pipe_when_the_server_leaves_is_released(
    start: Start, tmp_path: Path, how: str
) -> None:
    other, server = start(tmp_path), start(tmp_path)
    task = created(other)
    line = json.dumps(server.request("deaf", "tools/list")).encode() + b"\n"
    claim = server.request("claim", "tools/call", {"name": "claim_task", "arguments": {}})
    server.send_bytes(line * 60 + json.dumps(claim).encode() + b"\n", reading=False)
    eventually(lambda: state_of(other, task) == "running")

    if how == "end of input":
        server.close_input()
    else:
        server.process.send_signal(signal.SIGTERM)
    server.left()

    assert other.call("claim_task")["attempt"] == f"{task}.2"


def test_report_whose_claimed_next_task_was_never_read_stays_accepted(start: Start, tmp_path: Path) -> None:
    other, server = start(tmp_path), start(tmp_path)
    first, second = created(other), created(other)
    attempt = server.call("claim_task", task=first)["attempt"]

    server.close_output()
    server.ask_tool("report_result", attempt=attempt, outcome="completed", summary="done", claim_next=True)
    server.left()

    assert state_of(other, first) == "completed"
    assert state_of(other, second) == "ready"


# --- calls that cannot be served --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed_log")
def test_call_whose_thread_cannot_begin_is_refused_and_holds_up_neither_the_next_one_nor_leaving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRICHROME_HOME", str(tmp_path))
    serving = Serving(Session(client_chain()), "all")
    context: Any = SimpleNamespace(request_id=1, session=SimpleNamespace(client_params=None))
    status = CallToolRequestParams(name="get_status", arguments={})

    def begin(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    async def calls() -> list[Any]:
        with anyio.fail_after(BOUND_SECONDS):
            with monkeypatch.context() as at_the_limit:
                at_the_limit.setattr(threading.Thread, "start", begin)
                refused = await serving.call_tool(context, status)
                kept = await tolerant(serving.threads, lambda: "done")
            return [refused.structured_content, kept, await serving.call_tool(context, status)]

    refused, kept, answer = anyio.run(calls)
    waited_for = set(serving.calls)
    serving.leave()

    assert refused["error"]["code"] == "internal"
    assert kept is None
    assert answer.structured_content["tasks"] == {}
    assert waited_for == set()


def test_spans_that_nobody_collects_are_left_out_and_whatever_else_the_sdk_does_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mcp.server.lowlevel import Server as SdkServer

    async def other(_context: object, _call_next: object) -> None:
        """Something that a later SDK wraps around every message."""

    class Later(SdkServer[Any]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            assert self.middleware, "the SDK has no spans any more; nothing needs to be left out"
            self.middleware.append(other)

    monkeypatch.setattr(serving_module, "Server", Later)

    server = serving_module.build(Serving(Session(client_chain()), "all"))

    assert server.middleware == [other]


# --- servers of one client --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launched", WAYS)
def test_kill_of_the_server_frees_nothing_and_kill_of_its_client_does(
    start: Start, tmp_path: Path, launched: str
) -> None:
    watcher = start(tmp_path)
    task = created(watcher)
    server = start(tmp_path, command=[*RELAY, *way(launched, tmp_path)])
    attempt = server.call("claim_task")["attempt"]

    os.kill(server.pid, signal.SIGKILL)
    kept = [watcher.call("claim_task", wait_seconds=1)["attempt"], state_of(watcher, task)]
    began = time.monotonic()
    server.process.kill()
    server.process.wait()
    rescued = watcher.call("claim_task", wait_seconds=20)["attempt"]

    assert kept == [None, "running"]
    assert (attempt, rescued) == ("t1.1", "t1.2")
    assert time.monotonic() - began < SOON_SECONDS


def test_next_server_of_a_client_goes_on_with_the_same_attempt(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path)
    created(first)
    attempt = first.call("claim_task")["attempt"]
    first.process.kill()
    first.left()

    second = start(tmp_path)
    again = second.call("claim_task")
    done = second.call("report_result", attempt=attempt, outcome="completed", summary="x")

    assert (again["attempt"], again["resumed"]) == (attempt, True)
    assert done["state"] == "completed"
    assert len(second.call("get_task", task="t1")["attempts"]) == 1


def test_next_server_of_a_client_takes_the_handle_without_a_claim(start: Start, tmp_path: Path) -> None:
    first = start(tmp_path)
    created(first)
    attempt = first.call("claim_task")["attempt"]
    first.close_input()
    first.left()

    done = start(tmp_path).call("report_result", attempt=attempt, outcome="completed", summary="x")

    assert done["state"] == "completed"


def test_two_live_servers_of_one_client_are_strangers_to_each_other(start: Start, tmp_path: Path) -> None:
    one, other = start(tmp_path), start(tmp_path)
    created(one)
    attempt = one.call("claim_task")["attempt"]

    refused = other.refused("report_result", attempt=attempt, outcome="completed", summary="x")
    nothing = other.call("claim_task")["attempt"]

    assert refused["code"] == "not_owner"
    assert nothing is None
    assert one.call("report_result", attempt=attempt, outcome="completed", summary="x")["state"] == "completed"


def test_session_of_claude_code_is_one_client_whatever_process_it_is(start: Start, tmp_path: Path) -> None:
    options = {"name": "claude-code", "variables": {"CLAUDE_CODE_SESSION_ID": "s-1"}}
    first = start(tmp_path, command=[*RELAY, *TRICHROME], **options)
    first.result("prompts/list")  # what opens first must not decide before the client has said its name
    created(first)
    attempt = first.call("claim_task")["attempt"]
    os.kill(first.pid, signal.SIGKILL)

    stranger = start(tmp_path, command=[*RELAY, *TRICHROME])
    second = start(tmp_path, command=[*RELAY, *TRICHROME], **options)

    assert stranger.call("claim_task")["attempt"] is None
    assert second.call("claim_task")["attempt"] == attempt


def test_named_worker_survives_client_and_server_and_is_one_at_a_time(start: Start, tmp_path: Path) -> None:
    variables = {"TRICHROME_WORKER": "anna"}
    watcher = start(tmp_path)
    created(watcher)
    first = start(tmp_path, command=[*RELAY, *TRICHROME], variables=variables)
    attempt = first.call("claim_task")["attempt"]
    rival = start(tmp_path, variables=variables)
    refused = rival.refused("claim_task")
    rival.end()
    first.process.kill()
    first.process.wait()

    kept = watcher.call("claim_task", wait_seconds=1.5)["attempt"]
    second = start(tmp_path, command=[*RELAY, *TRICHROME], variables=variables)
    again = eventually_called(second, "claim_task")

    assert refused["code"] == "worker_in_use"
    assert kept is None
    assert (again["attempt"], again["resumed"]) == (attempt, True)
    assert watcher.call("get_task", task="t1")["attempts"][0]["worker"] == "anna"


def eventually_called(server: Server, tool: str) -> dict[str, Any]:
    """Call a tool until it is not refused: a server that is leaving may still hold the name."""
    answers: list[dict[str, Any]] = []

    def called() -> bool:
        answers.append(server.tool_answer(server.ask_tool(tool)))
        return "error" not in answers[-1]

    eventually(called)
    return answers[-1]


def test_declared_worker_counts_as_connected_before_its_first_call(start: Start, tmp_path: Path) -> None:
    lead = start(tmp_path)
    created(lead)
    alone = lead.call("wait", wait_seconds=0)["stuck"]

    worker = start(tmp_path, variables={"TRICHROME_ROLE": "blue"})
    worker.result("tools/list")
    eventually(lambda: "stuck" not in lead.call("wait", wait_seconds=0))

    assert "no blue worker is connected" in alone[0]["why"]
    assert lead.call("get_status")["workers"][-1]["role"] == "blue"


# --- stores that cannot be opened -------------------------------------------------------------------------------------


def damaged(project: Path) -> None:
    log = project / ".trichrome" / "events.db"
    log.parent.mkdir()
    log.write_bytes(b"this is no database" * 1000)


def newer(project: Path) -> None:
    from trichrome.clock import SystemClock
    from trichrome.store.sqlite import SqliteStore

    log = project / ".trichrome" / "events.db"
    log.parent.mkdir()
    SqliteStore(log, SystemClock()).close()
    with sqlite3.connect(log) as connection:
        connection.execute("update log set minimum_version = 9999")
    connection.close()


def tracked(project: Path) -> None:
    (project / ".trichrome").mkdir()
    (project / ".trichrome" / "config.toml").touch()
    for words in (["init", "-q"], ["add", "-f", ".trichrome/config.toml"]):
        subprocess.run(["git", "-C", str(project), *words], check=True)


def misconfigured(project: Path) -> None:
    (project / ".trichrome").mkdir()
    (project / ".trichrome" / "config.toml").write_text("log_level = 'loud'")


def a_file(project: Path) -> None:
    (project / ".trichrome").write_text("not a folder")


UNUSABLE = {
    "damaged": (damaged, "store_unavailable"),
    "newer": (newer, "store_too_new"),
    "tracked by git": (tracked, "not_permitted"),
    "misconfigured": (misconfigured, "invalid"),
    "a file where the folder should be": (a_file, "store_unavailable"),
}


@pytest.mark.parametrize(("spoil", "code"), UNUSABLE.values(), ids=UNUSABLE)
def test_project_that_cannot_be_opened_is_a_refusal_of_each_call_and_the_server_stays(
    start: Start, tmp_path: Path, spoil: Callable[[Path], None], code: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    spoil(project)

    server = start(project, variables={"TRICHROME_ROLE": "blue"})
    refused = [server.refused("claim_task"), server.refused("create_task", kind="search", instructions="x")]
    error = server.error("resources/read", {"uri": "trichrome://status"})

    assert [each["code"] for each in refused] == [code, code]
    assert error["data"]["error"]["code"] == code
    assert "Traceback" not in server.said()
    assert len(server.result("tools/list")["tools"]) > 10


def test_folder_that_cannot_be_written_is_a_refusal_of_each_call_and_the_server_stays(
    start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o555)
    if os.access(folder, os.W_OK):
        folder = Path("/sys/kernel")  # whom no mode stops is stopped by what is no real folder

    server = start(tmp_path, variables={"TRICHROME_HOME": str(folder)})
    refused = [server.refused("claim_task"), server.refused("get_status")]

    assert [each["code"] for each in refused] == ["store_unavailable"] * 2
    assert "TRICHROME_HOME" in refused[0]["message"]


def test_folder_that_is_no_project_is_a_refusal_and_the_next_call_sees_it_mended(start: Start, tmp_path: Path) -> None:
    home = tmp_path / "home"
    server = start(tmp_path, variables={"TRICHROME_HOME": str(home)})

    refused = server.refused("get_status")
    home.mkdir()

    assert refused["code"] == "invalid"
    assert "TRICHROME_HOME" in refused["message"]
    assert server.call("get_status")["tasks"] == {}


# --- what is imported, and what is left behind ------------------------------------------------------------------------


def imported(command: list[str], project: Path, stdin: bytes = b"") -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        input=stdin,
        capture_output=True,
        env=environment(project),
        timeout=60,
        check=True,
    )
    return {
        line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines() if line.startswith("import time:")
    }


@pytest.mark.parametrize("command", [["mcp", "--help"], ["--help"], ["version"]], ids=" ".join)
def test_help_and_the_command_line_do_not_import_the_protocol(tmp_path: Path, command: list[str]) -> None:
    names = imported(["-m", "trichrome", *command], tmp_path)

    assert "trichrome.version" in names or "trichrome.mcp_server" in names
    assert not {name for name in names if name.partition(".")[0] in {"mcp", "mcp_types"}}


def test_first_answer_needs_neither_what_opens_a_project_nor_a_folder(start: Start, tmp_path: Path) -> None:
    talker = Server.__new__(Server)
    talker.era, talker.name = "2025-11-25", "test"
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    lines = [talker.request(1, "initialize", client), {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    lines += [
        talker.request(number, method)
        for number, method in enumerate(("tools/list", "resources/list", "prompts/list"), 2)
    ]

    names = imported(
        ["-m", "trichrome", "mcp"], tmp_path, b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    )

    assert "mcp" in names
    assert not {"psutil", "sqlite_utils", "structlog", "apsw", "typer", "rich", "filelock"} & names
    assert not {"trichrome.coordinator", "trichrome.store", "trichrome.bootstrap"} & names
    assert not (tmp_path / ".trichrome").exists()


def test_wrong_toolset_is_said_on_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        TRICHROME,
        input=b"",
        capture_output=True,
        env=environment(tmp_path, TRICHROME_TOOLSET="most"),
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"worker, lead or all" in done.stderr
