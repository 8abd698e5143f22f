"""The git guard and the edit gate in the real Claude Code: what a worker is refused, reads, and does then."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.messages_api import MessagesApi, Reply, Request, call, say
from tests.support.plugin import Place

pytestmark = pytest.mark.xdist_group("claude")

ALLOWED = "mcp__plugin_trichrome_trichrome__*,Bash,Write,Edit"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A repository with a change that is not committed, and a gate that is up for all."""
    place = Place(tmp_path)
    git(place, "init", "-q")
    (place.project / "kept.txt").write_text("one\n", encoding="utf-8")
    git(place, "add", "--all")
    git(place, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "first")
    (place.project / "kept.txt").write_text("not committed\n", encoding="utf-8")
    (place.project / ".trichrome").mkdir(mode=0o700)
    (place.project / ".trichrome" / "config.toml").write_text('edit_gate = "all"\n', encoding="utf-8")
    return place


def git(place: Place, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=place.project, capture_output=True, text=True, check=True).stdout


def lead(request: Request, kind: str = "trichrome:green") -> Reply:
    """Create a task, have a subagent do it, and end."""
    if not request.results_of("create_task"):
        return call("create_task", {"kind": "implement", "instructions": "build", "files": ["src"]})
    if "Agent" not in request.calls.values():
        return call("Agent", {"description": "w", "prompt": "Work.", "subagent_type": kind})
    waited = request.results_of("wait")
    is_over = bool(waited) and isinstance(waited[-1], dict) and waited[-1]["done"]  # a killed server answers in words
    return say("merged") if is_over else call("wait", {"wait_seconds": 30})


def results(api: MessagesApi, tool: str) -> list[Any]:
    """What the subagent's calls of a tool came back with."""
    newest = [request for request in api.requests if request.agent][-1]
    return newest.results_of(tool)


def test_worker_is_refused_the_stash_reads_why_and_nothing_is_lost(place: Place) -> None:
    def script(request: Request) -> Reply:
        if not request.agent:
            return lead(request)
        claims = request.results_of("claim_task")
        if not claims:
            return call("claim_task", {"role": "green"})
        if not request.results_of("Bash"):
            return call("Bash", {"command": "cd . && git stash", "description": "set aside"})
        if not request.results_of("report_result"):
            return call("report_result", {"attempt": "t1.1", "outcome": "completed", "summary": "done"})
        return say("done")

    with MessagesApi(script) as api:
        place.run(api, "Build it.", allowed=ALLOWED)

    (said,) = results(api, "Bash")
    assert "`git stash` is not for workers" in said
    assert (place.project / "kept.txt").read_text(encoding="utf-8") == "not committed\n"
    assert git(place, "stash", "list") == ""


def test_person_may_stash(place: Place) -> None:
    def script(request: Request) -> Reply:
        done = request.results_of("Bash")
        return say("done") if done else call("Bash", {"command": "git stash", "description": "set aside"})

    with MessagesApi(script) as api:
        place.run(api, "Stash it.", allowed=ALLOWED)

    assert git(place, "stash", "list") != ""


def test_worker_is_refused_a_foreign_file_and_may_write_it_once_it_is_reserved(place: Place) -> None:
    wanted = str(place.project / "docs" / "a.md")

    def script(request: Request) -> Reply:
        if not request.agent:
            return lead(request)
        writes = request.results_of("Write")
        if not request.results_of("claim_task"):
            return call("claim_task", {"role": "green"})
        if not writes:
            return call("Write", {"file_path": wanted, "content": "x"})
        if "reserve_files" in str(writes[-1]) and not request.results_of("reserve_files"):
            return call("reserve_files", {"attempt": "t1.1", "paths": ["docs/a.md"]})
        if len(writes) == 1:
            return call("Write", {"file_path": wanted, "content": "x"})
        if not request.results_of("report_result"):
            return call("report_result", {"attempt": "t1.1", "outcome": "completed", "summary": "done"})
        return say("done")

    with MessagesApi(script) as api:
        place.run(api, "Build it.", allowed=ALLOWED)

    refused, allowed = results(api, "Write")
    assert "docs/a.md is not among the files of t1.1" in refused
    assert "created" in allowed
    assert Path(wanted).read_text(encoding="utf-8") == "x"


def test_guard_stands_and_the_session_goes_on_while_the_server_is_dead(place: Place) -> None:
    killed: list[int] = []

    def kill_server() -> None:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if "mcp" in words and any(word.endswith("trichrome") for word in words) and process.cwd() == here:
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    here = str(place.project)

    def script(request: Request) -> Reply:
        if not request.agent:
            return lead(request)
        if not request.results_of("claim_task"):
            return call("claim_task", {"role": "green"})
        done = request.results_of("Bash")
        if not done:
            kill_server()
            return call("Bash", {"command": "git stash", "description": "set aside"})
        if len(done) == 1:
            return call("Bash", {"command": "echo still here", "description": "go on"})
        if not request.results_of("report_result"):
            return call("report_result", {"attempt": "t1.1", "outcome": "completed", "summary": "done"})
        return say("done")

    with MessagesApi(script) as api:
        place.run(api, "Build it.", allowed=ALLOWED)

    refused, went_on = results(api, "Bash")
    assert killed
    assert "is not for workers" in refused
    assert "still here" in str(went_on)
    assert place.tasks()[0]["state"] == "completed"
