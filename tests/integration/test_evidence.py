"""Workers that are stopped, killed or waiting for a person, as others see them: real processes, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import Shell
from tests.support.servers import ERAS, RELAY, TRICHROME, Era, Server, ending, eventually

from trichrome.cli.project import opened
from trichrome.coordinator import liveness, queries
from trichrome.errors import StoreUnavailableError

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def worker(start: Start, shell: Shell) -> Server:
    """A worker with a client of its own, at work on t1."""
    shell.create("look")
    return claimed(start(shell.folder, command=[*RELAY, *TRICHROME]))


def claimed(server: Server) -> Server:
    assert server.call("claim_task")["attempt"] == "t1.1"
    return server


def line(shell: Shell) -> Any:
    (found,) = [each for each in shell.json("status")["workers"] if each.get("attempt")]
    return found


def killed(server: Server) -> None:
    """Client and server die at once, as nobody can foresee."""
    os.kill(server.pid, signal.SIGKILL)
    server.process.kill()
    server.process.wait()


# --- stopped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["client", "server", "both"])
def test_stopped_worker_shows_as_such_keeps_its_attempt_and_goes_on(
    start: Start, shell: Shell, worker: Server, who: str
) -> None:
    client, server = worker.process.pid, worker.pid
    stopped = {"client": [client], "server": [server], "both": [client, server]}[who]
    watcher = start(shell.folder)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)

    try:
        nobody = watcher.call("claim_task", wait_seconds=3)["attempt"]
        shown, told = line(shell), shell.run("explain", "blue-1").out
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    done = worker.call("report_result", attempt="t1.1", outcome="completed", summary="x")

    what = "server" if who == "server" else "client"
    assert nobody is None
    assert (shown["state"], shown["attempt"]) == ("suspect", "t1.1")
    assert shown["why"] == f"its {what} (process {stopped[0]}) is stopped, and keeps t1.1"
    assert f"`kill -CONT {stopped[0]}` lets it go on." in told
    assert done["state"] == "completed"
    assert len(watcher.call("get_task", task="t1")["attempts"]) == 1


# --- gone -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("list",),
        ("show", "t1"),
        ("explain", "t1"),
        ("explain", "blue-1"),
        ("events",),
        ("create", "search", "y"),
    ],
    ids=" ".join,
)
def test_next_command_rescues_where_no_server_is_left(shell: Shell, worker: Server, command: tuple[str, ...]) -> None:
    killed(worker)

    ended = shell.run(*command)

    assert ended.code == 0, ended.err
    with shell.project() as project:
        (attempt,) = queries.task_detail(project.coordinator, "t1")["attempts"]
    assert attempt["state"] == "rescued"


def test_next_server_rescues_where_no_other_is_left(start: Start, shell: Shell, worker: Server) -> None:
    killed(worker)

    server = start(shell.folder)

    eventually(lambda: server.call("get_status")["tasks"] == {"ready": 1})


def test_command_that_only_looks_is_answered_though_nobody_can_be_rescued(
    shell: Shell, worker: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(_c: object) -> None:
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setenv("TRICHROME_HOME", str(shell.folder))
    monkeypatch.setattr(liveness, "sweep", refuses)

    with opened(as_json=True) as project:
        answer = queries.status(project.coordinator)

    assert answer["tasks"] == {"running": 1}


def test_when_the_task_of_a_dead_named_worker_is_free_is_said_wherever_one_looks(start: Start, shell: Shell) -> None:
    shell.create("look")
    killed(claimed(start(shell.folder, command=[*RELAY, *TRICHROME], variables={"TRICHROME_WORKER": "anna"})))

    said = [
        shell.run("status").out,
        shell.run("explain", "t1").out,
        shell.run("explain", "anna").out,
        shell.run("wait", "t1", "--timeout", "0.5").err,
        json.dumps(shell.run("wait", "t1", "--timeout", "0.5", "--json").answer["held_up"]),
        json.dumps(start(shell.folder).call("wait", run="r1", wait_seconds=0)["held_up"]),
    ]

    for each in said:
        assert re.search(r"its server is gone; t1\.1 is free in (9|10) min .*unless it comes back", each)


# --- hooks ------------------------------------------------------------------------------------------------------------


def hooked(server: Server, kind: str, **more: Any) -> dict[str, Any]:
    """What a hook of the client is answered."""
    return server.result("tools/call", {"name": "note_sign", "arguments": {"kind": kind, **more}})


@pytest.mark.parametrize("era", ERAS)
def test_hook_is_answered_nothing_and_what_it_tells_shows(start: Start, shell: Shell, era: Era) -> None:
    shell.create("look")
    server = claimed(start(shell.folder, era=era))
    watcher = start(shell.folder)

    answer = hooked(server, "prompt_opened", tool_name="Bash", transcript_path=__file__)
    eventually(lambda: line(shell)["state"] == "waiting_for_human")
    shown = watcher.call("get_status")["workers"][0]
    hooked(server, "tool_ended", tool_name="Bash")
    eventually(lambda: line(shell)["state"] == "working")

    assert [each["text"] for each in answer["content"]] == ["{}"], "a decision that decides nothing"
    assert (answer.get("isError", False), "structuredContent" in answer) == (False, False)
    assert shown["why"].startswith("a permission prompt for Bash is open for ")
    assert shown["since_seconds"] >= 0
    assert "note_sign" not in [tool["name"] for tool in server.result("tools/list")["tools"]]


def test_change_of_state_stands_in_the_log_of_the_server_with_its_reason(start: Start, shell: Shell) -> None:
    shell.create("look")
    server = claimed(start(shell.folder))

    def changes() -> list[Any]:
        lines = (shell.folder / ".trichrome" / "logs" / f"server-{server.pid}.jsonl").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each["event"] == "worker"]

    hooked(server, "prompt_opened")
    eventually(changes)

    (change,) = changes()
    assert (change["worker"], change["was"], change["state"]) == ("blue-1", "working", "waiting_for_human")
    assert change["why"].startswith("a permission prompt is open")


def test_hooks_of_a_session_that_never_uses_the_project_leave_nothing(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)

    for kind in ("turn_began", "tool_started", "prompt_opened", "tool_ended", "turn_ended"):
        assert not hooked(server, kind).get("isError")

    assert not (tmp_path / ".trichrome").exists()


def test_model_is_told_that_there_is_no_such_tool(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    arguments = {"kind": "prompt_opened"}

    answer = server.result(
        "tools/call", {"name": "note_sign", "arguments": arguments, "_meta": {"claudecode/toolUseId": "toolu_1"}}
    )

    assert answer["isError"]
    assert answer["structuredContent"]["error"]["code"] == "not_found"
    assert "note_sign" not in answer["structuredContent"]["error"]["message"].partition("Tools are")[2]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({}, "invalid"), ({"kind": "danced"}, "invalid"), ({"kind": "turn_ended", "worker": "x"}, "unknown_argument")],
    ids=["nothing", "kind", "unknown"],
)
def test_hook_that_is_wired_wrongly_is_refused_like_any_call(
    start: Start, tmp_path: Path, arguments: dict[str, Any], code: str
) -> None:
    assert start(tmp_path).refused("note_sign", **arguments)["code"] == code
