"""What is shown of workers, by what can be seen of them: on every store, with processes and clocks that obey the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from tests.support.projects import Project, Worker

from trichrome.coordinator import evidence, liveness, queries, signs, waiting
from trichrome.coordinator.stuck import ANSWER_SECONDS
from trichrome.domain.evidence import SignKind
from trichrome.errors import NotFoundError
from trichrome.store.port import Sign


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


@pytest.fixture
def blue(project: Project, lead: Worker) -> Worker:
    """A worker that works on t1."""
    lead.create()
    worker = project.join("blue")
    worker.take()
    return worker


def tell(project: Project, worker: Worker, kind: SignKind | str, detail: str = "") -> None:
    principal = project.principal(worker)
    sign = Sign(principal.id, "", kind, project.clock.monotonic, detail)  # type: ignore[arg-type]
    signs.note(project.coordinator, principal, [sign])


def line(project: Project, worker: Worker) -> Any:
    (found,) = [each for each in queries.status(project.coordinator)["workers"] if each["worker"] == worker.name]
    return found


def explained(project: Project, what: str) -> str:
    return "\n".join(queries.explain_worker(project.coordinator, what)["explanation"])


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_tells_what_shows_a_state_and_how_old_that_is(project: Project, blue: Worker) -> None:
    project.clock.pass_seconds(40)

    assert line(project, blue) == {
        "worker": blue.name,
        "role": "blue",
        "state": "working",
        "attempt": "t1.1",
        "why": "it called 40 s ago",
        "since_seconds": 40,
    }


def test_idle_worker_takes_no_more_room_than_before(project: Project, lead: Worker) -> None:
    idle = project.join("blue")

    assert line(project, idle) == {"worker": idle.name, "role": "blue", "state": "idle"}


def test_hooks_show_what_a_worker_does_between_its_calls(project: Project, blue: Worker) -> None:
    shown = []
    for kind, detail in [
        ("tool_started", "Bash"),
        ("prompt_opened", "Bash"),
        ("tool_ended", "Bash"),
        ("turn_ended", ""),
    ]:
        project.clock.pass_seconds(10)
        tell(project, blue, kind, detail)
        project.clock.pass_seconds(5)
        shown.append((line(project, blue)["state"], line(project, blue)["why"]))

    assert shown == [
        ("tool_running", "Bash runs for 5 s"),
        ("waiting_for_human", "a permission prompt for Bash is open for 5 s"),
        ("working", "Bash ended 5 s ago"),
        ("idle", "its turn ended 5 s ago without a report on t1.1"),
    ]


def test_transcript_that_grows_shows_work(project: Project, blue: Worker) -> None:
    tell(project, blue, "transcript", "/t.jsonl")
    project.clock.pass_seconds(60)
    project.changed_at["/t.jsonl"] = project.clock.wall - 7

    assert line(project, blue)["why"] == "its transcript grew 7 s ago"


def test_child_of_a_client_shows_work_where_no_hook_tells(project: Project, blue: Worker) -> None:
    client = project.principal(blue).client
    assert client is not None
    project.at_work[client] = [("bash", 30.0)]

    assert line(project, blue)["why"] == "its client runs bash for 30 s"


@pytest.mark.parametrize("who", ["client", "server"])
def test_stopped_worker_is_suspect_and_never_rescued_and_goes_on(project: Project, blue: Worker, who: str) -> None:
    principal = project.principal(blue)
    process = principal.client if who == "client" else principal.server
    assert process is not None
    project.stopped.add(process)
    project.clock.pass_seconds(100)
    liveness.renew(project.coordinator, project.principal(blue))

    swept, nobody = project.sweep(), project.join("blue").claim()["attempt"]
    shown, told = line(project, blue), explained(project, blue.name)
    project.stopped.clear()

    assert (swept, nobody) == ([], None)
    assert shown["state"] == "suspect"
    assert shown["why"] == f"its {who} (process {process[0]}) is stopped, and keeps t1.1"
    assert f"What helps: `kill -CONT {process[0]}` lets it go on." in told
    assert line(project, blue)["state"] == "working"
    assert blue.report("t1.1")["state"] == "completed"


def test_clock_that_was_set_makes_nobody_older_than_nothing(project: Project, blue: Worker) -> None:
    tell(project, blue, "transcript", "/t.jsonl")
    project.changed_at["/t.jsonl"] = project.clock.wall
    project.clock.wall -= 30 * 3600

    assert line(project, blue)["why"] == "it called 0 s ago"


def test_person_is_told_in_status_of_a_prompt_that_stands_unanswered(project: Project, blue: Worker) -> None:
    tell(project, blue, "prompt_opened")
    at_once = queries.status(project.coordinator)["needs_you"]
    project.clock.pass_seconds(ANSWER_SECONDS)

    assert at_once == []
    assert queries.status(project.coordinator)["needs_you"] == [
        {
            "id": "t1",
            "why": f"{blue.name} waits for a person at a permission prompt",
            "help": "answer it in that session",
        }
    ]


# --- when a task is free ----------------------------------------------------------------------------------------------


@pytest.fixture
def ann(project: Project, lead: Worker) -> Worker:
    """A named worker that works on t1, and died 140 s ago."""
    lead.create()
    ann = project.join("blue", name="ann", lease_seconds=600)
    ann.take()
    project.kill_client(ann)
    project.clock.pass_seconds(140)
    return ann


FREE = "its server is gone; t1.1 is free in 7 min 40 s unless it comes back"


def test_status_explain_and_wait_say_when_the_task_of_a_dead_named_worker_is_free(
    project: Project, lead: Worker, ann: Worker
) -> None:
    assert (line(project, ann)["state"], line(project, ann)["why"], line(project, ann)["since_seconds"]) == (
        "detached",
        FREE,
        140,
    )
    assert f"ann is detached: {FREE}." in explained(project, "ann")
    assert f"ann is detached: {FREE}." in queries.explain(project.coordinator, "t1")
    assert waiting.wait(project.coordinator, lead.caller, wait_seconds=0)["held_up"] == [
        {"id": "t1", "why": f"ann is detached: {FREE}", "help": "start its server again: it goes on with t1.1"}
    ]


def test_task_of_a_dead_named_worker_is_free_when_that_was_said(project: Project, ann: Worker) -> None:
    project.clock.pass_seconds(459)
    kept = project.sweep()
    project.clock.pass_seconds(1)

    assert kept == []
    assert project.sweep() == ["t1.1"]


def test_named_worker_that_comes_back_holds_up_nothing(project: Project, lead: Worker, ann: Worker) -> None:
    project.join("blue", name="ann", lease_seconds=600).take()

    assert "held_up" not in waiting.wait(project.coordinator, lead.caller, wait_seconds=0)


def test_wait_does_not_answer_early_because_somebody_is_held_up(project: Project, lead: Worker, ann: Worker) -> None:
    seconds = iter([0.0])

    answer = waiting.wait(project.coordinator, lead.caller, wait_seconds=next(seconds))

    assert "stuck" not in answer
    assert not answer["done"]


def test_whoever_waits_at_a_shell_is_told_once_what_holds_a_task_up(
    project: Project, lead: Worker, ann: Worker
) -> None:
    told: list[Any] = []

    over = waiting.until_over(project.coordinator, lead.caller, seconds=0.2, tell_held_up=told.append)

    assert [each["id"] for each in told] == ["t1"]
    assert list(over.held_up) == told
    assert not over.stuck


def test_wait_says_that_a_person_is_awaited_once_that_has_lasted(project: Project, lead: Worker, blue: Worker) -> None:
    tell(project, blue, "prompt_opened")
    project.clock.pass_seconds(ANSWER_SECONDS)

    (stop,) = waiting.wait(project.coordinator, lead.caller, wait_seconds=0)["stuck"]

    assert stop["why"] == f"{blue.name} waits for a person at a permission prompt"


# --- explain ----------------------------------------------------------------------------------------------------------


def test_explain_tells_of_a_worker_what_it_holds_how_that_ends_and_what_was_seen(
    project: Project, blue: Worker
) -> None:
    project.clock.pass_seconds(60)
    tell(project, blue, "tool_started", "Bash")
    project.clock.pass_seconds(20)

    assert explained(project, blue.name).splitlines() == [
        f"{blue.name} is tool running: Bash runs for 20 s.",
        "t1.1 ends when it reports, when its client ends, or in 28 min 40 s, when its time is over.",
        "Seen: Bash started 20 s ago; it called 1 min 20 s ago.",
    ]


def test_explain_says_that_time_stands_still_while_a_person_is_awaited(project: Project, blue: Worker) -> None:
    tell(project, blue, "prompt_opened")

    assert "its time stands still while a person is awaited" in explained(project, blue.name)


def test_explain_says_nothing_of_time_where_an_attempt_has_no_end(project: Project, blue: Worker) -> None:
    with project.store.reading() as view:
        (live,) = view.live_attempts()
    with project.store.writing(actor="trichrome", causation="test") as tx:
        tx.pause_ceiling(live.attempt, at=project.clock.monotonic)

    shown = explained(project, blue.name).splitlines()

    assert shown[1] == "t1.1 ends when it reports, or when its client ends."


def test_explain_tells_of_workers_that_hold_nothing_and_of_those_that_are_gone(project: Project, lead: Worker) -> None:
    idle, dead, detached = project.join("blue"), project.join("blue"), project.join("blue")
    project.kill_client(dead)
    project.kill_server(detached)

    shown = [explained(project, worker.name) for worker in (idle, dead, detached)]

    assert shown[0] == f"{idle.name} is idle: it holds no attempt."
    assert shown[1].startswith(f"{dead.name} is gone: its client (process ")
    assert shown[2] == f"{detached.name} is detached: its server is gone."


@pytest.mark.parametrize("name", ["nobody", "operator"])
def test_explain_refuses_who_is_no_worker(project: Project, lead: Worker, name: str) -> None:
    project.operator.create()

    with pytest.raises(NotFoundError, match="no task or worker"):
        queries.explain_worker(project.coordinator, name)


def test_answer_about_a_hundred_workers_stays_small(project: Project, lead: Worker) -> None:
    for _ in range(100):
        lead.create()
        project.join("blue").take()

    size = len(json.dumps(queries.status(project.coordinator), separators=(",", ":")))

    assert size / 100 < 140


# --- changes in the program's log -------------------------------------------------------------------------------------


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def look(project: Project, *chronicles: evidence.Chronicle) -> None:
    project.clock.pass_seconds(liveness.LOOK_SECONDS)
    for chronicle in chronicles:
        chronicle.look()


def test_change_is_logged_once_with_its_reason(project: Project, lead: Worker, blue: Worker, logged: list[Any]) -> None:
    chronicle = evidence.Chronicle(project.coordinator, project.principal(blue))
    look(project, chronicle)
    tell(project, blue, "prompt_opened")
    for _ in range(3):
        look(project, chronicle)
    tell(project, blue, "tool_ended")
    look(project, chronicle)

    assert [(each["worker"], each["was"], each["state"]) for each in logged] == [
        (blue.name, "working", "waiting_for_human"),
        (blue.name, "waiting_for_human", "working"),
    ]
    assert logged[0]["why"] == "a permission prompt is open for 5 s"


def test_only_one_of_those_left_speaks_for_whoever_cannot(
    project: Project, lead: Worker, blue: Worker, logged: list[Any]
) -> None:
    others = [project.join("green"), project.join("green")]
    chronicles = [evidence.Chronicle(project.coordinator, project.principal(each)) for each in (lead, blue, *others)]
    look(project, *chronicles)
    project.stopped.add(project.principal(blue).server)
    look(project, chronicles[0], *chronicles[2:])
    project.stopped.clear()
    project.kill_server(blue)
    look(project, chronicles[0], *chronicles[2:])

    assert [(each["was"], each["state"]) for each in logged] == [("working", "suspect"), ("suspect", "detached")]


def test_looking_again_at_once_costs_nothing(project: Project, blue: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    chronicle = evidence.Chronicle(project.coordinator, project.principal(blue))
    look(project, chronicle)

    def fails() -> None:
        raise AssertionError("it looked")

    monkeypatch.setattr(project.store, "reading", fails)

    chronicle.look()


def test_keeper_does_its_duties_at_each_turn_and_rests_with_them_when_refused(project: Project, lead: Worker) -> None:
    done: list[None] = []
    keeper = liveness.Keeper(project.coordinator, project.principal(lead), duties=[lambda: done.append(None)])

    for _ in range(3):
        keeper.keep()

    assert len(done) == 3
