"""A value made fast is like any other of its class."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from trichrome.domain.events import Report, RunCreated, TaskClaimed
from trichrome.domain.ids import RunId, TaskId
from trichrome.domain.tasks import Task
from trichrome.domain.values import made, maker, replace

CLAIMED = TaskClaimed(attempt=1, worker="w", principal="p")
TASK = Task(id=TaskId("t1"), run=RunId("r1"), kind="fix", role="green", created_by="a", state="ready")


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (made(TaskClaimed, {"attempt": 1, "worker": "w", "principal": "p"}), CLAIMED),
        (maker(TaskClaimed)(1, "w", principal="p"), CLAIMED),
        (replace(replace(CLAIMED, worker="v", attempt=2), worker="w", attempt=1), CLAIMED),
        (made(RunCreated, {"run": "r1", "lead": "a"}), RunCreated(RunId("r1"), "a")),
        (made(Report, {"summary": "x"}), Report("x")),
        (replace(TASK, state="failed"), dataclasses.replace(TASK, state="failed")),
    ],
)
def test_it_equals_the_one_that_its_class_makes(value: Any, same: Any) -> None:
    assert value == same
    assert hash(value) == hash(same)
    assert repr(value) == repr(same)
    assert dataclasses.asdict(value) == dataclasses.asdict(same)
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == same


@pytest.mark.parametrize(
    "value", [made(Report, {"summary": "x"}), maker(Report)("x"), replace(Report("y"), summary="x")]
)
def test_it_is_frozen(value: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.summary = "y"

    assert value == Report("x")


def test_a_replacement_leaves_the_old_value_alone() -> None:
    changed = replace(TASK, state="running", tries=2)

    assert (TASK.state, TASK.tries) == ("ready", 0)
    assert (changed.state, changed.tries, changed.kind) == ("running", 2, "fix")
