"""Sessions on the Messages API: real processes, our real server, and a stand-in for the API on its real wire."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.messages_api import MessagesApi, Reply, Request, Trouble, call, decline, say
from tests.support.servers import BOUND_SECONDS, Server, ending, eventually
from tests.support.sessions import STARTER, assignment, started

from trichrome.mcp_server.supervised import has_worked
from trichrome.roles import MODELS
from trichrome.runners.anthropic_api import AnthropicApiRunner

API = AnthropicApiRunner()
SUMMARY = "It is in auth.py."


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "auth.py").write_text("def login(user):\n    return check(user)\n")
    return folder


@pytest.fixture
def lead(project: Path) -> Iterator[Server]:
    with ending() as start:
        yield start(project)


@pytest.fixture
def task(lead: Server) -> str:
    (created,) = lead.call("create_task", kind="search", instructions="Find login")["tasks"]
    return str(created["id"])


def variables(api: MessagesApi) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": "sk-ant-dummy"}


def ask(request: Request, task: str = "t1") -> Reply:
    """What a worker does: claim, look, report."""
    if not request.results_of("claim_task"):
        return call("claim_task", {"task": task})
    if not request.results_of("grep"):
        return say("I look.") + call("grep", {"pattern": "login"})
    return report(request)


def report(request: Request) -> Reply:
    attempt = request.results_of("claim_task")[0]["attempt"]
    return call("report_result", {"attempt": attempt, "outcome": "completed", "summary": SUMMARY})


def state(lead: Server, task: str) -> str:
    return str(lead.call("get_task", task=task)["state"])


def attempts(lead: Server, task: str) -> list[str]:
    return [attempt["state"] for attempt in lead.call("get_task", task=task)["attempts"]]


def test_session_claims_its_task_looks_reports_and_leaves(
    project: Path, tmp_path: Path, lead: Server, task: str
) -> None:
    with MessagesApi(ask) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:
        over, told = session.over()

    done = lead.call("get_task", task=task)
    assert (over.kind, done["state"], done["result"]["summary"]) == ("ended", "completed", SUMMARY)
    assert (told.said, told.is_ended, told.session) == ("I look.", True, None)
    assert has_worked(session.scratch / "output") is True
    assert told.usage[MODELS["haiku"]].input > 0
    assert len(api.requests) == 3, "nothing is asked once the report is accepted"
    assert api.requests[2].results_of("grep") == ["auth.py:1:def login(user):"]
    assert sorted(set(api.requests[0].tools) & {"read", "grep", "glob", "write", "edit", "bash"}) == [
        "glob",
        "grep",
        "read",
    ]


def test_session_that_may_write_changes_files_of_its_workspace(project: Path, tmp_path: Path, lead: Server) -> None:
    lead.call("create_task", kind="fix", instructions="Check twice")
    edit = {"file_path": "auth.py", "old_string": "check(user)", "new_string": "check(check(user))"}

    def script(request: Request) -> Reply:
        if not request.results_of("claim_task"):
            return call("claim_task", {"task": "t1"})
        return report(request) if request.results_of("edit") else call("edit", edit)

    with (
        MessagesApi(script) as api,
        started(API, assignment(project, tmp_path / "s", role="green"), **variables(api)) as session,
    ):
        over, _ = session.over()

    assert (over.kind, state(lead, "t1")) == ("ended", "completed")
    assert "check(check(user))" in (project / "auth.py").read_text()


def test_task_that_another_worker_took_ends_the_session_in_good_order(
    project: Path, tmp_path: Path, lead: Server, task: str
) -> None:
    lead.call("claim_task", task=task)

    def script(request: Request) -> Reply:
        return say("Another was faster.") if request.results else call("claim_task", {"task": task})

    with MessagesApi(script) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:
        over, _ = session.over()

    assert (over.kind, attempts(lead, task)) == ("ended", ["running"])
    assert "already_claimed" in str(api.requests[1].results[0].value)


TROUBLES: list[tuple[Trouble, tuple[Any, ...]]] = [
    (Trouble(401, "authentication_error", "invalid x-api-key"), ("unusable", "fleet", False)),
    (Trouble(404, "not_found_error", "model: claude-haiku-5-5"), ("unusable", "role", False)),
    (Trouble(429, "rate_limit_error", "slow down", {"retry-after": "3600"}), ("limit", "role", True)),
    (Trouble(529, "overloaded_error", "Overloaded", {"x-should-retry": "false"}), ("limit", "fleet", False)),
]


@pytest.mark.parametrize(("trouble", "expected"), TROUBLES, ids=[str(trouble.status) for trouble, _ in TROUBLES])
def test_refusal_of_the_api_ends_the_session_for_what_it_is(
    project: Path, tmp_path: Path, lead: Server, trouble: Trouble, expected: tuple[Any, ...]
) -> None:
    began = time.time()

    with (
        MessagesApi(lambda _request: trouble) as api,
        started(API, assignment(project, tmp_path / "s"), **variables(api)) as session,
    ):
        over, told = session.over()

    assert (over.kind, over.scope, over.until is not None) == expected
    assert over.until is None or began + 3600 <= over.until <= time.time() + 3600
    assert (told.status, len(api.requests)) == (trouble.status, 1)
    assert trouble.message in over.reason


def test_moment_of_overload_is_left_to_the_library(project: Path, tmp_path: Path, lead: Server, task: str) -> None:
    troubles = [Trouble(529, "overloaded_error", "Overloaded", {"retry-after-ms": "1"})] * 2

    def script(request: Request) -> Reply | Trouble:
        return troubles.pop() if troubles else ask(request)

    with MessagesApi(script) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:
        over, _ = session.over()

    assert (over.kind, state(lead, task), len(api.requests)) == ("ended", "completed", 5)


def test_api_that_cannot_be_reached_is_an_outage(project: Path, tmp_path: Path, lead: Server) -> None:
    unreachable = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "ANTHROPIC_API_KEY": "sk-ant-dummy"}

    with started(API, assignment(project, tmp_path / "s"), **unreachable) as session:
        over, _ = session.over()

    assert (over.kind, over.until) == ("limit", None)
    assert over.reason.startswith("The Anthropic API cannot be reached")


def test_session_without_a_key_says_what_to_do(project: Path, tmp_path: Path) -> None:
    without = {"ANTHROPIC_API_KEY": "", "ANTHROPIC_AUTH_TOKEN": "", "HOME": str(tmp_path)}

    with started(API, assignment(project, tmp_path / "s"), **without) as session:
        over, _ = session.over()

    assert over.kind == "unusable"
    assert "Set ANTHROPIC_API_KEY" in over.reason


def test_model_that_declines_fails_the_session(project: Path, tmp_path: Path, lead: Server) -> None:
    with (
        MessagesApi(lambda _request: decline()) as api,
        started(API, assignment(project, tmp_path / "s"), **variables(api)) as session,
    ):
        over, _ = session.over()

    assert (over.kind, "declined" in over.reason, len(api.requests)) == ("failed", True, 1)


def test_session_that_never_reports_ends_in_good_order_and_leaves_the_attempt(
    project: Path, tmp_path: Path, lead: Server, task: str
) -> None:
    def script(request: Request) -> Reply:
        return say("I am done.") if request.results else call("claim_task", {"task": task})

    with MessagesApi(script) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:
        over, told = session.over()

    assert (over.kind, told.said) == ("ended", "I am done.")
    assert attempts(lead, task) != ["released"]
    assert has_worked(session.scratch / "output") is False


def test_session_ends_before_a_reply_that_would_take_it_over_what_it_may_cost(
    project: Path, tmp_path: Path, lead: Server, task: str
) -> None:
    given = replace(assignment(project, tmp_path / "s"), max_cost_usd=0.000001)

    with MessagesApi(ask) as api, started(API, given, **variables(api)) as session:
        over, told = session.over()

    assert (over.kind, len(api.requests)) == ("failed", 1)
    assert "may cost $0.0000" in over.reason
    assert told.usage[MODELS["haiku"]].input > 0


class Held:
    """A model that claims and then thinks until the test is over."""

    def __init__(self) -> None:
        self.is_thinking = threading.Event()
        self.is_over = threading.Event()

    def __call__(self, request: Request) -> Reply:
        if not request.results:
            return call("claim_task", {"task": "t1"})
        self.is_thinking.set()
        self.is_over.wait(BOUND_SECONDS)
        return say("too late")


def test_stopped_session_gives_back_what_it_holds(project: Path, tmp_path: Path, lead: Server, task: str) -> None:
    model = Held()
    with MessagesApi(model) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:
        assert model.is_thinking.wait(BOUND_SECONDS)

        session.stop()
        over, _ = session.over()
        model.is_over.set()

    assert (over.kind, state(lead, task), attempts(lead, task)) == ("ended", "ready", ["released"])


def test_session_leaves_when_its_starter_is_killed(project: Path, tmp_path: Path, lead: Server, task: str) -> None:
    model = Held()
    given = assignment(project, tmp_path / "s")
    with MessagesApi(model) as api, started(API, given, *STARTER, **variables(api)) as session:
        assert model.is_thinking.wait(BOUND_SECONDS)
        below = psutil.Process(session.process.pid).children(recursive=True)

        session.process.kill()
        eventually(lambda: not any(process.is_running() for process in below))
        model.is_over.set()

    assert (len(below), attempts(lead, task)) == (2, ["released"])


def test_session_goes_on_with_another_server_when_its_own_is_killed(
    project: Path, tmp_path: Path, lead: Server, task: str
) -> None:
    kill: list[Callable[[], None]] = []
    keys: list[str] = []

    def script(request: Request) -> Reply:
        if request.results_of("claim_task") and kill:
            kill.pop()()
        return ask(request)

    with MessagesApi(script) as api, started(API, assignment(project, tmp_path / "s"), **variables(api)) as session:

        def kill_server() -> None:
            (server,) = [each for each in psutil.Process(session.process.pid).children() if "mcp" in each.cmdline()]
            keys.extend(name for name in server.environ() if name.startswith("ANTHROPIC_"))
            os.kill(server.pid, signal.SIGKILL)

        kill.append(kill_server)
        over, _ = session.over()

    last = api.requests[-1].results_of("report_result")
    assert (over.kind, state(lead, task), attempts(lead, task)) == ("ended", "completed", ["completed"])
    assert last == ["Connection closed"]
    assert keys == [], "the model's key is not the server's business"
