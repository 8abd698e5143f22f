"""Every slash command in the real Claude Code, alone and with several agents: what the model is told, who does what."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.messages_api import MessagesApi, Reply, Request, say
from tests.support.plugin import Place, instructions, model, plan, worker

pytestmark = pytest.mark.xdist_group("claude")

ROUTED = ("search", "implement", "analyze", "review", "fix", "orchestrate")
ARGUMENTS = 'the "login form" of $USER, it\'s slow: naïve — 100%\nand so is `logout`'
"""What a person may type: quotes, dollars, an apostrophe, other alphabets, more than one line."""
CLAUDE_CODE_S_OWN = {"review"}
"""Commands of ours whose bare name is one of Claude Code's own."""
FIRST_WORDS = {
    "search": "Find this in the project:",
    "implement": "Implement this:",
    "analyze": "Analyse this:",
    "review": "Review this critically;",
    "fix": "Fix this:",
    "orchestrate": "Do this, with as many agents as it deserves:",
    "team": "Show the state of the team.",
    "join": "This session is a worker of Trichrome now",
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def typed(name: str) -> str:
    return f"/trichrome:{name}" if name in CLAUDE_CODE_S_OWN else f"/{name}"


def run(place: Place, prompt: str) -> tuple[str, Request]:
    """The answer of a headless session, and the first request of its lead."""
    with MessagesApi(model) as api:
        answer = place.run(api, prompt)
    assert answer.returncode == 0, answer.stderr
    return answer.text, api.requests[0]


def claims(place: Place) -> list[tuple[str, str]]:
    """The tasks in the order in which they were claimed, with their kinds."""
    tasks = place.tasks()
    project = place.opened()
    try:
        with project.coordinator.store.reading() as view:
            claimed = [each.stream for each in view.events() if type(each.event).__name__ == "TaskClaimed"]
    finally:
        project.close()
    kinds = {each["id"]: each["kind"] for each in tasks}
    return [(task, kinds[task]) for task in claimed]


@pytest.mark.parametrize("name", [*ROUTED, "team", "join"])
def test_command_alone_is_the_command_s_own_text_with_the_arguments_as_typed(place: Place, name: str) -> None:
    answer, first = run(place, f"{typed(name)} {ARGUMENTS}")

    told = "\n".join(first.prompts)
    assert FIRST_WORDS[name] in told
    assert ARGUMENTS in told
    assert instructions(first) == ""
    assert answer == "done alone"
    assert place.tasks() == []


@pytest.mark.parametrize("name", ROUTED)
def test_command_with_the_flag_is_planned_claimed_reported_and_merged(place: Place, name: str) -> None:
    answer, first = run(place, f"{typed(name)} {ARGUMENTS} --multi-agent --parallel")

    tasks = place.tasks()
    assert FIRST_WORDS[name] in "\n".join(first.prompts)
    assert f"{ARGUMENTS} --multi-agent --parallel" in "\n".join(first.prompts)
    assert [each["instructions"] for each in tasks] == [
        *(each["instructions"] for each in plan(first)),
        *(each["instructions"] for each in tasks[len(plan(first)) :]),  # reviews that the log opened
    ]
    assert all(ARGUMENTS in each["instructions"] for each in tasks[: len(plan(first))])
    assert {each["state"] for each in tasks} == {"completed"}
    assert all(each["attempts"][-1]["worker"].partition("-")[0] == each["role"] for each in tasks)
    assert answer == "merged r1"


def test_bare_name_that_is_claude_code_s_own_orchestrates_too(place: Place) -> None:
    answer, first = run(place, "/review the login --multi-agent")

    assert FIRST_WORDS["review"] not in "\n".join(first.prompts), "Claude Code's own text"
    assert instructions(first).startswith("Trichrome orchestration")
    assert answer == "merged r1"


def test_single_beats_multi_agent_and_the_variable(place: Place) -> None:
    answer, first = run(replace(place, env={"CLAUDE_MULTI_AGENT": "true"}), "/fix everything everywhere --single")

    assert instructions(first) == ""
    assert answer == "done alone"


def test_comprehensive_searches_before_it_changes_before_it_tests_before_it_reviews(place: Place) -> None:
    run(place, "/implement a login form --comprehensive")

    assert [kind for _, kind in claims(place)] == ["search", "implement", "test", "review"]


def test_sequential_goes_one_after_another(place: Place) -> None:
    run(place, "/fix a.py, b.py and c.py --multi-agent --sequential")

    ended: list[str] = []
    tasks = place.tasks()
    for each in tasks:
        assert set(each.get("depends_on", ())) <= set(ended) | {each["id"]}
        ended.append(each["id"])
    assert sum(bool(each.get("depends_on")) for each in tasks) >= 2


def test_review_is_made_by_another_and_approved(place: Place) -> None:
    run(place, "/implement a logout button --review")

    tasks = {each["kind"]: each for each in place.tasks()}
    assert tasks["review"]["role"] == "red"
    assert tasks["review"]["attempts"][-1]["worker"] != tasks["implement"]["attempts"][-1]["worker"]
    assert tasks["implement"]["state"] == "completed"


def test_budget_is_told_to_the_lead(place: Place) -> None:
    _, first = run(place, "/search auth --multi-agent --budget 2.50")

    assert "It may cost at most $2.5." in instructions(first)


def test_dry_run_creates_nothing(place: Place) -> None:
    answer, first = run(place, "/implement a login form --comprehensive --dry-run")

    assert instructions(first).startswith("Trichrome, dry run: ")
    assert len(plan(first)) == 4
    assert answer == "done alone"
    assert not (place.project / ".trichrome").exists()


def test_two_sessions_of_one_project_lead_runs_of_their_own(place: Place) -> None:
    answers: list[str] = []

    with MessagesApi(model) as api:
        begun = [
            threading.Thread(
                target=lambda what=what: answers.append(place.run(api, f"/search {what} --multi-agent").text)
            )
            for what in ("auth", "logs")
        ]
        for each in begun:
            each.start()
        for each in begun:
            each.join()

    assert sorted(answers) == ["merged r1", "merged r2"]
    assert {each["state"] for each in place.tasks()} == {"completed"}


def test_terminal_that_joined_does_the_work_and_no_subagent_is_started(place: Place) -> None:
    started: list[str] = []

    def script(request: Request) -> Reply:
        told = "\n".join(request.prompts)
        if FIRST_WORDS["join"] in told:
            return joined(request)
        if request.agent:
            started.append(request.agent)
        return follow(request)

    def joined(request: Request) -> Reply:
        return worker(request)

    def follow(request: Request) -> Reply:
        """As `model`, but it asks who is there first, as it is told."""
        if plan(request) and not request.results_of("get_status"):
            from tests.support.messages_api import call

            return call("get_status", {})
        there = {
            each["worker"].partition("-")[0]
            for status in request.results_of("get_status")
            for each in status["workers"]
        }
        if there >= {each["role"] for each in plan(request)} and request.results_of("create_task"):
            return waiting(request)
        return model(request)

    def waiting(request: Request) -> Reply:
        from tests.support.messages_api import call

        waited = request.results_of("wait")
        if waited and waited[-1]["done"]:
            return say("merged")
        return call("wait", {"wait_seconds": 30, **({"cursor": waited[-1]["cursor"]} if waited else {})})

    with (
        MessagesApi(script) as api,
        place.start(api, "/join blue") as blue,
        place.start(api, "/join red") as red,
    ):
        await_workers(place, "blue", "red")
        lead = place.run(api, "/search auth --multi-agent")
        ended = [session.wait() for session in (blue, red)]

    assert lead.text == "merged"
    assert started == []
    assert all(each.text.startswith("nothing to do after") for each in ended)
    assert {each["attempts"][-1]["worker"] for each in place.tasks()} == {"blue-1", "red-1"}


def await_workers(place: Place, *roles: str) -> None:
    from tests.support.servers import eventually

    from trichrome.coordinator import queries

    def there() -> bool:
        if not (place.project / ".trichrome" / "events.db").exists():
            return False
        project = place.opened()
        try:
            known: list[Any] = queries.status(project.coordinator)["workers"]
        finally:
            project.close()
        return {each["worker"].partition("-")[0] for each in known} >= set(roles)

    eventually(there, seconds=40)


def test_answer_of_the_lead_is_one_json_line(place: Place) -> None:
    with MessagesApi(model) as api, place.start(api, "/search x --multi-agent") as session:
        session.wait()
        printed = session.output()

    assert json.loads(printed)["result"] == "merged r1"
