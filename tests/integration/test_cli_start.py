"""`start`, `stop`, `restart`, `scale`, `pause` and `resume` as a person meets them: real supervisors, real sessions."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.commands import BOUND, Shell

from trichrome.supervisor import control

CLAIMS = """
import asyncio, json, os, sys, time
from mcp import Client, StdioServerParameters

async def main():
    config = json.load(open(os.environ["TRICHROME_MCP_CONFIG"]))["mcpServers"]["trichrome"]
    server = StdioServerParameters(
        command=config["command"], args=config["args"], env={**os.environ, **config["env"]}
    )
    async with Client(server) as client:
        await client.call_tool("claim_task", {"task": os.environ["TRICHROME_TASK"]})
        print("I am thinking", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
"""An agent that claims its task and never reports."""


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A project of its own, in a git repository with one commit; whatever a test starts there is ended."""
    folder = tmp_path / "project"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (folder / "auth.py").write_text("def login(password): ...\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    made = Shell(folder)
    yield made
    left = made.processes()
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=BOUND)


@pytest.fixture
def silent(tmp_path: Path) -> str:
    """A runner whose sessions claim and then say nothing more."""
    path = tmp_path / "silent agent.py"
    path.write_text(CLAIMS)
    return f"script:{shlex.join([sys.executable, str(path)])}"


def until(what: Callable[[], Any], *, bound: float = BOUND) -> Any:
    """Wait for a moment; answers what was waited for."""
    deadline = time.monotonic() + bound
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def states(shell: Shell) -> dict[str, str]:
    return {line["worker"]: line["state"] for line in shell.json("workers")["workers"] if line["supervised"]}


def attempt_of(shell: Shell, worker: str) -> str | None:
    lines = shell.json("workers")["workers"]
    return next((line.get("attempt") for line in lines if line["worker"] == worker), None)


def task(shell: Shell, name: str) -> Any:
    return shell.json("show", name)


def test_workers_do_every_task_and_leave_when_nothing_is_left(shell: Shell) -> None:
    tasks = shell.create("auth", "password", "login")

    ended = shell.run("start", "--blue", "2", "--runner", "offline", "--until-idle", bound=BOUND * 3)

    assert ended.code == 0, ended.err
    assert [task(shell, each)["state"] for each in tasks] == ["completed"] * 3
    assert "every task is over" in ended.out
    assert shell.processes() == []
    assert not control.is_running(shell.folder / ".trichrome")


def test_start_detached_gives_the_shell_back_and_stop_ends_everything(shell: Shell, silent: str) -> None:
    (name,) = shell.create("something long")

    started = shell.json("start", "--blue", "1", "--runner", silent, "--detach")
    until(lambda: attempt_of(shell, "blue-1"))
    stopped = shell.run("stop", "--grace", "0", bound=BOUND * 2)

    assert started["scale"] == {"blue": 1}
    assert stopped.code == 0, stopped.err
    assert (task(shell, name)["state"], shell.processes()) == ("ready", [])
    assert not list(shell.folder.glob(".trichrome/scratch/*"))
    told = shell.run("explain", name).out
    assert "It was stopped before it was done" in told
    assert "I am thinking" in told


def test_a_second_supervisor_is_refused_with_the_first_ones_process(shell: Shell, silent: str) -> None:
    first = shell.json("start", "--blue", "1", "--runner", silent, "--detach")

    refusal = shell.run("start", "--runner", silent, "--json").refusal

    assert refusal["code"] == "worker_in_use"
    assert f"process {first['pid']}" in refusal["message"]
    shell.json("stop", "--force", bound=BOUND * 2)


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_the_second_signal_ends_sessions_at_once(shell: Shell, silent: str, signals: list[signal.Signals]) -> None:
    (name,) = shell.create("something long")
    process = shell.start("start", "--blue", "1", "--runner", silent)
    until(lambda: attempt_of(shell, "blue-1"))

    process.send_signal(signals[0])
    until(lambda: states(shell).get("blue-1") == "stopping")
    process.send_signal(signals[1])
    out, err = process.communicate(timeout=BOUND * 2)

    assert (process.returncode, err) == (0, ""), out
    assert (task(shell, name)["state"], shell.processes()) == ("ready", [])


def test_what_a_killed_supervisor_left_is_ended_by_its_reaper_and_put_away_by_stop(shell: Shell, silent: str) -> None:
    (name,) = shell.create("something long")
    pid = shell.json("start", "--blue", "1", "--runner", silent, "--detach")["pid"]
    until(lambda: attempt_of(shell, "blue-1"))

    os.kill(pid, signal.SIGKILL)
    until(lambda: shell.processes() == [])
    stopped = shell.run("stop", bound=BOUND * 2)

    assert stopped.code == 0, stopped.err
    assert "A supervisor had died here" in stopped.out
    assert task(shell, name)["state"] == "ready"


def test_the_next_start_goes_on_where_a_killed_one_stopped(shell: Shell, silent: str) -> None:
    (name,) = shell.create("login")
    pid = shell.json("start", "--blue", "1", "--runner", silent, "--detach")["pid"]
    until(lambda: attempt_of(shell, "blue-1"))
    os.kill(pid, signal.SIGKILL)

    ended = shell.run("start", "--blue", "1", "--runner", "offline", "--until-idle", bound=BOUND * 3)

    assert ended.code == 0, (ended.out, ended.err)
    assert "supervisor healed" in " ".join(ended.out.split())
    assert task(shell, name)["state"] == "completed"
    assert shell.processes() == []


def test_scale_pause_resume_and_restart_reach_the_supervisor(shell: Shell, silent: str) -> None:
    shell.json("start", "--blue", "1", "--runner", silent, "--detach")

    shell.json("scale", "blue=2", "red=1")
    until(lambda: states(shell) == {"blue-1": "idle", "blue-2": "idle", "red-1": "idle"})
    assert shell.json("pause", "blue") == {"paused": ["blue"]}
    until(lambda: states(shell)["blue-1"] == "paused")
    assert shell.json("resume", "--all") == {"paused": []}
    until(lambda: states(shell)["blue-1"] == "idle")
    assert shell.json("restart", "blue-2") == {"restarted": ["blue-2"]}
    shell.json("scale", "blue=0", "red=0")
    until(lambda: states(shell) == {})

    shell.json("stop", bound=BOUND * 2)


@pytest.mark.parametrize(
    "arguments", [("scale", "blue=2"), ("pause", "blue"), ("resume", "--all"), ("restart",)], ids=" ".join
)
def test_orders_without_a_supervisor_say_how_to_start_one(shell: Shell, arguments: tuple[str, ...]) -> None:
    refusal = shell.run(*arguments, "--json").refusal

    assert refusal["code"] == "not_found"
    assert "`trichrome start`" in refusal["message"]


def test_stop_without_a_supervisor_is_well(shell: Shell) -> None:
    assert shell.json("stop") == {"stopped": True}


def test_without_claude_and_without_a_key_start_names_the_runner_that_needs_none(shell: Shell, tmp_path: Path) -> None:
    nothing = {"TRICHROME_CLAUDE": "/nowhere/claude", "ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": ""}

    refusal = shell.run("start", "--json", env={**nothing, "HOME": str(tmp_path)}).refusal

    assert "--runner offline" in refusal["message"]


def test_a_program_that_is_not_there_is_refused_at_once(shell: Shell) -> None:
    refusal = shell.run("start", "--runner", "script:/nowhere/agent", "--json").refusal

    assert "There is no program '/nowhere/agent'" in refusal["message"]


@pytest.mark.parametrize(
    "arguments",
    [("--role", "blue"), ("--role", "blue=many"), ("--interactive", "--detach"), ("--blue", "-1")],
    ids=" ".join,
)
def test_misuse_is_told_with_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run("start", "--runner", "offline", *arguments).code == 2


def test_more_workers_than_a_role_may_have_are_refused(shell: Shell) -> None:
    data = shell.folder / ".trichrome"
    data.mkdir()
    (data / "config.toml").write_text("[roles.red]\nconcurrency = 1\n")

    refusal = shell.run("start", "--red", "2", "--runner", "offline", "--json").refusal

    assert "red may have 1 workers at a time, not 2" in refusal["message"]


def test_examples_are_made_for_the_workers(shell: Shell) -> None:
    started = shell.json("start", "--blue", "0", "--runner", "offline", "--create-examples", "--detach")
    shell.json("stop", bound=BOUND * 2)

    assert started["runner"] == "offline"
    assert len(shell.json("list")["tasks"]) == 3
