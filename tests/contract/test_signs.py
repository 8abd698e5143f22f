"""Signs of life are kept on every store, and time in which a person is awaited counts toward no ceiling."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.clocks import ManualClock
from tests.support.projects import Project, Worker

from trichrome.coordinator import liveness, principals, signs
from trichrome.domain.evidence import SignKind
from trichrome.domain.ids import AttemptId, TaskId
from trichrome.store.port import LiveAttempt, Sign, Store
from trichrome.store.sqlite import SqliteStore

LIMIT = 600.0


@pytest.fixture
def store(project: Project) -> Store:
    return project.store


def kept(store: Store) -> list[Sign]:
    with store.reading() as view:
        return view.signs()


def put(store: Store, *told: Sign) -> None:
    with store.writing(actor="p1", causation="sign") as tx:
        for sign in told:
            tx.put_sign(sign)


# --- the store's verbs ------------------------------------------------------------------------------------------------


def test_newest_sign_of_a_kind_takes_the_place_of_the_last(store: Store) -> None:
    put(store, Sign("p1", "", "tool_started", 1.0, "Bash"), Sign("p1", "a1", "tool_started", 2.0, "Read"))
    put(store, Sign("p1", "", "tool_started", 3.0, "Grep"), Sign("p1", "", "tool_ended", 4.0))

    assert kept(store) == [
        Sign("p1", "", "tool_ended", 4.0),
        Sign("p1", "", "tool_started", 3.0, "Grep"),
        Sign("p1", "a1", "tool_started", 2.0, "Read"),
    ]


def test_signs_of_a_principal_or_of_one_agent_are_dropped(store: Store) -> None:
    mine, subagents, others = Sign("p1", "", "turn_ended", 1.0), Sign("p1", "a1", "turn_ended", 1.0), Sign("p2", "", "turn_ended", 1.0)  # fmt: skip
    put(store, mine, subagents, others)

    with store.writing(actor="p1", causation="sign") as tx:
        tx.drop_signs("p1", agent="a1")
    one_agent = kept(store)
    with store.writing(actor="p1", causation="sign") as tx:
        tx.drop_signs("p1")

    assert one_agent == [mine, others]
    assert kept(store) == [others]


def test_signs_of_another_boot_mean_nothing(store: Store, clock: ManualClock) -> None:
    put(store, Sign("p1", "", "prompt_opened", 1.0))

    clock.reboot()

    assert kept(store) == []


def test_signs_that_were_not_committed_are_gone(store: Store) -> None:
    def fails() -> None:
        with store.writing(actor="p1", causation="sign") as tx:
            tx.put_sign(Sign("p1", "", "turn_ended", 1.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert kept(store) == []


# --- ceilings ---------------------------------------------------------------------------------------------------------


class Team:
    """A lead, and a worker with hooks that works on its task."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.lead = project.join()
        self.task = self.lead.create(time_limit_seconds=LIMIT)
        self.worker = project.join("blue")
        self.attempt = self.worker.take()

    def tell(self, kind: SignKind, agent: str = "", *, by: Worker | None = None) -> None:
        """A hook of a client tells its server something, which writes it down at once."""
        principal = self.project.principal(by or self.worker)
        sign = Sign(principal.id, agent, kind, self.project.clock.monotonic)
        signs.note(self.project.coordinator, principal, [sign])

    def pass_seconds(self, seconds: float) -> list[str]:
        """Time goes by, with keepers that renew and sweep; answers which attempts ended."""
        ended: list[str] = []
        for _ in range(10):
            self.project.clock.pass_seconds(seconds / 10)
            for worker in (self.lead, self.worker):
                liveness.renew(self.project.coordinator, self.project.principal(worker))
            ended += self.project.sweep()
        return ended

    @property
    def live(self) -> LiveAttempt:
        with self.project.store.reading() as view:
            (live,) = view.live_attempts()
        return live


@pytest.fixture
def team(project: Project) -> Team:
    return Team(project)


def test_time_in_which_a_person_is_awaited_does_not_count(team: Team) -> None:
    worked = team.pass_seconds(LIMIT - 100)
    team.tell("prompt_opened")
    waited = team.pass_seconds(50 * LIMIT)
    team.tell("tool_ended")

    assert [*worked, *waited, *team.pass_seconds(90)] == []
    assert team.pass_seconds(20) == [team.attempt]


def test_ceiling_that_stands_still_calls_for_nothing(team: Team) -> None:
    team.tell("prompt_opened")

    team.pass_seconds(2 * LIMIT)

    assert team.live.ceiling_in is None
    with team.project.store.reading() as view:
        assert view.next_moment() is None


def test_wait_counts_from_when_the_prompt_opened_though_it_is_written_down_later(team: Team) -> None:
    opened = team.project.clock.monotonic
    team.project.clock.pass_seconds(10)
    principal = team.project.principal(team.worker)

    signs.note(team.project.coordinator, principal, [Sign(principal.id, "", "prompt_opened", opened)])
    team.project.clock.pass_seconds(10)
    signs.note(team.project.coordinator, principal, [Sign(principal.id, "", "tool_ended", opened + 15)])

    assert team.live.ceiling_in == pytest.approx(LIMIT - 5)


def test_call_of_the_worker_ends_the_wait_too(team: Team) -> None:
    team.tell("prompt_opened")
    team.pass_seconds(2 * LIMIT)

    team.worker.progress(team.attempt, note="allowed")

    assert team.live.ceiling_in == pytest.approx(LIMIT)


