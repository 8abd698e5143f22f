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
