"""What a request is expected to cost, before anything is created, and what tokens cost that were used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from types import MappingProxyType
from typing import Final, NamedTuple

from trichrome.coordinator.answers import Route
from trichrome.coordinator.context import Coordinator
from trichrome.domain import plans, requests, routing
from trichrome.domain.events import SessionEnded
from trichrome.domain.ids import TaskId
from trichrome.domain.requests import Request
from trichrome.errors import InvalidError
from trichrome.roles import MODELS, load_roles

TOKENS_A_PART: Final = {"blue": (60_000, 2_000), "green": (90_000, 6_000), "red": (70_000, 3_000)}
"""Input and output tokens of one typical part by role: guesses, until enough sessions of the role have ended."""
LEARNED_FROM: Final = 200
"""How many sessions, the newest of all roles, the log is asked for."""
FEWEST_SESSIONS: Final = 3
"""How many of a role make a mean that is better than the guess."""
_TYPICAL: Final = "green"
"""Whose numbers stand for a role that has none of its own."""


class Usual(NamedTuple):
    """What a session of a role used on average, and of how many that is the mean."""

    tokens: int
    usd: float
    sessions: int


def route(c: Coordinator, text: str, files: Sequence[str] = ()) -> Route:
    """How much team a request deserves, with a plan for it, and at what expected cost in tokens and US dollars.

    Args:
        c: the project, whose roles and models count.
        text: the request, with flags such as `--comprehensive` in it or without.
        files: paths that it is known to concern.

    Raises:
        InvalidError: nothing is asked for.
    """
    request = requests.parse(text)
    if not request.text:
        raise InvalidError("request is empty. Say in it what is wanted.", field="request")
    kinds = {**routing.KINDS, **{kind: role for role, kinds in c.roles.items() for kind in kinds}}
    known = learned(c)
    cost = partial(expected, model_of=c.model_of, known=known)
    routed = _within_budget(cost, request, files, kinds)
    tokens, usd = cost(routed.roles)
    answer: Route = {
        "mode": routed.mode,
        "kind": routed.kind,
        "roles": dict(routed.roles),
        "models": {role: c.model_of(role) for role in routed.roles if role in c.roles},
        "score": routed.score,
        "reasons": list(routed.reasons),
        "expected": {"tokens": tokens, "usd": usd},
    }
    if used := {role: known[role].sessions for role in routed.roles if role in known}:
        answer["expected"]["learned"] = used
    problems = list(request.problems)
    if (budget := request.flags.budget) is not None and usd > budget:
        problems.append(f"The smallest plan is expected to cost ${usd:g}, and ${budget:g} is what it may cost.")
    if problems:
        answer["problems"] = problems
    if planned := plans.plan(request, routed, kinds=kinds):
        answer["plan"] = [each.draft() for each in planned]
    return answer


def _within_budget(
    cost: Callable[[Mapping[str, int]], tuple[int, float]],
    request: Request,
    files: Sequence[str],
    kinds: Mapping[str, str],
) -> routing.Routing:
    """The routing with as many parts as the budget allows; the smallest one where none is within it."""
    routed = routing.route(request, files=files, kinds=kinds, asked=True)
    budget = request.flags.budget
    most = len(routed.parts)
    while budget is not None and most > 1 and cost(routed.roles)[1] > budget:
        most -= 1
        fewer = replace(request, flags=replace(request.flags, concurrency=most))
        routed = routing.route(fewer, files=files, kinds=kinds, asked=True)
    return routed


def learned(c: Coordinator) -> dict[str, Usual]:
    """What a session of each role used on average, of those that ended last; too few of a role say nothing."""
    by_role: dict[str, list[tuple[int, float]]] = {}
    with c.store.reading() as view:
        for recorded in view.ended_sessions(limit=LEARNED_FROM):
            ended, task = recorded.event, view.task(TaskId(recorded.stream))
            if isinstance(ended, SessionEnded) and ended.cost_usd is not None and ended.usage and task is not None:
                tokens = sum(sum(used.values()) for used in ended.usage.values())
                by_role.setdefault(task.role, []).append((tokens, ended.cost_usd))
    return {
        role: Usual(round(fmean(tokens for tokens, _ in used)), fmean(usd for _, usd in used), len(used))
        for role, used in by_role.items()
        if len(used) >= FEWEST_SESSIONS
    }


def expected(
    parts: Mapping[str, int],
    model_of: Callable[[str], str] | None = None,
    known: Mapping[str, Usual] = MappingProxyType({}),
) -> tuple[int, float]:
    """Tokens and US dollars that so many parts of each role usually take.

    Args:
        parts: how many, by role.
        model_of: the model of each role; by default what the roles of the package name. One without a known price adds
            nothing.
        known: what sessions of a role really used, which stands in for the guess.
    """
    from genai_prices import Usage, calc_price

    tokens, usd = 0, 0.0
    for role, count in parts.items():
        if role in known:
            tokens += count * known[role].tokens
            usd += count * known[role].usd
            continue
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
