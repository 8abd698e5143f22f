"""The tasks that a routed request begins with."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store

from trichrome.coordinator.tasks import create
from trichrome.domain.drafts import Draft
from trichrome.domain.plans import MOST_CHARS, Planned, plan
from trichrome.domain.requests import parse
from trichrome.domain.routing import KINDS, route
from trichrome.mcp_server.tools.lead import TaskDraft


def planned(typed: str, kind: str | None = None) -> tuple[Planned, ...]:
    request = parse(typed)
    return plan(request, route(request, kind=kind))


def shape(tasks: tuple[Planned, ...]) -> list[tuple[str, str, str, tuple[str, ...], str | None]]:
    return [(each.ref, each.kind, each.role, each.depends_on, each.review) for each in tasks]


def test_one_agent_alone_has_no_plan() -> None:
    assert planned("where is the config read?") == ()
    assert planned("everything --multi-agent --single") == ()


def test_search_is_done_from_several_sides_and_judged() -> None:
    assert shape(planned("auth --multi-agent", "search")) == [
        ("a1", "search", "blue", (), None),
        ("a2", "search", "blue", (), None),
        ("a3", "search", "blue", (), None),
        ("z1", "review", "red", ("a1", "a2", "a3"), None),
    ]


def test_comprehensive_searches_then_changes_then_tests_then_reviews() -> None:
    assert shape(planned("add a login --comprehensive", "implement")) == [
        ("s1", "search", "blue", (), None),
        ("c1", "implement", "green", ("s1",), None),
        ("t1", "test", "green", ("c1",), None),
        ("r1", "review", "red", ("c1", "t1"), None),
    ]


def test_review_is_asked_of_what_is_changed() -> None:
    (*_, last) = planned("add a logout button --review", "implement")

    assert (last.kind, last.review) == ("implement", "red")


def test_sequential_makes_a_chain() -> None:
    tasks = planned("fix a.py, b.py and c.py --multi-agent --sequential", "fix")

    assert all(before.ref in after.depends_on for before, after in itertools.pairwise(tasks))


def test_parts_are_named_to_those_who_do_them() -> None:
    tasks = [
        each for each in planned("document src/api/, src/store/ and src/web/ --multi-agent") if each.kind == "document"
    ]

    assert [each.instructions.rpartition(": ")[2] for each in tasks] == ["src/api/", "src/store/", "src/web/"]


def test_paths_that_a_part_consists_of_are_its_files() -> None:
    changing = planned("fix a.py, b.py and c.py --multi-agent", "fix")
    looking = planned("search a.py, b.py and c.py --multi-agent", "search")

    assert [each.files for each in changing if each.kind == "fix"] == [("a.py",), ("b.py",), ("c.py",)]
    assert all(not each.files for each in looking)


def test_focus_is_told_to_everybody() -> None:
    assert all(
        "Above all: security" in each.instructions for each in planned("the login --multi-agent --focus security")
    )


def test_role_that_is_asked_for_by_name_has_a_task() -> None:
    request, kinds = parse("implement a form --multi-agent --persona-purple"), {**KINDS, "document": "purple"}

    tasks = plan(request, route(request, kinds=kinds), kinds=kinds)

    (named,) = [each for each in tasks if each.role == "purple"]
    assert named.kind == "document"
    assert set(named.depends_on) == {each.ref for each in tasks} - {named.ref}


def test_long_request_is_shortened_in_each_task() -> None:
    tasks = planned(f"search {'words ' * 5000} --multi-agent")

    assert all(len(each.instructions) < MOST_CHARS * 3 for each in tasks)
    assert "[... shortened]" in tasks[0].instructions


def test_role_that_a_project_adds_does_its_kind() -> None:
    request, kinds = parse("document the API --multi-agent"), {**KINDS, "document": "purple"}

    tasks = plan(request, route(request, kinds=kinds), kinds=kinds)

    assert {each.role for each in tasks if each.kind == "document"} == {"purple"}


FLAGS = [
    "--multi-agent",
    "--comprehensive",
    "--review",
    "--parallel",
    "--sequential",
    "--concurrency 2",
    "--persona-qa",
]


@given(
    st.lists(st.sampled_from(FLAGS), max_size=4), st.sampled_from([*KINDS, "orchestrate", None]), st.text(max_size=60)
)
@settings(deadline=None, derandomize=True, database=None, max_examples=150)
def test_every_plan_refers_only_to_what_stands_before_it(flags: list[str], kind: Any, text: str) -> None:
    tasks = planned(f"{text} {' '.join(flags)}", kind)

    refs = [each.ref for each in tasks]
    assert len(set(refs)) == len(refs)
    for number, each in enumerate(tasks):
        assert set(each.depends_on) <= set(refs[:number])


@pytest.mark.parametrize("kind", [*KINDS, "orchestrate"])
@pytest.mark.parametrize(
    "flags", ["--multi-agent", "--comprehensive", "--multi-agent --review --parallel", "--multi-agent --sequential"]
)
def test_create_task_takes_every_plan_as_it_is(tmp_path: Any, kind: str, flags: str) -> None:
    tasks = planned(f"the login across the whole codebase, its tests and its docs {flags}", kind)

    clock = ManualClock()
    lead = Project(open_store("memory", tmp_path, clock), clock).join()
    drafts = [Draft(**TaskDraft.model_validate(each.draft()).model_dump()) for each in tasks]
    created = create(lead.project.coordinator, lead.caller, drafts)

    assert len(created["tasks"]) == len(tasks)
