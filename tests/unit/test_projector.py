"""What the one fold leaves alone."""

from __future__ import annotations

from unittest.mock import NonCallableMock

import pytest

from trichrome.domain.events import (
    Event,
    LogReopened,
    LogSalvaged,
    ProgressReported,
    Report,
    ResultSuperseded,
    SessionEnded,
)
from trichrome.store.projector import UNSEEN, fold_in

EVENTS: tuple[Event, ...] = (
    LogReopened(boot="b"),
    LogSalvaged(holes=()),
    ProgressReported(attempt=1, note="half"),
    ResultSuperseded(attempt=1, worker="w", outcome="completed", report=Report("late"), digest="d"),
    SessionEnded(worker="w", runner="claude", reason="it ended", attempt=1),
)


@pytest.mark.parametrize("event", EVENTS)
def test_a_rebuild_may_skip_what_no_view_shows(event: Event) -> None:
    tables = NonCallableMock(spec_set=[])

    fold_in(tables, "t1", event, position=1, recorded_at=0.0)

    assert type(event).__name__ in UNSEEN
    assert len(UNSEEN) == len(EVENTS)
