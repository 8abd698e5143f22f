"""What a request is expected to cost."""

from __future__ import annotations

import pytest

from trichrome.coordinator import costs
from trichrome.roles import MODELS


def test_the_models_of_the_role_files_make_the_price() -> None:
    blue, green, red = (costs.expected({role: 1})[1] for role in ("blue", "green", "red"))

    assert 0 < blue < green < red


def test_a_role_that_the_user_added_has_a_price_too() -> None:
    assert costs.expected({"purple": 2}) == costs.expected({"green": 2})


@pytest.mark.parametrize("model", MODELS.values())
def test_every_alias_stands_for_a_model_with_a_known_price(model: str) -> None:
    from genai_prices import Usage, calc_price

    assert calc_price(Usage(input_tokens=1), model, provider_id="anthropic").total_price > 0


def test_tokens_cost_what_their_models_do_and_a_cache_makes_them_cheaper() -> None:
    opus, haiku = MODELS["opus"], MODELS["haiku"]
    new = costs.price({opus: {"input": 1_000_000}})
    cached = costs.price({opus: {"cache_read": 1_000_000}})
    both = costs.price({opus: {"input": 1_000_000}, haiku: {"output": 1_000_000}})

    assert new is not None
    assert cached is not None
    assert both is not None
    assert 0 < cached < new < both


@pytest.mark.parametrize(
    "usage", [{}, {"no such model": {"input": 1}}, {MODELS["opus"]: {"input": 1}, "x": {"input": 1}}]
)
def test_what_has_no_known_price_has_none(usage: dict[str, dict[str, int]]) -> None:
    assert costs.price(usage) is None
