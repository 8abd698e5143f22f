"""Why a session of Claude Code is over; pure.

Guarantee: a limit or an outage is never taken for a failure, nor what a person must mend for something that another try
would help. In doubt it is `failed`, which the supervisor bounds.
"""

from __future__ import annotations

import signal
from typing import Final

from trichrome.domain import text
from trichrome.runners.port import Ending, Transcript

_LOGIN: Final = frozenset(
    {
        "account_on_hold",
        "authentication_failed",
        "cloud_credential_error",
        "oauth_org_not_allowed",
        "verification_required",
    }
)
_MODEL: Final = frozenset({"model_not_found", "model_requires_usage_credits", "long_context_credits_required"})
_OF_ONE_MODEL: Final = frozenset({"seven_day_opus", "seven_day_sonnet"})
"""Usage limits that leave other models usable."""
_UNAUTHORIZED: Final = (401, 403)
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_FIRST_OF_SHELL_SIGNALS: Final = 128
_ERROR_CHARS: Final = 500


def judge(transcript: Transcript, *, code: int, errors: str) -> Ending:
    """Why a session is over; the arguments are those of `Runner.ending`."""
    if transcript.error is not None:
        return _of_error(transcript, transcript.error)
    if transcript.is_ended and code == 0:
        return Ending("ended", "The session came to its end.")
    return _of_process(code, errors)


def _of_error(transcript: Transcript, error: str) -> Ending:
    cause, status, said = transcript.cause, transcript.status, error.rstrip(".")
    if transcript.is_limit:
        is_usage = status == _TOO_MANY or cause not in {"server_error", "overloaded"}
        what = "A usage limit is reached" if is_usage else "The API is overloaded or cannot be reached"
        return Ending(
            "limit",
            f"{what}: {said}.",
            until=transcript.limit_until,
            scope="role" if cause in _OF_ONE_MODEL else "fleet",
        )
    if cause in _MODEL or status == _NOT_FOUND:
        mend = "Give the role another `model` in .trichrome/config.toml, then run `trichrome restart`."
        return Ending("unusable", f"Claude Code cannot use the model: {said}. {mend}", scope="role")
    if cause == "billing_error":
        mend = "Pay, or log in to another account with `claude`, then run `trichrome restart`."
        return Ending("unusable", f"The account of Claude Code cannot pay: {said}. {mend}")
    if cause in _LOGIN or status in _UNAUTHORIZED:
        mend = "Run `claude` and log in, or mend ANTHROPIC_API_KEY, then run `trichrome restart`."
        return Ending("unusable", f"Claude Code is not logged in: {said}. {mend}")
    return Ending("failed", f"Claude Code ended with an error: {said}.")


def _of_process(code: int, errors: str) -> Ending:
    """One that left without saying why."""
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    said = text.one_line(last, most=_ERROR_CHARS).rstrip(".") or "it said nothing"
    if "error: unknown option" in errors:
        mend = "Update it with `claude update`, then run `trichrome restart`."
        return Ending("unusable", f"This Claude Code is too old: {said}. {mend}")
    if (number := -code if code < 0 else code - _FIRST_OF_SHELL_SIGNALS) > 0:
        return Ending("failed", f"Claude Code was ended by {_name(number)}: {said}.")
    if code == 0:
        return Ending("failed", f"Claude Code left without a result: {said}.")
    return Ending("failed", f"Claude Code left with exit code {code}: {said}.")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
