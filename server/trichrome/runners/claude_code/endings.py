"""Why a session of Claude Code is over; pure.

Guarantee: a limit or an outage is never taken for a failure, nor what a person must mend for something that another try
would help. In doubt it is `failed`, which the supervisor bounds.
"""

from __future__ import annotations

from typing import Final

from trichrome.runners.port import Ending, Transcript
from trichrome.runners.telling import last_line, signal_name

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
_FORGOTTEN: Final = "No conversation found with session ID"


def judge(transcript: Transcript, *, code: int, errors: str, program: str) -> Ending:
    """Why a session is over.

    Args:
        transcript: as for `Runner.ending`.
        code: likewise.
        errors: likewise.
        program: what a person types to run the program.
    """
    if transcript.error is not None:
        return _of_error(transcript, transcript.error, program)
    if transcript.is_ended and code == 0:
        return Ending("ended", "The session came to its end.")
    return _of_process(code, errors, program)


def _of_error(transcript: Transcript, error: str, program: str) -> Ending:
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
        mend = "Give the role another `model` in .trichrome/config.toml."
        return Ending("unusable", f"Claude Code cannot use the model: {said}. {mend}", scope="role")
    if cause == "billing_error":
        mend = f"Pay, or log in to another account with `{program}`."
        return Ending("unusable", f"The account of Claude Code cannot pay: {said}. {mend}")
    if cause in _LOGIN or status in _UNAUTHORIZED:
        mend = f"Run `{program}` and log in, or mend ANTHROPIC_API_KEY."
        return Ending("unusable", f"Claude Code is not logged in: {said}. {mend}")
    if error.startswith(_FORGOTTEN):
        return Ending("failed", f"Claude Code does not have that session any more: {said}.", is_forgotten=True)
    return Ending("failed", f"Claude Code ended with an error: {said}.")


def _of_process(code: int, errors: str, program: str) -> Ending:
    """One that left without saying why."""
    said = last_line(errors).rstrip(".") or "it said nothing"
    if "error: unknown option" in errors:
        mend = f"Update it with `{program} update`."
        return Ending("unusable", f"This Claude Code is too old: {said}. {mend}")
    if (number := -code if code < 0 else code - _FIRST_OF_SHELL_SIGNALS) > 0:
        return Ending("failed", f"Claude Code was ended by {signal_name(number)}: {said}.")
    if code == 0:
        return Ending("failed", f"Claude Code left without a result: {said}.")
    return Ending("failed", f"Claude Code left with exit code {code}: {said}.")
