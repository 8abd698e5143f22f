"""What Claude Code prints, read line by line. The lines are its own (2.1.330), with what nobody reads left out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trichrome.runners.claude_code.stream import SAID_BYTES, StreamReader
from trichrome.runners.port import Transcript, Usage

INIT = {
    "type": "system",
    "subtype": "init",
    "cwd": "/home/u/w",
    "session_id": "e9d7a3c6-8c19-4b2b-84b9-16d878dd450b",
    "tools": ["Read", "mcp__trichrome__claim_task"],
    "mcp_servers": [{"name": "trichrome", "status": "connected", "source": "dynamic"}],
    "model": "claude-haiku-5-5",
    "memory_paths": {"auto": "/home/u/.claude/projects/-home-u-w/memory/"},
}
RATE_LIMIT = {
    "type": "rate_limit_event",
    "rate_limit_info": {
        "status": "rejected",
        "resetsAt": 1795475193,
        "rateLimitType": "five_hour",
        "isUsingOverage": False,
    },
}
RETRY = {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": 529, "error": "overloaded"}
NOT_OFFERED = {
    "type": "user",
    "message": {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "content": "<tool_use_error>Error: No such tool available: Write. Write is not among the tools "
                "available here. Continue with the tools you have.</tool_use_error>",
                "is_error": True,
                "tool_use_id": "toolu_1_0",
            }
        ],
    },
    "parent_tool_use_id": None,
}


def said(number: int, *content: dict[str, Any], parent: str | None = None) -> dict[str, Any]:
    usage = {
        "input_tokens": 100,
        "output_tokens": 10,
        "cache_read_input_tokens": 3,
        "cache_creation_input_tokens": 2,
    }
    message = {"id": f"msg_{number}", "model": "claude-haiku-5-5", "role": "assistant", "content": list(content)}
    return {"type": "assistant", "message": {**message, "usage": usage}, "parent_tool_use_id": parent}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def use(number: int, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}


def error(text: str, kind: str, status: int | None, **more: Any) -> dict[str, Any]:
    """A message that Claude Code made itself, for an error of the API."""
    message = {"id": "x", "model": "<synthetic>", "content": [words(text)], "usage": {"input_tokens": 0}}
    return {"type": "assistant", "message": message, "error": kind, "api_error_status": status, **more}


def result(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "result": text, "permission_denials": [], **more}


def used(input_tokens: int, cost: float) -> dict[str, Any]:
    usage = {"inputTokens": input_tokens, "outputTokens": 5, "cacheReadInputTokens": 7, "cacheCreationInputTokens": 1}
    return {"claude-haiku-5-5": {**usage, "costUSD": cost, "canonicalModel": "claude-haiku-5-5"}}


def read(*messages: dict[str, Any]) -> Transcript:
    reader = StreamReader()
    for message in messages:
        reader.read(json.dumps(message).encode() + b"\n")
    return reader.transcript


def test_first_line_names_the_session_and_the_file_that_keeps_it() -> None:
    transcript = read(INIT)

    assert transcript.session == "e9d7a3c6-8c19-4b2b-84b9-16d878dd450b"
    assert transcript.transcript == f"/home/u/.claude/projects/-home-u-w/{transcript.session}.jsonl"
    assert not transcript.is_ended


def test_last_words_of_the_session_itself_are_kept_and_cut_at_their_beginning() -> None:
    long = "x" * SAID_BYTES + "\ud800 the end"

    transcript = read(INIT, said(1, words("first")), said(2, words(long)), said(3, words("a subagent"), parent="t"))

    assert transcript.said.endswith(" the end")
    assert len(transcript.said.encode()) <= SAID_BYTES
    assert "\ud800" not in transcript.said


def test_usage_before_a_result_is_the_sum_of_messages_each_counted_once() -> None:
    transcript = read(INIT, said(1, words("a")), said(1, use(1, "Read")), said(2, words("b")))

    assert transcript.usage == {"claude-haiku-5-5": Usage(200, 20, 6, 4)}
    assert transcript.cost_usd is None


def test_usage_of_a_resumed_session_is_that_of_this_run_alone() -> None:
    totals = {"modelUsage": used(9_000, 0.9), "total_cost_usd": 0.9}

    transcript = read(INIT, said(1, words("a")), result("a", model_usage_since_last_result=used(500, 0.05), **totals))

    assert transcript.usage == {"claude-haiku-5-5": Usage(500, 5, 7, 1)}
    assert transcript.cost_usd == 0.05


def test_usage_of_several_results_and_of_what_came_after_adds_up() -> None:
    first = result("a", model_usage_since_last_result=used(500, 0.05))
    second = result("b", model_usage_since_last_result=used(300, 0.03))

    transcript = read(INIT, said(1, words("a")), first, said(2, words("b")), second, said(3, words("c")))

    assert transcript.usage == {"claude-haiku-5-5": Usage(900, 20, 17, 4)}
    assert transcript.cost_usd is None, "its program gave no price for what came after the last result"
    assert not transcript.is_ended, "it went on after its result"


def test_costs_of_several_results_add_up() -> None:
    first = result("a", model_usage_since_last_result=used(500, 0.05))
    second = result("b", model_usage_since_last_result=used(300, 0.03))

    transcript = read(INIT, said(1, words("a")), first, said(2, words("b")), second)

    assert transcript.cost_usd == pytest.approx(0.08)


def test_denied_tools_are_told_once_each_also_one_that_was_not_offered() -> None:
    denials = [{"tool_name": "Read", "tool_input": {}}, {"tool_name": "Read", "tool_input": {}}]

    transcript = read(INIT, NOT_OFFERED, result("done", permission_denials=denials))

    assert transcript.denials == ("Write", "Read")
    assert transcript.is_ended
    assert transcript.error is None


def test_usage_limit_says_which_it_is_and_until_when() -> None:
    text = "You've hit your 5-hour limit · resets 11:06pm (UTC)"
    over = error(text, "rate_limit", 429, api_error="usage_limit_reached")

    transcript = read(INIT, RATE_LIMIT, over, result(text, is_error=True, api_error_status=429))

    assert transcript.is_limit
    assert (transcript.limit_until, transcript.cause, transcript.status) == (1795475193, "five_hour", 429)
    assert transcript.error == text
    assert transcript.said == ""


def test_warning_of_a_limit_is_none() -> None:
    warned = {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed_warning", "resetsAt": 1795475193}}

    transcript = read(INIT, warned, said(1, words("done")), result("done"))

    assert not transcript.is_limit
    assert transcript.limit_until is None


@pytest.mark.parametrize(
    ("kind", "status", "is_limit"),
    [
        ("rate_limit", 429, True),
        ("server_error", 529, True),
        ("server_error", 500, True),
        ("server_error", None, True),
        ("authentication_failed", 401, False),
        ("model_not_found", 404, False),
        ("billing_error", 400, False),
        ("invalid_request", 400, False),
    ],
)
def test_error_that_ends_the_session_is_told_with_its_cause(kind: str, status: int | None, is_limit: bool) -> None:
    ending = result("It says why", is_error=True, api_error_status=status, terminal_reason="api_error")

    transcript = read(INIT, error("It says why", kind, status), ending)

    assert transcript.error == "It says why"
    assert (transcript.cause, transcript.status, transcript.is_limit) == (kind, status, is_limit)
    assert transcript.is_ended


def test_model_that_the_account_has_no_right_to_is_no_limit() -> None:
    kind = "model_requires_usage_credits"

    transcript = read(INIT, error("Opus requires usage credits.", "rate_limit", 429, api_error=kind))

    assert not transcript.is_limit
    assert transcript.cause == kind


def test_trouble_that_passed_leaves_nothing() -> None:
    transcript = read(INIT, RETRY, error("API Error", "server_error", 529), said(1, words("done")), result("done"))

    assert (transcript.error, transcript.cause, transcript.status) == (None, None, None)


def test_session_over_its_budget_says_so() -> None:
    over = {"type": "result", "subtype": "error_max_budget_usd", "is_error": True}
    over |= {"errors": ["Reached maximum budget ($0.00001)"], "terminal_reason": "budget_exhausted"}

    transcript = read(INIT, said(1, words("a")), over)

    assert transcript.error == "Reached maximum budget ($0.00001)"
    assert transcript.cause == "error_max_budget_usd"


def test_session_without_our_server_is_an_error_though_it_ends_in_good_order() -> None:
    failed = {**INIT, "mcp_servers": [{"name": "trichrome", "status": "failed"}]}

    without = read(failed, said(1, words("I have no such tool")), result("I have no such tool"))
    later = read(failed, said(1, use(1, "mcp__trichrome__claim_task")), result("done"))

    assert without.error == "its Trichrome server did not start"
    assert later.error is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
SAMPLES = [
    INIT,
    RATE_LIMIT,
    RETRY,
    NOT_OFFERED,
    said(1, words("a"), use(1, "Read")),
    error("x", "rate_limit", 429),
    result("a", is_error=True, errors=["x"], model_usage_since_last_result=used(1, 0.1)),
]


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, each in items for place in places(each, (*here, key)))]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A line of Claude Code, one place of which holds anything; or cut."""
    sample = json.loads(json.dumps(draw(st.sampled_from(SAMPLES))))
    place = draw(st.sampled_from(places(sample)[1:]))
    inner = sample
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = draw(JSON)
    line = json.dumps(sample).encode()
    return line[: draw(st.integers(0, len(line)))] if draw(st.booleans()) else line


@given(st.lists(broken() | st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), max_size=6))
def test_no_line_raises_and_what_is_told_can_be_written_down(lines: list[bytes]) -> None:
    reader = StreamReader()

    for line in lines:
        reader.read(line)

    told = reader.transcript
    "".join([told.said, told.session or "", told.error or "", told.cause or "", *told.usage, *told.denials]).encode()
    assert all(count >= 0 for usage in told.usage.values() for count in (usage.input, usage.output))


@pytest.mark.parametrize("line", [b"[" * 100_000, b"1" * 5_000, b"\xff\xfe", b'{"type": "result", "errors": NaN}', b""])
def test_line_that_no_program_should_print_is_passed_over(line: bytes) -> None:
    reader = StreamReader()

    reader.read(line)

    assert reader.transcript.session is None
