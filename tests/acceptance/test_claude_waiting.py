"""A lead does not sit in a tool call to wait: it starts a command in the background and Claude Code wakes it, once.

docs/decisions/0008 says what `trichrome wait` and the answer of `create_task` make of it.
"""

import re
import time
from pathlib import Path

import pytest
from tests.support.claude import Claude
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 15.0
"""Seconds for something that takes about one."""


def in_background(command: str, **limits: int) -> Reply:
    return call("Bash", {"command": command, "description": command, "run_in_background": True, **limits})


def told(notice: str, field: str) -> str:
    found = re.search(f"<{field}>(.*?)</{field}>", notice, re.DOTALL)
    assert found is not None, notice
    return found[1]


def claude(folder: Path, api: MessagesApi) -> Claude:
    return Claude(home=folder / "home", folder=folder, api_url=api.url, allowed=["Bash"])


@pytest.mark.parametrize(("code", "status"), [(0, "completed"), (1, "failed"), (3, "failed")])
def test_headless_lead_that_ended_its_turn_is_woken_once_with_the_exit_code(
    tmp_path: Path, code: int, status: str
) -> None:
    def script(request: Request) -> Reply:
        if request.results_of("Read"):
            return say("read")
        if request.notices:
            return call("Read", {"file_path": told(request.notices[0], "output-file")})
        return say("waiting") if request.turns else in_background(f"sleep 0.5; echo '{{\"done\":true}}'; exit {code}")

    with MessagesApi(script) as api:
        answer = claude(tmp_path, api).run("wait for it")

        end = api.requests[-1]

    assert answer.text == "read"
    assert len(end.notices) == 1
    assert told(end.notices[0], "status") == status
    assert re.search(rf"exit code {code}\b", told(end.notices[0], "summary"))
    assert '{"done":true}' in end.results_of("Read")[0]


def test_interactive_lead_is_woken_once_for_each_command(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        if request.turns == 0:
            return in_background("sleep 0.5") + in_background("sleep 1.5")
        return say("waiting")

    with MessagesApi(script) as api, claude(tmp_path, api).open("wait for it"):
        deadline = time.monotonic() + MOMENT
        while len(api.requests[-1].notices if api.requests else []) < 2:
            assert time.monotonic() < deadline, "the lead was not woken"
            time.sleep(0.01)
        notices = api.requests[-1].notices

    assert [told(notice, "status") for notice in notices] == ["completed", "completed"]
    assert len({told(notice, "task-id") for notice in notices}) == 2


def test_lead_at_work_learns_it_between_two_calls(tmp_path: Path) -> None:
    marker = tmp_path / "ended"

    def script(request: Request) -> Reply:
        if request.notices:
            return say("done")
        if request.turns == 0:
            return in_background(f"touch {marker}")
        assert request.turns < 50, "nothing came in the middle of a turn"
        return call("Bash", {"command": f"until test -e {marker}; do :; done", "description": "other work"})

    with MessagesApi(script) as api:
        answer = claude(tmp_path, api).run("wait for it")

        end = api.requests[-1]

    assert answer.text == "done"
    assert len(end.notices) == 1
    assert end.last_tool_results, "it came after the turn, not in the middle"


def test_command_over_its_time_limit_is_stopped_and_wakes_the_lead_all_the_same(tmp_path: Path) -> None:
    def script(request: Request) -> Reply:
        return say("waiting") if request.turns else in_background("sleep 30", timeout=500)

    with MessagesApi(script) as api:
        claude(tmp_path, api).run("wait for it")

        end = api.requests[-1]

    assert [told(notice, "status") for notice in end.notices] == ["killed"]
