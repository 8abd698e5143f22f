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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests recorded, such as the accuracy of routing."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, ())]
    for report in reports:
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(str(value))
