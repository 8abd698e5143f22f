"""Eight workers on one log, one of them killed every 200 ms: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.support.workers import crew

from trichrome.bootstrap import Project, open_project
from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain import events as facts
from trichrome.domain.drafts import Draft
from trichrome.store.port import Recorded

RESCUED_WITHIN_SECONDS = 5.0


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRICHROME_BACKOFF_SECONDS", "0")
    monkeypatch.setenv("TRICHROME_MAX_ATTEMPTS", "100000")


def create(project: Project, count: int) -> int:
    """Tasks of which some wait for the one before and some are reviewed; answers how many there will be."""
    wanted = [
        Draft(
            kind="search",
            instructions=f"task {number}",
            depends_on=(str(number - 1),) if number % 5 == 4 else (),
            review="red" if number % 10 == 7 else None,
            files=(f"src/{number % 3}",) if number % 10 == 3 else (),
            ref=str(number),
        )
        for number in range(count)
    ]
    for start in range(0, count, 200):
        tasks.create(project.coordinator, OPERATOR, wanted[start : start + 200])
    return count + sum(draft.review is not None for draft in wanted)


def finish(project: Project, count: int, *, within_seconds: float) -> None:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        with project.coordinator.store.reading() as view:
            states = view.count_tasks()
        if states.get("completed", 0) == count:
            return
        time.sleep(0.1)
    pytest.fail(f"after {within_seconds:g} s the tasks are {states}")


def check(log: list[Recorded], notes: Path) -> None:
    """Every promise that the log and what the workers wrote down can show."""
    completed = Counter(each.stream for each in log if isinstance(each.event, facts.TaskCompleted))
    assert set(completed.values()) == {1}
    last: dict[str, int] = {}
    reported: dict[str, str] = {}
    for each in log:
        match each.event:
            case facts.TaskClaimed():
                assert each.event.attempt > last.get(each.stream, 0)
                last[each.stream] = each.event.attempt
            case facts.ReviewRequested() | facts.TaskCompleted() if each.event.report is not None:
                reported[f"{each.stream}.{each.event.attempt}"] = each.event.report.summary
            case _:
                pass
    assert [each.position for each in log] == list(range(1, len(log) + 1))
    for file in notes.glob("*.jsonl"):
        *whole, _torn = file.read_text(encoding="utf-8").split("\n")
        for line in whole:
            acknowledged = json.loads(line)
            assert reported[acknowledged["attempt"]] == acknowledged["summary"]


def rescues(log: list[Recorded], notes: Path) -> list[float]:
    """How long after its worker's death each rescued attempt was free, in seconds."""
    killed = {int(pid): float(at) for pid, at in map(str.split, (notes / "killed").read_text().splitlines())}
    waits = []
    for each in log:
        if isinstance(each.event, facts.AttemptRescued):
            pid = re.search(r"process (\d+)", each.event.reason)
            assert pid is not None
            waits.append(each.recorded_at - killed.get(int(pid[1]), each.recorded_at))
    return sorted(waits)


def run(folder: Path, count: int, *, within_seconds: float) -> None:
    project = open_project(folder)
    whole = create(project, count)
    began = time.monotonic()

    with crew(folder, folder / "notes"):
        finish(project, whole, within_seconds=within_seconds)
        seconds = time.monotonic() - began

    store = project.coordinator.store
    with store.reading() as view:
        log = view.events(limit=10**9)
    check(log, folder / "notes")
    assert store.differences() == []
    store.rebuild()
    assert store.differences() == []
    waits = rescues(log, folder / "notes")
    assert not waits or waits[-1] < RESCUED_WITHIN_SECONDS
    project.close()
    kills = len((folder / "notes" / "killed").read_text().splitlines())
    acknowledged = sum(len(file.read_text().splitlines()) for file in (folder / "notes").glob("*.jsonl"))
    print(  # noqa: T201 - the figures are what `make soak` is run for
        f"\n{whole} tasks in {seconds:.1f} s, {kills} workers killed, {len(waits)} attempts rescued, "
        f"{acknowledged} reports acknowledged, {len(log)} events; free after "
        f"{waits[len(waits) // 2] if waits else 0:.2f} s (median), {waits[-1] if waits else 0:.2f} s (longest)"
    )


def test_every_task_is_completed_once_though_workers_are_killed(tmp_path: Path) -> None:
    run(tmp_path, 150, within_seconds=18)


@pytest.mark.soak
def test_two_thousand_tasks_are_completed_once_though_workers_are_killed(tmp_path: Path) -> None:
    run(tmp_path, 2000, within_seconds=600)
