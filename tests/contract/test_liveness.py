"""Looking costs nothing while nothing changes, and misses nothing: the log, a process, a moment; leases only where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.support.projects import Project, Worker

from trichrome.coordinator import Settings, liveness, principals
from trichrome.errors import StoreTooNewError, StoreUnavailableError

CONTAINER = ("here", "boot-1", "pid:[2]")
ELSEWHERE = ("there", "boot-2", "pid:[2]")


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


@pytest.fixture
def lookout(project: Project, lead: Worker) -> Iterator[liveness.Lookout]:
    """A lookout that has seen everything: one task runs, one is ready."""
    lead.create()
    lead.create()
    project.join(name="ann").take()
    with liveness.Lookout(project.coordinator) as lookout:
        look(lookout)
        yield lookout


def look(lookout: liveness.Lookout) -> None:
    lookout.begin()
    lookout.sweep()


def counted(project: Project, monkeypatch: pytest.MonkeyPatch, verb: str) -> list[None]:
    """One entry for each transaction of a kind from here on."""
    begun: list[None] = []
    begin: Callable[..., Any] = getattr(project.store, verb)

    def counting(**arguments: str) -> Any:
        begun.append(None)
        return begin(**arguments)

    monkeypatch.setattr(project.store, verb, counting)
    return begun


# --- looking ----------------------------------------------------------------------------------------------------------


def test_a_quiet_log_is_no_news_and_is_not_read(
    project: Project, lookout: liveness.Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = counted(project, monkeypatch, "reading")

    news = [lookout.has_news() for _ in range(10)]

    assert not any(news)
    assert not read


def test_whatever_is_written_is_news_once(project: Project, lead: Worker, lookout: liveness.Lookout) -> None:
    writes: list[Callable[[], object]] = [
        lead.create,
        lambda: lead.cancel(task="t2"),
        lambda: principals.disconnect(project.coordinator, lead.caller.principal),
    ]
    for write in writes:
        write()

        assert lookout.has_news()
        look(lookout)
        assert not lookout.has_news()


def test_the_end_of_a_process_that_a_look_asked_about_is_news(project: Project, lead: Worker) -> None:
    lead.create()
    blue, idle = project.join("blue"), project.join("blue")
    blue.take()
    with liveness.Lookout(project.coordinator) as lookout:
        look(lookout)
        project.kill_client(idle)
        assert not lookout.has_news(), "it holds nothing"

        project.kill_client(blue)
        news = lookout.has_news()
        lookout.begin()
        ended = lookout.sweep()

    assert news
    assert [str(attempt) for attempt in ended] == ["t1.1"]


def test_a_sweep_that_failed_is_news_still(
    project: Project, lookout: liveness.Lookout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise StoreUnavailableError("busy")

    lookout.begin()
    monkeypatch.setattr(project.store, "reading", fails)
    with pytest.raises(StoreUnavailableError):
        lookout.sweep()

    assert lookout.has_news()


def test_a_moment_that_has_come_is_news_and_ends_the_sleep(
    project: Project, lead: Worker, lookout: liveness.Lookout
) -> None:
    lead.create(not_before_seconds=3)
    look(lookout)
    assert not lookout.has_news()

    project.clock.pass_seconds(3)
    lookout.sleep(at_most_seconds=60)

    assert lookout.has_news()


def test_a_lease_may_have_run_out_now_and_then(project: Project, lookout: liveness.Lookout) -> None:
    project.clock.pass_seconds(liveness.LOOK_SECONDS)

    assert lookout.has_news()


# --- keeping ----------------------------------------------------------------------------------------------------------


def kept(project: Project, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a renewal writes."""
    written = counted(project, monkeypatch, "writing")
    liveness.renew(project.coordinator, project.principal(worker))
    return bool(written)


