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


def test_a_branch_whose_conflict_is_being_resolved_is_not_advised_to_be_merged(
    repository: Repository, shell: Shell
) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")
    shell.run("merge", task)

    (line,) = shell.json("workspaces")["workspaces"]
    told = shell.run("workspaces")

    assert (line["task"], line["fix"]) == ("t1", {"task": "t2", "state": "ready"})
    assert "it conflicts, and t2 (ready) is to resolve that" in told.out
    assert "trichrome merge" not in told.err


def test_a_task_that_did_not_resolve_its_conflict_is_named_with_what_helps(
    repository: Repository, shell: Shell
) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")
    shell.run("merge", task)
    shell.do("t2")

    told = shell.run("merge", "t2")

    assert "t2 was completed, but did not bring trichrome/t1 in." in told.err
    assert "`git merge trichrome/t1`" in told.err
    assert "t3 is to resolve it (ready); then: `trichrome merge t3`." in told.err


def test_a_branch_that_nobody_wants_is_dropped_after_a_question(repository: Repository, shell: Shell) -> None:
    (task,) = shell.create("make it", kind="implement")
    repository.work(task, a="two\n")
    shell.run("cancel", task)
    tip = repository.git("rev-parse", f"trichrome/{task}")

    advice = shell.run("workspaces").err
    refusal = shell.run("workspaces", "--drop", task, "--json").refusal
    kept = repository.branches
    dropped = shell.json("workspaces", "--drop", task, "--yes")

    assert f"`trichrome workspaces --drop {task}` throws away" in advice
    assert (refusal["code"], kept) == ("files_conflict", ["main", "trichrome/t1"])
    assert "1 commit of t1 would be lost" in refusal["message"]
    assert dropped == {"dropped": {"task": task, "branch": "trichrome/t1", "commit": tip}}
    assert repository.refs == []


def test_dropping_takes_a_worktree_along_but_nothing_that_is_in_use(repository: Repository, shell: Shell) -> None:
    mine, running = (shell.create(each, kind="implement")[0] for each in "ab")
    (repository.prepare(mine).path / "a").write_text("half\n")
    (repository.prepare(running).path / "a").write_text("half\n")
    shell.claim(running)
    shell.run("cancel", mine)

    asked = shell.run("workspaces", "--drop", mine)
    told = shell.run("workspaces", "--drop", mine, "--yes")
    in_use = shell.run("workspaces", "--drop", running, "--yes", "--json").refusal

    assert "1 uncommitted file of t1 would be lost" in asked.err
    assert (told.code, told.out) == (0, "Dropped trichrome/t1.\n")
    assert "git branch NAME" in told.err
    assert "A worker has t2 in hand" in in_use["message"]
    assert repository.worktrees == ["green-agent/t2"]


@pytest.mark.parametrize("arguments", [("--drop", "t1"), ("--drop", "t9"), ("--drop", "r1")])
def test_what_has_no_branch_cannot_be_dropped(shell: Shell, arguments: tuple[str, ...]) -> None:
    done(shell)

    assert shell.run("workspaces", *arguments, "--json").refusal["code"] == "not_found"


@pytest.mark.parametrize("arguments", [("workspaces",), ("merge", "t1"), ("merge", "t1", "--dry-run")], ids=" ".join)
def test_without_git_nothing_is_claimed(repository: Repository, shell: Shell, arguments: tuple[str, ...]) -> None:
    task = done(shell)
    repository.work(task, a="two\n")

    ended = shell.run(*arguments, env={"PATH": "/nowhere"})

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("trichrome: git could not be started")
    assert ended.err.count("\n") == 1
