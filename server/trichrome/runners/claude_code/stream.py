"""What a session of Claude Code prints, line by line (`--output-format stream-json --verbose`), as a transcript; pure.

Guarantee: no line raises, whatever it holds, and what is not understood is passed over. Another program wrote it, and
its form changes between versions; seen with Claude Code 2.1.330.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Final

from trichrome.domain import outputs, text
from trichrome.runners.port import Transcript, Usage

SAID_BYTES: Final = 4 * 1024
ERROR_CHARS: Final = 500

_MOST: Final = 2**53
"""Numbers beyond are no counts, times or prices."""
_LIMITS: Final = frozenset({"rate_limit", "overloaded", "server_error"})
"""Causes that pass by themselves: a usage limit, an overload, a network that is away."""
_ROLE_CREDITS: Final = frozenset({"model_requires_usage_credits", "long_context_credits_required"})
"""Limits that no reset lifts: the account has no right to that model."""
_NOT_OFFERED: Final = re.compile(r"No such tool available: ([\w-]+)")
_SERVER_GONE: Final = "its Trichrome server did not start"


class StreamReader:
    """Folds a session's lines into a transcript.

    Usage is that of this run alone. A result line states it for all calls since the one before; what came after the
    last result, or was cut off without one, is the sum of the messages that arrived.
    """

    def __init__(self) -> None:
        self._session: str | None = None
        self._transcript: str | None = None
        self._said = ""
        self._settled: dict[str, Usage] = {}
        self._open: dict[str, tuple[str, Usage]] = {}
        self._cost: float | None = None
        self._denials: dict[str, None] = {}
        self._error: str | None = None
        self._cause: str | None = None
        self._status: int | None = None
        self._window: str | None = None
        self._until: float | None = None
        self._has_server = True
        self._is_ended = False

    @property
    def transcript(self) -> Transcript:
        """What the lines told so far."""
        error = self._error
        if error is None and self._is_ended and not self._has_server:
            error = _SERVER_GONE
        is_limit = error is not None and (
            self._cause in _LIMITS or self._status == 429 or (self._status or 0) >= 500  # noqa: PLR2004  HTTP's own
        )
        is_limit = is_limit and self._cause not in _ROLE_CREDITS
        return Transcript(
            session=self._session,
            said=self._said,
            usage=_sum([*self._settled.items(), *self._open.values()]),
            cost_usd=None if self._open else self._cost,  # what was cut off has tokens and no price
            denials=tuple(self._denials),
            error=error,
            cause=(self._window if is_limit else None) or self._cause,
            status=self._status,
            limit_until=self._until if is_limit else None,
            is_limit=is_limit,
            is_ended=self._is_ended,
            transcript=self._transcript,
        )

    def read(self, line: bytes) -> None:
        """Take in the next line of standard output."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return
        match message:
            case {"type": "system", "subtype": "init"}:
                self._begin(message)
            case {"type": "system", "subtype": "api_retry"}:
                self._status = _count(message.get("error_status")) or self._status
            case {"type": "rate_limit_event", "rate_limit_info": dict(info)}:
                self._limit(info)
            case {"type": "assistant", "message": dict(said), "error": str(cause)}:
                self._is_ended = False
                self._fail(_words(said), message, cause)
            case {"type": "assistant", "message": dict(said)}:
                self._is_ended = False
                self._has_server = self._has_server or any(map(outputs.is_ours, outputs.called(message)))
                self._hear(said, is_main=message.get("parent_tool_use_id") is None)
            case {"type": "user", "message": {"content": list(blocks)}}:
                self._is_ended = False
                self._see(blocks)
            case {"type": "result"}:
                self._end(message)
            case _:
                pass

    def _begin(self, message: Mapping[str, Any]) -> None:
        self._session = _line(message.get("session_id")) or self._session
        paths = message.get("memory_paths")
        memory = _line(paths.get("auto")) if isinstance(paths, dict) else ""
        if memory and self._session:
            # The session's file stands beside the folder of memories.
            self._transcript = str(PurePath(memory).parent / f"{self._session}.jsonl")
        for server in _tables(message.get("mcp_servers")):
            if server.get("name") == outputs.SERVER:
                self._has_server = server.get("status") != "failed"

    def _limit(self, info: Mapping[str, Any]) -> None:
        is_over = info.get("status") == "rejected"
        self._window = (_line(info.get("rateLimitType")) or None) if is_over else None
        self._until = _number(info.get("resetsAt")) if is_over else None

    def _hear(self, said: Mapping[str, Any], *, is_main: bool) -> None:
        """A message of the model. One message may come in several lines, each with the usage of the whole."""
        if (model := _line(said.get("model"))) and isinstance(usage := said.get("usage"), dict):
            self._open[_line(said.get("id")) or f"{len(self._open)}"] = (model, _usage_of_message(usage))
        if is_main:
            self._said = _tail(_words(said)) or self._said
            self._error = self._cause = self._status = None  # what had gone wrong is over

    def _see(self, blocks: list[Any]) -> None:
        """What tools answered. A tool that the session does not have is refused without a mention in the result."""
        for block in _tables(blocks):
            if block.get("is_error") is True and (found := _NOT_OFFERED.search(_words(block))):
                self._denials[found[1]] = None

    def _fail(self, words: str, message: Mapping[str, Any], cause: str | None) -> None:
        self._error = text.one_line(words, most=ERROR_CHARS) or "it failed without a word"
        kind = _line(message.get("api_error"))
        self._cause = kind if kind in _ROLE_CREDITS else (_line(cause) or self._cause)
        self._status = _count(message.get("api_error_status"))

    def _end(self, message: Mapping[str, Any]) -> None:
        self._is_ended = True
        self._session = self._session or _line(message.get("session_id")) or None
        for denial in _tables(message.get("permission_denials")):
            if name := _line(denial.get("tool_name")):
                self._denials[name] = None
        self._settle(message.get("model_usage_since_last_result"))
        if message.get("is_error") is not True:
            self._error = self._cause = self._status = None
            return
        errors = message.get("errors")
        told = [each for each in errors if isinstance(each, str)] if isinstance(errors, list) else []
        subtype = _line(message.get("subtype"))
        reason = subtype if subtype != "success" else _line(message.get("terminal_reason"))
        words = message.get("result")
        self._fail(words if isinstance(words, str) else "; ".join(told), message, self._cause or reason)

    def _settle(self, models: object) -> None:
        """Take the usage that a result states in place of what the messages before it summed up to.

        Only what was used since the result before it is of this run alone; its totals go back to before a resume.
        """
        if not isinstance(models, dict):
            return
        stated = [
            (_line(usage.get("canonicalModel")) or text.one_line(model, most=text.NAME_CHARS), usage)
            for model, usage in models.items()
            if isinstance(usage, dict)
        ]
        self._settled = _sum([*self._settled.items(), *((model, _usage_of_model(usage)) for model, usage in stated)])
        self._open.clear()
        self._cost = (self._cost or 0.0) + sum(_number(usage.get("costUSD")) or 0.0 for _, usage in stated)


