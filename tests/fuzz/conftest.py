"""Every property here runs in `make test` with a few examples, and in `make soak` with many."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import nasty

HERE = Path(__file__).parent


def _is_soak(config: pytest.Config) -> bool:
    return config.getoption("markexpr") == "soak"


def pytest_configure(config: pytest.Config) -> None:
    if _is_soak(config):
        nasty.soak()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        is_property = hasattr(getattr(item, "function", None), "hypothesis") and item.path.is_relative_to(HERE)
        if is_property and _is_soak(config):
            item.add_marker(pytest.mark.soak)
