"""`trichrome workspaces` and `trichrome merge` as a person or a program meets them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.commands import Shell
from tests.support.repositories import Repository, made


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return made(tmp_path / "project")


@pytest.fixture
def shell(repository: Repository) -> Shell:
    return Shell(repository.folder)


def done(shell: Shell, **content: object) -> str:
    (task,) = shell.create("make it", kind="implement", **content)
    shell.do(task)
    return task


def test_branches_and_worktrees_are_listed_with_their_task(repository: Repository, shell: Shell) -> None:
    task = done(shell)
    repository.work(task, a="two\n")
    workspace = repository.prepare("t2")
    (workspace.path / "b").write_text("half\n")

    first, second = shell.json("workspaces")["workspaces"]
    told = shell.run("workspaces")

    assert first.pop("age_seconds") >= 0
    assert first == {
        "task": "t1",
        "state": "completed",
        "branch": "trichrome/t1",
        "ahead": 1,
        "changed": ["a"],
        "uncommitted": [],
        "is_unmerged": True,
    }
    assert (second["task"], second["state"], second["role"]) == ("t2", "unknown", "green")
    assert (second["path"], second["uncommitted"]) == (str(workspace.path), ["b"])
    assert second["note"] == "it has what is not committed: b"
    assert told.out.splitlines()[0].split()[:2] == ["t1", "completed"]
    assert "`trichrome merge t1` brings t1 in" in told.err


def test_nothing_to_list_is_said(shell: Shell) -> None:
    assert shell.json("workspaces") == {"workspaces": []}
    assert "No branch waits to be merged" in shell.run("workspaces").err


def test_a_merge_tells_what_came_in(repository: Repository, shell: Shell) -> None:
    task = done(shell)
    repository.work(task, a="two\n")

    dry = shell.json("merge", task, "--dry-run")
    told = shell.run("merge", task)
    again = shell.run("merge", task)

    step = {"task": "t1", "branch": "trichrome/t1", "files": ["a"]}
    assert dry == {"into": "main", "dry_run": True, "merged": [step]}
    assert (told.code, told.out) == (0, "t1 is merged into main. It changes a.\n")
    assert (again.code, again.out) == (
        0,
        "t1 has nothing to merge into main: it changed nothing, or all of it is there.\n",
    )


def test_a_conflict_ends_with_1_and_names_the_task_that_resolves_it(repository: Repository, shell: Shell) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")

    dry = shell.run("merge", task, "--dry-run")
    ended = shell.run("merge", task, "--json")
    told = shell.run("merge", task)

    assert ended.refusal["code"] == "files_conflict"
    assert ended.answer["conflict"] == {"task": "t1", "branch": "trichrome/t1", "files": ["a"]}
    assert ended.answer["fix"] == {"task": "t2", "state": "ready"}
    assert "Nothing was merged. `trichrome merge t1` makes a task of it." in dry.err
    assert (dry.code, told.code) == (1, 1)
    assert "t2 is to resolve it (ready); then: `trichrome merge t2`." in told.err


def test_what_cannot_be_merged_is_refused_in_one_line(tmp_path: Path, shell: Shell) -> None:
    (ready,) = shell.create("make it", kind="implement")
    plain = Shell(tmp_path / "plain")
    plain.folder.mkdir()
    without_git = done(plain)

    assert shell.run("merge", ready, "--json").refusal["code"] == "invalid"
    assert shell.run("merge", "t99", "--json").refusal["code"] == "not_found"
    assert "is a run" in shell.run("merge", "r1").err
    assert "There is nothing to merge here" in plain.run("merge", without_git).err
