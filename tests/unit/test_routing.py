"""How much team a request deserves: on labelled examples, by flags, and for anything that somebody may type."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.labelled import HELD_OUT, TUNED, Example

from trichrome.domain.requests import Request, parse
from trichrome.domain.routing import KINDS, MOST_PARTS, PAIR_FROM, TEAM_FROM, Routing, route
from trichrome.domain.superclaude import CommandFacts

SMALL, LARGE = "where is the config read?", "migrate auth across the whole codebase, write tests, review the security"


def decided(text: str, files: Sequence[str] = ()) -> Routing:
    """What the score alone decides."""
    return route(Request(text), files=files, asked=True)


@pytest.mark.parametrize(
    ("name", "examples", "fewest"), [("tuned", TUNED, 0.95), ("held out", HELD_OUT, 0.85)], ids=["tuned", "held out"]
)
def test_labelled_requests_get_the_team_that_people_gave_them(
    name: str, examples: Sequence[Example], fewest: float, record_property: Callable[[str, object], None]
) -> None:
    routed = [decided(text) for _, _, text in examples]

    modes = sum(each.mode == mode for each, (mode, _, _) in zip(routed, examples, strict=True))
    kinds = sum(each.kind == kind for each, (_, kind, _) in zip(routed, examples, strict=True))
    told = f"routing, {name}: mode right for {modes} of {len(examples)} requests, kind for {kinds}"
    record_property("figure", told)
    assert min(modes, kinds) >= fewest * len(examples), told


def test_there_are_enough_examples_of_each_mode() -> None:
    for mode in ("single", "pair", "team"):
        assert sum(each[0] == mode for each in TUNED) >= 10
        assert sum(each[0] == mode for each in HELD_OUT) >= 5
    assert len(TUNED) + len(HELD_OUT) >= 80


@given(st.text(max_size=300), st.lists(st.text(max_size=5), max_size=30))
@settings(deadline=None, derandomize=True, database=None)
def test_any_request_gets_a_score_from_nothing_to_one_with_reasons(text: str, files: list[str]) -> None:
    routed = decided(text, files)

    assert 0 <= routed.score <= 1
    assert routed.mode == "single" or routed.score >= PAIR_FROM
    assert routed.mode != "team" or routed.score >= TEAM_FROM
    assert (len(routed.roles) == 1) is (routed.mode == "single")
    assert all(parts >= 1 for parts in routed.roles.values())
    assert len(routed.parts) <= MOST_PARTS
    assert routed.reasons
    assert decided(text, files) == routed


def test_more_files_never_score_less() -> None:
    scores = [decided("find the handlers", [f"src/f{n}.py" for n in range(count)]).score for count in range(12)]

    assert scores == sorted(scores)


@pytest.mark.parametrize("asked", [None, False])
def test_nobody_asks_so_one_agent_does_it(asked: bool | None) -> None:
    assert route(Request(LARGE), asked=asked).mode == "single"


def test_variable_lets_the_score_decide() -> None:
    assert route(Request(SMALL), asked=True).mode == "single"
    assert route(Request(LARGE), asked=True).mode == "team"


@pytest.mark.parametrize("flag", ["--multi-agent", "--comprehensive", "--review"])
def test_flag_beats_the_variable_and_the_score(flag: str) -> None:
    routed = route(parse(f"fix the typo in README {flag}"), asked=False)

    assert routed.mode != "single"
    assert routed.reasons[0] == f"{flag} asks for several agents"


def test_single_beats_the_variable_and_every_other_flag() -> None:
    routed = route(parse(f"{LARGE} --single --multi-agent --comprehensive"), asked=True)

    assert routed.mode == "single"
    assert list(routed.roles.values()) == [1]


def test_kind_of_the_command_beats_the_words() -> None:
    routed = route(parse("fix the login --multi-agent"), kind="search")

    assert routed.kind == "search"
    assert "green" not in routed.roles


def test_parts_that_are_named_are_done_side_by_side() -> None:
    routed = route(parse("--multi-agent document src/api/, src/store/ and src/web/"))

    assert routed.parts == ("src/api/", "src/store/", "src/web/")
    assert routed.roles["green"] == 3


def test_concurrency_caps_the_parts() -> None:
    routed = route(parse("--multi-agent --concurrency 2 fix a.py, b.py, c.py, d.py and e.py"))

    assert len(routed.parts) == 2
    assert "c.py" in " ".join(routed.parts)


def test_complexity_of_a_command_counts() -> None:
    simple = route(Request("the parser"), kind="analyze", facts=CommandFacts("basic"), asked=True)
    harder = route(Request("the parser"), kind="analyze", facts=CommandFacts("advanced"), asked=True)

    assert harder.score > simple.score
    assert "the command's complexity is advanced" in harder.reasons


def test_role_that_a_project_adds_is_a_target_by_its_kind() -> None:
    kinds = {**KINDS, "document": "purple"}

    alone = route(Request("Write the documentation of the API"), kinds=kinds, asked=True)
    team = route(parse("document the API --multi-agent"), kinds=kinds)

    assert set(alone.roles) == {"purple"}
    assert "purple" in team.roles


def test_persona_that_is_named_takes_part() -> None:
    assert "red" in route(parse("implement the login form --multi-agent --persona-security")).roles
