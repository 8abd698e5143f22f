"""What a person typed after a slash command: the text, the flags, and what of them could not be meant."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trichrome.domain.requests import Flags, Request, parse


@pytest.mark.parametrize(
    ("typed", "text", "flags"),
    [
        ("auth patterns", "auth patterns", {}),
        ('"auth patterns" --multi-agent --parallel', "auth patterns", {"multi_agent": True, "order": "parallel"}),
        ("--multi-agent auth patterns", "auth patterns", {"multi_agent": True}),
        ("auth --multi-agent patterns", "auth patterns", {"multi_agent": True}),
        ("auth \u2014multi-agent", "auth", {"multi_agent": True}),
        ("auth \u2013\u2013multi_agent", "auth", {"multi_agent": True}),
        ("auth --MULTI-AGENT", "auth", {"multi_agent": True}),
        ('find "--multi-agent" in the docs', 'find "--multi-agent" in the docs', {}),
        ("find \u201c--single\u201d", "find \u201c--single\u201d", {}),
        ("what's --single about", "what's about", {"single": True}),
        ("fix it --budget 2.50", "fix it", {"budget": 2.5}),
        ("fix it --budget=$3", "fix it", {"budget": 3.0}),
        ("fix --dry-run --review --comprehensive", "fix", {"dry_run": True, "review": True, "comprehensive": True}),
        ("x --sequential --seq", "x", {"order": "sequential", "servers": ("sequential-thinking",)}),
        ("x --c7 --magic --c7", "x", {"servers": ("context7", "magic")}),
        ("x --c7 --no-mcp", "x", {"no_mcp": True, "servers": ()}),
        ("x --delegate", "x", {"delegate": "auto"}),
        ("x --delegate folders --concurrency 4", "x", {"delegate": "folders", "concurrency": 4}),
        ("x --think --ultrathink --think", "x", {"thinking": 3}),
        ("x --persona-security --persona-security", "x", {"personas": ("security",)}),
        ("x --unknown-flag 7", "x --unknown-flag 7", {}),
        ("x -- --y", "x -- --y", {}),
        ("", "", {}),
        ("--multi-agent", "", {"multi_agent": True}),
        ("one\ntwo --single\nthree", "one\ntwo\nthree", {"single": True}),
    ],
)
def test_flags_are_taken_out_and_the_rest_stays_to_the_letter(typed: str, text: str, flags: dict[str, Any]) -> None:
    request = parse(typed)

    assert request.text == text
    assert {name: getattr(request.flags, name) for name in flags} == flags
    if "thinking" not in flags:
        assert request.flags == Flags(**flags)
    assert request.problems == ()


@pytest.mark.parametrize(
    ("typed", "flags", "told"),
    [
        ("x --single --multi-agent", {"single": True, "multi_agent": False}, "--single and --multi-agent exclude"),
        ("x --parallel --sequential", {"order": "sequential"}, "--parallel and --sequential exclude"),
        ("x --budget lots", {"budget": None}, "--budget takes an amount"),
        ("x --budget", {"budget": None}, "--budget takes an amount"),
        ("x --budget 0", {"budget": None}, "--budget takes an amount"),
        ("x --concurrency 99", {"concurrency": None}, "--concurrency takes a number from 1 to 15"),
    ],
)
def test_what_cannot_be_meant_is_told_and_the_careful_reading_holds(
    typed: str, flags: dict[str, Any], told: str
) -> None:
    request = parse(typed)

    assert {name: getattr(request.flags, name) for name in flags} == flags
    assert len(request.problems) == 1
    assert told in request.problems[0]


@given(st.text(alphabet=st.sampled_from("ab -=\"'`\u201c\u201d\u2014\n\\$*[](){}0") | st.characters(), max_size=120))
@settings(deadline=None, derandomize=True, database=None, max_examples=300)
def test_any_text_is_parsed(typed: str) -> None:
    request = parse(typed)

    assert isinstance(request, Request)
    assert len(request.text) <= len(typed)


@given(
    st.lists(st.sampled_from(["--multi-agent", "--budget", "2", "--c7", '"', "x", "--concurrency=3", " "]), max_size=30)
)
@settings(deadline=None, derandomize=True, database=None)
def test_flags_in_any_order_never_raise(pieces: list[str]) -> None:
    assert isinstance(parse(" ".join(pieces)), Request)
