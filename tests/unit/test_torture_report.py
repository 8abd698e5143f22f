"""What a torture says: tables, a page, a document; and what it understands of a repair's words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from tests.unit.test_torture_checker import WHOLE, claims, creates, refused, reports

from trichrome.cli.repair.losses import told as told_lost
from trichrome.domain.events import TaskCreated
from trichrome.domain.tasks import Task, created
from trichrome.torture import report
from trichrome.torture.bench import Options, Outcome
from trichrome.torture.checker import check
from trichrome.torture.histories import Call, Evidence, Fact
from trichrome.torture.promises import PROMISES
from trichrome.torture.world import Losses


def outcome(evidence: Evidence, *, kept: Path | None = None) -> Outcome:
    return Outcome(
        options=Options(seed=7, workers=3, faults=5),
        verdict=check(evidence),
        evidence=evidence,
        seconds=12.34,
        done=Counter({"server killed": 3, "disk full": 1}),
        given_up=Counter({"report late": 1}),
        kept=kept,
    )


GOOD = outcome(Evidence(calls=[creates(), claims(), reports()], facts=WHOLE))
BAD = outcome(
    Evidence(calls=[creates(), claims(), reports(answer=refused("stale_attempt"))], facts=WHOLE), kept=Path("/kept")
)


def test_a_program_is_told_all_of_it() -> None:
    told = report.facts(GOOD)

    assert json.loads(json.dumps(told)) == told
    assert (told["ok"], told["seed"], told["workers"]) == (True, 7, 3)
    assert told["faults"] == {"server killed": 3, "disk full": 1}
    assert told["given_up"] == {"report late": 1}
    assert told["calls"] == told["events"] == 3
    assert told["call_seconds"] == {"p50": 0.1, "p99": 0.1}
    assert told["rescue_seconds"] == {}
    assert set(told["promises"]) == set(PROMISES)
    assert not told.keys() & {"broken", "history", "kept"}


def test_a_promise_that_broke_comes_with_the_history_of_its_task_up_to_there() -> None:
    told = report.facts(BAD)

    assert not told["ok"]
    assert told["kept"] == "/kept"
    assert told["broken"] == [
        {"promise": "nothing stale counts", "what": "'done' was refused (stale_attempt), and happened", "task": "t1"}
    ]
    assert [line.split("s  ")[1].split(" ")[0:3] for line in told["history"]] == [
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
        ["log", "1:", "t1"],
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
        ["log", "2:", "t1"],
        ["client", "0.1", "asks"],
        ["client", "0.1", "is"],
    ]


def test_the_tables_tell_every_promise_whether_it_held() -> None:
    promises = {title: rows for title, _, rows in report.sections(BAD)}["Promises"]

    assert {row[0]: row[2] for row in promises} == {
        promise: "broken" if promise == "nothing stale counts" else "held" for promise in PROMISES
    }


@pytest.mark.parametrize(
    ("of", "says"), [(GOOD, "Every promise held."), (BAD, "A promise broke. Everything was kept in `/kept`.")]
)
def test_a_page_has_the_verdict_and_every_table(of: Outcome, says: str) -> None:
    page = report.markdown(of)

    assert page.startswith("# Torture, seed 7\n")
    assert says in page
    assert "| server killed | 3 |" in page
    assert "| 12 s |" in page
    assert ("## What broke" in page) == bool(of.verdict.broken)


# --- what a repair says -----------------------------------------------------------------------------------------------


class Left:
    """A view of a log that has little left."""

    def task(self, name: str) -> Task | None:
        return created(cast("TaskCreated", WHOLE[0].event)) if name == "t17" else None

    def run(self, name: str) -> str | None:
        return name if name == "r3" else None


def answered(lost: list[str], *, done: bool = True) -> Call:
    answer: Mapping[str, object] = {"done": done, "repairs": [{"part": "log", "steps": [], "lost": lost}]}
    return Call("operator", 0, 1, "repair", {}, 0.0, answer, 1.0)


@pytest.mark.parametrize("hole", [("t17", 3), ("t18", 1), ("r3", 2), ("r4", 1), ("m5", 1), ("n.plan", 4), ("n.x", 1)])
def test_a_stream_that_the_product_names_as_lost_is_understood(hole: tuple[str, int]) -> None:
    stream, version = hole

    losses = Losses.told(answered(["9 events at most", *told_lost(Left(), {stream: version})]))  # type: ignore[arg-type]

    assert losses.streams == {stream: version}
    assert (losses.is_any, losses.at_most) == (True, 9)
    event = WHOLE[0].event
    assert losses.names(Fact(1, stream, version, event, 0.0))
    assert not losses.names(Fact(1, stream, version - 1, event, 0.0))
    assert not losses.names(Fact(1, "t999", version, event, 0.0))


def test_a_repair_that_found_nothing_names_nothing() -> None:
    assert Losses.told(answered([], done=False)) == Losses(is_any=False, streams={}, at_most=0)
