"""The talk with the model: the library's tool runner, told line by line, until the model has nothing more to call.

An answer that was cut at the limit of one reply is gone on with; what it had begun to call is not carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from anthropic import AsyncAnthropic
from anthropic.lib.tools import BetaAsyncFunctionTool
from anthropic.types.beta import BetaMessage, BetaMessageParam, BetaToolResultBlockParam

from trichrome.runners import telling
from trichrome.runners.anthropic_api.purse import Purse
from trichrome.runners.port import Usage

REPLY_TOKENS: Final = 16_000
"""The most that one reply may have; the library wants longer ones to be streamed."""

TURNS: Final = 200
"""Replies that one session may have; who needs more goes in circles."""

CUTS: Final = 3
"""How often a reply may be cut at its limit."""

_GOES_ON: Final = frozenset({"tool_use", "max_tokens", "pause_turn"})
"""Why a reply ended that is not the last one."""
_CUT: Final = "This call was cut off at the limit of one reply and not carried out."
_GO_ON: Final = "Your reply was cut off at its limit. Go on in smaller steps."


@dataclass(frozen=True, slots=True)
class Brief:
    """What a session is begun with.

    Attributes:
        model: the model's id.
        system: the system prompt: the same for all sessions of a role, so that the cache serves it.
        opening: the first message.
        max_cost_usd: what it may cost at most; None for no limit.
    """

    model: str
    system: str
    opening: str
    max_cost_usd: float | None = None


async def converse(
    client: AsyncAnthropic, brief: Brief, tools: Sequence[BetaAsyncFunctionTool[Any]], is_over: Callable[[], bool]
) -> str | None:
    """Talk until the model ends its turn, or `is_over` says that nothing more is wanted of it.

    Returns:
        What ended it before its time; None for nothing.

    Raises:
        APIError: the API refused, or could not be reached.
    """
    messages: list[BetaMessageParam] = [{"role": "user", "content": brief.opening}]
    purse = Purse(brief.max_cost_usd)
    turns = cuts = 0
    while True:
        runner = client.beta.messages.tool_runner(
            model=brief.model,
            max_tokens=REPLY_TOKENS,
            system=[{"type": "text", "text": brief.system, "cache_control": {"type": "ephemeral"}}],
            messages=list(messages),
            tools=tools,
            cache_control={"type": "ephemeral"},
            thread=False,
        )
        reason = None
        async for message in runner:
            turns += 1
            reason = message.stop_reason
            _tell(message, purse.pay(message))
            if message.content:
                messages.append({"role": "assistant", "content": message.content})
            results = await runner.generate_tool_call_response() if reason == "tool_use" else None
            if results is not None:
                messages.append(results)
            if is_over():
                return None
            if turns >= TURNS:
                return f"The session had its {TURNS} replies and did not come to an end."
            if reason in _GOES_ON and (why := purse.refusal()) is not None:
                return why
        if reason != "max_tokens":
            return _ended_by(message)
        cuts += 1
        if cuts > CUTS:
            return f"The model's replies were cut off at {REPLY_TOKENS} tokens {cuts} times."
        messages.append(_resumption(message))


def _ended_by(message: BetaMessage) -> str | None:
    match message.stop_reason:
        case "refusal":
            category = message.stop_details.category if message.stop_details is not None else None
            return f"The model declined to work on this{f' ({category})' if category else ''}."
        case "model_context_window_exceeded":
            return "The conversation outgrew the model's context window. Make the task smaller."
        case _:
            return None


def _tell(message: BetaMessage, used: Usage) -> None:
    for block in message.content:
        if block.type == "text" and block.text.strip():
            telling.tell("said", text=block.text)
    telling.tell("used", model=message.model, **asdict(used))


def _resumption(message: BetaMessage) -> BetaMessageParam:
    """The answer to a reply that was cut: each call in it must have a result."""
    results: list[BetaToolResultBlockParam] = [
        {"type": "tool_result", "tool_use_id": block.id, "is_error": True, "content": _CUT}
        for block in message.content
        if block.type == "tool_use"
    ]
    return {"role": "user", "content": [*results, {"type": "text", "text": _GO_ON}]}
