"""Sessions that go wrong under a supervisor, each in one way: it ends them, says why, and leaves nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import Claude, binary
from tests.support.commands import Ended
from tests.support.messages_api import MessagesApi, Reply, Request, Trouble, call, say, stall
from tests.support.supervised import House, house

pytestmark = pytest.mark.xdist_group("claude")

QUICK = {"lost": 0.0, "ask": 0.2, "linger": 5.0, "limit": 1.0}
"""Rules that wait for nobody."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def told(ended: Ended, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, ended.out.splitlines()) if line["event"] == event]


@pytest.mark.parametrize(("behaviour", "why"), [("hangs", "it did not claim t1 in time"), ("fails", "exit code 3")])
def test_sessions_that_come_to_nothing_for_three_tasks_park_the_worker(there: House, behaviour: str, why: str) -> None:
    tasks = there.shell.create("login", "logout", "session")

    ended = there.keep(there.agent(behaviour), rules={**QUICK, "claim": 1.0})

    assert ended.code == 1, (ended.out, ended.err)
    assert there.runs() == 3
    (parked,) = told(ended, "parked")
    assert parked["reason"].startswith("3 sessions in a row failed; the last: ")
    assert why.replace("t1", tasks[-1]) in parked["reason"]
    assert [there.state(task) for task in tasks] == ["ready"] * 3
    there.assert_nothing_is_left()


def test_a_task_that_no_session_claims_is_held_after_three_and_its_worker_goes_on(there: House) -> None:
    (task,) = there.shell.create("login")

    ended = there.keep(there.agent("fails"), rules=QUICK)

    assert (ended.code, there.runs(), told(ended, "parked")) == (1, 3, []), (ended.out, ended.err)
    (held,) = told(ended, "held")
    assert f"3 sessions in a row were started for {task} and none claimed it; the last: " in held["reason"]
    assert "exit code 3" in held["reason"]
    assert there.state(task) == "ready"
    there.assert_nothing_is_left()


def test_a_session_that_never_reports_ends_at_its_tasks_time_limit(there: House) -> None:
    (task,) = there.shell.create("login", time_limit_seconds=2.0, max_attempts=1)

    ended = there.keep(there.agent("silent"), rules=QUICK)

    assert (there.runs(), there.state(task)) == (1, "failed"), (ended.out, ended.err)
    assert told(ended, "failed")
    assert there.events("TaskCompleted") == []
    there.assert_nothing_is_left()


def test_a_session_that_leaves_without_a_report_fails_with_its_last_words(there: House) -> None:
    (task,) = there.shell.create("login", max_attempts=1)

    there.keep(there.agent("leaves"), rules=QUICK)

    assert (there.runs(), there.state(task)) == (1, "failed")
    (ended,) = there.events("SessionEnded")
    assert "I am thinking" in json.dumps(ended)
    there.assert_nothing_is_left()


def test_a_completion_with_nothing_done_is_refused(there: House) -> None:
    (task,) = there.shell.create("make it", kind="implement", max_attempts=1)

    ended = there.keep(there.agent("boasts"), scale={"green": 1}, rules=QUICK)

    assert there.events("TaskCompleted") == [], (ended.out, ended.err)
    assert there.state(task) == "failed"
    there.assert_nothing_is_left()


def test_a_daemon_that_a_session_leaves_is_ended_with_it(there: House) -> None:
    (task,) = there.shell.create("login")

    ended = there.keep(there.agent("forks"), rules=QUICK)

    assert ended.code == 0, (ended.out, ended.err)
    assert int((there.notes / "daemon").read_text()) not in [each.pid for each in there.processes()]
    there.assert_each_was_completed_once(task)
    there.assert_nothing_is_left()


def test_a_session_that_eats_memory_is_ended_and_its_attempt_says_why(there: House) -> None:
    (task,) = there.shell.create("login", max_attempts=1)

    ended = there.keep(there.agent("eats"), rules=QUICK, env={"TRICHROME_SESSION_MEMORY_MIB": "400"})

    assert there.state(task) == "failed", (ended.out, ended.err)
    (failed,) = told(ended, "failed")
    assert re.search(r"of memory (and|that it) may hold", failed["reason"])
    there.assert_nothing_is_left()


def test_a_program_that_vanishes_parks_everybody_at_the_first_try(there: House) -> None:
    (task,) = there.shell.create("login")
    program = there.notes / "agent"
    source = Path(__file__).parents[1] / "support" / "agent.py"
    shutil.copy(source, program)
    program.write_text(f"#!{sys.executable}\n{program.read_text()}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    ended = there.keep(f"script:{program} vanishes {there.notes}", scale={"blue": 2}, rules=QUICK)

    assert ended.code == 1, (ended.out, ended.err)
    assert there.runs() == 1
    (parked,) = told(ended, "parked")
    assert "cannot be started" in parked["reason"]
    assert there.state(task) == "ready"
    there.assert_nothing_is_left()


# --- the real program -------------------------------------------------------------------------------------------------


class Model:
    """Meets a trouble after its first claim, and works well from then on."""

    def __init__(self, trouble: Reply | Trouble, *, times: int) -> None:
        self.trouble = trouble
        self.left = times

    def __call__(self, request: Request) -> Reply | Trouble:
        wanted = re.search(r'claim_task\(task="(t\d+)"\)', "\n".join(request.prompts))
        assert wanted is not None
        claims = request.results_of("claim_task")
        openings = [words for words in request.prompts if "claim_task(task=" in words]
        if claims and self.left:
            self.left -= 1
            return self.trouble
        if len(claims) < len(openings):
            return call("claim_task", {"task": wanted[1]})
        if not request.results_of("report_result"):
            return call("report_result", {"attempt": claims[-1]["attempt"], "outcome": "completed", "summary": "Done."})
        return say("I am done.")


def keep_claude(there: House, model: Model, **more: Any) -> Ended:
    with MessagesApi(model) as api:
        user = Claude(home=there.notes / "home", folder=there.shell.folder, api_url=api.url).environment()
        variables = {**user, "TRICHROME_CLAUDE": os.fspath(binary()), "CLAUDE_CODE_MAX_RETRIES": "0"}
        return there.keep("claude", env=variables, rules=QUICK, **more)


def test_a_stream_that_stands_still_costs_the_attempt_its_time_and_the_next_one_works(there: House) -> None:
    (task,) = there.shell.create("login", time_limit_seconds=8.0)

    ended = keep_claude(there, Model(stall(), times=1))

    assert ended.code == 0, (ended.out, ended.err)
    assert len(told(ended, "started")) == 2
    there.assert_each_was_completed_once(task)
    there.assert_nothing_is_left()


def test_an_overload_parks_for_a_while_and_costs_no_try(there: House) -> None:
    (task,) = there.shell.create("login")

    ended = keep_claude(there, Model(Trouble(529, "overloaded_error", "Overloaded."), times=1))

    assert ended.code == 0, (ended.out, ended.err)
    assert len(told(ended, "parked")) == 1
    assert there.events("AttemptFailed") == []
    there.assert_each_was_completed_once(task)
    there.assert_nothing_is_left()
