"""The rules of a task's life, DESIGN section 3: attempts, fencing, who is alive, tries. Each test tries to break one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker

from trichrome.coordinator import attempts, consequences, liveness, notes, principals, queries, tasks, waiting
from trichrome.coordinator.attempts import NOTHING
from trichrome.domain.decisions import Rescue
from trichrome.domain.drafts import Draft
from trichrome.domain.ids import attempt_id
from trichrome.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    NotPermittedError,
    StaleAttemptError,
    TrichromeError,
)


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def detail(project: Project, task: str) -> dict[str, object]:
    return dict(queries.task_detail(project.coordinator, task))


def rescued(project: Project, task: str) -> tuple[Worker, str]:
    """A worker whose attempt was rescued although it still calls: its client cannot be seen, and its lease lapsed."""
    worker = project.join(client="unseen")
    attempt = worker.take(task=task)
    project.clock.pass_seconds(601)
    assert project.sweep() == [attempt]
    return worker, attempt


# --- rule 1: at most one live attempt, completed at most once ---------------------------------------------------------


def test_1_a_running_task_is_not_given_to_a_second_worker(project: Project, lead: Worker) -> None:
    task = lead.create()
    holder = project.join()
    holder.take()

    other = project.join()
    assert other.claim()["attempt"] is None
    with pytest.raises(ConflictError) as refused:
        other.claim(task=task)

    assert refused.value.code == "already_claimed"


def test_1_a_completed_task_is_never_completed_again(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    worker.report(attempt)

    with pytest.raises(InvalidError):
        worker.claim(task=task)
    with pytest.raises(ConflictError):
        worker.report(attempt, summary="something else")

    assert project.kinds(task).count("TaskCompleted") == 1


def test_1_a_task_has_one_attempt_at_a_time_however_many_ask_at_once(project: Project, lead: Worker) -> None:
    lead.create_all(*[draft() for _ in range(20)])
    workers = [project.join() for _ in range(8)]

    def work(worker: Worker) -> list[str]:
        done = []
        while (answer := worker.claim())["attempt"] is not None:
            worker.report(answer["attempt"], summary=worker.name)
            done.append(answer["attempt"])
        return done

    with ThreadPoolExecutor(8) as pool:
        done = [attempt for each in pool.map(work, workers) for attempt in each]

    assert sorted(done) == sorted(f"t{number}.1" for number in range(1, 21))
    assert project.store.differences() == []


def draft(**content: object) -> Draft:
    return Draft(**({"kind": "search", "instructions": "find it"} | content))  # type: ignore[arg-type]


# --- rule 2: fencing --------------------------------------------------------------------------------------------------


def test_2_a_report_of_a_superseded_attempt_changes_nothing_and_is_kept_for_the_lead(
    project: Project, lead: Worker
) -> None:
    task = lead.create()
    slow, old = rescued(project, task)
    new = project.join().take(task=task)
    before = project.task(task)

    with pytest.raises(StaleAttemptError) as refused:
        slow.report(old, summary="late", data={"found": 1})

    assert project.task(task) == before
    assert new == f"{task}.2"
    assert refused.value.code == "stale_attempt"
    assert "kept" in refused.value.message
    assert detail(project, task)["superseded"] == [
        {"attempt": old, "worker": slow.name, "summary": "late", "data": {"found": 1}}
    ]


def test_2_nothing_that_a_superseded_attempt_calls_changes_anything(project: Project, lead: Worker) -> None:
    task = lead.create()
    slow, old = rescued(project, task)
    project.join().take(task=task)
    before = project.kinds(task)

    for call in (
        lambda: slow.progress(old, note="still at it"),
        lambda: slow.reserve(old, "src"),
        lambda: notes.put(project.coordinator, slow.caller, "n", "text", attempt=old),
    ):
        with pytest.raises(StaleAttemptError) as refused:
            call()
        assert f"{task}.2 began" in refused.value.message
        assert "Stop working" in refused.value.message

    assert project.kinds(task) == before
    assert notes.listed(project.coordinator) == {"notes": []}


def test_2_a_late_report_of_a_cancelled_task_says_that_it_was_cancelled(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    lead.cancel(task=task)

    with pytest.raises(StaleAttemptError, match="cancelled"):
        worker.report(attempt, summary="done all the same")

    assert project.state(task) == "cancelled"
    assert [each["summary"] for each in detail(project, task)["superseded"]] == ["done all the same"]  # type: ignore[attr-defined]


def test_2_a_rescued_attempt_comes_back_with_its_report(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker, attempt = rescued(project, task)

    answer = worker.report(attempt)

    assert answer["state"] == "completed"
    assert project.kinds(task)[-3:] == ["AttemptRescued", "AttemptResumed", "TaskCompleted"]


@pytest.mark.parametrize("call", ["progress", "reserve", "share"])
def test_2_a_rescued_attempt_comes_back_with_any_call(project: Project, lead: Worker, call: str) -> None:
    task = lead.create()
    worker, attempt = rescued(project, task)

    if call == "progress":
        worker.progress(attempt, note="here again")
    elif call == "reserve":
        worker.reserve(attempt, "src")
    else:
        notes.put(project.coordinator, worker.caller, "n", "text", attempt=attempt)

    assert project.state(task) == "running"
    assert project.task(task).tries == 0
    assert project.sweep() == []


def test_2_an_attempt_that_came_back_is_not_given_to_anybody_else(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker, attempt = rescued(project, task)
    worker.progress(attempt)

    with pytest.raises(ConflictError):
        project.join().claim(task=task)

    assert worker.report(attempt)["state"] == "completed"


def test_2_a_rescued_attempt_of_a_task_that_is_over_does_not_come_back(project: Project, lead: Worker) -> None:
    task = lead.create(max_attempts=1)
    worker, attempt = rescued(project, task)
    assert project.state(task) == "failed"

    with pytest.raises(StaleAttemptError):
        worker.progress(attempt)
    with pytest.raises(StaleAttemptError):
        worker.report(attempt)

    assert project.state(task) == "failed"


@pytest.mark.parametrize("outcome", ["completed", "failed", "released"])
def test_2_the_same_report_again_gets_the_same_answer(project: Project, lead: Worker, outcome: str) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()

    first = worker.report(attempt, outcome, "what there is", data={"a": 1})
    before = project.kinds(task)
    again = worker.report(attempt, outcome, "what there is", data={"a": 1})

    assert again == first
    assert project.kinds(task) == before


@pytest.mark.parametrize("outcome", ["completed", "failed", "released"])
@pytest.mark.parametrize("other", ["completed", "failed", "released"])
def test_2_a_different_report_is_refused_and_the_first_one_stands(
    project: Project, lead: Worker, outcome: str, other: str
) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    worker.report(attempt, outcome, "first")
    before = project.kinds(task)

    with pytest.raises(ConflictError) as refused:
        worker.report(attempt, other, "second")

    assert refused.value.code == "already_reported"
    assert project.kinds(task) == before


def test_2_a_superseded_report_repeated_is_kept_once(project: Project, lead: Worker) -> None:
    task = lead.create()
    slow, old = rescued(project, task)
    project.join().take(task=task)

    for _ in range(3):
        with pytest.raises(StaleAttemptError):
            slow.report(old, summary="late")

    assert project.kinds(task).count("ResultSuperseded") == 1


def test_2_an_attempt_of_somebody_else_is_refused(project: Project, lead: Worker) -> None:
    task = lead.create()
    owner = project.join()
    attempt = owner.take()
    thief = project.join()

    for call in (
        lambda: thief.report(attempt),
        lambda: thief.progress(attempt),
        lambda: thief.reserve(attempt, "src"),
    ):
        with pytest.raises(NotPermittedError) as refused:
            call()
        assert refused.value.code == "not_owner"

    assert project.kinds(task) == ["TaskCreated", "TaskClaimed"]


def test_2_a_stale_attempt_of_somebody_else_is_refused_without_keeping_anything(project: Project, lead: Worker) -> None:
    task = lead.create()
    _, old = rescued(project, task)
    project.join().take(task=task)

    with pytest.raises(NotPermittedError, match=old):
        project.join().report(old)

    assert "ResultSuperseded" not in project.kinds(task)


@pytest.mark.parametrize("handle", ["t1.1", "t1.2", "t9.1"])
def test_2_an_attempt_that_never_was_is_not_found(project: Project, lead: Worker, handle: str) -> None:
    lead.create()
    worker = project.join()
    if handle == "t1.2":
        worker.take()

    for call in (lambda: worker.report(handle), lambda: worker.progress(handle), lambda: worker.reserve(handle, "a")):
        with pytest.raises(NotFoundError):
            call()


@pytest.mark.parametrize("handle", ["t1", "", "t1.0", "t01.1", "x.1", "t1.1.1", "t1.1\n", "t1.99999999999999999999"])
def test_2_what_is_no_attempt_is_invalid(project: Project, handle: str) -> None:
    with pytest.raises(InvalidError) as refused:
        project.join().progress(handle)

    assert refused.value.field == "attempt"


def test_2_a_rescued_attempt_does_not_come_back_to_files_that_another_one_holds_now(
    project: Project, lead: Worker
) -> None:
    task, other = lead.create(files=("src",)), lead.create(files=("src/a.py",))
    worker, attempt = rescued(project, task)
    holder = project.join()
    held = holder.take(task=other)

    with pytest.raises(ConflictError) as refused:
        worker.progress(attempt)

    assert refused.value.code == "files_conflict"
    assert holder.name in refused.value.message
    holder.report(held)
    worker.progress(attempt)
    assert project.state(task) == "running"


def test_2_a_report_counts_even_while_another_one_holds_the_files_now(project: Project, lead: Worker) -> None:
    task, other = lead.create(files=("src",)), lead.create(files=("src/a.py",))
    worker, attempt = rescued(project, task)
    project.join().take(task=other)

    assert worker.report(attempt)["state"] == "completed"


def test_2_an_attempt_that_comes_back_holds_its_reserved_files_again(project: Project, lead: Worker) -> None:
    task, other = lead.create(), lead.create(files=("docs/x.md",))
    worker = project.join(client="unseen")
    attempt = worker.take(task=task)
    worker.reserve(attempt, "docs")
    project.clock.pass_seconds(601)
    project.sweep()

    worker.progress(attempt)

    assert project.join().claim(task=None)["attempt"] is None
    with pytest.raises(ConflictError):
        project.join().claim(task=other)


# --- rule 4: servers come and go --------------------------------------------------------------------------------------


def test_4_a_server_that_stops_ends_no_attempt(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    worker.take()

    principals.disconnect(project.coordinator, worker.caller.principal)
    project.kill_server(worker)
    project.clock.pass_seconds(1000)

    assert project.sweep() == []
    assert project.state(task) == "running"


def test_4_the_next_server_of_the_same_client_goes_on_with_the_same_handle(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt, name = worker.take(), worker.name
    client = project.kill_server(worker)

    successor = project.join(client=client)
    successor.progress(attempt, note="still here")

    assert successor.report(attempt)["state"] == "completed"
    assert successor.name == name
    assert project.task(task).last_number == 1
    assert project.kinds(task) == ["TaskCreated", "TaskClaimed", "AttemptAdopted", "ProgressReported", "TaskCompleted"]


def test_4_claiming_without_a_handle_takes_over_the_oldest_orphan_of_a_role(project: Project, lead: Worker) -> None:
    first, second = lead.create("implement"), lead.create("search")
    client = project.process()
    servers = [project.join(client=client) for _ in range(2)]
    for server, task in zip(servers, (first, second), strict=True):
        server.take(task=task)
    for server in servers:
        project.kill_server(server)

    blue = project.join("blue", client=client).claim()
    anything = project.join(client=client).claim()

    assert (blue["attempt"], blue["resumed"]) == (f"{second}.1", True)
    assert (anything["attempt"], anything["resumed"]) == (f"{first}.1", True)


def test_4_the_same_claude_code_session_goes_on_from_another_process(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join(session="s-1")
    attempt = worker.take()
    project.kill_server(worker)

    stranger = project.join(session="s-2")
    assert stranger.claim()["attempt"] is None
    with pytest.raises(NotPermittedError):
        stranger.progress(attempt)

    successor = project.join(session="s-1")
    assert successor.claim()["attempt"] == attempt


def test_4_a_server_of_another_client_adopts_nothing(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    project.kill_server(worker)

    other = project.join()
    assert other.claim()["attempt"] is None
    with pytest.raises(NotPermittedError):
        other.report(attempt)


def test_4_live_servers_of_one_client_are_principals_of_their_own(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    beside = project.join(client=project.principal(worker).client)

    assert beside.claim()["attempt"] is None
    with pytest.raises(NotPermittedError):
        beside.progress(attempt)
    with pytest.raises(NotPermittedError):
        beside.report(attempt)


def test_4_adopted_twice_in_a_row(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    for _ in range(3):
        client = project.kill_server(worker)
        worker = project.join(client=client)
        assert worker.claim()["attempt"] == attempt

    assert worker.report(attempt)["state"] == "completed"


def test_4_the_old_server_that_was_only_slow_has_lost_the_attempt_to_its_successor(
    project: Project, lead: Worker
) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    principals.disconnect(project.coordinator, worker.caller.principal)
    successor = project.join(client=project.principal(worker).client)
    successor.progress(attempt)

    with pytest.raises(NotPermittedError):
        worker.progress(attempt)

    assert successor.report(attempt)["state"] == "completed"


def test_4_when_the_client_is_gone_the_task_is_free_at_once(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    worker.take()
    project.kill_client(worker)

    assert project.sweep() == [f"{task}.1"]
    assert project.join().take() == f"{task}.2"


def test_4_a_claim_rescues_by_itself(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    worker.take()
    project.kill_client(worker)

    assert project.join().take() == f"{task}.2"


def test_4_a_dead_client_is_enough_though_its_server_lives_on(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    worker.take()
    project.kill(project.principal(worker).client)

    assert project.sweep() == [f"{task}.1"]


def test_4_a_rescue_does_nothing_once_the_owner_has_changed(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join(session="s")
    attempt = worker.take()
    with project.store.reading() as view:
        (seen,) = view.live_attempts()
    project.kill_client(worker)
    project.join(session="s").progress(attempt)

    why = liveness.why_gone(project.coordinator, seen)

    assert why is not None
    with project.store.writing(actor="x", causation="x") as tx:
        state = tx.task(seen.attempt.task)
        assert state is not None
        command = Rescue(attempt=1, principal=worker.caller.principal, reason=why)
        assert consequences.decide(project.coordinator, tx, state, command) is state
    assert project.state(task) == "running"


def test_4_a_worker_that_is_heard_of_in_the_last_moment_is_not_rescued(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead.create()
    worker = project.join(client="unseen")
    attempt = worker.take()
    project.clock.pass_seconds(601)
    writing = project.store.writing

    def renewed_first(**arguments: str) -> object:
        monkeypatch.undo()
        liveness.renew(project.coordinator, project.principal(worker))
        return writing(**arguments)

    monkeypatch.setattr(project.store, "writing", renewed_first)

    assert project.sweep() == []
    assert worker.report(attempt)["state"] == "completed"


def test_4_a_named_workers_attempt_outlives_client_and_server_and_goes_on_with_the_next_of_that_name(
    project: Project, lead: Worker
) -> None:
    lead.create()
    ann = project.join(name="ann")
    attempt = ann.take()
    project.kill_client(ann)
    project.clock.pass_seconds(500)
    assert project.sweep() == []

    again = project.join(name="ann")

    assert again.claim() == again.claim()
    assert again.claim()["attempt"] == attempt
    assert again.report(attempt)["state"] == "completed"
    assert again.name == "ann"


def test_4_a_named_worker_that_stays_away_is_rescued_when_its_lease_is_over(project: Project, lead: Worker) -> None:
    task = lead.create()
    ann = project.join(name="ann")
    ann.take()
    project.kill_client(ann)
    project.clock.pass_seconds(600)

    assert project.sweep() == [f"{task}.1"]


def test_4_a_second_live_server_of_one_name_is_refused(project: Project) -> None:
    ann = project.join(name="ann")

    with pytest.raises(ConflictError) as refused:
        project.join(name="ann")
    assert refused.value.code == "worker_in_use"

    project.kill_server(ann)
    assert project.join(name="ann").name == "ann"


def test_4_a_name_that_a_server_gave_back_is_free_at_once(project: Project) -> None:
    ann = project.join(name="ann")

    principals.disconnect(project.coordinator, ann.caller.principal)

    assert project.join(name="ann").name == "ann"


def test_4_a_name_is_free_again_after_the_machine_went_down_with_its_server(
    project: Project, lead: Worker, clock: ManualClock
) -> None:
    lead.create()
    project.join(name="ann").take()

    clock.reboot()
    project.alive.clear()
    again = project.join(name="ann")

    assert again.name == "ann"
    assert again.take() == "t1.2", "another boot voids the lease"


def test_4_the_name_of_a_server_that_cannot_be_seen_is_free_once_it_is_silent(
    project: Project, clock: ManualClock
) -> None:
    elsewhere = ("here", clock.boot, "pid:[2]")
    ann = project.join(name="ann", machine=elsewhere)

    clock.pass_seconds(400)
    liveness.renew(project.coordinator, project.principal(ann))
    clock.pass_seconds(400)
    with pytest.raises(ConflictError):
        project.join(name="ann")

    clock.pass_seconds(201)
    assert project.join(name="ann").name == "ann"


def test_4_a_client_that_cannot_be_seen_keeps_its_attempt_while_it_is_renewed(project: Project, lead: Worker) -> None:
    task = lead.create(time_limit_seconds=10_000)
    worker = project.join(client="unseen")
    worker.take()

    for _ in range(5):
        project.clock.pass_seconds(500)
        liveness.renew(project.coordinator, project.principal(worker))
        assert project.sweep() == []

    project.clock.pass_seconds(600)
    assert project.sweep() == [f"{task}.1"]


def test_4_pids_of_another_machine_are_not_looked_up_here(project: Project, lead: Worker, clock: ManualClock) -> None:
    lead.create()
    worker = project.join(machine=("there", "another-boot", "pid:[9]"))
    worker.take()
    project.kill_client(worker)

    assert project.sweep() == []
    clock.pass_seconds(600)
    assert len(project.sweep()) == 1


def test_4_a_host_that_changed_its_name_is_still_this_machine(project: Project, lead: Worker) -> None:
    lead.create()
    host, boot, namespace = project.machine
    worker = project.join(machine=(f"{host}.local", boot, namespace))
    worker.take()
    project.kill_client(worker)

    assert len(project.sweep()) == 1


def test_4_after_a_reboot_what_ran_before_is_rescued(project: Project, lead: Worker, clock: ManualClock) -> None:
    task = lead.create()
    project.join().take()
    project.join(name="ann")

    clock.reboot()
    project.alive.clear()

    assert project.sweep() == [f"{task}.1"]


def test_4_agents_do_not_take_over_each_others_orphans(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    server = project.join(session="s")
    one, two = server.agent("one"), server.agent("two")
    mine, other = one.take(), two.take()
    client = project.kill_server(server)

    next_server = project.join(client=client, session="s")

    assert next_server.agent("two").claim()["attempt"] == other
    assert next_server.agent("one").claim()["attempt"] == mine
    assert next_server.agent("three").claim()["attempt"] is None
    with pytest.raises(NotPermittedError):
        next_server.agent("two").progress(mine)


def test_4_a_next_server_is_the_same_worker(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red")
    worker = project.join()
    worker.report(worker.take(task=task))
    name = worker.name
    client = project.kill_server(worker)

    successor = project.join(client=client)
    claimed = successor.claim()

    assert successor.name == name
    assert claimed["attempt"] is None, "it would review its own work"


def test_4_a_next_server_gets_the_messages_of_the_one_before(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    worker.take()
    client = project.kill_server(worker)
    lead.send(worker.name, "hello")

    successor = project.join(client=client)
    successor.claim()

    assert [each["text"] for each in successor.inbox()] == ["hello"]


def test_4_a_server_beside_a_live_one_is_another_worker(project: Project, lead: Worker) -> None:
    worker = project.join()
    lead.create()
    worker.take()

    beside = project.join(client=project.principal(worker).client)
    beside.claim()

    assert beside.name != worker.name


def test_4_the_lead_of_a_run_is_still_its_lead_through_the_next_server(project: Project) -> None:
    lead = project.join()
    lead.create()
    client = project.kill_server(lead)

    successor = project.join(client=client)

    answer = waiting.wait(project.coordinator, successor.caller, wait_seconds=0)
    assert [each["id"] for each in answer["stuck"]] == ["t1"]


# --- rule 5: a live worker is not declared dead -----------------------------------------------------------------------


def test_5_a_live_client_is_never_rescued_by_its_lease(project: Project, lead: Worker) -> None:
    task = lead.create(time_limit_seconds=1_000_000)
    worker = project.join(lease_seconds=60)
    attempt = worker.take()

    project.clock.pass_seconds(100_000)

    assert project.sweep() == []
    assert project.state(task) == "running"
    (line,) = [each for each in queries.status(project.coordinator)["workers"] if each.get("attempt") == attempt]
    assert line["state"] == "suspect"


def test_5_an_attempt_over_its_ceiling_is_ended_though_its_client_lives(project: Project, lead: Worker) -> None:
    task = lead.create(time_limit_seconds=100)
    worker = project.join()
    attempt = worker.take()
    project.clock.pass_seconds(99)
    worker.progress(attempt, note="nearly")
    assert project.sweep() == []

    project.clock.pass_seconds(1)

    assert project.sweep() == [attempt]
    assert project.task(task).tries == 1
    with pytest.raises(StaleAttemptError, match="expired"):
        worker.progress(attempt)


def test_5_the_ceiling_is_thirty_minutes_unless_the_task_says_otherwise(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()

    project.clock.pass_seconds(1799)
    assert project.sweep() == []
    project.clock.pass_seconds(1)
    assert project.sweep() == [attempt]


def test_5_time_that_the_machine_sleeps_does_not_count(project: Project, lead: Worker) -> None:
    lead.create(time_limit_seconds=100)
    project.join(client="unseen").take()

    project.clock.wall += 100_000

    assert project.sweep() == []


def test_5_the_last_try_over_its_ceiling_fails_the_task(project: Project, lead: Worker) -> None:
    task = lead.create(time_limit_seconds=10, max_attempts=1)
    project.join().take()
    project.clock.pass_seconds(10)

    project.sweep()

    assert project.state(task) == "failed"


# --- rule 6: one attempt a worker, keys -------------------------------------------------------------------------------


def test_6_a_known_worker_that_claims_again_is_given_its_attempt_again(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    worker = project.join()
    attempt = worker.take()

    again = worker.claim()

    assert (again["attempt"], again["resumed"]) == (attempt, True)
    assert worker.claim(task="t2")["attempt"] == attempt
    assert project.state("t2") == "ready"


def test_6_an_unknown_caller_is_told_what_the_session_works_on(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    unknown = project.join(known=False)
    attempt = unknown.take()

    answer = unknown.claim()

    assert answer["attempt"] is None
    assert attempt in answer["next"]
    assert 'claim_task(task="t1")' in answer["next"] or "claim_task(task='t1')" in answer["next"]
    assert "plugin" in answer["next"]
    assert unknown.claim(task="t2")["attempt"] is None
    assert project.state("t2") == "ready"


def test_6_an_unknown_caller_goes_on_by_naming_the_task(project: Project, lead: Worker) -> None:
    lead.create()
    unknown = project.join(known=False)
    attempt = unknown.take()

    answer = unknown.claim(task="t1")

    assert (answer["attempt"], answer["resumed"]) == (attempt, True)


def test_6_bound_agents_of_one_session_are_workers_of_their_own(project: Project, lead: Worker) -> None:
    for _ in range(3):
        lead.create()
    server = project.join(known=False)
    one, two = server.agent("one"), server.agent("two")

    first, second = one.take(), two.take()

    assert first != second
    assert one.claim()["attempt"] == first
    with pytest.raises(NotPermittedError) as refused:
        two.report(first)
    assert refused.value.code == "not_owner"


def test_6_a_known_main_agent_is_not_given_what_its_subagent_holds(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    server = project.join()
    attempt = server.agent("one").take()

    with pytest.raises(TrichromeError):
        server.claim(task="t1")
    with pytest.raises(NotPermittedError):
        server.progress(attempt)
    assert server.take() == "t2.1"


def test_6_a_worker_that_holds_an_attempt_does_not_open_a_second_one(project: Project, lead: Worker) -> None:
    task = lead.create()
    lead.create()
    worker, old = rescued(project, task)
    other = worker.take(task="t2")

    with pytest.raises(ConflictError) as refused:
        worker.progress(old)

    assert refused.value.code == "already_claimed"
    assert other in refused.value.message
    worker.report(other)
    worker.progress(old)
    assert project.state(task) == "running"


def test_6_a_worker_may_report_the_rescued_attempt_while_it_holds_another(project: Project, lead: Worker) -> None:
    task = lead.create()
    lead.create()
    worker, old = rescued(project, task)
    other = worker.take(task="t2")

    assert worker.report(old)["state"] == "completed"
    assert worker.claim()["attempt"] == other


def test_6_a_claim_that_was_never_read_is_released_and_counts_for_nothing(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()

    attempts.release(
        project.coordinator, attempt_id(attempt), principal=worker.caller.principal, reason="its claim was never read"
    )

    assert project.state(task) == "ready"
    assert project.task(task).tries == 0
    assert worker.take() == f"{task}.2"


def test_6_releasing_a_claim_that_moved_on_does_nothing(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()
    client = project.kill_server(worker)
    project.join(client=client).claim()

    attempts.release(project.coordinator, attempt_id(attempt), principal=worker.caller.principal, reason="x")

    assert project.state(task) == "running"


def test_6_the_same_key_finds_the_first_task(project: Project, lead: Worker) -> None:
    first = lead.create_all(draft(key="k"))

    again = project.join().create_all(draft(key="k"))

    assert again["tasks"] == first["tasks"]
    assert again["run"] == first["run"]
    assert len(queries.page(project.coordinator)["tasks"]) == 1


@pytest.mark.parametrize(
    "change",
    [{"instructions": "other"}, {"priority": 1}, {"files": ("a",)}, {"kind": "analyze"}, {"review": "red"}],
)
def test_6_the_same_key_with_other_content_is_refused(
    project: Project, lead: Worker, change: dict[str, object]
) -> None:
    lead.create_all(draft(key="k"))

    with pytest.raises(ConflictError) as refused:
        lead.create_all(draft(key="k", **change))

    assert (refused.value.code, refused.value.field) == ("key_reused", "key")


def test_6_a_key_stands_for_its_content_whatever_the_names_within_the_call(project: Project, lead: Worker) -> None:
    lead.create_all(draft(key="k", ref="a"))

    again = lead.create_all(draft(key="k", ref="b"))

    assert again["tasks"][0]["id"] == "t1"


def test_6_a_key_twice_in_one_call_makes_one_task(project: Project, lead: Worker) -> None:
    made = lead.create_all(draft(key="k"), draft(key="k"), draft())

    assert [line["id"] for line in made["tasks"]] == ["t1", "t1", "t2"]


# --- rule 11: tries and waiting ---------------------------------------------------------------------------------------


def fail(project: Project, task: str) -> None:
    worker = project.join()
    worker.report(worker.take(task=task), "failed", "no")
    project.clock.pass_seconds(10_000)


def test_11_a_task_fails_after_its_tries_are_used_up(project: Project, lead: Worker) -> None:
    task = lead.create()

    for left in ("ready", "ready", "failed"):
        fail(project, task)
        assert project.state(task) == left


def test_11_failed_for_good_is_not_tried_again(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()

    worker.report(worker.take(), "failed", "hopeless", retry=False)

    assert project.state(task) == "failed"


def test_11_rescued_failed_and_over_ceiling_attempts_count(project: Project, lead: Worker) -> None:
    task = lead.create()
    rescued(project, task)
    fail(project, task)
    project.join().take(task=task)
    project.clock.pass_seconds(1800)
    project.sweep()

    assert project.state(task) == "failed"
    assert [each["state"] for each in detail(project, task)["attempts"]] == ["rescued", "failed", "expired"]  # type: ignore[attr-defined]


def test_11_released_attempts_do_not_count_but_numbers_rise(project: Project, lead: Worker) -> None:
    task = lead.create(max_attempts=1)
    worker = project.join()

    for number in range(1, 6):
        attempt = worker.take()
        assert attempt == f"{task}.{number}"
        worker.report(attempt, "released", "not now")

    assert project.task(task).tries == 0


def test_11_changes_asked_for_do_not_count(project: Project, lead: Worker) -> None:
    task = lead.create("implement", review="red", max_attempts=1)
    author, reviewer = project.join("green"), project.join("red")
    for _ in range(2):
        author.report(author.take())
        reviewer.report(reviewer.take(), "changes", "more")

    assert project.state(task) == "ready"
    assert project.task(task).tries == 0


def test_11_a_rescue_that_was_taken_back_does_not_count(project: Project, lead: Worker) -> None:
    task = lead.create(max_attempts=2)
    worker, attempt = rescued(project, task)
    assert project.task(task).tries == 1

    worker.progress(attempt)

    assert project.task(task).tries == 0


def test_11_a_retried_task_whose_rescued_attempt_comes_back_has_not_less_than_no_tries(
    project: Project, lead: Worker
) -> None:
    task = lead.create()
    worker, attempt = rescued(project, task)
    lead.cancel(task=task)
    tasks.retry(project.coordinator, project.operator.caller, task)

    worker.progress(attempt)

    assert project.task(task).tries == 0


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_11_failed_tries_wait_longer_and_longer(project: Project, lead: Worker, jitter: float) -> None:
    project.jitter = jitter
    task = lead.create(max_attempts=9)
    worker = project.join()
    waits = []
    for _ in range(8):
        worker.report(worker.take(), "failed", "no")
        with project.store.reading() as view:
            wait = view.next_moment()
        assert wait is not None
        assert worker.claim()["attempt"] is None
        project.clock.pass_seconds(wait)
        waits.append(wait)

    full = [10, 20, 40, 80, 160, 320, 600, 600]
    assert waits == pytest.approx([each * (1 if jitter else 0.5) for each in full])
    assert project.state(task) == "ready"


def test_11_a_rescued_task_is_ready_at_once_and_waits_from_the_second_rescue_in_a_row(
    project: Project, lead: Worker
) -> None:
    task = lead.create(max_attempts=9)

    def crash() -> bool:
        worker = project.join()
        worker.take(task=task)
        project.kill_client(worker)
        project.sweep()
        with project.store.reading() as view:
            return view.is_claimable(task)  # type: ignore[arg-type]

    assert crash() is True
    assert crash() is False
    project.clock.pass_seconds(1000)
    assert crash() is False
    project.clock.pass_seconds(1000)
    worker = project.join()
    worker.report(worker.take(task=task), "released", "x")
    assert crash() is True


def test_11_a_named_task_that_waits_is_not_given_out_early(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join()
    worker.report(worker.take(), "failed", "no")

    answer = worker.claim(task=task)

    assert answer["attempt"] is None
    assert "may not start yet" in answer["next"]


def test_11_the_operator_gives_all_tries_back(project: Project, lead: Worker) -> None:
    task = lead.create(max_attempts=2)
    fail(project, task)
    fail(project, task)

    tasks.retry(project.coordinator, project.operator.caller, task)

    assert project.join().take() == f"{task}.3"
    assert project.task(task).tries == 0


# --- claiming ---------------------------------------------------------------------------------------------------------


def test_nothing_to_do_is_an_answer_and_says_to_end_the_turn(project: Project) -> None:
    worker = project.join()

    assert worker.claim() == worker.claim() == {"attempt": None, "next": NOTHING}


def test_claim_next_takes_the_next_task_in_the_same_transaction(project: Project, lead: Worker) -> None:
    first = lead.create()
    second = lead.create(depends_on=(first,))
    worker = project.join()
    attempt = worker.take()
    with project.store.reading() as view:
        before = view.position()

    answer = worker.report(attempt, claim_next=True)

    assert answer["claimed"]["attempt"] == f"{second}.1"
    with project.store.reading() as view:
        events = view.events(after=before)
    assert [type(each.event).__name__ for each in events] == ["TaskCompleted", "DependencyCompleted", "TaskClaimed"]
    assert {each.causation for each in events} == {"report_result"}


def test_claim_next_finds_what_only_a_sweep_sets_free(project: Project, lead: Worker) -> None:
    dead, worker = project.join("blue"), project.join()
    lead.create("search")
    left_behind = dead.take()
    reviewed, last = lead.create("implement", review="red"), lead.create("implement")
    worker.report(worker.take(task=reviewed))  # opens a review that the author may not take
    attempt = worker.take(task=last)
    project.kill_client(dead)

    answer = worker.report(attempt, claim_next=True)

    assert answer["claimed"]["attempt"] == left_behind.replace(".1", ".2")


def test_a_failed_report_with_claim_next_claims_nothing(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()

    with pytest.raises(InvalidError):
        worker.report(attempt, "approved", claim_next=True)

    assert worker.claim()["attempt"] == attempt


def test_a_role_chooses_among_those_served_and_grants_none(project: Project, lead: Worker) -> None:
    lead.create("implement")
    lead.create("search")
    blue, anybody = project.join("blue"), project.join()

    with pytest.raises(NotPermittedError) as refused:
        blue.claim(role="green")
    with pytest.raises(InvalidError) as unknown:
        anybody.claim(role="purple")

    assert refused.value.field == "role"
    assert unknown.value.code == "unknown_role"
    assert anybody.take(role="blue") == "t2.1"
    assert blue.claim()["attempt"] is None


def test_a_named_task_of_a_role_not_served_is_refused(project: Project, lead: Worker) -> None:
    lead.create("implement")

    with pytest.raises(NotPermittedError):
        project.join("blue").claim(task="t1")


def test_a_disconnected_principal_is_remembered_for_its_successor(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    attempt = worker.take()
    principals.disconnect(project.coordinator, worker.caller.principal)

    known = project.principal(worker)

    assert replace(known, connected=True).id == worker.caller.principal
    assert not known.connected
    assert project.join(client=known.client).claim()["attempt"] == attempt
