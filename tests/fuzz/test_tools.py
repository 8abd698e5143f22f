"""Arguments of every tool, right and wrong, in a project with a past: each call does it or is refused by a stable code."""

from __future__ import annotations

import json
import shutil
import threading
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import TextContent
from tests.support.clocks import ManualClock
from tests.support.histories import live_through
from tests.support.nasty import KEYS, ODD, ODD_VALUES, TEXTS, examples
from tests.support.projects import Project, StoreKind, Worker, open_store

from trichrome.coordinator import Caller
from trichrome.coordinator.sizes import ANSWER_BYTES
from trichrome.domain.tasks import STATES
from trichrome.errors import Code, TrichromeError
from trichrome.mcp_server.registry import Call, Tool
from trichrome.mcp_server.serving import _answered
from trichrome.mcp_server.tools import TOOLS
from trichrome.mcp_server.tools.lead import TaskDraft
from trichrome.store import codec

CODES = typing.get_args(Code)
LATE = {"stale_attempt"}
"""A report that came too late is refused and kept."""
STEPS = 90

TASKS = st.integers(1, 14).map("t{}".format)
RUNS = st.integers(1, 6).map("r{}".format)
MINE = "mine"
"""Stands for the attempt that the caller holds."""
ATTEMPTS = st.builds("{}.{}".format, TASKS, st.integers(1, 3)) | st.just(MINE) | st.just(MINE)
ROLES = st.sampled_from(["blue", "green", "red"])
WORDS = st.sampled_from(["x", "find it", "caf\u00e9", "a\nb"])
PATHS = st.lists(st.sampled_from(["src", "src/a.py", "docs/*", "docs/x.md", "**", ".."]), min_size=1, max_size=3)
SECONDS = st.sampled_from([0, 0.5, 1, 60, 90, 1800])
WISH = {
    "kind": st.sampled_from(["search", "implement", "review", "paint"]),
    "instructions": WORDS,
    "role": ROLES,
    "acceptance": WORDS,
    "priority": st.integers(0, 9),
    "depends_on": st.lists(TASKS | st.sampled_from(["a", "b"]), max_size=2),
    "files": PATHS,
    "review": ROLES,
    "key": st.sampled_from(["k1", "k2", "new"]),
    "max_attempts": st.integers(1, 3),
    "not_before_seconds": SECONDS,
    "time_limit_seconds": SECONDS,
}
DRAFTS = st.lists(
    st.fixed_dictionaries({}, optional={**WISH, "ref": st.sampled_from(["a", "b"])})
    | st.builds(
        lambda key, value: {"kind": "search", "instructions": "x", key: value}, st.sampled_from(list(WISH)), ODD
    ),
    max_size=3,
)
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **WISH,
    "run": RUNS,
    "task": TASKS,
    "attempt": ATTEMPTS,
    "after": TASKS,
    "state": st.sampled_from(STATES),
    "limit": st.integers(1, 500),
    "cursor": st.integers(0, 300),
    "wait_seconds": SECONDS,
    "outcome": st.sampled_from(["completed", "failed", "released", "approved", "changes"]),
    "summary": WORDS,
    "data": st.dictionaries(WORDS, WORDS | st.lists(st.integers())),
    "artifacts": PATHS,
    "follow_ups": st.lists(WORDS, max_size=2),
    "retry": st.booleans(),
    "claim_next": st.booleans(),
    "note": WORDS,
    "fraction": st.floats(0, 1),
    "paths": PATHS,
    "mode": st.sampled_from(["exclusive", "shared"]),
    "to": ROLES | RUNS | st.sampled_from(["lead", "lead-1", "blue-1", "nobody"]),
    "text": WORDS,
    "name": st.sampled_from(["plan", "names", "new"]),
    "expect_version": st.integers(0, 3),
    "reason": WORDS,
    "request": WORDS,
}
"""What each argument may well be."""


_REQUIRED = {"create_task": ("kind", "instructions"), "cancel_task": ("task",), "reserve_files": ("attempt", "paths")}


@st.composite
def arguments(draw: st.DrawFn, tool: Tool[Any]) -> dict[str, Any]:
    """Arguments of a tool: as they should be half the time, else with one or two that should not be so."""
    required = _REQUIRED.get(tool.name) or tool.wire().input_schema.get("required", ())
    chosen = draw(st.sets(st.sampled_from(sorted(tool.arguments.model_fields) or ["x"]), max_size=5)) | set(required)
    given_ = {name: draw(_likely(tool, name)) for name in sorted(chosen)}
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        name = draw(st.sampled_from([*given_, *given_, draw(KEYS | TEXTS)]))
        if draw(st.booleans()):
            given_[name] = draw(ODD)
        elif name in given_:
            given_[name] = json.dumps(given_[name])
    return given_


def _likely(tool: Tool[Any], name: str) -> st.SearchStrategy[Any]:
    if name == "tasks":
        return DRAFTS if tool.name == "create_task" else st.lists(TASKS, min_size=1, max_size=2)
    return LIKELY.get(name, ODD)


CALLS = {tool.name: st.tuples(st.just(tool), arguments(tool)) for tool in TOOLS}
CALLERS = st.sampled_from(["new", "holder", "holder", "reviewer", "red", "unknown", "p1", "p2", "p4", "gone"])


