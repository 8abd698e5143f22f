"""What the server of a supervised session sees of its work: a worktree with nothing in it, an output without a deed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from trichrome.coordinator import Traces
from trichrome.errors import InvalidError
from trichrome.mcp_server.supervised import Supervised, has_worked, is_changed, supervised


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "main"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("a")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def worktree(main: Path) -> Path:
    folder = main.with_name("t1")
    git(main, "worktree", "add", "-q", "-b", "trichrome/t1", str(folder))
    return folder


def wrote(file: Path, *lines: object) -> Path:
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return file


def used(*tools: str) -> dict[str, Any]:
    content = [{"type": "text", "text": "so"}, *({"type": "tool_use", "name": tool, "input": {}} for tool in tools)]
    return {"type": "assistant", "message": {"role": "assistant", "content": content}}


# --- the environment --------------------------------------------------------------------------------------------------


def test_without_a_supervisor_nothing_is_supervised() -> None:
    assert supervised({"TRICHROME_WORKER": "blue-1", "TRICHROME_WORKSPACE": "/x"}) is None


def test_what_a_supervisor_says_is_understood() -> None:
    told = {"TRICHROME_SUPERVISOR": "12:-345", "TRICHROME_WORKSPACE": "/w", "TRICHROME_OUTPUT": "/o"}

    assert supervised(told) == Supervised((12, -345), Path("/w"), Path("/o"))
    assert supervised({"TRICHROME_SUPERVISOR": "12:3"}) == Supervised((12, 3))


@pytest.mark.parametrize("told", ["12", "12:", ":", "a:b", "1:2:3"])
def test_what_no_supervisor_says_is_refused(told: str) -> None:
    with pytest.raises(InvalidError, match="not PID:START"):
        supervised({"TRICHROME_SUPERVISOR": told})


# --- the workspace ----------------------------------------------------------------------------------------------------


def test_a_worktree_as_it_was_made_is_unchanged(main: Path, worktree: Path) -> None:
    (main / "b.txt").write_text("b")
    git(main, "add", ".")
    git(main, "commit", "-qm", "others go on")

    assert is_changed(worktree) is False


@pytest.mark.parametrize("deed", ["new file", "changed file", "commit"])
def test_a_worktree_in_which_something_was_done_is_changed(worktree: Path, deed: str) -> None:
    (worktree / ("new.txt" if deed == "new file" else "a.txt")).write_text("b")
    if deed == "commit":
        git(worktree, "commit", "-qam", "second")

    assert is_changed(worktree) is True


def test_a_commit_without_a_branch_is_a_change(worktree: Path) -> None:
    git(worktree, "checkout", "-q", "--detach")
    assert is_changed(worktree) is False

    git(worktree, "commit", "-q", "--allow-empty", "-m", "second")

    assert is_changed(worktree) is True


def test_what_is_no_worktree_beside_another_tells_nothing(main: Path, tmp_path: Path) -> None:
    assert is_changed(main) is None
    assert is_changed(tmp_path) is None
    assert is_changed(tmp_path / "nowhere") is None


def test_without_git_a_worktree_tells_nothing(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert is_changed(worktree) is None


# --- the output -------------------------------------------------------------------------------------------------------


def test_an_output_with_our_tools_alone_tells_of_no_work(tmp_path: Path) -> None:
    output = wrote(
        tmp_path / "o", {"type": "system"}, used("ToolSearch", "mcp__trichrome__claim_task"), used("mcp__trichrome__x")
    )

    assert has_worked(output) is False


def test_one_other_tool_is_work(tmp_path: Path) -> None:
    assert has_worked(wrote(tmp_path / "o", used("mcp__trichrome__claim_task"), used("Read"))) is True
    assert has_worked(wrote(tmp_path / "o", used("mcp__other__do"))) is True


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("no JSON",),
        ({"type": "result"},),
        ('{"tool_use": 1}',),
        ('["tool_use"]',),
        ('{"message": {"content": ["tool_use"]}}',),
        ("[" * 100_000 + '"tool_use"',),
    ],
)
def test_an_output_that_tells_of_no_tool_at_all_tells_of_no_work(tmp_path: Path, lines: tuple[object, ...]) -> None:
    assert has_worked(wrote(tmp_path / "o", *lines)) is False


def test_an_output_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert has_worked(tmp_path / "none") is None


def test_traces_are_those_of_workspace_and_output(worktree: Path, tmp_path: Path) -> None:
    output = wrote(tmp_path / "o", used("mcp__trichrome__claim_task"))

    assert Supervised((1, 2), worktree, output).traces() == Traces(changed=False, worked=False)
    assert Supervised((1, 2)).traces() == Traces()


def test_a_program_that_tells_its_tools_in_our_lines_is_believed(tmp_path: Path) -> None:
    said = {"type": "said", "text": "I did it."}
    spent = {"type": "used", "model": "claude-haiku-5-5", "input": 1}

    assert has_worked(wrote(tmp_path / "o", said, spent)) is False
    assert has_worked(wrote(tmp_path / "o", said, {"type": "called", "tool": "grep"})) is True
    assert has_worked(wrote(tmp_path / "o", "I did it.")) is False
