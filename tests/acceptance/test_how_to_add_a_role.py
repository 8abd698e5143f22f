"""docs/how-to-add-a-role.md, followed word for word with the real Claude Code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import binary
from tests.support.messages_api import MessagesApi, Reply, Request, call, say
from tests.support.plugin import ROOT, Place, instructions, model

pytestmark = pytest.mark.xdist_group("claude")

PAGE = (ROOT / "docs" / "how-to-add-a-role.md").read_text(encoding="utf-8")


def block(language: str, number: int = 0) -> str:
    """A fenced block of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[number]


class House(Place):
    """A project in which the page's files were written."""

    def __post_init__(self) -> None:
        super().__post_init__()
        data = self.project / ".trichrome"
        (data / "agents").mkdir(parents=True, mode=0o700)
        data.chmod(0o700)
        (data / "agents" / "purple.md").write_text(block("markdown"), encoding="utf-8")
        (data / "config.toml").write_text(block("toml"), encoding="utf-8")
        (self.project / "headings.py").write_text(block("python"), encoding="utf-8")
        (self.project / "README.md").write_text("# The settings\n", encoding="utf-8")

    def shell(self, line: str, api: MessagesApi | None = None) -> str:
        """A line of the page, as a person types it."""
        line = line.replace("/full/path/to/headings.py", str(self.project / "headings.py"))
        line = line.replace("python ", f"{sys.executable} ").replace("claude mcp", f"{binary()} mcp")
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "TRICHROME", "XDG"))
        }
        environment = self.environment(api) if api is not None else {**kept, "HOME": str(self.home)}
        environment["PATH"] = f"{Path(sys.executable).parent}:{binary().parent}:{environment['PATH']}"
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def report(request: Request) -> Reply:
    """Claim, look at the headings, report."""
    claims = request.results_of("claim_task")
    if not claims:
        return call("claim_task", {})
    if not request.results_of("list_headings"):
        return call("mcp__headings__list_headings", {})
    if not request.results_of("report_result"):
        found = json.dumps(request.results_of("list_headings"))
        told = {"attempt": claims[0]["attempt"], "outcome": "completed", "summary": found}
        return call("report_result", told)
    return say("done")


def test_tasks_and_requests_for_documentation_are_purple_s(house: House) -> None:
    create, route = block("sh", 0).strip().splitlines()

    house.shell(create)
    routed = house.shell(route)

    (task,) = house.tasks()
    assert task["role"] == "purple"
    assert "purple (sonnet)" in routed


def test_supervised_worker_has_the_prompt_the_tools_and_the_server_of_the_role(house: House) -> None:
    with MessagesApi(report) as api:
        house.shell(block("sh", 1).strip(), api)
        house.shell("trichrome create document 'Describe the settings'", api)
        house.shell(block("sh", 2).strip() + " --until-idle --runner claude", api)

    first: Any = api.requests[0]
    (task,) = house.tasks()
    assert "You are **purple**" in first.system
    assert first.model.startswith("claude-sonnet")
    assert any(tool == "mcp__headings__list_headings" for request in api.requests for tool in request.tools)
    assert task["state"] == "completed"
    assert "The settings" in task["result"]["summary"]


def test_subagent_of_a_session_is_started_for_its_task(house: House) -> None:
    house.shell(block("sh", 3).strip())

    with MessagesApi(model) as api:
        answer = house.run(api, '/orchestrate "document the settings" --multi-agent')

    purple = [each for each in house.tasks() if each["role"] == "purple"]
    assert 'subagent_type "purple" for purple' in instructions(api.requests[0])
    assert answer.text == "merged r1"
    assert [each["attempts"][-1]["worker"] for each in purple] == ["purple-1"]
    assert any("You are **purple**" in request.system for request in api.requests if request.agent)


def test_file_that_cannot_be_used_is_named_and_keeps_no_other_role_from_working(house: House) -> None:
    file = house.project / ".trichrome" / "agents" / "purple.md"
    file.write_text(block("markdown").replace("color: purple", "color: mauve"), encoding="utf-8")

    doctor = subprocess.run(
        [sys.executable, "-m", "trichrome", "doctor"],
        cwd=house.project,
        env={**os.environ, "HOME": str(house.home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    created = house.shell("trichrome create search 'Look around' --json")

    assert doctor.returncode == 1
    assert "agents/purple.md cannot be used: `color` must be one of" in doctor.stdout
    assert json.loads(created)["tasks"][0]["id"] == "t1"
