"""`trichrome start` with the real Claude Code and a scripted model: tasks done, limits waited out, trouble told once."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import Claude, binary
from tests.support.commands import Ended, Shell
from tests.support.messages_api import MessagesApi, Reply, Request, Trouble, call, say

pytestmark = pytest.mark.xdist_group("claude")

BOUND = 180.0
"""Seconds; a session takes three on a free core."""
SUBSCRIBER = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-dummy"}

Script = Callable[[Request], Reply | Trouble]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    folder = tmp_path / "project"
    folder.mkdir()
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (folder / "auth.py").write_text("def login(password): ...\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return Shell(folder)


def start(shell: Shell, script: Script, *arguments: str, **environment: str) -> Ended:
    """Keep workers that are the real program, until nothing is left to do."""
    with MessagesApi(script) as api:
        user = Claude(home=shell.folder.parent / "home", folder=shell.folder, api_url=api.url).environment()
        variables = {**user, "TRICHROME_CLAUDE": str(binary()), **environment}
        return shell.run("start", "--runner", "claude", "--until-idle", *arguments, env=variables, bound=BOUND)


def wanted(request: Request) -> str:
    named = re.search(r'claim_task\(task="(t\d+)"\)', "\n".join(request.prompts))
    assert named is not None
    return named[1]


def worker(request: Request) -> Reply:
    """Claim, write where it is asked for, report, and say a last word."""
    claims = request.results_of("claim_task")
    openings = [words for words in request.prompts if "claim_task(task=" in words]
    if len(claims) < len(openings):  # one that goes on claims again
        return call("claim_task", {"task": wanted(request)})
    if claims[-1]["task"]["kind"] == "implement" and not request.results_of("Write"):
        folder = re.search(r"/\S+/green-agent/t\d+", "\n".join((request.system, *request.prompts)))
        assert folder is not None
        return call("Write", {"file_path": f"{folder[0]}/made.py", "content": "made = True\n"})
    if not request.results_of("report_result"):
        return call("report_result", {"attempt": claims[-1]["attempt"], "outcome": "completed", "summary": "Done."})
    return say("I am done.")


def events(shell: Shell, kind: str) -> list[Any]:
    return [each for each in shell.run("events", "--json").lines if each["kind"] == kind]


def test_claude_does_every_task_and_its_work_is_on_branches(shell: Shell) -> None:
    searches = shell.create("one", "two")
    (made,) = shell.create("make it", kind="implement")

    ended = start(shell, worker, "--blue", "1", "--green", "1")

    assert ended.code == 0, (ended.out, ended.err)
    assert [shell.json("show", each)["state"] for each in [*searches, made]] == ["completed"] * 3
    shown = subprocess.run(
        ["git", "-C", str(shell.folder), "show", f"trichrome/{made}:made.py"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "made = True\n"
    assert len(events(shell, "SessionEnded")) == 3
    assert shell.processes() == []


def test_a_usage_limit_is_waited_out_and_the_same_session_goes_on(shell: Shell) -> None:
    (task,) = shell.create("one")
    reset = 0.0

    def limited(request: Request) -> Reply | Trouble:
        nonlocal reset
        if request.results_of("claim_task") and not reset:
            reset = time.time() + 8
        if time.time() < reset:
            headers = {
                "retry-after": "3600",
                "anthropic-ratelimit-unified-status": "rejected",
                "anthropic-ratelimit-unified-reset": str(int(reset) + 1),
                "anthropic-ratelimit-unified-representative-claim": "five_hour",
            }
            return Trouble(429, "rate_limit_error", "Slow down.", headers)
        return worker(request)

    ended = start(shell, limited, "--blue", "2", CLAUDE_CODE_MAX_RETRIES="1", **SUBSCRIBER)

    assert ended.code == 0, (ended.out, ended.err)
    told = shell.json("show", task)
    assert told["state"] == "completed"
    first, second = events(shell, "SessionEnded")
    assert first["payload"]["session"] == second["payload"]["session"]
    assert events(shell, "AttemptFailed") == []


def test_a_key_that_is_refused_is_told_once_and_nothing_is_tried_again(shell: Shell) -> None:
    (task, *_) = shell.create("one", "two", "three")

    refused = Trouble(401, "authentication_error", "invalid x-api-key")
    ended = start(shell, lambda _: refused, "--blue", "1", CLAUDE_CODE_MAX_RETRIES="1")

    assert ended.code == 1
    assert len(events(shell, "SessionEnded")) == 1
    assert ended.out.count(" parked ") == 1
    assert shell.json("show", task)["state"] == "ready"
    assert shell.processes() == []