def test_one_agent_that_goes_on_does_not_end_the_wait_of_another(team: Team) -> None:
    team.tell("prompt_opened", "a1")
    team.tell("tool_ended", "a2")
    still = team.pass_seconds(2 * LIMIT)
    team.tell("turn_ended", "a1")

    assert still == []
    assert team.live.ceiling_in == pytest.approx(LIMIT)


def test_turn_that_begins_ends_every_wait_of_a_session(team: Team) -> None:
    team.tell("prompt_opened", "a1")
    team.tell("prompt_opened")
    team.pass_seconds(10)

    team.tell("turn_began")

    assert team.live.ceiling_in == pytest.approx(LIMIT)
    assert [sign.kind for sign in kept(team.project.store)] == ["prompt_opened", "turn_began"]


def test_known_agent_of_a_session_does_not_hold_up_another_one(team: Team) -> None:
    second = team.lead.create(time_limit_seconds=LIMIT)
    other = team.worker.agent("a1")
    attempt = other.take()

    team.tell("prompt_opened", "a1")

    with team.project.store.reading() as view:
        still = {live.attempt.task: live.ceiling_in for live in view.live_attempts()}
    assert attempt.startswith(second)
    assert still == {team.task: pytest.approx(LIMIT), second: None}


def test_hooks_of_another_session_change_nothing(team: Team) -> None:
    team.tell("prompt_opened", by=team.lead)

    assert team.pass_seconds(LIMIT) == [team.attempt]


def test_next_server_of_a_client_goes_on_with_the_wait_and_ends_it(team: Team) -> None:
    team.pass_seconds(100)
    team.tell("prompt_opened")
    client = team.project.kill_server(team.worker)
    assert client is not None
    successor = team.project.join("blue", client=client)
    waited = team.pass_seconds(2 * LIMIT)

    team.tell("tool_ended", by=successor)
    resumed = team.live.ceiling_in
    taken = successor.take()

    assert waited == []
    assert resumed == pytest.approx(LIMIT - 100)
    assert taken == team.attempt


def test_stranger_does_not_end_the_wait_of_a_session_whose_server_is_gone(team: Team) -> None:
    team.tell("prompt_opened")
    team.project.kill_server(team.worker)

    team.tell("tool_ended", by=team.project.join("blue"))

    assert team.live.ceiling_in is None


def test_process_of_another_machine_with_the_same_number_does_not_end_the_wait(team: Team) -> None:
    team.tell("prompt_opened")
    client = team.project.kill_server(team.worker)
    assert client is not None
    stranger = team.project.join("blue", machine=("there", "boot-2", "pid:[2]"), client=client)

    team.tell("turn_began", by=stranger)

    assert team.live.ceiling_in is None


def test_what_was_left_of_a_ceiling_is_left_after_the_machine_started_again(team: Team) -> None:
    team.pass_seconds(LIMIT - 100)
    team.tell("prompt_opened")
    team.project.clock.reboot()
    principal = team.project.principal(team.worker)
    with team.project.store.writing(actor="p", causation="c") as tx:
        tx.renew_leases(principal.id, lease_seconds=600)
    stands = team.live.ceiling_in

    with team.project.store.writing(actor="p", causation="c") as tx:
        tx.start_lease(AttemptId(TaskId("t1"), 1), lease_seconds=600, ceiling_seconds=None)

    assert stands is None
    assert team.live.ceiling_in == pytest.approx(100)


def test_wait_outlives_every_process(tmp_path: Path, clock: ManualClock) -> None:
    log = tmp_path / "events.db"
    store = SqliteStore(log, clock)
    team = Team(Project(store, clock))
    team.tell("prompt_opened")
    store.close()

    clock.pass_seconds(LIMIT)
    store = SqliteStore(log, clock)
    with store.reading() as view:
        (live,) = view.live_attempts()
        remembered = [sign.kind for sign in view.signs()]
    store.close()

    assert (live.ceiling_in, live.over_ceiling) == (None, False)
    assert remembered == ["prompt_opened"]


def test_whoever_says_that_it_stops_leaves_no_signs_behind(team: Team) -> None:
    team.tell("turn_ended")

    principals.disconnect(team.project.coordinator, team.worker.caller.principal)

    assert kept(team.project.store) == []


def test_whoever_is_found_gone_leaves_no_signs_behind(team: Team) -> None:
    team.tell("turn_ended")
    team.project.kill_client(team.worker)

    principals.disconnect_gone(team.project.coordinator)

    assert kept(team.project.store) == []


# --- sleep, and clocks that are set -----------------------------------------------------------------------------------


def test_sleep_of_the_machine_costs_nobody_its_attempt_or_its_time(team: Team) -> None:
    team.pass_seconds(100)
    team.project.clock.wall += 8 * 3600

    assert team.project.sweep() == []
    assert team.live.ceiling_in == pytest.approx(LIMIT - 100)
    assert team.worker.report(team.attempt)["state"] == "completed"


@pytest.mark.parametrize("hours", [-30, -1, 1, 30])
def test_wall_clock_that_is_set_ends_nothing_and_makes_nothing_due(team: Team, hours: float) -> None:
    later = team.lead.create(not_before_seconds=60)

    team.project.clock.wall += hours * 3600
    jumped = [*team.project.sweep(), team.project.state(later), team.live.ceiling_in]
    nobody = team.project.join("blue").claim()["attempt"]
    rest = team.pass_seconds(60)
    due = team.project.join("blue").take()
    team.project.kill_client(team.worker)

    assert jumped == ["ready", pytest.approx(LIMIT)]
    assert (nobody, rest, due) == (None, [], f"{later}.1")
    assert team.project.sweep() == [team.attempt], "who is dead is rescued at any hour"
