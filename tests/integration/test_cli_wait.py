"""`trichrome wait`: exit codes, each ended task told once, one document."""

from pathlib import Path

import pytest
from tests.support.commands import BOUND, Shell

from trichrome.coordinator import Caller, tasks
from trichrome.domain.drafts import Draft


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_completed_run_exits_0_and_tells_each_task_once(shell: Shell) -> None:
    for name in shell.create("a", "b"):
        shell.do(name, summary=f"found {name}")

    ended = shell.run("wait", "r1")

    assert ended.code == 0
    assert ended.out.splitlines() == ["t1 completed: found t1", "t2 completed: found t2", "Done: 2 completed."]


def test_json_is_one_document_of_the_tool_s_shape(shell: Shell) -> None:
    for name in shell.create("a", "b"):
        shell.do(name)

    answer = shell.json("wait", "r1")

    assert answer["done"] is True
    assert answer["cursor"] > 0
    assert answer["changed"] == [
        {"id": "t1", "state": "completed", "summary": "done"},
        {"id": "t2", "state": "completed", "summary": "done"},
    ]


def test_the_run_created_last_is_meant_by_default(shell: Shell) -> None:
    shell.create("a")
    (newest,) = shell.create("b")
    shell.do(newest)

    answer = shell.json("wait")

    assert [each["id"] for each in answer["changed"]] == [newest]


def test_a_failed_task_exits_1_and_is_named(shell: Shell) -> None:
    over, failed = shell.create("a", "b")
    shell.do(over)
    shell.do(failed, "failed", "It is not there.", retry=False)

    ended = shell.run("wait", over, failed)

    assert ended.code == 1
    assert "t2 failed: It is not there." in ended.out
    assert ended.out.endswith("Over: 1 completed, 1 failed. `trichrome explain t2` tells why.\n")


def test_a_cancelled_task_exits_1(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.json("cancel", name)

    assert shell.run("wait", name).code == 1


def test_a_review_that_the_operator_closed_is_no_failure(shell: Shell) -> None:
    (name,) = shell.create("a", review="red")
    shell.do(name)
    shell.json("approve", name)

    ended = shell.run("wait", "r1")

    assert ended.code == 0
    assert "t2 cancelled" in ended.out


def test_a_closed_review_that_was_named_exits_1(shell: Shell) -> None:
    (name,) = shell.create("a", review="red")
    shell.do(name)
    shell.json("approve", name)

    ended = shell.run("wait", "t2")

    assert ended.code == 1
    assert ended.out.endswith("Over: 1 cancelled. `trichrome explain t2` tells why.\n")


def test_what_cannot_move_exits_1_at_once_and_says_what_helps(shell: Shell) -> None:
    shell.create("a")

    told = shell.run("wait", "r1")
    answer = shell.run("wait", "r1", "--json")

    assert (told.code, answer.code) == (1, 1)
    assert "no blue worker is connected" in told.out
    assert [each["id"] for each in answer.answer["stuck"]] == ["t1"]


def test_a_run_that_is_not_there_exits_1_and_the_advice_is_a_command(shell: Shell) -> None:
    told = shell.run("wait", "r99")
    answer = shell.run("wait", "r99", "--json")

    assert (told.code, told.out) == (1, "")
    assert told.err == "trichrome: There is no run r99. `trichrome list` shows the runs of all tasks. (not_found)\n"
    assert answer.refusal["message"] in told.err


def test_without_a_run_of_your_own_those_of_others_are_named(shell: Shell) -> None:
    nothing = shell.run("wait")
    with shell.project() as project:
        for _ in range(7):
            tasks.create(project.coordinator, Caller("somebody"), [Draft(kind="search", instructions="a")])

    others = shell.run("wait")

    assert (nothing.code, others.code) == (1, 1)
    assert "`trichrome list` shows the runs of all tasks." in nothing.err
    assert "Runs that are not over: r7, r6, r5, r4, r3 and 2 more." in others.err


def test_time_that_is_over_exits_3(shell: Shell) -> None:
    (name,) = shell.create("a")
    shell.claim(name)

    told = shell.run("wait", name, "--timeout", "0.2")
    answer = shell.run("wait", name, "--timeout", "0", "--json")

    assert (told.code, answer.code) == (3, 3)
    assert "The time is over" in told.out
    assert (answer.answer["done"], answer.answer["changed"]) == (False, [])


def test_a_waiter_wakes_when_the_work_is_reported(shell: Shell) -> None:
    over, running = shell.create("a", "b")
    shell.do(over)
    attempt = shell.claim(running)
    process = shell.start("wait", "r1")
    assert process.stdout is not None

    assert process.stdout.readline() == "t1 completed: done\n"
    shell.report(attempt, summary="at last")
    out, _ = process.communicate(timeout=BOUND)

    assert process.returncode == 0
    assert out == "t2 completed: at last\nDone: 2 completed.\n"
