"""`trichrome route`: what it answers to people and programs, and that it creates nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.commands import Shell

LARGE = "Find all SQL injection across the codebase, fix it, add tests"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_people_read_who_does_what_why_and_at_what_cost(shell: Shell) -> None:
    ended = shell.run("route", LARGE)

    assert ended.code == 0
    assert ended.out.startswith("team (fix, score ")
    assert "\nexpected: about " in ended.out
    assert "- it needs both looking and changing\n" in ended.out
    assert "Nothing was created." in ended.err


def test_programs_read_a_plan_that_create_task_takes_and_nothing_is_created(shell: Shell) -> None:
    answer = shell.json("route", LARGE, "--files", "src/db.py")

    assert {"mode", "kind", "roles", "models", "score", "reasons", "expected", "plan"} == set(answer)
    assert {each["role"] for each in answer["plan"]} == {"blue", "green"}
    assert {each.get("review") for each in answer["plan"]} == {None, "red"}
    assert shell.json("list") == {"tasks": []}


def test_flags_in_the_request_count_and_what_they_cannot_mean_is_told(shell: Shell) -> None:
    single = shell.json("route", f"{LARGE} --single")
    odd = shell.json("route", "fix the typo --multi-agent --budget lots")

    assert (single["mode"], "plan" in single) == ("single", False)
    assert odd["mode"] == "pair"
    assert odd["problems"] == ["--budget takes an amount in US dollars, such as 2.50, not 'lots'. It is left out."]


def test_budget_below_the_smallest_plan_is_told(shell: Shell) -> None:
    answer = shell.json("route", f"{LARGE} --budget 0.01")

    assert "what it may cost" in answer["problems"][0]


def test_models_and_prices_are_those_that_the_project_sets(shell: Shell) -> None:
    usual = shell.json("route", "where is it?")
    folder = shell.folder / ".trichrome"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text('[roles.blue]\nmodel = "opus"\n', encoding="utf-8")

    dearer = shell.json("route", "where is it?")

    assert (usual["models"], dearer["models"]) == ({"blue": "haiku"}, {"blue": "opus"})
    assert dearer["expected"]["usd"] > usual["expected"]["usd"]


def test_role_that_the_project_adds_is_a_target(shell: Shell) -> None:
    agents = shell.folder / ".trichrome" / "agents"
    agents.mkdir(parents=True)
    (agents / "purple.md").write_text("---\nname: purple\ndescription: Writes.\nmodel: haiku\n---\nWrite.\n", "utf-8")
    (agents.parent / "config.toml").write_text('[roles.purple]\nkinds = ["document"]\n', encoding="utf-8")

    answer = shell.json("route", "document the API")

    assert json.dumps(answer["roles"]) == '{"purple": 1}'


@pytest.mark.parametrize("request_", ["", "  ", "--multi-agent"])
def test_nothing_asked_for_is_refused(shell: Shell, request_: str) -> None:
    ended = shell.run("route", "--", request_)

    assert ended.code == 1
    assert "Say in it what is wanted" in ended.err
