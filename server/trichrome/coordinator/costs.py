"""What a request is expected to cost, before anything is created, and what tokens cost that were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from trichrome.coordinator.answers import Route
from trichrome.domain import routing
from trichrome.roles import MODELS, Roles, load_roles

TOKENS_A_PART: Final = {"blue": (60_000, 2_000), "green": (90_000, 6_000), "red": (70_000, 3_000)}
"""Input and output tokens of one typical part by role; guesses of the first days, to be replaced by what runs cost."""
_TYPICAL: Final = "green"
"""Whose numbers stand for a role that has none of its own."""


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
    """Tokens and US dollars that so many parts of each role usually take.

    Models are those that the roles of the package name. A model without a known price adds none.
    """
    from genai_prices import Usage, calc_price

    roles = load_roles()
    tokens, usd = 0, 0.0
    for role, count in parts.items():
        sent, received = TOKENS_A_PART.get(role, TOKENS_A_PART[_TYPICAL])
        tokens += count * (sent + received)
        usage = Usage(input_tokens=sent, output_tokens=received)
        try:
            price = calc_price(usage, _model(roles, role), provider_id="anthropic")
        except LookupError:
            continue
        usd += count * float(price.total_price)
    return tokens, round(usd, 2)


def price(usage: Mapping[str, Mapping[str, int]]) -> float | None:
    """What tokens cost in US dollars by list prices; None for no tokens, or where a model has no known price.

    Args:
        usage: by model id, how many `input` (what a cache gave or took excluded), `output`, `cache_read` and
            `cache_write`.
    """
    from genai_prices import Usage, calc_price

    usd = 0.0
    for model, tokens in usage.items():
        read, written = tokens.get("cache_read", 0), tokens.get("cache_write", 0)
        counted = Usage(
            input_tokens=tokens.get("input", 0) + read + written,
            cache_read_tokens=read,
            cache_write_tokens=written,
            output_tokens=tokens.get("output", 0),
        )
        try:
            usd += float(calc_price(counted, model, provider_id="anthropic").total_price)
        except LookupError:
            return None
    return usd if usage else None


def _model(roles: Roles, role: str) -> str:
    named = roles.read(role if role in roles.names else _TYPICAL).model
    return MODELS.get(named, named)
