"""Looking costs nothing while nothing changes, and misses nothing: the log, a process, a moment; leases only where asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.projects import Project, Worker

from trichrome.coordinator import liveness, principals
from trichrome.errors import StoreUnavailableError

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
    lead.create(not_before_seconds=0.05)
    look(lookout)

    lookout.sleep(at_most_seconds=60)

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
