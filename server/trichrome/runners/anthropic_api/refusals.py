"""What the API's refusals mean for a session, and until when."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from anthropic import APIConnectionError, APIRequest, APIStatusError, AsyncAPIResponse, AsyncCallNext

from trichrome.runners import telling

PATIENCE_SECONDS: Final = 30.0
"""The longest pause that a session itself waits out; for a longer one it ends, and is begun anew afterwards."""

UNUSABLE: Final = {
    401: "The Anthropic API does not know this key. Set ANTHROPIC_API_KEY to one that is valid.",
    402: "The Anthropic API wants to be paid first. Look at the billing page of its console.",
    403: "This key may not do that at the Anthropic API. Use another, or have its rights extended.",
    404: "The Anthropic API has no such model for this key. Name another in the role's file, or in the configuration.",
}
"""By status: what only a person can mend."""

_OVERLOADED: Final = 500
_TOO_MANY: Final = 429


async def at_most_patiently(request: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
    """Leave retries to the library, but for pauses that would hold a task for nothing."""
    response = await call_next(request)
    until = limit_until(response.headers, now=time.time())
    if until is not None and until - time.time() > PATIENCE_SECONDS:
        response.headers["x-should-retry"] = "false"
    return response


def tell_of(error: APIStatusError | APIConnectionError) -> int:
    """Tell why the API ended a session; answers the exit code."""
    if isinstance(error, APIConnectionError):
        told = f"The Anthropic API cannot be reached: {error.message}"
        telling.tell("trouble", error=told, is_limit=True)
        return os.EX_TEMPFAIL
    status = error.status_code
    said = error.api_message or error.message
    if status in UNUSABLE:
        telling.tell("trouble", error=f"{UNUSABLE[status]} It said: {said}", status=status)
        return os.EX_CONFIG
    if status == _TOO_MANY or status >= _OVERLOADED:
        until = limit_until(error.response.headers, now=time.time())
        what = "has reached a limit" if status == _TOO_MANY else "is overloaded or out of order"
        told = f"The Anthropic API {what}: {said}"
        telling.tell("trouble", error=told, status=status, is_limit=True, until=until)
        return os.EX_TEMPFAIL
    telling.tell("trouble", error=f"The Anthropic API refused: {said}", status=status)
    return 1


def limit_until(headers: Mapping[str, str], *, now: float) -> float | None:
    """When to come again, in seconds since 1970; None when the headers do not say.

    `retry-after` is the API's own advice. Without it, the last limit to be reset among those that are used up.

    Args:
        headers: of the refusal, with lower-case names.
        now: seconds since 1970.
    """
    after = headers.get("retry-after")
    if after is not None:
        seconds = _number(after)
        return now + seconds if seconds is not None else _moment(after)
    prefix, suffix = "anthropic-ratelimit-", "-reset"
    resets = [name for name in headers if name.startswith(prefix) and name.endswith(suffix)]
    used_up = [name for name in resets if headers.get(f"{name.removesuffix(suffix)}-remaining") in {None, "0"}]
    moments = [moment for name in used_up if (moment := _moment(headers[name])) is not None]
    return max(moments, default=None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _moment(text: str) -> float | None:
    """A moment as seconds since 1970, as RFC 3339, or as HTTP dates are."""
    if (seconds := _number(text)) is not None:
        return seconds
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            return parse(text).timestamp()
        except ValueError:
            continue
    return None
