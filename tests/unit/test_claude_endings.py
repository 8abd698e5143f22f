"""Why a session of Claude Code is over: limits are no failures, and what a person must mend is not tried again."""

from __future__ import annotations

from typing import Any

import pytest

from trichrome.runners.claude_code.endings import judge
from trichrome.runners.port import Transcript

RESET = 1_795_475_193.0


def ended(**changes: Any) -> Transcript:
    return Transcript(session="s", is_ended=True, **changes)


def test_session_that_came_to_its_end_ended() -> None:
    ending = judge(ended(said="done"), code=0, errors="[claude-code:unrecognized_model] a warning\n", program="claude")

    assert ending.kind == "ended"


def test_usage_limit_is_no_failure_and_says_until_when() -> None:
    said = "You've hit your 5-hour limit · resets 11:06pm (UTC)"
    limited = ended(error=said, cause="five_hour", status=429, is_limit=True, limit_until=RESET)

    ending = judge(limited, code=1, errors="", program="claude")

    assert ending.kind == "limit"
    assert ending.until == RESET
    assert ending.scope == "fleet"
    assert ending.reason == f"A usage limit is reached: {said}."


def test_limit_of_one_model_concerns_its_role_alone() -> None:
    limited = ended(error="You've hit your Opus limit", cause="seven_day_opus", status=429, is_limit=True)

    ending = judge(limited, code=1, errors="", program="claude")

    assert (ending.kind, ending.scope, ending.until) == ("limit", "role", None)


@pytest.mark.parametrize("status", [500, 529, None])
def test_overload_and_an_api_out_of_reach_are_no_failures(status: int | None) -> None:
    away = ended(error="API Error: 529 Overloaded.", cause="server_error", status=status, is_limit=True)

    ending = judge(away, code=1, errors="", program="claude")

    assert ending.kind == "limit"
    assert ending.until is None
    assert ending.reason == "The API is overloaded or cannot be reached: API Error: 529 Overloaded."


@pytest.mark.parametrize(
    ("cause", "status", "scope", "mend"),
    [
        ("authentication_failed", 401, "fleet", "Run `claude` and log in"),
        ("authentication_failed", None, "fleet", "Run `claude` and log in"),
        ("authentication_failed", 403, "fleet", "Run `claude` and log in"),
        ("something new", 401, "fleet", "Run `claude` and log in"),
        ("billing_error", 400, "fleet", "Pay"),
        ("model_not_found", 404, "role", "another `model`"),
        ("model_requires_usage_credits", 429, "role", "another `model`"),
    ],
)
def test_what_a_person_must_mend_says_what_to_do(cause: str, status: int | None, scope: str, mend: str) -> None:
    ending = judge(ended(error="It said why.", cause=cause, status=status), code=1, errors="", program="claude")

    assert (ending.kind, ending.scope) == ("unusable", scope)
    assert "It said why" in ending.reason
    assert mend in ending.reason


def test_option_that_the_program_does_not_know_means_that_it_is_too_old() -> None:
    ending = judge(Transcript(), code=1, errors="error: unknown option '--agent'\n", program="claude")

    assert ending.kind == "unusable"
    assert "claude update" in ending.reason


@pytest.mark.parametrize("cause", ["invalid_request", "error_max_budget_usd", "error_during_execution", None])
def test_any_other_error_is_a_failure_with_its_words(cause: str | None) -> None:
    ending = judge(ended(error="Reached maximum budget ($1)", cause=cause), code=1, errors="", program="claude")

    assert ending.kind == "failed"
    assert "Reached maximum budget ($1)" in ending.reason


@pytest.mark.parametrize(
    ("code", "errors", "reason"),
    [
        (143, "", "Claude Code was ended by SIGTERM: it said nothing."),
        (-9, "", "Claude Code was ended by SIGKILL: it said nothing."),
        (-99, "", "Claude Code was ended by signal 99: it said nothing."),
        (0, "\n", "Claude Code left without a result: it said nothing."),
        (2, "one\nInvalid MCP configuration.\n\n", "Claude Code left with exit code 2: Invalid MCP configuration."),
    ],
)
def test_program_that_left_without_a_result_failed(code: int, errors: str, reason: str) -> None:
    ending = judge(Transcript(session="s"), code=code, errors=errors, program="claude")

    assert (ending.kind, ending.reason) == ("failed", reason)


def test_program_that_no_path_leads_to_is_named_as_it_is_to_be_typed() -> None:
    program = "/opt/claude_agent_sdk/_bundled/claude"

    ending = judge(ended(error="Not logged in", cause="authentication_failed"), code=1, errors="", program=program)

    assert f"Run `{program}` and log in" in ending.reason


def test_session_that_is_not_there_any_more_is_told_apart_so_that_it_can_be_begun_anew() -> None:
    gone = ended(error="No conversation found with session ID: 1111", cause="error_during_execution")

    ending = judge(gone, code=1, errors="No conversation found", program="claude")
    other = judge(ended(error="It broke"), code=1, errors="", program="claude")

    assert (ending.kind, ending.is_forgotten) == ("failed", True)
    assert (other.kind, other.is_forgotten) == ("failed", False)
