"""What a request is expected to cost, before anything is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trichrome.coordinator.answers import Route
from trichrome.domain import routing

TOKENS_A_PART: Final = {"blue": (60_000, 2_000), "green": (90_000, 6_000), "red": (70_000, 3_000)}
"""Input and output tokens of one typical part by role; guesses of the first days, to be replaced by what runs cost."""
MODELS: Final = {"blue": "claude-haiku-5-5", "green": "claude-sonnet-5-5", "red": "claude-opus-5-5"}


def route(request: str, files: Sequence[str] = ()) -> Route:
    """How much team a request deserves, and at what expected cost in tokens and US dollars."""
    routing_ = routing.route(request, files)
    tokens, usd = expected(routing_.roles)
    return {
        "mode": routing_.mode,
        "roles": routing_.roles,
        "score": routing_.score,
        "reasons": list(routing_.reasons),
        "expected": {"tokens": tokens, "usd": usd},
    }


def expected(parts: Mapping[str, int]) -> tuple[int, float]:
    """Tokens and US dollars that so many parts of each role usually take."""
    from genai_prices import Usage, calc_price

    tokens, usd = 0, 0.0
    for role, count in parts.items():
        sent, received = TOKENS_A_PART.get(role, TOKENS_A_PART["green"])
        tokens += count * (sent + received)
        usage = Usage(input_tokens=sent, output_tokens=received)
        try:
            price = calc_price(usage, MODELS.get(role, MODELS["green"]), provider_id="anthropic")
        except LookupError:
            continue
        usd += count * float(price.total_price)
    return tokens, round(usd, 2)
