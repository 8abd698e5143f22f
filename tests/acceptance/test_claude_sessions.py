"""The house rules of driving the real Claude Code: everything has an end, and nothing is left behind."""

import contextlib
import threading
import time
from pathlib import Path

import psutil
import pytest
from tests.support.claude import Claude
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 15.0
"""Seconds for something that takes about one."""


def claude(folder: Path, api: MessagesApi) -> Claude:
    return Claude(home=folder / "home", folder=folder, api_url=api.url, allowed=["Bash"])


def names(processes: list[psutil.Process]) -> list[str]:
    """What they are called, those that did not end meanwhile."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(process.name())
    return found


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_shell_command_in_the_background_does_not_outlive_its_session(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        return say("waiting") if request.turns else call("Bash", {"command": "sleep 600", "run_in_background": True})

    with MessagesApi(script) as api, claude(tmp_path, api).start("go") as session:
        deadline = time.monotonic() + MOMENT
        while "sleep" not in (seen := names(session.processes())):
            assert time.monotonic() < deadline, seen
            time.sleep(0.01)
        before = session.processes()

    assert len(before) >= 2
    assert not any(lives(process) for process in before)


def test_session_over_its_limit_is_an_error_and_gone(tmp_path: Path) -> None:
    release = threading.Event()

    def script(request: Request) -> Reply:
        release.wait(MOMENT)
        return say("too late")

    with MessagesApi(script) as api, claude(tmp_path, api).start("go") as session:
        with pytest.raises(TimeoutError, match="still runs"):
            session.wait(0.5)
        release.set()

    assert session.process.returncode is not None


def test_several_sessions_of_one_home_run_at_the_same_time_and_end_apart(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=MOMENT)

    def script(request: Request) -> Reply:
        together.wait()
        return say(request.prompts[-1])

    with MessagesApi(script) as api:
        user = claude(tmp_path, api)
        with user.start("one") as one, user.start("two") as two, user.start("three") as three:
            texts = [session.wait().text for session in (one, two, three)]

    assert texts == ["one", "two", "three"]
    assert len({request.session for request in api.requests}) == 3
