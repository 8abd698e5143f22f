"""Sessions of the real Claude Code as the runner describes them, each started by hand: what they do, may, and say."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import Claude, Session, binary
from tests.support.messages_api import MessagesApi, Reply, Request, Script, Trouble, call, say, stall

from trichrome.bootstrap import open_project
from trichrome.coordinator import OPERATOR, queries, tasks
from trichrome.domain.drafts import Draft
from trichrome.roles import load_roles
from trichrome.runners.claude_code import ClaudeCodeRunner
from trichrome.runners.port import Assignment, Ending, Resume, Transcript

pytestmark = pytest.mark.xdist_group("claude")

MOMENT = 30.0
"""Seconds for something that takes a few."""
IN_AN_HOUR = int(time.time()) + 3600


class House:
    """A project with two tasks of each role, and a folder for a session's work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.workspace = folder / "workspace"
        self.scratch = folder / "scratch"
        for each in (self.folder, self.workspace, self.scratch):
            each.mkdir()
        (self.workspace / "json.py").write_text("raise SystemExit('what lies in a workspace is no part of our server')")
        (self.folder / "facts.txt").write_text("the answer is 42\n")
        (folder / "secret.txt").write_text("nobody's business\n")
        self.secret = folder / "secret.txt"
        self.home = folder / "home"
        self.project = open_project(self.folder)
        drafts = [Draft(kind=kind, instructions="look") for kind in ("search", "search", "implement")]
        tasks.create(self.project.coordinator, OPERATOR, drafts)

    def assignment(self, task: str, role: str = "blue") -> Assignment:
        identity = {"TRICHROME_HOME": str(self.folder), "TRICHROME_WORKER": f"{role}-1", "TRICHROME_ROLE": role}
        return Assignment(f"{role}-1", load_roles().read(role), task, self.workspace, self.scratch, identity)

    def session(self, api: MessagesApi, assignment: Assignment, **environment: str) -> Session:
        launch = ClaudeCodeRunner().launch(assignment)
        around = Claude(home=self.home, folder=self.workspace, api_url=api.url).environment()
        return Session(launch.command, self.workspace, {**around, **launch.environment, **environment})

    def run(self, script: Script, assignment: Assignment, **environment: str) -> tuple[Transcript, Ending]:
        with MessagesApi(script) as api, self.session(api, assignment, **environment) as session:
            return told(session)

    def state(self, task: str) -> Any:
        return queries.task_detail(self.project.coordinator, task)["state"]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("TRICHROME_CLAUDE", str(binary()))
    house = House(tmp_path)
    yield house
    house.project.close()


def told(session: Session) -> tuple[Transcript, Ending]:
    """What a session's output told when it was over, and why it was."""
    answer = session.wait(MOMENT)
    reader = ClaudeCodeRunner().reader()
    for line in session.output().splitlines():
        reader.read(line)
    return reader.transcript, ClaudeCodeRunner().ending(reader.transcript, code=answer.returncode, errors=answer.stderr)


def worker(*steps: Reply) -> Callable[[Request], Reply]:
    """Claim the task that the newest prompt names, take the steps, report, end the turn."""

    def script(request: Request) -> Reply:
        claims = request.results_of("claim_task")
        prompts = [words for words in request.prompts if "claim_task(task=" in words]
        if len(claims) < len(prompts):
            named = re.search(r'claim_task\(task="(t\d+)"\)', prompts[-1])
            assert named is not None
            return call("claim_task", {"task": named[1]})
        taken = len(request.results) - len(claims)
        if taken < len(steps):
            return steps[taken]
        if not request.results_of("report_result"):
            report = {"attempt": claims[-1]["attempt"], "outcome": "completed", "summary": "42"}
            return call("report_result", report)
        return say("I am done.")

    return script


