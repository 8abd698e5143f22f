"""The plugin in the real Claude Code: what the model is told, what lands in the log, who does the work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support.claude import binary
from tests.support.messages_api import MessagesApi
from tests.support.plugin import ROOT, Place, instructions, model, plan

pytestmark = pytest.mark.xdist_group("claude")

QUOTED = "\"the 'auth' of $HOME\" --multi-agent --parallel"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_validator_of_claude_code_finds_nothing() -> None:
    asked = subprocess.run(
        [binary(), "plugin", "validate", "--strict", "--profile", "directory", ROOT],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert asked.returncode == 0, asked.stdout + asked.stderr


def test_command_with_the_flag_is_done_by_subagents_and_merged_by_the_lead(place: Place) -> None:
    with MessagesApi(model) as api:
        answer = place.run(api, f"/search {QUOTED}")

    first = api.requests[0]
    tasks = place.tasks()
    assert any(f"Find this in the project:\n\n{QUOTED}\n" in prompt for prompt in first.prompts)
    assert instructions(first).startswith("Trichrome orchestration: pair")
    assert [each["instructions"] for each in plan(first)] == [each["instructions"] for each in tasks]
    assert "The request: the 'auth' of $HOME" in tasks[0]["instructions"]
    assert {each["state"] for each in tasks} == {"completed"}
    workers = [each["attempts"][-1]["worker"] for each in tasks]
    assert sorted(workers) == ["blue-1", "blue-2", "blue-3", "red-1"]
    assert answer.text == "merged r1"


def test_command_without_a_flag_is_done_alone_and_leaves_no_trace(place: Place) -> None:
    with MessagesApi(model) as api:
        answer = place.run(api, "/search where is the login")

    assert instructions(api.requests[0]) == ""
    assert answer.text == "done alone"
    assert not (place.project / ".trichrome").exists()
