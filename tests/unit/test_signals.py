"""Which signals stop a supervisor, and which end its sessions at once."""

from __future__ import annotations

import os
import signal
from typing import cast

import pytest

from trichrome.supervisor.signals import Signals, handed
from trichrome.supervisor.supervisor import Supervisor

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class Asked:
    """Stands in for a supervisor that is asked to stop."""

    times = 0

    def interrupt(self) -> None:
        self.times += 1


@pytest.mark.parametrize(
    ("sent", "times"),
    [
        ([(0.0, INT)], 1),
        ([(0.0, HUP)], 1),
        ([(0.0, INT), (5.0, INT)], 2),
        ([(0.0, TERM), (0.1, INT)], 2),
        ([(0.0, INT), (0.5, INT)], 1),
        ([(0.0, INT), (0.6, INT), (1.2, INT)], 2),
        ([(0.0, HUP), (5.0, HUP)], 1),
        ([(0.0, TERM), (5.0, HUP)], 1),
        ([(0.0, HUP), (5.0, TERM)], 1),
        ([(0.0, HUP), (5.0, TERM), (9.0, TERM)], 2),
    ],
    ids=lambda value: " ".join(f"{number.name}@{at:g}" for at, number in value) if isinstance(value, list) else None,
)
def test_two_wishes_of_a_person_end_sessions_at_once_and_nothing_else_does(
    sent: list[tuple[float, signal.Signals]], times: int
) -> None:
    now = 0.0
    signals, supervisor = Signals(lambda: now), Asked()
    signals.hand_to(cast("Supervisor", supervisor))

    for now, number in sent:  # noqa: B007  the clock reads it
        signals.take(number)

    assert supervisor.times == times


def test_a_signal_before_there_is_a_supervisor_ends_the_command() -> None:
    with pytest.raises(KeyboardInterrupt):
        Signals().take(INT)


def test_signals_are_taken_only_while_the_block_runs() -> None:
    before = signal.getsignal(TERM)
    supervisor = Asked()

    with handed() as signals:
        signals.hand_to(cast("Supervisor", supervisor))
        os.kill(os.getpid(), TERM)

    assert supervisor.times == 1
    assert signal.getsignal(TERM) is before
