"""What every store promises, at the level of the port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, StoreKind, open_store

from trichrome.domain.events import (
    AttemptFailed,
    AttemptReleased,
    AttemptRescued,
    ContextShared,
    DependencyCompleted,
    FilesReserved,
    MessageDelivered,
    MessageSent,
    ProgressReported,
    Report,
    ResultSuperseded,
    RunCreated,
    RunPaused,
    RunResumed,
    TaskAmended,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskEvent,
)
from trichrome.domain.ids import AttemptId, MessageId, RunId, TaskId
from trichrome.domain.reservations import Hold, holds
from trichrome.domain.tasks import State
from trichrome.store.port import Principal, Reading, Recorded, Store, TaskFilter, Worker, Writing

R1 = RunId("r1")
ALL = ("blue", "green", "red")


@pytest.fixture
def store(project: Project) -> Store:
    return project.store


@pytest.fixture
def tx(store: Store) -> Iterator[Writing]:
    """One transaction in which run r1 exists."""
    with store.writing(actor="tester", causation="test") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        yield tx


def add(tx: Writing, *then: TaskEvent, run: RunId = R1, **content: object) -> TaskId:
    """A new task, and what happened to it since."""
    task = tx.new_task()
    fields = {"kind": "search", "role": "blue", "instructions": "find it", "created_by": "lead-1"} | content
    tx.append(task, [TaskCreated(task=task, run=run, **fields), *then])  # type: ignore[arg-type]
    return task


def claimed(attempt: int = 1, worker: str = "blue-1", principal: str = "p1") -> TaskClaimed:
    return TaskClaimed(attempt=attempt, worker=worker, principal=principal)


# --- the log ----------------------------------------------------------------------------------------------------------


def test_an_empty_log_is_at_position_zero(store: Store) -> None:
    with store.reading() as view:
        assert view.position() == 0
        assert view.events() == []


def test_positions_rise_and_versions_have_no_gaps(store: Store) -> None:
    for _ in range(3):
        with store.writing(actor="a", causation="c") as tx:
            run = tx.new_run()
            tx.append(run, [RunCreated(run=run, lead="lead-1"), RunPaused(by="a")])
            tx.append(run, [RunResumed(by="a")])

    with store.reading() as view:
        events = view.events()
        streams = {each.stream: [e.version for e in events if e.stream == each.stream] for each in events}
        assert [each.position for each in events] == list(range(1, 10))
        assert streams == {"r1": [1, 2, 3], "r2": [1, 2, 3], "r3": [1, 2, 3]}
        assert view.position() == 9


def test_an_event_is_read_back_as_it_was_written(store: Store, clock: ManualClock) -> None:
    report = Report(summary="zażółć 🦊", data={"a": [1, 2.5, None, True], "": []}, artifacts=("x.md",), files=("a/b",))

    with store.writing(actor="blue-1", causation="report_result") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        task = add(tx, claimed(), TaskCompleted(attempt=1, report=report, digest="d"))

    with store.reading() as view:
        last = view.events()[-1]
        assert last.event == TaskCompleted(attempt=1, report=report, digest="d")
        assert (last.stream, last.actor, last.causation, last.recorded_at) == (
            task,
            "blue-1",
            "report_result",
            clock.wall,
        )


def test_events_are_paged_by_position_and_by_stream(store: Store, tx: Writing) -> None:
    first, second = add(tx), add(tx)
    tx.append(first, [TaskAmended(by="operator", priority=1)])

    assert [each.position for each in tx.events(after=1, limit=2)] == [2, 3]
    assert [each.position for each in tx.events(stream=first)] == [2, 4]
    assert [each.position for each in tx.events(stream=first, after=2)] == [4]
    assert [each.stream for each in tx.events(stream=second, limit=5)] == [second]


def test_the_newest_events_of_a_stream_come_in_order(tx: Writing) -> None:
    first, other = add(tx, claimed(), AttemptReleased(attempt=1, reason="no", by="blue-1")), add(tx)

    assert [each.version for each in tx.newest_events(first, limit=2)] == [2, 3]
    assert tx.newest_events(first, limit=9) == tx.events(stream=first)
    assert [each.stream for each in tx.newest_events(other, limit=1)] == [other]
    assert tx.newest_events("t99", limit=1) == []


def test_append_answers_the_last_position(tx: Writing) -> None:
    assert tx.append("t1", []) == 1
    assert tx.append(RunId("r2"), [RunCreated(run=RunId("r2"), lead="x"), RunPaused(by="x")]) == 3


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])

    with pytest.raises(ZeroDivisionError), store.writing(actor="a", causation="c") as tx:  # noqa: PT012 - all of it
        task = add(tx, claimed(), FilesReserved(attempt=1, paths=("src",)))
        tx.start_lease(AttemptId(task, 1), lease_seconds=60, ceiling_seconds=60)
        tx.put_worker(Worker("blue-1", "p1", None, "blue"))
        tx.append("n.x", [ContextShared(name="x", text="t", version=1, by="a")])
        message = tx.new_message()
        tx.append(message, [MessageSent(message=message, sender="a", to=("blue-1",), text="hi")])
        tx.offered([message], worker="blue-1")
        _ = 1 / 0

    with store.reading() as view:
        assert view.position() == 1
        assert view.list_tasks(TaskFilter()) == []
        assert view.live_attempts() == []
        assert view.worker("blue-1") is None
        assert view.notes() == []
        assert view.undelivered("blue-1") == []
        assert view.next_moment() is None
    assert store.differences() == []


def test_ids_and_positions_of_a_failed_transaction_are_given_out_again_without_a_gap(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing(actor="a", causation="c") as tx:  # noqa: PT012 - all of it
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        _ = 1 / 0

    with store.writing(actor="a", causation="c") as tx:
        assert tx.new_run() == "r1"
        assert tx.append(R1, [RunCreated(run=R1, lead="lead-1")]) == 1


def test_a_reader_sees_what_was_committed_before_it_began(store: Store) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        add(tx)

    with store.reading() as view:
        assert view.task(TaskId("t1")) is not None
        assert view.task(TaskId("t2")) is None


def test_sixteen_threads_append_to_one_store_without_losing_or_doubling_anything(store: Store) -> None:
    def work(number: int) -> None:
        for _ in range(10):
            with store.writing(actor=f"a{number}", causation="c") as tx:
                run = tx.new_run()
                tx.append(run, [RunCreated(run=run, lead=f"lead-{number}")])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))

    with store.reading() as view:
        events = view.events()
        assert [each.position for each in events] == list(range(1, 161))
        assert {each.stream for each in events} == {f"r{number}" for number in range(1, 161)}
    assert store.differences() == []


# --- watching ---------------------------------------------------------------------------------------------------------


def test_a_change_between_mark_and_sleep_is_not_missed(store: Store) -> None:
    watch = store.watch()
    mark = watch.mark()
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
    began = time.monotonic()

    watch.sleep(mark, at_most_seconds=60)

    assert time.monotonic() - began < 5
    watch.close()


def test_a_sleeping_watch_wakes_at_a_change_and_not_only_at_its_end(store: Store) -> None:
    woken = threading.Event()
    ready = threading.Event()

    def sleep() -> None:
        watch = store.watch()
        mark = watch.mark()
        ready.set()
        watch.sleep(mark, at_most_seconds=60)
        woken.set()
        watch.close()

    thread = threading.Thread(target=sleep)
    thread.start()
    assert ready.wait(5)
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])

    assert woken.wait(5)
    thread.join(5)


def test_a_watch_over_a_quiet_log_returns_when_its_time_is_over(store: Store) -> None:
    watch = store.watch()

    watch.sleep(watch.mark(), at_most_seconds=0.02)

    watch.close()


# --- claiming ---------------------------------------------------------------------------------------------------------


def test_claims_go_by_priority_then_age(tx: Writing) -> None:
    usual, low, urgent, usual_too = add(tx), add(tx, priority=9), add(tx, priority=0), add(tx)

    order = []
    while (task := tx.claimable(ALL, worker="w")) is not None:
        order.append(task)
        tx.append(task, [claimed(worker=f"blue-{len(order)}")])

    assert order == [urgent, usual, usual_too, low]


def test_age_goes_by_number_and_not_by_letters(tx: Writing) -> None:
    for _ in range(9):
        add(tx, TaskCancelled(reason="x", by="x"))
    tenth = add(tx)
    second = add(tx)

    assert (tenth, second) == ("t10", "t11")
    assert tx.claimable(ALL, worker="w") == "t10"


def test_only_the_roles_asked_for_are_claimed(tx: Writing) -> None:
    green = add(tx, role="green")
    blue = add(tx, role="blue", priority=9)

    assert tx.claimable(("blue",), worker="w") == blue
    assert tx.claimable(("red",), worker="w") is None
    assert tx.claimable(("blue", "green"), worker="w") == green
    assert tx.claimable((), worker="w") is None


def test_an_amended_priority_changes_the_claim_order(tx: Writing) -> None:
    add(tx)
    later = add(tx)

    tx.append(later, [TaskAmended(by="operator", priority=0)])

    assert tx.claimable(ALL, worker="w") == later


def test_a_review_is_not_claimable_for_its_author(tx: Writing) -> None:
    review = add(tx, role="red", reviews=AttemptId(TaskId("t9"), 1), author="red-1")

    assert tx.claimable(ALL, worker="red-1") is None
    assert tx.claimable(ALL, worker="red-2") == review


@pytest.mark.parametrize("waiting_on", [1, 2])
def test_a_blocked_task_is_not_claimable(tx: Writing, waiting_on: int) -> None:
    task = add(tx, waiting_on=waiting_on)

    assert not tx.is_claimable(task)
    assert tx.claimable(ALL, worker="w") is None


# --- due times --------------------------------------------------------------------------------------------------------


def test_a_delayed_task_is_claimable_only_once_its_time_has_come(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        task = add(tx, not_before_seconds=10.0)
        assert not tx.is_claimable(task)
        assert tx.next_moment() == pytest.approx(10)

    clock.pass_seconds(9.5)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert tx.claimable(ALL, worker="w") is None
        assert tx.next_moment() == pytest.approx(0.5)

    clock.pass_seconds(0.5)
    with store.writing(actor="a", causation="c") as tx:
        assert tx.next_moment() == 0.0
        tx.bring_forward_due()
        assert tx.claimable(ALL, worker="w") == task
        assert tx.next_moment() is None


@pytest.mark.parametrize(
    "end",
    [
        AttemptFailed(attempt=1, report=Report("no"), digest="d", delay_seconds=20.0),
        AttemptRescued(attempt=1, principal="p1", reason="gone", delay_seconds=20.0),
    ],
)
def test_an_attempt_that_ends_with_a_delay_keeps_its_task_back(
    store: Store, clock: ManualClock, end: TaskEvent
) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        task = add(tx, claimed(), end)
        assert not tx.is_claimable(task)

    clock.pass_seconds(20)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert tx.is_claimable(task)


def test_a_blocked_task_whose_time_comes_first_is_claimable_when_it_is_free(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        early = add(tx, waiting_on=1, not_before_seconds=10.0)
        late = add(tx, waiting_on=1, not_before_seconds=30.0)

    clock.pass_seconds(15)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        for task in (early, late):
            tx.append(task, [DependencyCompleted(dependency=TaskId("t9"))])
        assert (tx.is_claimable(early), tx.is_claimable(late)) == (True, False)

    clock.pass_seconds(15)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert tx.is_claimable(late)


def test_a_due_time_of_another_boot_is_set_anew_from_the_wall_clock(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        task = add(tx, not_before_seconds=100.0)

    clock.reboot(seconds=60)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert not tx.is_claimable(task)
        assert tx.next_moment() == pytest.approx(40)

    clock.pass_seconds(40)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert tx.is_claimable(task)


def test_after_another_boot_a_wall_clock_set_back_delays_by_no_more_than_the_full_length(
    store: Store, clock: ManualClock
) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        add(tx, not_before_seconds=100.0)

    clock.reboot(seconds=-1_000_000)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert tx.next_moment() == pytest.approx(100)


def test_a_due_time_of_another_boot_asks_to_be_looked_at(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        add(tx, not_before_seconds=100.0)

    clock.reboot(seconds=1000)

    with store.reading() as view:
        assert view.next_moment() == 0.0


def test_a_jump_of_the_wall_clock_moves_no_due_time(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        task = add(tx, not_before_seconds=10.0)

    clock.wall += 1_000_000
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()
        assert not tx.is_claimable(task)
        assert tx.next_moment() == pytest.approx(10)


# --- leases -----------------------------------------------------------------------------------------------------------


def running(tx: Writing, *, lease: float = 60.0, ceiling: float = 1800.0) -> AttemptId:
    attempt = AttemptId(add(tx, claimed()), 1)
    tx.start_lease(attempt, lease_seconds=lease, ceiling_seconds=ceiling)
    return attempt


def test_a_lease_lapses_and_a_renewed_one_does_not(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        running(tx)

    clock.pass_seconds(50)
    with store.writing(actor="a", causation="c") as tx:
        assert [live.lapsed for live in tx.live_attempts()] == [False]
        tx.renew_leases("p1", lease_seconds=60)
        tx.renew_leases("p2", lease_seconds=60)

    clock.pass_seconds(59)
    with store.reading() as view:
        assert [live.lapsed for live in view.live_attempts()] == [False]

    clock.pass_seconds(1)
    with store.reading() as view:
        assert [(live.lapsed, live.over_ceiling) for live in view.live_attempts()] == [(True, False)]


def test_renewing_does_not_move_the_ceiling(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        attempt = running(tx, ceiling=100)

    clock.pass_seconds(60)
    with store.writing(actor="a", causation="c") as tx:
        tx.start_lease(attempt, lease_seconds=600, ceiling_seconds=None)
        assert tx.next_moment() == pytest.approx(40)

    clock.pass_seconds(40)
    with store.reading() as view:
        assert [(live.lapsed, live.over_ceiling) for live in view.live_attempts()] == [(False, True)]


def test_leases_of_another_boot_lapse_and_their_ceilings_do_not_end_anything(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        running(tx, lease=10_000, ceiling=10)

    clock.reboot()

    with store.reading() as view:
        assert [(live.lapsed, live.over_ceiling) for live in view.live_attempts()] == [(True, False)]


def test_a_lease_of_another_boot_that_is_renewed_gets_its_full_ceiling_again(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        running(tx, ceiling=100)

    clock.reboot()
    with store.writing(actor="a", causation="c") as tx:
        tx.renew_leases("p1", lease_seconds=1000)
        assert tx.next_moment() == pytest.approx(100)

    clock.pass_seconds(100)
    with store.reading() as view:
        assert [(live.lapsed, live.over_ceiling) for live in view.live_attempts()] == [(False, True)]


def test_a_running_attempt_without_a_lease_counts_as_lapsed(tx: Writing) -> None:
    add(tx, claimed())

    assert [live.lapsed for live in tx.live_attempts()] == [True]


def test_an_ended_attempt_leaves_no_deadline_behind(tx: Writing) -> None:
    attempt = running(tx)

    tx.append(attempt.task, [AttemptReleased(attempt=1, reason="x", by="blue-1")])

    assert tx.next_moment() is None
    assert tx.live_attempts() == []


def test_live_attempts_are_found_by_worker(tx: Writing) -> None:
    attempt = running(tx)

    assert tx.live_attempt_of("blue-1") == attempt
    assert tx.live_attempt_of("blue-2") is None


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "conflict"),
    [
        ("src/a.py", "src/a.py", True),
        ("src", "src/a.py", True),
        ("src/a.py", "src", True),
        ("src/a", "src/ab", False),
        ("src/a", "src/a-b/c", False),
        ("src/a", "src/a.py", False),
        ("src/a", "src/a0", False),
        ("src/*.py", "src/b/c.py", True),
        ("src/a*", "src/b.py", True),
        ("docs/**", "src/**", False),
        ("**/*.py", "docs/x.md", True),
        (".", "anything", True),
        ("src/[ab].py", "src/c.py", True),
        ("src/{a,b}", "docs", False),
        ("Ärger/ß", "Ärger", True),
        ("src/", "src/x", True),
        ("a%b", "a_b", False),
    ],
)
def test_a_task_whose_files_conflict_with_a_running_one_is_kept_back_until_that_is_over(
    tx: Writing, held: str, wanted: str, conflict: bool
) -> None:
    holder = add(tx, files=(held,))
    waiting = add(tx, files=(wanted,))

    tx.append(holder, [claimed()])
    during = tx.is_claimable(waiting)
    found = tx.holder(holds((wanted,)), besides=waiting)
    tx.append(holder, [AttemptReleased(attempt=1, reason="x", by="blue-1")])

    assert during is not conflict
    assert found == ((holder, "blue-1") if conflict else None)
    assert tx.is_claimable(waiting)


def test_a_task_created_while_its_files_are_held_is_kept_back(tx: Writing) -> None:
    holder = add(tx, claimed(), files=("src",))

    waiting = add(tx, files=("src/a.py",))

    assert not tx.is_claimable(waiting)
    tx.append(holder, [TaskCompleted(attempt=1, report=Report("done"), digest="d")])
    assert tx.is_claimable(waiting)


def test_shared_holds_conflict_with_exclusive_ones_only(tx: Writing) -> None:
    reader = add(tx, claimed(), FilesReserved(attempt=1, paths=("src",), mode="shared"))
    other = add(tx)

    assert tx.holder([Hold("src/a.py", "shared")], besides=other) is None
    assert tx.holder([Hold("src/a.py", "exclusive")], besides=other) == (reader, "blue-1")
    assert tx.holder([Hold("src/a.py", "exclusive")], besides=reader) is None


def test_reserved_files_keep_other_tasks_back_until_the_attempt_ends(tx: Writing) -> None:
    holder = add(tx, claimed())
    waiting = add(tx, files=("src/a.py",))
    assert tx.is_claimable(waiting)

    tx.append(holder, [FilesReserved(attempt=1, paths=("src/**",))])
    assert not tx.is_claimable(waiting)

    tx.append(holder, [TaskCancelled(reason="x", by="x")])
    assert tx.is_claimable(waiting)


def test_of_two_holders_the_older_task_is_named(tx: Writing) -> None:
    first = add(tx, claimed(worker="blue-1"), FilesReserved(attempt=1, paths=("b",), mode="shared"))
    add(tx, claimed(worker="blue-2"), FilesReserved(attempt=1, paths=("a", "b"), mode="shared"))
    other = add(tx)

    assert tx.holder(holds(("a", "b")), besides=other) == (first, "blue-1")


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_paused_run_keeps_its_tasks_back_and_new_ones_too(tx: Writing) -> None:
    before = add(tx)
    tx.append(R1, [RunPaused(by="operator")])
    after = add(tx)
    other = tx.new_run()
    tx.append(other, [RunCreated(run=other, lead="lead-2")])
    elsewhere = add(tx, run=other, priority=9)

    assert [tx.is_claimable(task) for task in (before, after, elsewhere)] == [False, False, True]

    tx.append(R1, [RunResumed(by="operator")])
    assert [tx.is_claimable(task) for task in (before, after)] == [True, True]


def test_open_runs_are_found_by_what_they_do_without_their_lead(tx: Writing) -> None:
    for name, choice in (("r2", "pause"), ("r3", "pause")):
        tx.append(RunId(name), [RunCreated(run=RunId(name), lead="lead-1", on_lead_gone=choice)])  # type: ignore[arg-type]
    add(tx)
    add(tx, run=RunId("r2"))
    add(tx, TaskCancelled(reason="no", by="operator"), run=RunId("r3"))

    assert [run.id for run in tx.open_runs()] == ["r1", "r2"]
    assert [run.id for run in tx.open_runs(on_lead_gone="pause")] == ["r2"]


def test_the_newest_run_of_a_lead_is_found(tx: Writing) -> None:
    for lead in ("lead-2", "lead-1", "lead-2"):
        run = tx.new_run()
        tx.append(run, [RunCreated(run=run, lead=lead)])

    assert tx.newest_run("lead-1") == "r3"
    assert tx.newest_run("lead-2") == "r4"
    assert tx.newest_run("lead-3") is None


# --- lists ------------------------------------------------------------------------------------------------------------


def ids(tx: Writing, **chosen: object) -> list[str]:
    return [line.task.id for line in tx.list_tasks(TaskFilter(**chosen))]  # type: ignore[arg-type]


def test_lists_are_filtered_and_paged(tx: Writing) -> None:
    other = tx.new_run()
    tx.append(other, [RunCreated(run=other, lead="lead-2")])
    for number in range(12):
        add(tx, run=R1 if number % 2 == 0 else other, role="blue" if number < 6 else "green")
    tx.append("t3", [TaskCancelled(reason="x", by="x")])
    ended = tx.position()
    tx.append("t4", [TaskCancelled(reason="x", by="x")])

    assert ids(tx) == [f"t{number}" for number in range(1, 13)]
    assert ids(tx, run=other, role="green") == ["t8", "t10", "t12"]
    assert ids(tx, state="cancelled") == ["t3", "t4"]
    assert ids(tx, ended_after=ended) == ["t4"]
    assert ids(tx, run=R1, is_open=True) == ["t1", "t5", "t7", "t9", "t11"]
    assert ids(tx, tasks=("t11", "t2", "t99")) == ["t2", "t11"]
    assert ids(tx, after="t9", limit=2) == ["t10", "t11"]
    assert ids(tx, tasks=()) == []


def test_tasks_are_counted_by_state(tx: Writing) -> None:
    add(tx)
    add(tx, claimed())
    add(tx, TaskCancelled(reason="x", by="x"))

    expected: dict[State, int] = {"ready": 1, "running": 1, "cancelled": 1}
    assert tx.count_tasks() == tx.count_tasks(R1) == expected
    assert tx.count_tasks(RunId("r9")) == {}


def test_a_list_shows_the_newest_summary_that_counts(tx: Writing) -> None:
    add(
        tx,
        claimed(),
        AttemptFailed(attempt=1, report=Report("first"), digest="1"),
        claimed(2),
        ResultSuperseded(attempt=1, worker="x", outcome="completed", report=Report("late"), digest="2"),
    )

    assert [line.summary for line in tx.list_tasks(TaskFilter())] == ["first"]
    assert [each.superseded for each in tx.reports(TaskId("t1"))] == [False, True]


def test_every_attempt_at_a_task_is_kept(tx: Writing) -> None:
    task = add(
        tx,
        claimed(),
        AttemptRescued(attempt=1, principal="p1", reason="gone"),
        claimed(2, "blue-2", "p2"),
        AttemptReleased(attempt=2, reason="x", by="blue-2"),
    )

    assert [(each.number, each.worker, each.state) for each in tx.attempts(task)] == [
        (1, "blue-1", "rescued"),
        (2, "blue-2", "released"),
    ]
    assert tx.attempts(TaskId("t9")) == []


def test_dependents_are_found_in_order_of_age(tx: Writing) -> None:
    first = add(tx)
    for _ in range(11):
        add(tx, depends_on=(first,), waiting_on=1)

    assert tx.dependents(first) == [f"t{number}" for number in range(2, 13)]


def test_a_key_leads_to_the_task_it_made(tx: Writing) -> None:
    task = add(tx, key="k", key_digest="d")

    assert tx.task_by_key("k") == (task, "d")
    assert tx.task_by_key("other") is None


# --- messages and notes -----------------------------------------------------------------------------------------------


def test_a_message_is_undelivered_for_each_receiver_until_it_is_delivered_to_that_one(tx: Writing) -> None:
    first, second = MessageId("m1"), MessageId("m2")
    assert tx.new_message() == first
    tx.append(first, [MessageSent(message=first, sender="a", to=("y", "x"), text="one")])
    assert tx.new_message() == second
    tx.append(second, [MessageSent(message=second, sender="a", to=("x",), text="two")])
    tx.offered([first], worker="x")
    tx.offered([first], worker="x")

    assert [(message.text, offered) for message, offered in tx.undelivered("x")] == [("one", True), ("two", False)]

    tx.append(first, [MessageDelivered(worker="x")])
    assert [message.text for message, _ in tx.undelivered("x")] == ["two"]
    assert [(message.text, offered) for message, offered in tx.undelivered("y")] == [("one", False)]


def test_notes_hold_their_newest_version_and_are_listed_by_name(tx: Writing) -> None:
    tx.append("n.b", [ContextShared(name="b", text="1", version=1, by="x")])
    tx.append("n.a", [ContextShared(name="a", text="1", version=1, by="x")])
    tx.append("n.b", [ContextShared(name="b", text="2", version=2, by="y")])

    assert [(note.name, note.text, note.version, note.by) for note in tx.notes()] == [
        ("a", "1", 1, "x"),
        ("b", "2", 2, "y"),
    ]
    assert tx.note("c") is None


# --- principals and workers -------------------------------------------------------------------------------------------


def test_principals_and_workers_are_remembered_and_updated(tx: Writing) -> None:
    principal = Principal("p1", ("h", "b", "n"), (1, 2), None, "s", "ann", "blue", 60.0)
    tx.put_principal(principal)
    tx.put_worker(Worker("ann", "p1", None, "blue"))
    tx.put_worker(Worker("ann-agent-1", "p1", "x", "blue", is_taker=True))

    assert tx.principal("p1") == principal
    assert tx.worker_of("p1", None) == Worker("ann", "p1", None, "blue")
    assert tx.worker_of("p1", "x") == Worker("ann-agent-1", "p1", "x", "blue", is_taker=True)
    assert tx.worker_of("p1", "y") is None

    tx.put_principal(replace(principal, connected=False))
    tx.put_worker(Worker("ann", "p2", None, "blue", is_taker=True))
    assert tx.principals() == []
    assert tx.worker_of("p1", None) is None
    assert tx.worker("ann") == Worker("ann", "p2", None, "blue", is_taker=True)


def test_who_supervises_a_principal_is_remembered(tx: Writing) -> None:
    principal = Principal("p1", ("h", "b", "n"), (1, 2), (3, 4), None, "blue-1", "blue", 60.0, supervisor=(5, -6))

    tx.put_principal(principal)

    assert tx.principals() == [principal]


def test_documents_are_kept_until_they_are_forgotten(tx: Writing) -> None:
    tx.put_document("fleet", "{}")
    tx.put_document("orders", '{"scale":{}}')
    tx.put_document("fleet", '{"workers":[]}')

    assert (tx.document("fleet"), tx.document("orders"), tx.document("x")) == ('{"workers":[]}', '{"scale":{}}', None)
    tx.put_document("fleet", None)
    tx.put_document("x", None)
    assert tx.document("fleet") is None


def test_a_document_of_a_transaction_that_failed_is_not_kept(store: Store) -> None:
    def fail() -> None:
        with store.writing(actor="a", causation="c") as tx:
            tx.put_document("orders", "{}")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with store.reading() as view:
        assert view.document("orders") is None


def test_workers_shown_are_those_connected_or_at_work(tx: Writing) -> None:
    gone = Principal("p1", ("h", "b", "n"), (1, 2), None, None, None, None, 60.0, connected=False)
    tx.put_principal(gone)
    tx.put_principal(replace(gone, id="p2", connected=True))
    for name, principal in (("blue-1", "p1"), ("blue-2", "p1"), ("blue-3", "p2")):
        tx.put_worker(Worker(name, principal, None, None))
    add(tx, claimed(worker="blue-2"))

    assert [worker.name for worker in tx.workers()] == ["blue-2", "blue-3"]


def test_worker_names_are_never_given_out_twice(tx: Writing) -> None:
    assert [tx.new_worker("blue"), tx.new_worker("red"), tx.new_worker("blue")] == ["blue-1", "red-1", "blue-2"]


# --- rebuilding -------------------------------------------------------------------------------------------------------


def lively(tx: Writing) -> None:
    """A bit of everything."""
    first = add(tx, claimed(), files=("src/a",), key="k", key_digest="d", acceptance="all")
    tx.append(first, [FilesReserved(attempt=1, paths=("docs/*",), mode="shared"), ProgressReported(1, "half", 0.5)])
    add(tx, files=("src",))
    add(tx, depends_on=(first,), waiting_on=1, not_before_seconds=50.0)
    add(tx, claimed(), AttemptRescued(attempt=1, principal="p1", reason="gone"), claimed(2, "blue-2", "p2"))
    for data in (None, 0, False, "", [], {}, {"a": None}, 1.5):
        add(tx, claimed(), TaskCompleted(attempt=1, report=Report("done", data=data), digest="d"))
    tx.append("n.x", [ContextShared(name="x", text="t", version=1, by="a")])
    tx.append("m1", [MessageSent(message=MessageId("m1"), sender="a", to=("x", "y"), text="hi")])
    tx.append("m1", [MessageDelivered(worker="y")])


def test_live_views_equal_the_fold_of_the_log(store: Store, project: Project) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        lively(tx)

    assert store.differences() == []


@pytest.mark.parametrize("data", [None, 0, False, "", [], {}, {"a": None}, 1.5])
def test_the_data_of_a_report_reads_back_as_it_was_said(tx: Writing, data: object) -> None:
    task = add(tx, claimed(), TaskCompleted(attempt=1, report=Report("done", data=data), digest="d"))

    (reported,) = tx.reports(task)
    assert reported.report.data == data
    assert type(reported.report.data) is type(data)


def test_rebuilt_views_equal_the_live_ones(store: Store) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        lively(tx)
        before = everything(tx)

    store.rebuild()

    with store.reading() as view:
        assert everything(view) == before
    assert store.differences() == []


def everything(view: Reading) -> list[object]:
    """All that the views answer."""
    tasks = [line.task.id for line in view.list_tasks(TaskFilter())]
    return [
        view.list_tasks(TaskFilter()),
        [
            (view.brief(task), view.attempts(task), view.reports(task), view.is_claimable(task), view.dependents(task))
            for task in tasks
        ],
        view.holder([Hold("docs"), Hold("src/a/b")], besides=TaskId("t99")),
        view.notes(),
        view.undelivered("x"),
        view.undelivered("y"),
        view.task_by_key("k"),
        view.next_moment(),
    ]


def test_a_rebuild_gives_every_open_attempt_one_full_period(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        tx.put_principal(Principal("p1", ("h", "b", "n"), (1, 2), None, None, None, None, 60.0))
        running(tx, lease=60, ceiling=1800)

    store.rebuild()

    with store.reading() as view:
        assert [(live.lapsed, live.over_ceiling) for live in view.live_attempts()] == [(False, False)]


def test_a_rebuild_does_not_hold_a_task_back_again_whose_time_has_come(store: Store, clock: ManualClock) -> None:
    with store.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        ready = add(tx, not_before_seconds=1000.0)
        soon = add(tx, not_before_seconds=1500.0)
    clock.pass_seconds(1200)
    with store.writing(actor="a", causation="c") as tx:
        tx.bring_forward_due()

    store.rebuild()

    with store.reading() as view:
        assert view.is_claimable(ready)
        assert not view.is_claimable(soon)
        assert view.next_moment() == pytest.approx(300)


def test_a_second_store_on_the_same_file_continues_where_the_first_one_stopped(
    tmp_path: Path, clock: ManualClock
) -> None:
    first = open_store("sqlite", tmp_path, clock)
    with first.writing(actor="a", causation="c") as tx:
        tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
        lively(tx)
        before = everything(tx)
    first.close()

    second = open_store("sqlite", tmp_path, clock)

    with second.reading() as view:
        assert everything(view) == before
    second.close()


def test_both_stores_chain_the_same_bytes(tmp_path: Path, clock: ManualClock) -> None:
    def recorded(kind: StoreKind) -> list[Recorded]:
        store = open_store(kind, tmp_path, clock)
        with store.writing(actor="a", causation="c") as tx:
            tx.append(R1, [RunCreated(run=R1, lead="lead-1")])
            lively(tx)
        with store.reading() as view:
            events = view.events()
        store.close()
        return events

    assert recorded("memory") == recorded("sqlite")
