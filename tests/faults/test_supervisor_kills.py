"""`kill -9` of a session, its server, their supervisor, or all of them, at each named moment of a worker's life.

Afterwards the work is finished, each task was completed once, and nothing is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.claude import Claude, binary
from tests.support.messages_api import MessagesApi, Reply, Request, call, say
from tests.support.supervised import House, house, until

pytestmark = pytest.mark.xdist_group("claude")

ALL = ("server", "session", "supervisor")
LIVE = [
    (moment, victims)
    for moment in ("started", "claimed", "reported")
    for victims in (("session",), ("server",), ("supervisor",), ALL)
]


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def named(row: tuple[str, tuple[str, ...]]) -> str:
    return f"{'+'.join(row[1])} at {row[0]}"


@pytest.mark.parametrize("row", [("before_start", ("supervisor",)), *LIVE, ("ended", ("supervisor",))], ids=named)
def test_a_kill_at_any_moment_costs_nothing_but_time(there: House, row: tuple[str, tuple[str, ...]]) -> None:
    moment, victims = row
    tasks = there.shell.create("login", "password")

    first = there.keep("offline", moment=moment, victims=victims)
    assert '"event": "killed at"' in first.out, (first.out, first.err)
    if "supervisor" in victims:
        assert first.code == -9
        first = there.start("start", "--blue", "1", "--runner", "offline", "--until-idle")

    assert first.code == 0, (first.out, first.err)
    there.assert_each_was_completed_once(*tasks)
    there.assert_nothing_is_left()


@pytest.mark.parametrize("moment", ["before_put_away", "after_put_away"])
def test_the_work_of_a_session_survives_a_kill_while_it_is_put_away(there: House, moment: str) -> None:
    (task,) = there.shell.create("make it", kind="implement")

    first = there.keep(there.agent("writes"), scale={"green": 1}, moment=moment, victims=["supervisor"])
    assert first.code == -9, (first.out, first.err)
    ended = there.start("start", "--green", "1", "--runner", there.agent("writes"), "--until-idle")

    assert ended.code == 0, (ended.out, ended.err)
    assert there.repository.shown("made.py", at=f"trichrome/{task}") == "made = True"
    assert there.runs() == 1
    there.assert_each_was_completed_once(task)
    there.assert_nothing_is_left()


def test_a_kill_of_a_supervisor_that_waits_for_a_limit_loses_nothing(there: House) -> None:
    tasks = there.shell.create("login")

    first = there.keep(there.agent("limited"), moment="parked", victims=["supervisor"])
    assert first.code == -9, (first.out, first.err)
    ended = there.start("start", "--blue", "1", "--runner", there.agent("limited"), "--until-idle")

    assert ended.code == 0, (ended.out, ended.err)
    there.assert_each_was_completed_once(*tasks)
    there.assert_nothing_is_left()


def test_a_forced_stop_in_the_middle_leaves_the_task_to_be_claimed(there: House) -> None:
    (task,) = there.shell.create("something long")
    assert there.start("start", "--blue", "1", "--runner", there.agent("silent"), "--detach").code == 0
    until(lambda: there.events("TaskClaimed"))

    stopped = there.start("stop", "--force")

    assert stopped.code == 0, stopped.err
    there.assert_nothing_is_left()
    assert there.state(task) == "ready"
    assert there.events("AttemptFailed") == []
    there.shell.do(task)
    there.assert_each_was_completed_once(task)


def model(request: Request) -> Reply:
    """Claim, report, and say a last word, whatever the server answers."""
    wanted = re.search(r'claim_task\(task="(t\d+)"\)', "\n".join(request.prompts))
    assert wanted is not None
    claims, reports = request.results_of("claim_task"), request.results_of("report_result")
    if not claims:
        return call("claim_task", {"task": wanted[1]})
    if not reports and isinstance(claims[-1], dict) and claims[-1].get("attempt"):
        return call("report_result", {"attempt": claims[-1]["attempt"], "outcome": "completed", "summary": "Done."})
    return say("I am done.")


@pytest.mark.parametrize(
    "row",
    [("claimed", ("session",)), ("claimed", ("server",)), ("claimed", ALL), ("reported", ("supervisor",))],
    ids=named,
)
def test_claude_killed_finishes_the_work_all_the_same(there: House, row: tuple[str, tuple[str, ...]]) -> None:
    moment, victims = row
    tasks = there.shell.create("login")

    with MessagesApi(model) as api:
        user = Claude(home=there.notes / "home", folder=there.shell.folder, api_url=api.url).environment()
        variables = {**user, "TRICHROME_CLAUDE": str(binary())}
        ended = there.keep("claude", env=variables, moment=moment, victims=victims)
        assert '"event": "killed at"' in ended.out, (ended.out, ended.err)
        if "supervisor" in victims:
            ended = there.start("start", "--blue", "1", "--runner", "claude", "--until-idle", **variables)

    assert ended.code == 0, (ended.out, ended.err)
    there.assert_each_was_completed_once(*tasks)
    there.assert_nothing_is_left()