def test_an_idle_server_that_all_can_see_writes_nothing(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead.create()
    project.join("blue").take()

    assert not kept(project, project.join("blue"), monkeypatch)


@pytest.mark.parametrize("asked", ["it holds an attempt", "it has a name", "it cannot be seen", "another is elsewhere"])
def test_a_lease_that_may_be_asked_is_renewed(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    lead.create()
    worker = project.join(
        "blue",
        client="unseen" if asked == "it cannot be seen" else "new",
        name="ann" if asked == "it has a name" else None,
        lease_seconds=60,
    )
    if asked == "it holds an attempt":
        worker.take()
    if asked == "another is elsewhere":
        project.join(machine=ELSEWHERE)
    project.clock.pass_seconds(59)

    assert kept(project, worker, monkeypatch)
    project.clock.pass_seconds(59)
    with project.store.reading() as view:
        assert not view.is_silent(worker.caller.principal)
        assert not any(live.lapsed for live in view.live_attempts())


def test_a_keeper_renews_at_once_and_rescues_what_dies_later(project: Project, lead: Worker) -> None:
    lead.create()
    blue = project.join("blue", lease_seconds=60)
    blue.take()
    project.clock.pass_seconds(59)
    keeper = liveness.Keeper(project.coordinator, project.principal(blue))

    kept = keeper.keep()
    project.clock.pass_seconds(59)
    with project.store.reading() as view:
        lapsed = [live.lapsed for live in view.live_attempts()]
    project.kill_client(blue)
    rescued = keeper.keep()

    assert kept == []
    assert lapsed == [False]
    assert [str(attempt) for attempt in rescued] == ["t1.1"]


@pytest.fixture
def refused(project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[float]]:
    """Makes the log refuse whoever reads, in words; answers each moment at which it did."""

    def refuse(words: str) -> list[float]:
        tries: list[float] = []

        def fails() -> None:
            if not tries or tries[-1] != project.clock.monotonic:
                tries.append(project.clock.monotonic)
            raise StoreTooNewError(words)

        monkeypatch.setattr(project.store, "reading", fails)
        return tries

    return refuse


def told(project: Project, keeper: liveness.Keeper, *, seconds: int) -> list[str]:
    """What a keeper that is asked once a second complains of."""
    complaints = []
    for _ in range(seconds):
        try:
            keeper.keep()
        except StoreTooNewError as refusal:
            complaints.append(refusal.message)
        project.clock.pass_seconds(1)
    return complaints


def test_a_keeper_that_is_refused_tries_ever_more_rarely_and_says_each_refusal_once(
    project: Project, lead: Worker, refused: Callable[[str], list[float]]
) -> None:
    keeper = liveness.Keeper(project.coordinator, project.principal(lead))

    tries = refused("too new")
    complaints = told(project, keeper, seconds=600)
    refused("replaced")
    complaints += told(project, keeper, seconds=61)

    assert complaints == ["too new", "replaced"]
    assert 10 <= len(tries) <= 20


def test_a_keeper_that_is_refused_no_longer_keeps_as_before(
    project: Project, lead: Worker, refused: Callable[[str], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = liveness.Keeper(project.coordinator, project.principal(lead))
    refused("too new")
    told(project, keeper, seconds=600)
    monkeypatch.undo()
    told(project, keeper, seconds=60)
    lead.create()
    blue = project.join("blue")
    blue.take()
    project.kill_client(blue)

    rescued = keeper.keep()
    again = refused("too new")

    assert [str(attempt) for attempt in rescued] == ["t1.1"]
    project.clock.pass_seconds(liveness.LOOK_SECONDS)
    assert told(project, keeper, seconds=2) == ["too new"], "it is news again"
    assert len(again) == 2


def test_a_keeper_that_is_refused_pauses_no_longer_than_a_lease_allows(
    project: Project, lead: Worker, refused: Callable[[str], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead.create()
    ann = project.join(name="ann", lease_seconds=30)
    ann.take()
    keeper = liveness.Keeper(project.coordinator, project.principal(ann))

    refused("too new")
    complaints = told(project, keeper, seconds=20)
    monkeypatch.undo()
    complaints += told(project, keeper, seconds=10)
    project.clock.pass_seconds(2)

    assert complaints == ["too new"]
    assert project.sweep() == []


@pytest.mark.parametrize("error", [StoreTooNewError("too new"), ValueError("a defect")], ids=["refusal", "defect"])
def test_what_keeps_attempts_is_done_first_and_whatever_else_fails(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lead.create()
    lead.create()
    ann, blue = project.join(name="ann", lease_seconds=60), project.join("blue")
    ann.take()
    blue.take()
    done: list[str] = []

    def fails(*_: object) -> None:
        done.append("failed")
        raise error

    keeper = liveness.Keeper(project.coordinator, project.principal(ann), duties=[fails, lambda: done.append("next")])
    monkeypatch.setattr(liveness, "introduce_again", lambda *_: done.append("swept"))
    project.clock.pass_seconds(59)
    project.kill_client(blue)

    with pytest.raises(type(error), match=str(error)):
        keeper.keep()
    project.clock.pass_seconds(59)

    assert done == ["swept", "failed", "next"]
    assert project.state("t2") == "ready"
    assert project.sweep() == []


# --- newcomers that cannot see who is there ---------------------------------------------------------------------------


@pytest.fixture
def unheard(project: Project) -> Worker:
    """A live lead that has been idle so long that its lease is over; its run pauses without it."""
    project.settings = replace(Settings(), on_lead_gone="pause")
    lead = project.join(lease_seconds=60)
    lead.create()
    for _ in range(30):
        project.clock.pass_seconds(20)
        liveness.renew(project.coordinator, project.principal(lead))
    return lead


def sweep_from(project: Project, machine: tuple[str, str, str]) -> list[str]:
    """A sweep by whoever sees the processes of that machine, and no others."""
    return [str(each) for each in liveness.sweep(replace(project.coordinator, machine=machine))]


def is_paused(project: Project) -> bool:
    with project.store.reading() as view:
        return any(run.paused for run in view.open_runs())


@pytest.mark.parametrize("machine", [CONTAINER, ELSEWHERE, ("here", "boot-1", "hidden:7")])
@pytest.mark.parametrize("client", ["new", "unseen"])
def test_a_newcomer_from_elsewhere_takes_no_live_lead_for_gone(
    project: Project, unheard: Worker, machine: tuple[str, str, str], client: Any
) -> None:
    project.join("blue", machine=machine, client=client, lease_seconds=60)
    for _ in range(10):
        sweep_from(project, machine)
        project.clock.pass_seconds(20)
        liveness.renew(project.coordinator, project.principal(unheard))

    assert not is_paused(project)


def test_a_command_from_elsewhere_takes_no_live_lead_for_gone(project: Project, unheard: Worker) -> None:
    sweep_from(project, CONTAINER)

    assert not is_paused(project)


def test_a_second_newcomer_finds_those_who_were_asked_since_the_first_gone_in_their_own_time(
    project: Project, unheard: Worker
) -> None:
    project.join("blue", machine=CONTAINER, lease_seconds=60)
    project.kill_client(unheard)

    project.clock.pass_seconds(59)
    project.join("blue", machine=("here", "boot-1", "pid:[3]"), lease_seconds=60)
    sweep_from(project, CONTAINER)
    assert not is_paused(project)

    project.clock.pass_seconds(1)
    sweep_from(project, CONTAINER)
    assert is_paused(project)


def test_a_newcomer_after_all_others_from_elsewhere_have_left_waits_for_a_lease_too(
    project: Project, unheard: Worker
) -> None:
    first = project.join("blue", machine=CONTAINER, lease_seconds=60)
    principals.disconnect(project.coordinator, first.caller.principal)
    project.clock.pass_seconds(600)

    project.join("blue", machine=CONTAINER, lease_seconds=60)
    sweep_from(project, CONTAINER)

    assert not is_paused(project)


def test_a_newcomer_from_elsewhere_rescues_no_attempt_whose_lease_nobody_was_asked_for(
    project: Project, lead: Worker
) -> None:
    lead.create()
    blue = project.join("blue", lease_seconds=60)
    blue.take()
    project.kill_server(blue)
    project.clock.pass_seconds(600)

    project.join("blue", machine=CONTAINER, lease_seconds=60)

    assert sweep_from(project, CONTAINER) == []
    project.clock.pass_seconds(60)
    assert sweep_from(project, CONTAINER) == ["t1.1"]


def test_a_newcomer_does_not_speak_for_a_named_worker(project: Project, lead: Worker) -> None:
    lead.create()
    project.join(name="ann", lease_seconds=60).take()
    project.clock.pass_seconds(60)

    project.join("blue", machine=CONTAINER)

    assert sweep_from(project, CONTAINER) == ["t1.1"]


def test_a_newcomer_after_a_reboot_does_not_speak_for_those_before(project: Project, lead: Worker) -> None:
    lead.create()
    project.join("blue").take()
    project.clock.reboot()
    project.alive.clear()

    project.join("blue")

    assert project.sweep() == ["t1.1"]
