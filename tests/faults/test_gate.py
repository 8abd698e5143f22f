"""The writers' gate, against holders that keep it and waiters that give up. Each `Gate` is an owner of its own."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, open_store

from trichrome.store.sqlite.gate import Gate

BOUND = 5.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db.gate"


def is_free(path: Path) -> bool:
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def eventually(happens: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + BOUND
    while not (is_so := happens()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return is_so


@pytest.fixture
def standing() -> Callable[[], int]:
    """How many threads stand in line, or are ready to, that did not when the test began."""
    before = set(threading.enumerate())
    return lambda: sum(thread.name == "gate" for thread in set(threading.enumerate()) - before)


def test_a_turn_begins_when_the_one_before_ends_and_holds_the_gate(path: Path, standing: Callable[[], int]) -> None:
    first, second = Gate(path), Gate(path, seconds=BOUND)
    told: list[str] = []

    def wait() -> None:
        with second:
            told.append("second has it" if not is_free(path) else "nobody has it")

    with ThreadPoolExecutor(1) as pool:
        with first:
            waiting = pool.submit(wait)
            assert eventually(lambda: standing() == 1)
            told.append("first ends")
        waiting.result(BOUND)

    assert told == ["first ends", "second has it"]
    assert is_free(path)
    first.close()
    second.close()


def test_whoever_gave_up_lets_the_next_through_when_its_turn_comes_after_all(path: Path) -> None:
    holder, hasty = Gate(path), Gate(path, seconds=0.02)

    with holder, hasty:
        assert hasty._stand_in is not None
        thread = hasty._stand_in

    assert eventually(lambda: not thread._stands)
    assert is_free(path)
    holder.close()
    hasty.close()


def test_after_giving_up_a_later_turn_waits_in_the_same_line(path: Path, standing: Callable[[], int]) -> None:
    holder, patient = Gate(path), Gate(path, seconds=0.02)

    holder._taken()
    for _ in range(3):
        with patient:
            assert not is_free(path), "the holder has it all the time"
    assert standing() == 1
    patient._seconds = BOUND
    with ThreadPoolExecutor(1) as pool:
        taking = pool.submit(patient._taken)
        assert eventually(lambda: patient._stand_in is not None and patient._stand_in._is_awaited)
        holder.close()

        assert taking.result(2 * BOUND) is not None
    assert not is_free(path)
    patient.close()


@pytest.mark.parametrize("has_it", [False, True])
def test_whoever_is_interrupted_in_line_lets_the_next_through(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, has_it: bool
) -> None:
    holder, hasty = Gate(path), Gate(path, seconds=BOUND)
    wait_for = threading.Condition.wait_for

    def interrupted(self: threading.Condition, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        if threading.current_thread().name == "gate":
            return wait_for(self, predicate, timeout)
        if has_it:
            holder.__exit__()
            wait_for(self, predicate, BOUND)
        raise KeyboardInterrupt

    holder.__enter__()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Condition, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hasty.__enter__()
    holder.__exit__()

    assert eventually(lambda: hasty._stand_in is not None and not hasty._stand_in._stands)
    assert is_free(path)
    with hasty:
        assert not is_free(path)
    holder.close()
    hasty.close()


def test_whoever_keeps_the_line_delays_others_by_no_more_than_the_deadline(path: Path) -> None:
    gate = Gate(path, seconds=0.02)
    with gate:
        pass
    first_in_line = os.open(path.with_suffix(".line"), os.O_RDWR)
    fcntl.flock(first_in_line, fcntl.LOCK_EX)

    with gate:
        assert is_free(path), "it goes on without the gate"

    os.close(first_in_line)
    assert eventually(lambda: gate._stand_in is not None and not gate._stand_in._stands)
    with gate:
        assert not is_free(path)
    gate.close()


def test_closing_while_in_line_leaves_no_thread_and_no_lock(path: Path, standing: Callable[[], int]) -> None:
    holder, hasty = Gate(path), Gate(path, seconds=0.02)

    with holder:
        with hasty:
            assert hasty._stand_in is not None
            file = hasty._stand_in.locks._gate
        hasty.close()
        assert standing() == 1, "it waits for its turn, to let the next one through"

    assert eventually(lambda: standing() == 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    assert is_free(path)
    holder.close()


def test_a_claim_with_nothing_to_claim_does_not_go_to_the_gate(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("sqlite", tmp_path, clock)
    worker = Project(store, clock).join()
    worker.claim()
    monkeypatch.setattr(Gate, "__enter__", lambda _gate: pytest.fail("it is a look, and needs no turn"))

    answer = worker.claim()

    assert answer["attempt"] is None
    store.close()
