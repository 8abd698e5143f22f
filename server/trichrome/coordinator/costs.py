"""What a request is expected to cost, before anything is created, and what tokens cost that were used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from trichrome.coordinator.answers import Route
from trichrome.coordinator.context import Coordinator
from trichrome.domain import plans, requests, routing
from trichrome.domain.requests import Request
from trichrome.errors import InvalidError
from trichrome.roles import MODELS, load_roles

TOKENS_A_PART: Final = {"blue": (60_000, 2_000), "green": (90_000, 6_000), "red": (70_000, 3_000)}
"""Input and output tokens of one typical part by role; guesses of the first days, to be replaced by what runs cost."""
_TYPICAL: Final = "green"
"""Whose numbers stand for a role that has none of its own."""


def route(c: Coordinator, text: str, files: Sequence[str] = ()) -> Route:
    """How much team a request deserves, with a plan for it, and at what expected cost in tokens and US dollars.

    Args:
        c: the project, whose roles and models count.
        text: the request, with flags such as `--comprehensive` in it or without.
        files: paths that it is known to concern.
    """
    request = requests.parse(text)
    kinds = {**routing.KINDS, **{kind: role for role, kinds in c.roles.items() for kind in kinds}}
    routed = _within_budget(c, request, files, kinds)
    tokens, usd = expected(routed.roles, c.model_of)
    answer: Route = {
        "mode": routed.mode,
        "kind": routed.kind,
        "roles": dict(routed.roles),
        "models": {role: c.model_of(role) for role in routed.roles if role in c.roles},
        "score": routed.score,
        "reasons": list(routed.reasons),
        "expected": {"tokens": tokens, "usd": usd},
    }
    problems = list(request.problems)
    if (budget := request.flags.budget) is not None and usd > budget:
        problems.append(f"The smallest plan is expected to cost ${usd:g}, and ${budget:g} is what it may cost.")
    if problems:
        answer["problems"] = problems
    if planned := plans.plan(request, routed, kinds=kinds):
        answer["plan"] = [each.draft() for each in planned]
    return answer


def _within_budget(c: Coordinator, request: Request, files: Sequence[str], kinds: Mapping[str, str]) -> routing.Routing:
    """The routing with as many parts as the budget allows; the smallest one where none is within it."""
    routed = routing.route(request, files=files, kinds=kinds, asked=True)
    budget = request.flags.budget
    most = len(routed.parts)
    while budget is not None and most > 1 and expected(routed.roles, c.model_of)[1] > budget:
        most -= 1
        fewer = replace(request, flags=replace(request.flags, concurrency=most))
        routed = routing.route(fewer, files=files, kinds=kinds, asked=True)
    return routed


def expected(parts: Mapping[str, int], model_of: Callable[[str], str] | None = None) -> tuple[int, float]:
    """Tokens and US dollars that so many parts of each role usually take.

    Args:
        parts: how many, by role.
        model_of: the model of each role; by default what the roles of the package name. One without a known price adds
            nothing.
    """
    from genai_prices import Usage, calc_price

    tokens, usd = 0, 0.0
    for role, count in parts.items():
        sent, received = TOKENS_A_PART.get(role, TOKENS_A_PART[_TYPICAL])
        tokens += count * (sent + received)
        usage = Usage(input_tokens=sent, output_tokens=received)
        try:
            price = calc_price(usage, _model(model_of or _shipped_model, role), provider_id="anthropic")
        except LookupError:
            continue
        usd += count * float(price.total_price)
    return tokens, round(usd, 2)


def _shipped_model(role: str) -> str:
    return load_roles().read(role).model


def _model(model_of: Callable[[str], str], role: str) -> str:
    try:
        named = model_of(role)
    except InvalidError:
        named = model_of(_TYPICAL)  # a role that nobody knows, or whose file cannot be used
    return MODELS.get(named, named)


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
