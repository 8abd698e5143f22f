"""The simulation finds a rule that is broken: within a few seeds, which it names, and in a story that can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.simulation import answers, crowd, promises, sabotage, truth
from tests.simulation.calm import SAME_VIEWS
from tests.simulation.director import MakeStore
from tests.simulation.history import History, live_through
from tests.simulation.plan import Plan, drawn
from tests.simulation.sabotage import Patch
from tests.simulation.shrinking import shrunk
from tests.simulation.store import SimulatedStore
from tests.simulation.telling import told

SEEDS = 600
LINES = 60


def found(make_store: MakeStore = SimulatedStore, shaped: Callable[[Plan], Plan] = lambda plan: plan) -> History:
    """The first history that breaks a promise."""
    for seed in range(SEEDS):
        history = live_through(shaped(drawn(seed)), make_store)
        if history.broken is not None:
            return history
    raise AssertionError(f"nothing was found in {SEEDS} histories")


@pytest.mark.parametrize(
    ("break_a_rule", "expected"),
    [
        pytest.param(sabotage.no_fencing, {"nothing stale counts", "one live attempt"}, id="no fencing"),
        pytest.param(sabotage.no_giving_back, {answers.UNREAD}, id="unread claims are kept"),
        pytest.param(sabotage.no_memory_of_former_servers, {truth.OWN_WORK}, id="a next server is somebody else"),
        pytest.param(sabotage.no_freeing, {promises.AT_ONCE}, id="dependents are not freed"),
        pytest.param(sabotage.leases_for_all, {truth.HEALTHY}, id="visible clients judged by their lease"),
        pytest.param(sabotage.no_record_of_reports, {answers.SAME_ANSWER}, id="repeated reports are new ones"),
        pytest.param(sabotage.newest_first, {truth.ORDER}, id="the newest task first"),
        pytest.param(sabotage.blind_lookouts, {truth.RESCUED}, id="keepers that see nothing"),
    ],
)
def test_a_broken_rule_is_found(
    break_a_rule: Callable[[Patch], None], expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_a_rule(monkeypatch)

    history = found()

    assert history.broken is not None
    assert history.broken.promise in expected, "\n".join(told(history))


def test_a_rescue_of_whoever_holds_it_now_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage.no_incarnation(monkeypatch)

    def shaped(plan: Plan) -> Plan:
        return replace(plan, faults=frozenset({"stop"}), kinds=("named", "unseen"), restless=0.9, steps=20)

    history = found(shaped=shaped)

    assert history.broken is not None
    assert history.broken.promise == truth.HEALTHY, "\n".join(told(history))


def test_transactions_that_are_not_isolated_are_found() -> None:
    undoable = frozenset({"die in a transaction"})

    history = found(sabotage.Unisolated, lambda plan: replace(plan, faults=plan.faults - undoable))

    assert history.broken is not None
    assert history.broken.promise in {"one live attempt", "numbers rise"}, "\n".join(told(history))


def test_transactions_that_are_not_rolled_back_are_found() -> None:
    history = found(sabotage.Unrolled)

    assert history.broken is not None
    assert history.broken.promise in {promises.NO_GAPS, "the chain is whole", SAME_VIEWS}, "\n".join(told(history))


def test_what_is_found_names_its_seed_and_how_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage.no_fencing(monkeypatch)

    total = crowd.run(0, SEEDS)

    (seed, _) = total.broken[0]
    assert total.broken[0][1] in str(live_through(seed).broken)
    assert f"python -m tests.simulation --seed {seed} --trace" in "\n".join(total.told())


def test_a_shrunk_history_breaks_the_same_promise_and_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage.no_fencing(monkeypatch)
    history = found()

    small = shrunk(history)
    again = live_through(Plan.from_argument(small.plan.as_argument()))

    assert history.broken is not None
    assert small.broken is not None
    assert small.broken.promise == history.broken.promise
    lines = told(small, about=small.broken.about)
    assert len(lines) < LINES
    assert "BROKEN" in lines[-1]
    assert told(again) == told(small)
