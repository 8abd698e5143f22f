"""The server of a session that a supervisor started: real processes, and the variables that a supervisor sets."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import RELAY, TRICHROME, Server, ending, eventually

from trichrome.bootstrap import open_project
from trichrome.coordinator import supervision
from trichrome.processes import ProcessRef, this_process

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture
def lead(start: Start, tmp_path: Path) -> Server:
    return start(tmp_path)


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is killed."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def variables(process: ProcessRef, role: str, **more: str) -> dict[str, str]:
    return {
        "TRICHROME_SUPERVISOR": f"{process.pid}:{process.start}",
        "TRICHROME_WORKER": f"{role}-1",
        "TRICHROME_ROLE": role,
        "TRICHROME_TASK": "t1",
        **more,
    }


def started_at(pid: int) -> ProcessRef:
    from trichrome.processes import ProcTable, PsutilTable

    table = ProcTable() if Path("/proc/self/stat").exists() else PsutilTable()
    found = table.start(pid)
    assert found is not None
    return ProcessRef(pid, found)


def state(lead: Server, task: str) -> str:
    return str(lead.call("get_task", task=task)["state"])


def test_a_supervised_session_is_done_after_its_one_task(start: Start, lead: Server, tmp_path: Path) -> None:
    lead.call("create_task", tasks=[{"kind": "search", "instructions": "a"}, {"kind": "search", "instructions": "b"}])
    session = start(tmp_path, variables=variables(this_process(), "blue"))

    attempt = session.call("claim_task", task="t1")["attempt"]
    again = session.call("claim_task")["attempt"]
    reported = session.call("report_result", attempt=attempt, outcome="completed", summary="a", claim_next=True)
    after = session.call("claim_task", wait_seconds=60)

    assert again == attempt
    assert "claimed" not in reported
    assert "End your turn" in reported["next"]
    assert (after["attempt"], after["next"][-18:]) == (None, "End your turn now.")
    assert state(lead, "t2") == "ready"


def test_a_supervised_session_is_done_after_its_one_task_though_its_server_was_killed(
    start: Start, lead: Server, tmp_path: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    lead.call("create_task", kind="search", instructions="a")
    environment = variables(started_at(supervisor.pid), "blue")
    first = start(tmp_path, variables=environment)
    attempt = first.call("claim_task")["attempt"]
    first.call("report_result", attempt=attempt, outcome="released", summary="not for me")
    first.end()

    after = start(tmp_path, variables=environment).call("claim_task")

    assert (after["attempt"], after["next"][-18:]) == (None, "End your turn now.")
    assert state(lead, "t1") == "ready"


def test_without_a_supervisor_a_session_goes_on(start: Start, lead: Server, tmp_path: Path) -> None:
    lead.call("create_task", tasks=[{"kind": "search", "instructions": "a"}, {"kind": "search", "instructions": "b"}])
    session = start(tmp_path, "--role", "blue")

    attempt = session.call("claim_task")["attempt"]
    reported = session.call("report_result", attempt=attempt, outcome="completed", summary="a", claim_next=True)

    assert reported["claimed"]["attempt"] == "t2.1"


def test_a_claim_that_nobody_read_does_not_count_as_the_one_task(start: Start, lead: Server, tmp_path: Path) -> None:
    lead.call("create_task", kind="search", instructions="a")
    session = start(tmp_path, variables=variables(this_process(), "blue"))
    number = session.ask_tool("claim_task", role="blue", wait_seconds=0)
    session.notify("notifications/cancelled", {"requestId": number})
    eventually(lambda: state(lead, "t1") in {"ready", "running"})

    found = session.call("claim_task", wait_seconds=5)

    assert found["attempt"] is not None


def test_the_attempt_of_a_client_that_is_gone_is_its_supervisors_until_that_is_gone_too(
    start: Start, lead: Server, tmp_path: Path, supervisor: subprocess.Popen[bytes]
) -> None:
    lead.call("create_task", kind="search", instructions="a")
    client = start(tmp_path, command=[*RELAY, *TRICHROME], variables=variables(started_at(supervisor.pid), "blue"))
    client.call("claim_task")
    client.end()
    project = open_project(tmp_path)
    other = start(tmp_path, "--role", "blue")
    kept = other.call("claim_task", wait_seconds=3)

    supervisor.kill()
    supervisor.wait()
    rescued = other.call("claim_task", wait_seconds=20)

    assert kept["attempt"] is None
    assert rescued["attempt"] == "t1.2"
    assert supervision.attempt_of(project.coordinator, "blue-1") is None
    project.close()


def test_a_change_that_was_not_made_is_refused_over_the_wire(start: Start, lead: Server, tmp_path: Path) -> None:
    lead.call("create_task", kind="fix", instructions="a")
    main, workspace, output = tmp_path / "main", tmp_path / "t1", tmp_path / "output.jsonl"
    who = {
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@x.org",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@x.org",
    }
    for command in (
        ["git", "init", "-q", str(main)],
        ["git", "-C", str(main), "commit", "-q", "--allow-empty", "-m", "first"],
        ["git", "-C", str(main), "worktree", "add", "-q", "-b", "trichrome/t1", str(workspace)],
    ):
        subprocess.run(command, check=True, env={**os.environ, **who})
    use: dict[str, Any] = {"type": "tool_use", "name": "mcp__trichrome__claim_task"}
    output.write_text(json.dumps({"type": "assistant", "message": {"content": [use]}}) + "\n")
    session = start(
        tmp_path,
        variables=variables(this_process(), "green", TRICHROME_WORKSPACE=str(workspace), TRICHROME_OUTPUT=str(output)),
    )
    attempt = session.call("claim_task")["attempt"]

    refused = session.refused("report_result", attempt=attempt, outcome="completed", summary="all done")
    (workspace / "new.txt").write_text("x")
    session.call("report_result", attempt=attempt, outcome="completed", summary="now it is")

    assert (refused["code"], refused["field"], refused["retryable"]) == ("invalid", "outcome", False)
    assert "Do the work" in refused["message"]
    assert state(lead, "t1") == "completed"


def test_a_supervisor_that_cannot_be_is_refused_at_the_first_call(start: Start, tmp_path: Path) -> None:
    session = start(tmp_path, variables={"TRICHROME_SUPERVISOR": "me", "TRICHROME_ROLE": "blue"})

    refused = session.refused("claim_task")

    assert "TRICHROME_SUPERVISOR" in refused["message"]