def test_session_claims_the_named_task_works_and_reports_and_its_transcript_tells(house: House) -> None:
    requests: list[Request] = []
    script = worker(call("Read", {"file_path": str(house.folder / "facts.txt")}))

    transcript, ending = house.run(lambda request: requests.append(request) or script(request), house.assignment("t2"))

    assert (house.state("t1"), house.state("t2")) == ("ready", "completed")
    assert ending == Ending("ended", "The session came to its end.")
    assert transcript.said == "I am done."
    assert transcript.denials == ()
    assert requests[-1].session == transcript.session
    assert "42" in requests[-1].results[1].text
    assert transcript.transcript is not None
    assert Path(transcript.transcript).is_file()
    (model, usage), *others = transcript.usage.items()
    assert (model, others) == ("claude-haiku-5-5", [])
    assert usage.output > 0
    assert transcript.cost_usd is not None
    assert 0 < transcript.cost_usd < 0.1


def test_session_has_the_prompt_the_model_and_the_tools_of_its_role_alone(house: House) -> None:
    requests: list[Request] = []
    script = worker()
    role = house.assignment("t1").role

    house.run(lambda request: requests.append(request) or script(request), house.assignment("t1"))

    ours = {tool for tool in role.tools or () if tool.startswith("mcp__trichrome__")}
    theirs = {tool for tool in requests[0].tools if not tool.startswith("mcp__trichrome__")}
    assert role.prompt.strip() in requests[0].system
    assert requests[0].model == "claude-haiku-5-5"
    assert ours <= set(requests[0].tools)
    assert {"Read", "Grep", "Glob"} <= theirs
    assert theirs.isdisjoint({"Write", "Edit", "Bash", "Agent", "Task"})


def test_reader_may_not_write_nor_read_elsewhere_and_both_show(house: House) -> None:
    target = house.workspace / "new.txt"
    script = worker(
        call("Write", {"file_path": str(target), "content": "x"}, is_blind=True),
        call("Bash", {"command": f"touch {target}", "description": "x"}, is_blind=True),
        call("Read", {"file_path": str(house.secret)}),
    )

    transcript, ending = house.run(script, house.assignment("t1"))

    assert ending.kind == "ended"
    assert set(transcript.denials) == {"Write", "Bash", "Read"}
    assert not target.exists()
    assert house.state("t1") == "completed"


def test_project_starts_nothing_by_its_settings_and_its_memory_is_read(house: House) -> None:
    hooked = house.folder / "hooked"
    hook = {"hooks": [{"type": "command", "command": f"touch {hooked}"}]}
    for folder in (house.folder, house.workspace):
        (folder / ".claude").mkdir()
        (folder / ".claude" / "settings.json").write_text(json.dumps({"hooks": {"UserPromptSubmit": [hook]}}))
    (house.folder / "CLAUDE.md").write_text("Here the word is xylophone.\n")
    (house.workspace / "CLAUDE.md").write_text("Another agent wrote kettledrum.\n")
    requests: list[Request] = []
    script = worker()

    house.run(lambda request: requests.append(request) or script(request), house.assignment("t3", "green"))

    asked = json.dumps(requests[0].body)
    assert not hooked.exists()
    assert ("xylophone" in asked, "kettledrum" in asked) == (True, False)


def test_what_is_private_is_read_by_nobody_and_what_is_shared_by_all(house: House) -> None:
    data = house.folder / ".trichrome"
    private = [data / "scratch" / "x" / "servers.json", data / "logs" / "x" / "output.jsonl", data / "own.key"]
    shared = data / "shared-context" / "note.md"
    for file in (*private, shared):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("the key is xylophone\n")
    steps = [call("Read", {"file_path": str(file)}) for file in (*private, shared)]
    steps.append(call("Grep", {"pattern": "xylophone", "path": str(house.folder), "output_mode": "content"}))
    requests: list[Request] = []
    script = worker(*steps)

    house.run(lambda request: requests.append(request) or script(request), house.assignment("t1"))

    told = [result.text for result in requests[-1].results if result.tool in {"Read", "Grep"}]
    assert ["xylophone" in each for each in told] == [False, False, False, True, True]
    assert [name for name in ("scratch", "logs", "own.key") if name in told[-1]] == []


def test_commands_that_reach_beyond_the_workspace_are_refused(house: House) -> None:
    commands = ["git stash", "git worktree list", "cd .. && git push origin main", "git --version"]
    steps = [call("Bash", {"command": each, "description": "x"}) for each in commands]
    requests: list[Request] = []
    script = worker(*steps)

    house.run(lambda request: requests.append(request) or script(request), house.assignment("t3", "green"))

    told = [result.text for result in requests[-1].results if result.tool == "Bash"]
    refused = ["has been denied" in each or "is not for workers" in each for each in told]
    assert refused == [True, True, True, False]


