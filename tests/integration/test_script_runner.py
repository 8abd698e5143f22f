"""Scripts as workers: any program that speaks to our server, and some that do not behave."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import Server, ending
from tests.support.sessions import assignment, started

from trichrome.mcp_server.supervised import has_worked
from trichrome.runners.script import ScriptRunner

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent.py"
GARBAGE = r"""
import sys
sys.stdout.buffer.write(b"\xff\x00{[\n" + b'{"type": "used"}\n' * 3 + b"no newline at the end")
sys.stderr.write("Traceback\nValueError: nothing works\n")
sys.exit(3)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def lead(project: Path) -> Iterator[Server]:
    with ending() as start:
        yield start(project)


def script(folder: Path, source: str) -> ScriptRunner:
    path = folder / "agent of mine.py"
    path.write_text(source)
    return ScriptRunner(shlex.join([sys.executable, str(path)]))


def test_example_of_the_manual_claims_its_task_and_reports(project: Path, tmp_path: Path, lead: Server) -> None:
    (project / "auth.py").write_text("def login(): ...\n")
    (project / "other.py").write_text("pass\n")
    for word in ("nothing", "login"):
        lead.call("create_task", kind="search", instructions=f"Find {word}")
    runner = ScriptRunner(shlex.join([sys.executable, str(EXAMPLE)]))

    with started(runner, assignment(project, tmp_path / "scratch", task="t2")) as session:
        over, told = session.over()

    result = lead.call("get_task", task="t2")["result"]
    assert (over.kind, told.said) == ("ended", "It is in auth.py.")
    assert (result["summary"], result["data"]) == ("It is in auth.py.", {"files": ["auth.py"]})
    assert lead.call("get_task", task="t1")["state"] == "ready"
    assert has_worked(session.scratch / "output") is True


def test_example_of_the_manual_leaves_in_good_order_when_another_was_faster(
    project: Path, tmp_path: Path, lead: Server
) -> None:
    lead.call("create_task", kind="search", instructions="Find login")
    lead.call("claim_task", task="t1")
    runner = ScriptRunner(shlex.join([sys.executable, str(EXAMPLE)]))

    with started(runner, assignment(project, tmp_path / "scratch")) as session:
        over, told = session.over()

    assert (over.kind, told.said) == ("ended", "")


def test_script_that_fails_with_garbage_is_told_as_it_was(project: Path, tmp_path: Path) -> None:
    with started(script(tmp_path, GARBAGE), assignment(project, tmp_path / "scratch")) as session:
        over, told = session.over()

    assert (over.kind, over.reason) == ("failed", "The session left with exit code 3. ValueError: nothing works")
    assert told.said.endswith("no newline at the end")
