"""What of a hook's words is written down: what changes the picture, and not more often."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.support.clocks import ManualClock

from trichrome.errors import InvalidError
from trichrome.mcp_server.registry import parse
from trichrome.mcp_server.signs import MOST_AGENTS, SETTLE_SECONDS, NoteSign, Signs


class Hooks:
    """A client with hooks, and the keeper that asks what is due."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.signs = Signs(self.clock)

    def tell(self, kind: str, agent: str = "", **more: Any) -> None:
        self.signs.note(parse(NoteSign, {"kind": kind, "agent_id": agent, **more}))

    def kept(self) -> list[tuple[str, str]]:
        """What the keeper writes down now: kinds, and their agents."""
        due = self.signs.due("p1")
        self.signs.kept(due)
        return [(sign.kind, sign.agent) for sign in due]


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


def test_first_sign_is_written_down_and_the_same_again_is_not(hooks: Hooks) -> None:
    hooks.tell("turn_began")

    assert [hooks.kept(), hooks.kept()] == [[("turn_began", "")], []]
    hooks.tell("tool_ended")
    assert hooks.kept() == []


def test_tools_that_are_over_at_once_leave_nothing(hooks: Hooks) -> None:
    hooks.tell("turn_began")
    hooks.kept()
    written = []
    for _ in range(10):
        hooks.tell("tool_started", tool_name="Read")
        written += hooks.kept()
        hooks.tell("tool_ended", tool_name="Read")
        hooks.clock.pass_seconds(1)
        written += hooks.kept()

    assert written == []


def test_tool_that_runs_on_is_written_down_with_its_beginning_and_its_end(hooks: Hooks) -> None:
    hooks.tell("turn_began")
    hooks.kept()
    hooks.tell("tool_started", tool_name="Bash")
    began = hooks.clock.monotonic
    hooks.clock.pass_seconds(SETTLE_SECONDS)

    (started,) = hooks.signs.due("p1")
    hooks.signs.kept([started])
    hooks.tell("tool_ended", tool_name="Bash")

    assert (started.kind, started.at, started.detail) == ("tool_started", began, "Bash")
    assert hooks.kept() == [("tool_ended", "")]


def test_tool_that_was_seen_to_begin_and_then_ran_on_is_the_newest_sign(hooks: Hooks) -> None:
    hooks.tell("tool_started", tool_name="Bash")
    first = hooks.signs.due("p1")
    hooks.signs.kept(first)
    hooks.clock.pass_seconds(SETTLE_SECONDS)

    second = hooks.signs.due("p1")

    assert [(sign.kind) for sign in sorted([*second, *first], key=lambda sign: sign.at)] == [
        "tool_ended",
        "tool_started",
    ]
    assert second[0].at > first[0].at


def test_next_tool_is_not_taken_for_the_one_that_ran_long(hooks: Hooks) -> None:
    hooks.tell("tool_started", tool_name="Bash")
    hooks.clock.pass_seconds(SETTLE_SECONDS)
    hooks.kept()
    hooks.tell("tool_ended", tool_name="Bash")
    hooks.tell("tool_started", tool_name="Read")

    assert hooks.kept() == [("tool_ended", "")]
    hooks.clock.pass_seconds(SETTLE_SECONDS)
    assert hooks.kept() == [("tool_started", "")]


@pytest.mark.parametrize("kind", ["prompt_opened", "turn_ended"])
def test_what_lets_nobody_go_on_is_written_down_at_once_and_so_is_its_end(hooks: Hooks, kind: str) -> None:
    hooks.tell("turn_began")
    hooks.kept()

    hooks.tell(kind)
    written = hooks.kept()
    hooks.tell("tool_started")

    assert written == [(kind, "")]
    assert hooks.kept() == [("tool_ended", "")]


def test_subagents_are_told_apart_and_forgotten_at_their_end(hooks: Hooks) -> None:
    hooks.tell("tool_ended", "a1")
    hooks.tell("prompt_opened", "a2")
    written = hooks.kept()

    hooks.tell("turn_ended", "a1")
    ends = [hooks.kept(), hooks.kept()]
    hooks.tell("turn_ended", "a3")

    assert written == [("tool_ended", "a1"), ("prompt_opened", "a2")]
    assert ends == [[("turn_ended", "a1")], []]
    assert hooks.kept() == [], "nobody knew of it"