def test_session_that_is_to_go_on_and_is_not_there_is_told_apart(house: House) -> None:
    vanished = Resume("11111111-1111-4111-8111-111111111111", "A usage limit was reached.")

    _, ending = house.run(lambda _: say("never asked"), replace(house.assignment("t1"), resume=vanished))

    assert (ending.kind, ending.is_forgotten) == ("failed", True)


def test_role_without_a_list_of_tools_that_may_not_write_has_no_tool_that_does(house: House) -> None:
    target = house.workspace / "new.txt"
    assignment = house.assignment("t1")
    script = worker(
        call("Write", {"file_path": str(target), "content": "x"}, is_blind=True),
        call("Bash", {"command": f"touch {target}", "description": "x"}, is_blind=True),
        call("Read", {"file_path": str(house.folder / "facts.txt")}),
    )

    transcript, ending = house.run(script, replace(assignment, role=replace(assignment.role, tools=None)))

    assert ending.kind == "ended"
    assert set(transcript.denials) == {"Write", "Bash"}
    assert not target.exists()
    assert house.state("t1") == "completed"


def test_role_whose_tools_leave_ours_out_claims_and_reports_all_the_same(house: House) -> None:
    assignment = house.assignment("t1")

    _, ending = house.run(worker(), replace(assignment, role=replace(assignment.role, tools=("Read",))))

    assert ending.kind == "ended"
    assert house.state("t1") == "completed"


def test_writer_writes_in_its_workspace_alone_and_its_shell_shows_while_it_runs(house: House) -> None:
    inside, outside, going = house.workspace / "new.txt", house.folder / "new.txt", house.workspace / "go"
    script = worker(
        call("Write", {"file_path": str(inside), "content": "x"}),
        call("Write", {"file_path": str(outside), "content": "x"}),
        call("Bash", {"command": f"while [ ! -e {going} ]; do sleep 0.1; done", "description": "wait"}),
    )

    with MessagesApi(script) as api, house.session(api, house.assignment("t3", "green")) as session:
        deadline = time.monotonic() + MOMENT
        while not (busy := [line for line in lines(house) if line["state"] == "tool_running"]):
            assert time.monotonic() < deadline, lines(house)
            time.sleep(0.05)
        going.touch()
        transcript, ending = told(session)

    assert busy[0]["why"].startswith("Bash runs for ")
    assert inside.read_text() == "x"
    assert not outside.exists()
    assert transcript.denials == ("Write",)
    assert ending.kind == "ended"
    assert house.state("t3") == "completed"


def lines(house: House) -> Any:
    return queries.status(house.project.coordinator)["workers"]


LIMIT = {
    "retry-after": "3600",
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-unified-reset": str(IN_AN_HOUR),
    "anthropic-ratelimit-unified-representative-claim": "five_hour",
}
SUBSCRIBER = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-oat01-dummy"}


@pytest.mark.parametrize(
    ("trouble", "environment", "kind", "scope", "until"),
    [
        (Trouble(429, "rate_limit_error", "Slow down.", LIMIT), SUBSCRIBER, "limit", "fleet", IN_AN_HOUR),
        (Trouble(429, "rate_limit_error", "Slow down.", {"retry-after": "3600"}), {}, "limit", "fleet", None),
        (Trouble(529, "overloaded_error", "Overloaded"), {}, "limit", "fleet", None),
        (Trouble(500, "api_error", "Internal server error"), {}, "limit", "fleet", None),
        (Trouble(401, "authentication_error", "invalid x-api-key"), {}, "unusable", "fleet", None),
        (Trouble(403, "permission_error", "No access."), {}, "unusable", "fleet", None),
        (Trouble(404, "not_found_error", "model: claude-nope"), {}, "unusable", "role", None),
        (say("never asked"), {"ANTHROPIC_API_KEY": ""}, "unusable", "fleet", None),
        (say("never asked"), {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}, "limit", "fleet", None),
        (Trouble(400, "invalid_request_error", "Your credit balance is too low"), {}, "unusable", "fleet", None),
        (Reply(("",), declined=True), {}, "failed", "fleet", None),
    ],
    ids=["usage limit", "429", "529", "500", "401", "403", "no model", "no login", "no network", "no money", "refusal"],
)
def test_trouble_of_the_api_is_told_apart_by_who_must_do_what(
    house: House,
    trouble: Reply | Trouble,
    environment: dict[str, str],
    kind: str,
    scope: str,
    until: int | None,
) -> None:
    once = {"CLAUDE_CODE_MAX_RETRIES": "1"}

    transcript, ending = house.run(lambda _: trouble, house.assignment("t1"), **once, **environment)

    assert (ending.kind, ending.scope, ending.until) == (kind, scope, until)
    assert transcript.is_ended
    assert house.state("t1") == "ready"


