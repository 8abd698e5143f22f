"""The plugin where something is missing: the command is done alone, says so, and nothing is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tests.support.messages_api import MessagesApi, Reply, Request, say
from tests.support.plugin import Place, copied, has, instructions, model, plan, programs
from tests.support.repositories import Repository

pytestmark = pytest.mark.xdist_group("claude")

SEARCH = "/search x --multi-agent"
USUAL = ("sh", "bash", "env", "python3", "git", "dirname", "cat", "ls")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def obedient(request: Request) -> Reply:
    """As a model does what it is told: alone, and saying so, where that is what it is told."""
    if "Work alone, and say so" in instructions(request):
        return say("Working alone: the server cannot be started. done alone")
    if not instructions(request) and "--multi-agent" in "\n".join(request.prompts) and not request.agent:
        return say("Working alone, because Trichrome's hooks did not answer. done alone")
    return model(request)


def run(place: Place, prompt: str = SEARCH) -> tuple[str, Request]:
    with MessagesApi(obedient) as api:
        answer = place.run(api, prompt)
    assert answer.returncode == 0, answer.stderr
    assert answer.result["is_error"] is False
    return answer.text, api.requests[0]


def ends_alone(text: str) -> bool:
    return text.startswith("Working alone") and text.endswith("done alone")


def test_without_the_server_s_program_it_says_so_and_works_alone(place: Place, tmp_path: Path) -> None:
    bare = programs(tmp_path / "bin", *USUAL)

    answer, first = run(replace(place, path=[bare]))

    assert "its server cannot be started: neither `trichrome` nor `uv` is on the PATH" in instructions(first)
    assert plan(first) == []
    assert ends_alone(answer)


@pytest.mark.parametrize("ending", ["exit 0", "exit 1", "echo no MCP here; sleep 1"], ids=["ends", "fails", "babbles"])
def test_server_that_does_not_serve_leaves_the_model_without_its_tools(
    place: Place, tmp_path: Path, ending: str
) -> None:
    folder = programs(tmp_path / "bin", *USUAL)
    broken = folder / "trichrome"
    broken.write_text(f"#!/bin/sh\n{ending}\n", encoding="utf-8")
    broken.chmod(0o755)

    answer, first = run(replace(place, path=[folder, Path("/usr/bin"), Path("/bin")]))

    assert plan(first), "the hook could not know"
    assert "If Trichrome's tools are missing" in instructions(first)
    assert not has(first, "create_task")
    assert ends_alone(answer)


def a_folder(data: Path) -> None:
    (data / "events.db").mkdir()


def nonsense(data: Path) -> None:
    (data / "events.db").write_bytes(b"this is no database" * 1000)


def bad_settings(data: Path) -> None:
    (data / "config.toml").write_text("durability = 7\n", encoding="utf-8")


@pytest.mark.parametrize("damage", [a_folder, nonsense, bad_settings], ids=["a folder", "nonsense", "settings"])
def test_log_that_cannot_be_read_is_a_refusal_that_the_lead_works_around(
    place: Place, damage: Callable[[Path], None]
) -> None:
    data = place.project / ".trichrome"
    data.mkdir(mode=0o700)
    damage(data)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}

    answer, _ = run(place)

    assert ends_alone(answer)
    assert {path: path.read_bytes() for path in before} == before


def test_log_that_git_tracks_is_not_used_and_the_work_is_done(place: Place) -> None:
    repository = Repository(place.project)
    repository.git("init", "-q")
    (place.project / ".trichrome").mkdir()
    (place.project / ".trichrome" / "config.toml").write_text("", encoding="utf-8")
    repository.git("add", "--force", ".trichrome")

    answer, _ = run(place)

    assert ends_alone(answer)
    assert not (place.project / ".trichrome" / "events.db").exists()


@pytest.mark.parametrize("part", ["hooks", "server", "mcp.json", "agents"])
def test_half_of_a_plugin_is_no_reason_not_to_work(place: Place, tmp_path: Path, part: str) -> None:
    plugin = copied(tmp_path / "plugin", without=[part])

    answer, _ = run(replace(place, plugin=plugin))

    assert "done alone" in answer or answer == "merged r1"


@pytest.mark.parametrize("python", ["", "echo 'SyntaxError: invalid syntax' >&2; exit 1"], ids=["missing", "old"])
def test_hooks_without_a_python_that_runs_them_are_passed_over(place: Place, tmp_path: Path, python: str) -> None:
    folder = programs(tmp_path / "bin", *(name for name in USUAL if name != "python3"))
    (folder / "trichrome").symlink_to(Path(sys.executable).parent / "trichrome")
    if python:
        (folder / "python3").write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
        (folder / "python3").chmod(0o755)

    answer, first = run(replace(place, path=[folder]))

    assert instructions(first) == ""
    assert ends_alone(answer)


def test_server_that_is_killed_in_the_middle_is_started_again_and_nothing_is_lost(place: Place) -> None:
    killed: list[int] = []

    def script(request: Request) -> Reply:
        if request.agent and request.results_of("claim_task") and not killed:
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                if "mcp" in words and any(word.endswith("trichrome") for word in words) and process.cwd() == here:
                    killed.append(process.pid)
                    os.kill(process.pid, signal.SIGKILL)
        return patient(request)

    here = str(place.project)

    def patient(request: Request) -> Reply:
        """As `model`; a call that a killed server never answered is made again, as its role's page says."""
        again = _unanswered(request)
        return again if again is not None else model(request)

    with MessagesApi(script) as api:
        answer = place.run(api, SEARCH)

    assert killed
    assert answer.text == "merged r1"
    assert {each["state"] for each in place.tasks()} == {"completed"}
    assert all(len(each["attempts"]) == 1 for each in place.tasks()), "each goes on with its own attempt"


def _unanswered(request: Request) -> Reply | None:
    from tests.support.messages_api import call
    from tests.support.plugin import uses

    if not request.results or not request.results[-1].failed or "Connection closed" not in request.results[-1].text:
        return None
    name, asked = uses(request)[-1]
    return call(name, asked)
