"""The Python API: what a program creates, waits for and reads."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.commands import Shell

import trichrome
from trichrome import MultiClaudeOrchestrator, NotCompletedError
from trichrome.coordinator import liveness
from trichrome.errors import StoreUnavailableError, TrichromeError


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def o(shell: Shell) -> Iterator[MultiClaudeOrchestrator]:
    with MultiClaudeOrchestrator(shell.folder) as orchestrator:
        yield orchestrator


def test_the_first_lines_of_the_readme_work(shell: Shell) -> None:
    program = """
from trichrome import MultiClaudeOrchestrator
o = MultiClaudeOrchestrator()
task_id = o.create_task("search", "Find authentication patterns")
print(task_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=shell.environment(), capture_output=True, text=True, timeout=30, check=True
    )

    assert done.stdout == "t1\n"


def test_importing_the_package_alone_imports_nothing_heavy() -> None:
    program = "import trichrome, sys; print(sorted({'pydantic', 'apsw', 'mcp', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout == "[]\n"
    assert not hasattr(trichrome, "nonsense")


def test_results_are_answered_by_task(o: MultiClaudeOrchestrator, shell: Shell) -> None:
    created = o.create_tasks(
        [
            {"ref": "find", "kind": "search", "instructions": "Find every query"},
            {"kind": "document", "instructions": "List them", "depends_on": ["find"], "priority": 0},
        ]
    )
    find, write = (task["id"] for task in created["tasks"])
    shell.do(find, summary="three queries", data={"count": 3})
    shell.do(write, summary="written", artifacts=["queries.md"])

    results = o.wait(created["run"], timeout=5)

    assert results == {
        find: {"summary": "three queries", "data": {"count": 3}},
        write: {"summary": "written", "artifacts": ["queries.md"]},
    }
    assert o.wait(find) == {find: results[find]}
    assert o.wait() == results
    assert o.result(write) == results[write]


def test_a_waiter_wakes_when_the_work_is_reported(o: MultiClaudeOrchestrator, shell: Shell) -> None:
    attempt = shell.claim(o.create_task("search", "x"))
    reporter = threading.Timer(0.2, shell.report, [attempt], {"summary": "found"})

    reporter.start()
    results = o.wait("t1", timeout=10)
    reporter.join()

    assert results["t1"]["summary"] == "found"


def test_a_failure_is_raised_with_the_state_of_each_task(o: MultiClaudeOrchestrator, shell: Shell) -> None:
    for name, outcome in ((o.create_task("search", "a"), "completed"), (o.create_task("search", "b"), "failed")):
        shell.do(name, outcome, retry=False)

    with pytest.raises(NotCompletedError, match="t2 failed") as raised:
        o.wait("t1", "t2")

    assert (raised.value.states, raised.value.stuck) == ({"t2": "failed"}, [])


def test_a_review_that_the_operator_closed_is_no_failure(o: MultiClaudeOrchestrator, shell: Shell) -> None:
    task = o.create_task("search", "a", review="red")
    shell.do(task, summary="found")
    shell.json("approve", task)

    assert o.wait("r1") == {task: {"summary": "found"}}
    with pytest.raises(NotCompletedError, match="t2 cancelled"):
        o.wait("t2")


def test_what_is_stuck_is_raised_at_once_with_what_helps(o: MultiClaudeOrchestrator) -> None:
    o.create_task("search", "a")

    with pytest.raises(NotCompletedError, match="no blue worker is connected") as raised:
        o.wait("t1")

    assert [each["id"] for each in raised.value.stuck] == ["t1"]


def test_time_that_is_over_raises_timeout_error(o: MultiClaudeOrchestrator, shell: Shell) -> None:
    shell.claim(o.create_task("search", "a"))

    with pytest.raises(TimeoutError, match=r"t1 is not over after 0\.1 s"):
        o.wait("t1", timeout=0.1)


def test_reading_and_cancelling(o: MultiClaudeOrchestrator) -> None:
    task = o.create_task("search", "a", acceptance="Found.", files=["src"], key="k")
    other = o.create_task("search", "b", run="r1")

    listed = o.list(run="r1", limit=1)
    cancelled = o.cancel(task, reason="no longer wanted")

    assert o.create_task("search", "a", acceptance="Found.", files=["src"], key="k") == task
    assert (listed["after"], [each["id"] for each in listed["tasks"]]) == (task, [task])
    assert cancelled == [task]
    assert o.cancel("r1") == [other]
    assert o.get(task)["state"] == "cancelled"
    assert o.result(task) is None
    assert o.status()["tasks"] == {"cancelled": 2}


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"kind": "search"}, "invalid"),
        ({"kind": "search", "instructions": ""}, "invalid"),
        ({"kind": "search", "instructions": "x", "colour": "blue"}, "unknown_argument"),
        ({"kind": "search", "instructions": "x", "role": "pink"}, "unknown_role"),
        ({"kind": "search", "instructions": "x", "depends_on": ["t9"]}, "not_found"),
    ],
)
def test_refusals_carry_a_stable_code(o: MultiClaudeOrchestrator, wanted: dict[str, object], code: str) -> None:
    with pytest.raises(TrichromeError) as raised:
        o.create_tasks([wanted])  # type: ignore[list-item]  # what a program without types may do

    assert raised.value.code == code
    assert o.list()["tasks"] == []


def test_status_rescues_first_and_answers_though_nobody_can_be_rescued(
    o: MultiClaudeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def refuses(c: object) -> None:
        asked.append(c)
        raise StoreUnavailableError("the disk is full")

    monkeypatch.setattr(liveness, "sweep", refuses)
    o.create_task("search", "x")

    assert o.status()["tasks"] == {"ready": 1}
    assert len(asked) == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrichromeError) as raised:
        MultiClaudeOrchestrator(tmp_path / "nowhere")

    assert raised.value.code == "not_found"


def test_what_was_created_is_kept_when_the_program_is_gone(shell: Shell) -> None:
    with MultiClaudeOrchestrator(shell.folder) as first:
        first.create_task("search", "a")

    with MultiClaudeOrchestrator(shell.folder) as second:
        assert second.get("t1")["instructions"] == "a"
        assert second.folder == shell.folder