def test_stream_that_stands_still_is_asked_for_again(house: House) -> None:
    script = worker()
    still = [stall()]

    _, ending = house.run(
        lambda request: still.pop() if still else script(request),
        house.assignment("t1"),
        CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS="10000",  # the least that it takes
    )

    assert ending.kind == "ended"
    assert house.state("t1") == "completed"


def test_session_that_is_asked_to_end_leaves_without_a_result_and_its_usage_is_known(house: House) -> None:
    working = threading.Event()

    def script(request: Request) -> Reply:
        if not request.results_of("claim_task"):
            return call("claim_task", {"task": "t1"})
        working.set()
        return stall()

    with MessagesApi(script) as api, house.session(api, house.assignment("t1")) as session:
        assert working.wait(MOMENT)
        os.kill(session.process.pid, signal.SIGTERM)
        transcript, ending = told(session)

    assert ending.kind == "failed"
    assert "SIGTERM" in ending.reason
    assert not transcript.is_ended
    assert transcript.usage["claude-haiku-5-5"].output > 0
    assert transcript.cost_usd is None


def test_session_that_a_limit_ended_goes_on_later_claims_again_and_tells_its_own_usage(house: House) -> None:
    over = Trouble(429, "rate_limit_error", "Slow down.", LIMIT)
    requests: list[Request] = []
    script = worker()

    def until_claimed(request: Request) -> Reply | Trouble:
        return over if request.results_of("claim_task") else script(request)

    def afterwards(request: Request) -> Reply | Trouble:
        requests.append(request)
        return script(request)

    before, limited = house.run(until_claimed, house.assignment("t1"), **SUBSCRIBER)
    again = replace(house.assignment("t1"), resume=Resume(before.session or "", limited.reason))
    with MessagesApi(afterwards) as api, house.session(api, again) as session:
        after, ending = told(session)
        totals = json.loads(session.output().splitlines()[-1])["modelUsage"]["claude-haiku-5-5"]

    assert (limited.kind, limited.until, ending.kind) == ("limit", IN_AN_HOUR, "ended")
    assert after.session == before.session
    assert len(requests[-1].results_of("claim_task")) == 2
    assert limited.reason in requests[0].prompts[-1]
    assert house.assignment("t1").role.prompt.strip() in requests[0].system
    assert house.state("t1") == "completed"
    assert 0 < after.usage["claude-haiku-5-5"].input < totals["inputTokens"]
    assert before.usage["claude-haiku-5-5"].input + after.usage["claude-haiku-5-5"].input == totals["inputTokens"]
    assert (before.cost_usd or 0) + (after.cost_usd or 0) == pytest.approx(totals["costUSD"])


def test_session_over_what_it_may_cost_fails_and_says_so(house: House) -> None:
    assignment = replace(house.assignment("t1"), max_cost_usd=0.0001)

    transcript, ending = house.run(worker(), assignment)

    assert ending.kind == "failed"
    assert "maximum budget ($0.0001)" in ending.reason
    assert transcript.cost_usd is not None
    assert transcript.cost_usd > 0


def test_session_whose_server_does_not_start_is_no_success(house: House) -> None:
    assignment = house.assignment("t1")
    broken = {**assignment.environment, "TRICHROME_HOME": str(house.folder / "nowhere"), "PYTHONHOME": "/nowhere"}

    _, ending = house.run(lambda _: say("I have no tools."), replace(assignment, environment=broken))

    assert ending.kind == "failed"
    assert "server did not start" in ending.reason
