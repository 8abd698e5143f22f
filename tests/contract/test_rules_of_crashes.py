"""What a crash between two steps must not do: lose a message, give out a name twice, mix up agents."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.projects import Project, Worker

from trichrome.coordinator import messages, principals
from trichrome.errors import TrichromeError


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def test_a_message_whose_answer_never_left_rides_again(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    worker.take()
    lead.send(worker.name, "stop at noon")

    lost = messages.inbox(project.coordinator, worker.caller)
    again = worker.inbox()

    assert lost is not None
    assert again == lost.handed
    assert worker.inbox() == []


def test_messages_beyond_what_an_answer_carries_ride_on_the_next(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join()
    worker.take()
    for number in range(4):
        lead.send(worker.name, str(number) * 4000)

    first, second, third = worker.inbox(), worker.inbox(), worker.inbox()

    assert [each["text"][0] for each in first + second] == ["0", "1", "2", "3"]
    assert third == []


def test_a_new_worker_never_gets_the_name_of_a_named_one(project: Project, lead: Worker) -> None:
    lead.create()
    lead.create()
    named = project.join(name="blue-1")
    named.take()

    other = project.join(role="blue")
    other.take()

    assert named.name == "blue-1"
    assert other.name != "blue-1"


@pytest.mark.parametrize("name", ["operator", "trichrome"])
def test_a_name_that_means_somebody_else_is_refused(project: Project, name: str) -> None:
    with pytest.raises(TrichromeError) as refused:
        project.join(name=name)

    assert refused.value.code == "invalid"


def test_a_name_that_was_given_out_is_refused_to_a_named_worker(project: Project, lead: Worker) -> None:
    lead.create()
    worker = project.join(role="blue")
    worker.take()

    with pytest.raises(TrichromeError) as refused:
        project.join(name=worker.name)

    assert refused.value.code == "worker_in_use"


def test_events_name_the_worker_that_caused_them(project: Project, lead: Worker) -> None:
    task = lead.create()
    worker = project.join(role="blue")
    worker.report(worker.take())

    with project.store.reading() as view:
        actors = [each.actor for each in view.events(stream=task)]

    assert actors == [lead.name, worker.name, worker.name]


def test_after_a_crash_agents_that_cannot_be_told_apart_do_not_get_each_others_attempt(
    project: Project, lead: Worker
) -> None:
    lead.create()
    first = project.join(client="new", session="s1", known=False)
    attempt = first.take()
    told = first.claim()
    project.kill_server(first)
    heir = project.join(client="new", session="s1", known=False)

    answer: Any = heir.claim()
    named: Any = heir.claim(task=attempt.partition(".")[0])

    assert told["attempt"] is None
    assert answer["attempt"] is None
    assert attempt in answer["next"]
    assert (named["attempt"], named["resumed"]) == (attempt, True)


def test_who_is_seen_dead_no_longer_counts_as_connected(project: Project, lead: Worker) -> None:
    worker = project.join(role="blue")
    project.kill_server(worker)
    project.kill_client(worker)

    principals.disconnect_gone(project.coordinator)

    with project.store.reading() as view:
        connected = [each.id for each in view.principals()]
    assert worker.caller.principal not in connected
    assert lead.caller.principal in connected
