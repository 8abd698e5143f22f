"""Faults that the simulation found, each as small as it gets."""

from __future__ import annotations

import pytest
from tests.support.projects import Project, Worker

from trichrome.coordinator import Coordinator, liveness
from trichrome.errors import StoreUnavailableError


@pytest.fixture
def lead(project: Project) -> Worker:
    return project.join()


def test_a_report_that_is_safe_is_not_refused_because_the_next_claim_is(
    project: Project, lead: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = lead.create()
    worker = project.join()
    attempt = worker.take()

    def refused(_: Coordinator) -> None:
        raise StoreUnavailableError("The disk is full.")

    monkeypatch.setattr(liveness, "sweep", refused)

    answer = worker.report(attempt, claim_next=True)

    assert answer["state"] == project.state(task) == "completed"
    assert answer["claimed"]["attempt"] is None
    assert "The disk is full." in answer["claimed"]["next"]
    assert "claim_task" in answer["claimed"]["next"]


def test_a_session_that_was_resumed_after_a_reboot_may_not_review_its_own_work(project: Project, lead: Worker) -> None:
    lead.create("implement", review="red")
    author = project.join(session="s-1")
    author.report(author.take())
    project.alive.clear()
    project.clock.reboot()

    resumed = project.join(session="s-1")

    assert resumed.claim()["attempt"] is None


def test_a_session_that_was_resumed_after_a_reboot_goes_on_with_its_attempt(project: Project, lead: Worker) -> None:
    lead.create()
    attempt = project.join(session="s-1").take()
    project.alive.clear()
    project.clock.reboot()

    resumed = project.join(session="s-1")

    assert resumed.report(attempt)["state"] == "completed"


@pytest.mark.parametrize("asked", [{"task": "t2"}, {"role": "green"}])
def test_a_next_server_is_given_what_its_worker_holds_whatever_it_claims(
    project: Project, lead: Worker, asked: dict[str, str]
) -> None:
    lead.create("search")
    lead.create("implement")
    worker = project.join()
    attempt = worker.take(task="t1")
    client = project.kill_server(worker)
    assert client is not None

    answer = project.join(client=client).claim(**asked)

    assert (answer["attempt"], answer["resumed"]) == (attempt, True)


def test_a_next_server_of_a_session_without_hooks_is_told_that_the_session_works_already(
    project: Project, lead: Worker
) -> None:
    lead.create()
    lead.create()
    worker = project.join(session="s-1", known=False)
    attempt = worker.take(task="t1")
    project.kill_server(worker)

    answer = project.join(session="s-1", known=False).claim(task="t2")

    assert answer["attempt"] is None
    assert attempt in answer["next"]


def test_a_session_resumed_while_its_former_server_still_runs_may_not_review_its_own_work(
    project: Project, lead: Worker
) -> None:
    lead.create("implement", review="red")
    author = project.join(session="s-1")
    author.report(author.take())
    project.kill(project.principal(author).client)

    resumed = project.join(session="s-1")

    assert resumed.claim()["attempt"] is None


def test_a_session_resumed_while_its_former_server_still_runs_goes_on_with_its_attempt(
    project: Project, lead: Worker
) -> None:
    lead.create()
    worker = project.join(session="s-1")
    attempt = worker.take()
    project.kill(project.principal(worker).client)

    resumed = project.join(session="s-1")

    assert resumed.report(attempt)["state"] == "completed"


def test_a_report_repeated_through_another_server_of_the_client_takes_nobodys_name(
    project: Project, lead: Worker
) -> None:
    lead.create("implement", review="red")
    client = project.process()
    author, other = project.join(client=client), project.join(client=client)
    attempt, name = author.take(), author.name
    author.report(attempt)

    assert other.report(attempt)["state"] == "in_review"

    assert author.name == name
    assert other.name != name
    assert author.claim()["attempt"] is None


def test_an_agent_whose_attempt_a_call_without_a_hook_went_on_with_may_not_review_its_own_work(
    project: Project, lead: Worker
) -> None:
    lead.create("implement", review="red")
    lead.create("fix")
    server = project.join(session="s-1", known=False)
    author = server.agent("agent-b")
    author.report(author.take(task="t1"))
    author.take(task="t2")
    project.kill(project.principal(server).client)
    unhooked = project.join(session="s-1", known=False)
    assert unhooked.take() == "t2.1"
    project.kill(project.principal(unhooked).client)

    resumed = project.join(session="s-1", known=False).agent("agent-b")

    assert resumed.claim(role="red")["attempt"] is None


def test_a_session_without_hooks_whose_attempt_an_agent_went_on_with_may_not_review_its_own_work(
    project: Project, lead: Worker
) -> None:
    lead.create("implement", review="red")
    lead.create("fix")
    author = project.join(session="s-1", known=False)
    author.report(author.take(task="t1"))
    author.take(task="t2")
    project.kill(project.principal(author).client)
    hooked = project.join(session="s-1", known=False)
    assert hooked.agent("agent-a").take() == "t2.1"
    project.kill(project.principal(hooked).client)

    resumed = project.join(session="s-1", known=False)

    assert resumed.claim(role="red")["attempt"] is None
