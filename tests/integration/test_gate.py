"""The edit gate over the real pipe: whose writes are refused, and what they are told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.integration.test_agents import calls, hook, lead
from tests.support.servers import Server, ending

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture
def session(start: Start, tmp_path: Path) -> Server:
    """A person's session in a project whose gate is up for all."""
    settings = tmp_path / ".trichrome" / "config.toml"
    settings.parent.mkdir(mode=0o700)
    settings.write_text('edit_gate = "all"\n', encoding="utf-8")
    return start(tmp_path, name="claude-code")


def refused(server: Server, folder: Path, agent: str = "", **tool: str) -> str:
    """Why a write is refused; empty where it is not."""
    kind = "trichrome:green" if agent else ""
    said = hook(server, "check_edit", agent_id=agent, agent_type=kind, cwd=str(folder), **tool)
    return json.loads(said)["hookSpecificOutput"]["permissionDecisionReason"] if said else ""


def claimed(server: Server, agent: str, **task: object) -> str:
    lead(server, "create_task", kind="implement", instructions="build", **task)
    return str(calls(server, agent, "trichrome:green", "claim_task")["attempt"])


def test_worker_writes_the_files_of_its_task_and_no_other(session: Server, tmp_path: Path) -> None:
    claimed(session, "a1", files=["src/api/*.py"])

    own = refused(session, tmp_path, "a1", file_path=str(tmp_path / "src/api/new.py"))
    other = refused(session, tmp_path, "a1", file_path=str(tmp_path / "src/store.py"))

    assert own == ""
    assert other.startswith("src/store.py is not among the files of t1.1")
    assert 'reserve_files(attempt="t1.1", paths=["src/store.py"])' in other


def test_worker_that_reserved_a_file_may_write_it(session: Server, tmp_path: Path) -> None:
    attempt = claimed(session, "a1", files=["src/a.py"])
    calls(session, "a1", "trichrome:green", "reserve_files", attempt=attempt, paths=["tests"])

    assert refused(session, tmp_path, "a1", file_path="tests/test_a.py") == ""


def test_worker_whose_task_names_no_file_may_write_what_nobody_holds(session: Server, tmp_path: Path) -> None:
    claimed(session, "a1", files=["src/a.py"])
    claimed(session, "a2")

    free = refused(session, tmp_path, "a2", file_path="src/b.py")
    held = refused(session, tmp_path, "a2", file_path="src/a.py")

    assert free == ""
    assert held.startswith("src/a.py is held by green-1 for t1")


def test_person_is_kept_from_what_a_running_task_holds(session: Server, tmp_path: Path) -> None:
    claimed(session, "a1", files=["src"])

    assert "green-1" in refused(session, tmp_path, file_path=str(tmp_path / "src/a.py"))
    assert refused(session, tmp_path, file_path=str(tmp_path / "docs/a.md")) == ""
    assert refused(session, tmp_path, file_path="/etc/hosts") == ""


@pytest.mark.parametrize(
    "command",
    [
        "echo x > src/b.py",
        "cd src && tee b.py",
        "sed -i s/a/b/ src/b.py",
        "rm -rf src",
        "mv src/b.py x",
        "cp x src/../src/b.py",
        "rm -rf .",
        "rm -f *.py",
    ],
)
def test_shell_that_writes_elsewhere_is_refused_too(session: Server, tmp_path: Path, command: str) -> None:
    claimed(session, "a1", files=["lib"])

    assert "is not among the files of t1.1" in refused(session, tmp_path, "a1", command=command)
    assert refused(session, tmp_path, "a1", command=f"cat src/b.py; python -c '{command}'") == ""


def test_link_leads_to_what_it_points_at(session: Server, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "lib").symlink_to(tmp_path / "src")
    claimed(session, "a1", files=["lib"])

    assert refused(session, tmp_path, "a1", file_path=str(tmp_path / "lib/a.py")).startswith("src/a.py is not among")


def test_name_with_brackets_is_no_pattern(session: Server, tmp_path: Path) -> None:
    claimed(session, "a1", files=["app"])
    claimed(session, "a2", files=["web/page.tsx"])

    assert refused(session, tmp_path, "a1", file_path="app/[id]/page.tsx") == ""
    assert "web/[id].tsx is not among" in refused(session, tmp_path, "a2", file_path="web/[id].tsx")


def test_notebook_is_a_file(session: Server, tmp_path: Path) -> None:
    claimed(session, "a1", files=["a.ipynb"])

    assert refused(session, tmp_path, "a1", notebook_path="a.ipynb") == ""
    assert refused(session, tmp_path, "a1", notebook_path="b.ipynb") != ""


def test_gate_is_down_for_people_unless_the_project_says_so(start: Start, tmp_path: Path) -> None:
    session = start(tmp_path, name="claude-code")
    claimed(session, "a1", files=["src"])

    assert refused(session, tmp_path, "a1", file_path="docs/a.md") == ""


def test_session_that_never_uses_the_project_is_not_looked_at(start: Start, tmp_path: Path) -> None:
    session = start(tmp_path, name="claude-code")

    assert refused(session, tmp_path, file_path="a.py") == ""
    assert not (tmp_path / ".trichrome").exists()


def test_supervised_worker_writes_in_its_workspace_and_what_is_scratch(start: Start, tmp_path: Path) -> None:
    workspace = tmp_path / ".trichrome" / "workspaces" / "t1"
    workspace.mkdir(parents=True, mode=0o700)
    (tmp_path / ".trichrome").chmod(0o700)
    me = psutil.Process(os.getpid())
    told = {"TRICHROME_SUPERVISOR": f"{me.pid}:{int(me.create_time())}", "TRICHROME_WORKSPACE": str(workspace)}
    person = start(tmp_path, name="claude-code")
    lead(person, "create_task", kind="implement", instructions="build", files=["src"])
    worker = start(tmp_path, "--role", "green", "--worker", "green-9", name="claude-code", variables=told)
    assert worker.call("claim_task")["attempt"] == "t1.1"

    def asked(path: Path) -> str:
        return refused(worker, workspace, file_path=str(path))

    assert asked(workspace / "src/a.py") == ""
    assert asked(Path("/tmp/notes.txt")) == "" or tmp_path.is_relative_to("/tmp")
    assert asked(tmp_path / ".trichrome/shared-context/x.md") == ""
    assert "is not among the files of t1.1" in asked(workspace / "docs/a.md")
    assert "is outside of your workspace" in asked(Path.home() / "a.py")
    assert "is outside of your workspace" in asked(tmp_path / "src/a.py")