def caller(project: Project, who: str) -> Worker:
    match who:
        case "holder":
            worker = project.join()
            worker.claim(task=worker.create("implement"))
            return worker
        case "reviewer":
            author, worker = project.join(), project.join("red")
            author.report(author.take(task=author.create("implement", review="red")))
            worker.claim()
            return worker
        case "new" | "gone":
            worker = project.join()
            if who == "gone":
                project.kill_client(worker)
            return worker
        case "red":
            return project.join("red")
        case "unknown":
            return project.join(known=False, session="s")
        case _:
            return Worker(project, Caller(principal=who))


def position(project: Project) -> int:
    with project.store.reading() as view:
        return view.position()


def held_by(project: Project, worker: Worker) -> str | None:
    """The attempt that a worker holds."""
    with project.store.reading() as view:
        me = view.worker_of(worker.caller.principal, worker.caller.agent)
        held = view.live_attempt_of(me.name) if me is not None else None
    return None if held is None else str(held)


def check(project: Project, tool: Tool[Any], given_: dict[str, Any], worker: Worker) -> None:
    """Call a tool: its answer is one that can be given, its refusal one that is documented and changed nothing."""
    project.sweep()  # of those that a call before has left
    mine = held_by(project, worker) or "t1.1"
    before = position(project)
    try:
        args = tool.parse({name: mine if value == MINE else value for name, value in given_.items()})
        stop = threading.Event()
        if getattr(args, "wait_seconds", 0) > 0:
            stop.set()
        answer = tool.run(Call(project.coordinator, worker.caller, stop), args)
    except TrichromeError as refusal:
        facts = refusal.facts()
        said = json.dumps(facts, ensure_ascii=False).encode()
        assert facts["code"] in CODES
        assert len(said) < 3_000
        assert not any(word in said.lower() for word in (b"pydantic", b"http", b"traceback", b"sqlite"))
        assert facts["code"] in LATE or position(project) == before
        return
    told = _answered(answer).content[0]
    assert isinstance(told, TextContent)
    assert len(told.text.encode()) <= ANSWER_BYTES
    assert json.loads(told.text, parse_constant=pytest.fail)
    with project.store.reading() as view:
        news = view.events(after=before)
    assert not (tool.reads and news)
    for each in news:
        json.loads(codec.encode(each.event)[2], parse_constant=pytest.fail)


def lived(kind: StoreKind, folder: Path) -> Project:
    """A project with a past in which nothing is due."""
    clock = ManualClock()
    project = Project(open_store(kind, folder, clock), clock)
    live_through(project, seed=5, steps=STEPS)
    project.sweep()
    return project


@pytest.mark.parametrize("name", CALLS)
@examples(15)
@given(st.data())
def test_each_tool_does_it_or_refuses_by_a_stable_code(name: str, data: st.DataObject) -> None:
    project = lived("memory", Path())

    for tool, given_ in data.draw(st.lists(CALLS[name], min_size=1, max_size=4)):
        check(project, tool, given_, caller(project, data.draw(CALLERS)))

    assert project.store.differences() == []


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    """A log with a past, and the project that lived it."""
    folder = tmp_path_factory.mktemp("past")
    project = lived("sqlite", folder)
    project.store.close()
    return folder / "events.db", project


@contextmanager
def revived(past: tuple[Path, Project]) -> Iterator[Project]:
    """A copy of the log with a past, opened."""
    path, before = past
    with TemporaryDirectory() as folder:
        shutil.copy(path, folder)
        store = open_store("sqlite", Path(folder), before.clock)
        yield replace(before, store=store, alive=set(before.alive))
        assert store.differences() == []
        store.close()


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_argument_of_each_tool_takes_or_refuses_each_value(past: tuple[Path, Project], tool: Tool[Any]) -> None:
    right = {"kind": "search", "instructions": "x", "attempt": MINE, "outcome": "completed", "summary": "x",
             "paths": ["src"], "task": "t1", "to": "blue", "text": "x", "request": "x", "name": "plan"}  # fmt: skip
    given_ = {name: right[name] for name in tool.arguments.model_fields if name in right}
    with revived(past) as project:
        worker = caller(project, "holder")
        for name, value in product(tool.arguments.model_fields, ODD_VALUES):
            worker = worker if held_by(project, worker) else caller(project, "holder")
            check(project, tool, given_ | {name: value}, worker)


@examples(40)
@given(st.lists(st.tuples(st.one_of(*CALLS.values()), CALLERS), min_size=1, max_size=6))
def test_tools_do_it_or_refuse_by_a_stable_code_on_a_file_too(
    past: tuple[Path, Project], calls: list[tuple[tuple[Tool[Any], dict[str, Any]], str]]
) -> None:
    with revived(past) as project:
        for (tool, given_), who in calls:
            check(project, tool, given_, caller(project, who))


def test_each_argument_of_each_tool_has_likely_values() -> None:
    named = {name for tool in TOOLS for name in tool.arguments.model_fields} | set(TaskDraft.model_fields)

    assert named - {"tasks", "ref"} == set(LIKELY)