def test_turn_that_begins_forgets_what_subagents_of_earlier_ones_waited_for(hooks: Hooks) -> None:
    hooks.tell("prompt_opened", "a1")
    hooks.kept()

    hooks.tell("turn_began")

    assert hooks.kept() == [("turn_began", "")]


def test_sign_that_comes_while_the_end_of_its_agent_is_written_is_not_forgotten(hooks: Hooks) -> None:
    hooks.tell("tool_ended", "a1")
    hooks.kept()
    hooks.tell("turn_ended", "a1")
    ended = hooks.signs.due("p1")

    hooks.tell("prompt_opened", "a1")
    hooks.signs.kept(ended)

    assert hooks.kept() == [("prompt_opened", "a1")]


def test_turn_that_begins_while_older_signs_are_written_forgets_them(hooks: Hooks) -> None:
    hooks.tell("prompt_opened", "a1")
    opened = hooks.signs.due("p1")
    hooks.tell("turn_began")
    hooks.signs.kept(opened)
    hooks.kept()

    hooks.tell("prompt_opened", "a1")

    assert hooks.kept() == [("prompt_opened", "a1")]


@pytest.mark.parametrize(("tool", "is_over"), [("Read", False), ("Bash", True), ("", True)])
def test_end_of_another_tool_of_the_turn_does_not_hide_an_open_prompt(hooks: Hooks, tool: str, is_over: bool) -> None:
    hooks.tell("prompt_opened", tool_name="Bash")
    hooks.kept()

    hooks.tell("tool_ended", tool_name=tool)

    assert bool(hooks.kept()) is is_over


def test_transcript_is_written_down_when_it_is_another_one(hooks: Hooks) -> None:
    hooks.tell("tool_ended", transcript_path="/a.jsonl")
    first = hooks.signs.due("p1")
    hooks.signs.kept(first)
    hooks.tell("tool_ended", transcript_path="/a.jsonl")
    hooks.tell("tool_ended", "a1", transcript_path="/other.jsonl")
    same = hooks.kept()
    hooks.tell("tool_ended", transcript_path="/b.jsonl")

    assert [(sign.kind, sign.detail) for sign in first] == [("tool_ended", ""), ("transcript", "/a.jsonl")]
    assert same == [("tool_ended", "a1")]
    assert hooks.kept() == [("transcript", "")]


def test_signs_that_could_not_be_written_are_due_again(hooks: Hooks) -> None:
    hooks.tell("turn_ended")
    hooks.signs.due("p1")

    assert hooks.kept() == [("turn_ended", "")]


def test_no_crowd_of_agents_fills_the_memory(hooks: Hooks) -> None:
    for number in range(MOST_AGENTS * 3):
        hooks.tell("tool_ended", f"a{number}")

    assert len(hooks.kept()) == MOST_AGENTS


def test_hooks_of_many_agents_may_come_while_the_keeper_writes(hooks: Hooks) -> None:
    def tell() -> None:
        for number in range(300):
            hooks.tell("prompt_opened", f"a{number}")
            hooks.tell("turn_ended", f"a{number}")

    teller = threading.Thread(target=tell)
    teller.start()
    while teller.is_alive():
        hooks.kept()
    hooks.kept()

    assert hooks.kept() == []


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ({}, "invalid", "kind"),
        ({"kind": "danced"}, "invalid", "kind"),
        ({"kind": "tool_ended", "colour": 1}, "unknown_argument", "colour"),
        ({"kind": "tool_ended", "agent_id": 7}, "invalid", "agent_id"),
        ({"kind": "tool_ended", "agent_id": "a" * 81}, "invalid", "agent_id"),
        ({"kind": "tool_ended", "agent_id": "a\nb"}, "invalid", "agent_id"),
        ({"kind": "tool_ended", "transcript_path": "/" * 2000}, "too_large", "transcript_path"),
    ],
    ids=["nothing", "kind", "unknown", "number", "long", "lines", "long path"],
)
def test_arguments_are_checked(hooks: Hooks, arguments: dict[str, Any], code: str, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        hooks.signs.note(parse(NoteSign, arguments))

    assert (refused.value.code, refused.value.field) == (code, field)
    assert hooks.kept() == []


def test_name_of_a_tool_is_cleaned_and_cut(hooks: Hooks) -> None:
    hooks.tell("turn_ended", tool_name="Ba\x1bsh\n" + "x" * 200)

    (sign,) = hooks.signs.due("p1")

    assert sign.detail.startswith("Bash x")
    assert len(sign.detail) == 80
