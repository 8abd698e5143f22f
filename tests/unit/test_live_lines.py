"""What `start` tells of its workers, a line an event."""

from __future__ import annotations

import pytest

from trichrome.cli.starting.foreground import Lines

LOGIN = "Claude Code is not logged in: Invalid API key. Run `claude` and log in, or mend ANTHROPIC_API_KEY, here."


def test_what_keeps_everybody_from_working_is_told_at_length_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()

    for worker in ("blue-1", "green-1"):
        lines.tell(worker, "ended", task="t1", reason=LOGIN)
    lines.tell("supervisor", "parked", who="all workers", reason=LOGIN)
    stuck = lines.told(f"every worker is parked: {LOGIN}")

    assert capsys.readouterr().out.splitlines() == [
        f"blue-1     ended t1: {LOGIN}",
        "green-1    ended t1: as above",
        "supervisor parked all workers: as above",
    ]
    assert stuck == "every worker is parked: as above"


def test_a_short_reason_is_told_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()

    for task in ("t1", "t2"):
        lines.tell("blue-1", "ended", task=task, reason="it reported its result", cost_usd=0.25)

    assert capsys.readouterr().out.splitlines() == [
        "blue-1     ended t1: it reported its result ($0.25)",
        "blue-1     ended t2: it reported its result ($0.25)",
    ]


@pytest.mark.parametrize(
    ("force", "running", "told"),
    [
        (False, ["blue-1", "red-1"], "waits for blue-1, red-1, 30 s at most. A second Ctrl-C"),
        (True, ["blue-1"], "stopping: blue-1 ended at once"),
        (False, [], "no session runs"),
    ],
)
def test_a_stop_says_whom_it_waits_for_and_what_ends_them(
    force: bool, running: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Lines().tell("supervisor", "stopping", force=force, running=running, grace_seconds=None if force else 30.0)

    assert told in capsys.readouterr().out