def _usage_of_message(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        input=_count(usage.get("input_tokens")) or 0,
        output=_count(usage.get("output_tokens")) or 0,
        cache_read=_count(usage.get("cache_read_input_tokens")) or 0,
        cache_write=_count(usage.get("cache_creation_input_tokens")) or 0,
    )


def _usage_of_model(usage: Mapping[str, Any]) -> Usage:
    return Usage(
        input=_count(usage.get("inputTokens")) or 0,
        output=_count(usage.get("outputTokens")) or 0,
        cache_read=_count(usage.get("cacheReadInputTokens")) or 0,
        cache_write=_count(usage.get("cacheCreationInputTokens")) or 0,
    )


def _sum(parts: list[tuple[str, Usage]]) -> dict[str, Usage]:
    total: dict[str, Usage] = {}
    for model, part in parts:
        so_far = total.get(model, Usage())
        total[model] = Usage(
            input=so_far.input + part.input,
            output=so_far.output + part.output,
            cache_read=so_far.cache_read + part.cache_read,
            cache_write=so_far.cache_write + part.cache_write,
        )
    return total


def _tables(value: object) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _words(said: Mapping[str, Any]) -> str:
    """The text of a message, or of what a tool answered."""
    content = said.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(words for block in _tables(content) if isinstance(words := block.get("text"), str))


def _tail(words: str) -> str:
    raw = text.clean(words).strip().encode()
    return raw[-SAID_BYTES:].decode(errors="ignore")


def _line(value: object) -> str:
    """A name or a path as one clean line; empty for anything else."""
    return text.one_line(value, most=text.PATH_BYTES) if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MOST else None
