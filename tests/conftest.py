"""Fixtures that several suites ask for by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import STORES, Project, StoreKind, open_store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=STORES)
def store_kind(request: pytest.FixtureRequest) -> StoreKind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def project(store_kind: StoreKind, tmp_path: Path, clock: ManualClock) -> Iterator[Project]:
    """One project on each store."""
    store = open_store(store_kind, tmp_path, clock)
    yield Project(store, clock)
    store.close()
