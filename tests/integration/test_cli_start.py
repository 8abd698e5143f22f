"""`start`, `stop`, `restart`, `scale`, `pause` and `resume` as a person meets them: real supervisors, real sessions."""

from __future__ import annotations

import json
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

from trichrome.cli.starting import Wanted, detached
from trichrome.errors import StoreUnavailableError
from trichrome.runners.offline import OfflineRunner
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


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGINT], [signal.SIGINT, signal.SIGTERM]])
def test_the_second_signal_ends_sessions_at_once(shell: Shell, silent: str, signals: list[signal.Signals]) -> None:
    (name,) = shell.create("something long")
    process = shell.start("start", "--blue", "1", "--runner", silent)
    until(lambda: attempt_of(shell, "blue-1"))

    process.send_signal(signals[0])
    until(lambda: states(shell).get("blue-1") == "stopping")
    process.send_signal(signals[1])
    out, err = process.communicate(timeout=BOUND * 2)

    assert (process.returncode, err) == (0, ""), out
    assert "stopping: waits for blue-1, 30 s at most. A second Ctrl-C" in out
    assert "stopping: blue-1 ended at once" in out
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
    assert "What could be paused: blue (role), red (role)." in shell.run("pause").err
    assert shell.json("pause", "blue") == {"paused": ["blue"]}
    until(lambda: states(shell)["blue-1"] == "paused")
    assert "What is paused: blue (role)." in shell.run("resume").err
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


def test_stop_without_a_supervisor_says_so_and_is_well(shell: Shell) -> None:
    assert shell.json("stop") == {"stopped": False}
    assert shell.run("stop").out == "No supervisor runs here.\n"


def test_stop_of_one_worker_names_the_commands_for_that(shell: Shell) -> None:
    ended = shell.run("stop", "blue-1")

    assert ended.code == 2
    assert "`trichrome restart blue-1`" in ended.err


def test_an_option_that_is_none_is_answered_with_those_there_are(shell: Shell) -> None:
    assert "(Possible options: --force, --grace, --json)" in shell.run("stop", "--wrong").err


def test_a_runner_that_is_none_is_told_alike_from_wherever_it_comes(shell: Shell) -> None:
    by_flag = shell.run("start", "--runner", "cluade", "--json").refusal["message"]
    by_environment = shell.run("start", "--json", env={"TRICHROME_RUNNER": "cluade"}).refusal["message"]

    sentence = "here is no runner 'cluade'. Choose auto, claude, api, offline or script:COMMAND."
    assert sentence in by_flag
    assert sentence in by_environment
    assert "TRICHROME_RUNNER" in by_environment


def test_a_dead_supervisor_is_told_until_somebody_puts_in_order_what_it_left(shell: Shell, silent: str) -> None:
    pid = shell.json("start", "--blue", "1", "--runner", silent, "--detach")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not control.is_running(shell.folder / ".trichrome"))

    dead = shell.json("workers")
    told = [shell.run("workers").err, shell.run("status").err]
    shell.json("stop", bound=BOUND * 2)

    assert (dead["died"], "supervisor" in dead) == (True, False)
    assert ["The supervisor has died; `trichrome start` puts in order" in each for each in told] == [True, True]
    assert "died" not in shell.json("workers")


def test_a_detached_supervisor_is_waited_for_while_it_puts_in_order_what_another_left(shell: Shell) -> None:
    impatient = (
        "import sys; from trichrome.cli import main; from trichrome.cli.starting import detached; "
        "detached._PATIENCE_SECONDS = 0; sys.exit(main(sys.argv[1:]))"
    )
    words = ["start", "--blue", "1", "--runner", "offline", "--detach", "--json"]

    done = subprocess.run(
        [sys.executable, "-c", impatient, *words],
        env=shell.environment(),
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )

    assert done.stderr == "Not up yet: it puts in order what an earlier supervisor left. Ctrl-C gives it up.\n"
    assert shell.json("workers")["supervisor"]["pid"] == json.loads(done.stdout)["pid"]
    shell.json("stop", bound=BOUND * 2)


def test_a_detached_supervisor_that_does_not_come_up_is_told_with_its_last_words(shell: Shell) -> None:
    with shell.project() as project, pytest.raises(StoreUnavailableError) as refused:
        detached.begin(project, Wanted(OfflineRunner(), {"blue": 1}), runner="script:/nowhere/agent")

    assert "ended with 1" in refused.value.message
    assert "There is no program '/nowhere/agent'" in refused.value.message


def test_what_a_detached_supervisor_says_itself_does_not_grow_with_its_work(shell: Shell) -> None:
    tasks = shell.create("auth", "password", "login")

    shell.json("start", "--blue", "1", "--runner", "offline", "--detach")
    until(lambda: all(task(shell, each)["state"] == "completed" for each in tasks), bound=BOUND * 3)
    shell.json("stop", bound=BOUND * 2)

    said = (shell.folder / ".trichrome" / "logs" / "supervisor.out").read_text().splitlines()
    assert [line.partition(" ")[0] for line in said] == ["Keeping", "The"]
    assert said[-1] == "The supervisor stopped: it was stopped"
    assert shell.run("logs", "blue-1").out.count("started") == 3


def test_without_claude_and_without_a_key_start_names_the_runner_that_needs_none(shell: Shell, tmp_path: Path) -> None:
    nothing = {"TRICHROME_CLAUDE": "/nowhere/claude", "ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": ""}

    refusal = shell.run("start", "--json", env={**nothing, "HOME": str(tmp_path)}).refusal

    assert "--runner offline" in refusal["message"]


def test_a_program_that_is_not_there_is_refused_at_once(shell: Shell) -> None:
    refusal = shell.run("start", "--runner", "script:/nowhere/agent", "--json").refusal

    assert "There is no program '/nowhere/agent'" in refusal["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "blue"),
        ("--role", "blue=many"),
        ("--interactive", "--detach"),
        ("--blue", "-1"),
        ("--blue", "0"),
        ("--role", "green=0"),
    ],
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
    started = shell.json("start", "--red", "1", "--runner", "offline", "--create-examples", "--detach")
    shell.json("stop", bound=BOUND * 2)

    assert started["runner"] == "offline"
    assert len(shell.json("list")["tasks"]) == 3
