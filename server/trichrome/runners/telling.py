"""What the programs of these runners tell of their session: one JSON object a line, and an exit code.

The programs of `offline` and `anthropic_api` write such lines; those that `script:` starts may, so that other agents
can tell what they used. A line that is none of these is something that was said.

    {"type": "said", "text": "..."}
    {"type": "called", "tool": "grep"}          a tool that is not ours
    {"type": "denied", "tool": "bash"}
    {"type": "used", "model": "...", "input": 1, "output": 2, "cache_read": 3, "cache_write": 4, "cost_usd": 0.5}
    {"type": "trouble", "error": "...", "status": 429, "is_limit": true, "until": 1790000000}
    {"type": "ended"}

A program leaves with 0 in good order; with `EX_TEMPFAIL` (75) at a limit or an outage, which is no failure; with
`EX_CONFIG` (78) when no session can work until a person mends something; with anything else when it failed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from trichrome.domain import text
from trichrome.runners.port import Ending, Transcript, Usage

SAID_CHARACTERS: Final = 4_000
"""How much of what was said last is kept."""

ERROR_CHARACTERS: Final = 500
"""How much is kept of what went wrong."""

NAMES: Final = 50
"""How many models and denied tools are kept apart; no honest program has as many."""

OF_THIS_MODEL: Final = frozenset({404, 429})
"""Refusals of an API that concern one model: there is none of that name; its limit is reached."""

_MOST: Final = 10**12
Kind = Literal["said", "called", "denied", "used", "trouble", "ended"]


def tell(kind: Kind, **facts: object) -> None:
    """Write one line to standard output, now."""
    line = {"type": kind, **{name: value for name, value in facts.items() if value is not None}}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class LineReader:
    """Folds such lines into a transcript; whatever a line holds, it does not raise, and what leaves it is clean."""

    def __init__(self) -> None:
        self._transcript = Transcript()

    @property
    def transcript(self) -> Transcript:
        """See `port.Reader`."""
        return self._transcript

    def read(self, line: bytes) -> None:
        """See `port.Reader`."""
        words = line.decode("utf-8", "replace").strip()
        so_far = self._transcript
        match _facts(words):
            case {"type": "said", "text": str(said)}:
                self._say(said)
            case {"type": "called", "tool": str()}:
                pass  # the session's own server looks for these when it reports: domain/outputs.py
            case {"type": "denied", "tool": str(tool)}:
                denials = dict.fromkeys((*so_far.denials, text.one_line(tool, most=text.NAME_CHARS)))
                self._transcript = replace(so_far, denials=tuple(denials)[:NAMES])
            case {"type": "used", "model": str(model)} as used:
                self._use(text.one_line(model, most=text.NAME_CHARS), used)
            case {"type": "trouble", "error": str(error)} as trouble:
                status = _count(trouble, "status")
                self._transcript = replace(
                    so_far,
                    error=text.one_line(error, most=ERROR_CHARACTERS),
                    status=status or None,
                    is_limit=trouble.get("is_limit") is True,
                    limit_until=_number(trouble, "until"),
                )
            case {"type": "ended"}:
                self._transcript = replace(so_far, is_ended=True)
            case _:
                self._say(words)

    def _say(self, words: str) -> None:
        said = f"{self._transcript.said}\n{text.clean(words)}".strip()
        self._transcript = replace(self._transcript, said=said[-SAID_CHARACTERS:])

    def _use(self, model: str, used: Mapping[str, Any]) -> None:
        so_far = self._transcript
        if model not in so_far.usage and len(so_far.usage) == NAMES:
            return
        before = so_far.usage.get(model, Usage())
        after = Usage(
            input=before.input + _count(used, "input"),
            output=before.output + _count(used, "output"),
            cache_read=before.cache_read + _count(used, "cache_read"),
            cache_write=before.cache_write + _count(used, "cache_write"),
        )
        cost = _number(used, "cost_usd")
        self._transcript = replace(
            so_far,
            usage={**so_far.usage, model: after},
            cost_usd=so_far.cost_usd if cost is None else cost + (so_far.cost_usd or 0.0),
        )


def ending(transcript: Transcript, *, code: int, errors: str) -> Ending:
    """Why a session that tells such lines is over; see `port.Runner.ending`."""
    why = transcript.error or last_line(errors) or "It did not say why."
    scope: Literal["fleet", "role"] = "role" if transcript.status in OF_THIS_MODEL else "fleet"
    if code == 0:
        return Ending("ended", "The session ended by itself.")
    if code == os.EX_CONFIG:
        return Ending("unusable", why, scope=scope)
    if code == os.EX_TEMPFAIL or transcript.is_limit:
        return Ending("limit", why, until=transcript.limit_until, scope=scope)
    return Ending("failed", f"The session {_left(code)}. {why}")


def _left(code: int) -> str:
    return f"left with exit code {code}" if code >= 0 else f"was ended by {signal_name(-code)}"


def signal_name(number: int) -> str:
    """How people call a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_line(errors: str) -> str:
    """The last words on standard error, clean and bounded; empty where there are none."""
    return next(filter(None, (text.one_line(line, most=ERROR_CHARACTERS) for line in errors.splitlines()[::-1])), "")


def _facts(line: str) -> dict[str, Any]:
    """The line as an object; an empty one for anything else."""
    if not line.startswith("{"):
        return {}
    try:
        value: dict[str, Any] = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value


def _count(facts: Mapping[str, Any], name: str) -> int:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else 0


def _number(facts: Mapping[str, Any], name: str) -> float | None:
    value = facts.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= _MOST:
        return None
    return float(value)
