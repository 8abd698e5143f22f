"""Bringing the work of tasks into the user's branch, with real git and a real log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.commands import Shell
from tests.support.repositories import Repository, made

from trichrome.bootstrap import Project
from trichrome.coordinator import OPERATOR, tasks
from trichrome.domain.ids import TaskId
from trichrome.errors import TrichromeError
from trichrome.supervisor.merging import Merge, builds_on, merge


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return made(tmp_path / "project")


@pytest.fixture
def shell(repository: Repository) -> Shell:
    return Shell(repository.folder)


@pytest.fixture
def opened(shell: Shell) -> Iterator[Project]:
    with shell.project() as project:
        yield project


def done(shell: Shell, *, depends_on: tuple[str, ...] = (), summary: str = "it is done") -> str:
    """A completed task."""
    (task,) = shell.create("make it", kind="implement", depends_on=depends_on)
    shell.do(task, summary=summary)
    return task


def merged(project: Project, repository: Repository, task: str, *, dry_run: bool = False) -> Merge:
    return merge(project.coordinator, repository.spaces, task, dry_run=dry_run)


def within(is_so: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for a moment."""
    bound = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < bound


def subjects(repository: Repository) -> list[str]:
    return repository.git("log", "--format=%s", "--first-parent", "--reverse").splitlines()


# --- merging ----------------------------------------------------------------------------------------------------------


def test_a_completed_task_is_merged_with_a_merge_commit_that_names_it(
    repository: Repository, shell: Shell, opened: Project
) -> None:
    task = done(shell, summary="the parser reads\nempty lines")
    repository.work(task, a="two\n")
    repository.write(b="not committed\n")

    answer = merged(opened, repository, task)

    assert [(step.task, step.branch, step.files) for step in answer.steps] == [(task, "trichrome/t1", ("a",))]
    assert (answer.into, answer.commit) == ("main", repository.git("rev-parse", "HEAD"))
    assert subjects(repository) == ["begin", "Merge t1: the parser reads empty lines"]
    assert ((repository.folder / "a").read_text(), (repository.folder / "b").read_text()) == (
        "two\n",
        "not committed\n",
    )
    assert repository.refs == []


def test_what_it_builds_on_is_merged_first_in_order(repository: Repository, shell: Shell, opened: Project) -> None:
    first = done(shell)
    second = done(shell, depends_on=(first,))
    nothing = done(shell, depends_on=(second,))
    last = done(shell, depends_on=(nothing,))
    repository.work(first, a="two\n")
    repository.work(second, [first], b="two\n")
    repository.work(last, [first, second, nothing], c="two\n")

    with opened.coordinator.store.reading() as view:
        order = builds_on(view, TaskId(last))
    answer = merged(opened, repository, last)

    assert order == [first, second, nothing]
    assert [step.task for step in answer.steps] == [first, second, last]
    assert subjects(repository) == [
        "begin", "Merge t1: it is done", "Merge t2: it is done", "Merge t4: it is done",
    ]  # fmt: skip
    assert repository.refs == []


def test_what_a_worker_left_uncommitted_is_merged_too(repository: Repository, shell: Shell, opened: Project) -> None:
    task = done(shell, summary="wrote it")
    (repository.prepare(task).path / "new").write_text("made\n")

    merged(opened, repository, task)

    assert repository.shown("new") == "made"
    assert repository.git("log", "-1", "--format=%s", "HEAD^2") == "t1: wrote it"
    assert (repository.worktrees, repository.refs) == ([], [])


def test_merging_again_is_nothing_to_do(repository: Repository, shell: Shell, opened: Project) -> None:
    task = done(shell)
    repository.work(task, a="two\n")
    merged(opened, repository, task)
    before = repository.state

    again = merged(opened, repository, task)

    assert (again.steps, again.commit, again.clash) == ((), None, None)
    assert repository.state == before


def test_a_dry_run_changes_nothing(repository: Repository, shell: Shell, opened: Project) -> None:
    task = done(shell)
    repository.work(task, a="two\n")
    before = (repository.state, repository.refs)

    answer = merged(opened, repository, task, dry_run=True)

    assert ([step.task for step in answer.steps], answer.commit) == ([task], None)
    assert (repository.state, repository.refs) == before


@pytest.mark.parametrize("state", ["ready", "running", "in_review", "failed", "cancelled", "blocked"])
def test_a_task_that_is_not_completed_is_refused_with_what_helps(
    repository: Repository, shell: Shell, opened: Project, state: str
) -> None:
    review = "red" if state == "in_review" else None
    first, second = (shell.create(each, kind="implement", review=review)[0] for each in "ab")
    blocked = shell.create("c", kind="implement", depends_on=(first,))[0]
    repository.work(second, a="two\n")
    if state in {"running", "in_review", "failed"}:
        attempt = shell.claim(second)
    if state == "in_review":
        shell.report(attempt)
    if state == "failed":
        shell.report(attempt, "failed", retry=False)
    if state == "cancelled":
        tasks.cancel(opened.coordinator, OPERATOR, task=second)

    with pytest.raises(TrichromeError) as refused:
        merged(opened, repository, blocked if state == "blocked" else second)

    assert f"is {state}, so nothing was merged. `trichrome " in refused.value.message
    assert subjects(repository) == ["begin"]


# --- what stands in the way -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("staged", [False, True])
def test_files_that_the_user_is_changing_are_never_overwritten(
    repository: Repository, shell: Shell, opened: Project, *, staged: bool, dry_run: bool
) -> None:
    task = done(shell)
    repository.work(task, a="two\n", new="theirs\n")
    repository.write(a="mine\n", new="mine\n")
    if staged:
        repository.git("add", "a")
    before = repository.state

    with pytest.raises(TrichromeError, match="have changes of yours that are not committed") as refused:
        merged(opened, repository, task, dry_run=dry_run)

    assert ": a, new. Nothing was merged." in refused.value.message
    assert repository.state == before
    assert repository.branches == ["main", "trichrome/t1"]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("mine", ["new", "new/inner"])
def test_a_file_that_git_ignores_is_never_overwritten(
    repository: Repository, shell: Shell, opened: Project, mine: str, *, dry_run: bool
) -> None:
    repository.commit(**{".gitignore": "new\n"})
    task = done(shell)
    workspace = repository.prepare(task)
    (workspace.path / mine).parent.mkdir(exist_ok=True)
    (workspace.path / mine).write_text("theirs\n")
    repository.git("add", "--force", mine, at=workspace.path)
    repository.spaces.put_away(workspace)
    repository.write(new="mine\n")

    with pytest.raises(TrichromeError, match="changes of yours that are not committed"):
        merged(opened, repository, task, dry_run=dry_run)

    assert (repository.folder / "new").read_text() == "mine\n"
    assert "refs/trichrome/merging" not in repository.refs


@pytest.mark.parametrize(
    ("arrange", "told"),
    [
        (["switch --quiet --detach"], "No branch is checked out"),
        (["switch --quiet -c other", "commit -qam x", "switch -q main", "merge -q --no-commit --no-ff other"], "merge"),
        (["bisect start"], "bisect reset"),
    ],
)
def test_a_project_that_is_in_the_middle_of_something_is_left_alone(
    repository: Repository, shell: Shell, opened: Project, arrange: list[str], told: str
) -> None:
    task = done(shell)
    repository.work(task, a="two\n")
    repository.write(b="two\n")
    for command in arrange:
        repository.git(*command.split())
    before = repository.state

    with pytest.raises(TrichromeError, match=told):
        merged(opened, repository, task)

    assert repository.state == before


@pytest.mark.parametrize("dry_run", [False, True])
def test_work_that_is_not_in_the_branch_yet_is_named(
    repository: Repository, shell: Shell, opened: Project, *, dry_run: bool
) -> None:
    task = done(shell)
    workspace = repository.prepare(task)
    repository.git("switch", "--quiet", "--create", "elsewhere", at=workspace.path)
    (workspace.path / "a").write_text("two\n")

    with pytest.raises(TrichromeError, match="holds work that is not in its branch") as refused:
        merged(opened, repository, task, dry_run=dry_run)

    assert str(workspace.path) in refused.value.message
    assert subjects(repository) == ["begin"]


def test_a_worktree_that_somebody_is_in_stays_and_says_so(
    repository: Repository, shell: Shell, opened: Project
) -> None:
    task = done(shell)
    workspace = repository.prepare(task)
    (workspace.path / "a").write_text("two\n")
    with subprocess.Popen(["sleep", "60"], cwd=workspace.path) as sleeper:
        answer = merged(opened, repository, task)
        sleeper.kill()

    assert [step.task for step in answer.steps] == [task]
    assert [each.path for each in answer.left] == [workspace.path]
    assert repository.branches == ["main", "trichrome/t1"]
    assert repository.spaces.sweep(set()) == []
    assert repository.refs == []


# --- conflicts --------------------------------------------------------------------------------------------------------


def test_a_conflict_changes_nothing_and_becomes_one_task(repository: Repository, shell: Shell, opened: Project) -> None:
    easy = done(shell)
    task = done(shell, depends_on=(easy,))
    repository.work(easy, b="two\n")
    repository.work(task, [easy], a="theirs\n")
    repository.commit(a="ours\n")
    before = repository.state

    dry = merged(opened, repository, task, dry_run=True)
    answer = merged(opened, repository, task)
    repository.commit(c="more\n")
    again = merged(opened, repository, task)

    assert dry.clash is not None
    assert (dry.clash.task, dry.clash.files, dry.clash.fix) == (task, ("a",), None)
    assert answer.clash is not None
    assert again.clash == answer.clash
    assert (answer.steps, answer.clash.branch, answer.clash.files) == ((), "trichrome/t2", ("a",))
    assert (answer.clash.fix, answer.clash.fix_state) == ("t3", "ready")
    shown = shell.json("show", "t3")
    assert (shown["kind"], shown["role"], shown["files"]) == ("fix", "green", ["a"])
    assert (shown["run"], shown["depends_on"]) == (shell.json("show", task)["run"], [easy, task])
    assert "git merge trichrome/t2" in shown["instructions"]
    assert "both changed 1 file(s)" in shown["instructions"]
    assert repository.git("rev-parse", "HEAD^") == before[0]
    assert repository.branches == ["main", "trichrome/t1", "trichrome/t2"]


def test_the_task_that_resolves_a_conflict_brings_everything_in(
    repository: Repository, shell: Shell, opened: Project
) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")
    clash = merged(opened, repository, task).clash
    assert clash is not None
    assert clash.fix is not None
    workspace = repository.prepare(clash.fix, base_tasks=[task])
    repository.git("merge", "--quiet", clash.branch, at=workspace.path, ok=(1,))
    (workspace.path / "a").write_text("both\n")
    repository.git("commit", "--quiet", "--all", "--message", "resolved", at=workspace.path)
    repository.spaces.put_away(workspace)
    shell.do(clash.fix)

    waiting = merged(opened, repository, task)
    answer = merged(opened, repository, clash.fix)

    assert workspace.note == "The work of t1 is not in here: it is on trichrome/t1, and it conflicts in 1 file(s)."
    assert waiting.clash is not None
    assert (waiting.clash.fix, waiting.clash.fix_state) == (clash.fix, "completed")
    assert answer.clash is None
    assert (repository.folder / "a").read_text() == "both\n"
    assert repository.refs == []


def resolve(repository: Repository, fix: str, branch: str, *, base: str) -> None:
    """What a worker does that merges two sides by hand."""
    workspace = repository.prepare(fix, base_tasks=[base])
    repository.git("merge", "--quiet", branch, at=workspace.path, ok=(1,))
    (workspace.path / "a").write_text("both\n")
    repository.git("commit", "--quiet", "--all", "--message", "resolved", at=workspace.path)
    repository.spaces.put_away(workspace)


@pytest.mark.parametrize("asked", ["t1", "t2"])
def test_a_task_that_was_completed_without_resolving_the_conflict_is_followed_by_another(
    repository: Repository, shell: Shell, opened: Project, asked: str
) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")
    merged(opened, repository, task)
    repository.work("t2", b="something else\n")
    shell.do("t2")

    dry = merged(opened, repository, asked, dry_run=True).clash
    clash = merged(opened, repository, asked).clash
    again = merged(opened, repository, asked).clash
    resolve(repository, "t3", "trichrome/t1", base="t1")
    shell.do("t3")
    steps = merged(opened, repository, "t3").steps

    assert dry is not None
    assert (dry.task, dry.undone, dry.fix) == ("t1", "t2", None)
    assert clash is not None
    assert (clash.task, clash.undone, clash.fix, clash.fix_state) == ("t1", "t2", "t3", "ready")
    assert again == clash
    assert [step.task for step in steps] == ["t1", "t3"]
    assert (repository.folder / "a").read_text() == "both\n"


def test_a_resolution_that_conflicts_again_gets_a_task_of_its_own(
    repository: Repository, shell: Shell, opened: Project
) -> None:
    task = done(shell)
    repository.work(task, a="theirs\n")
    repository.commit(a="ours\n")
    merged(opened, repository, task)
    resolve(repository, "t2", "trichrome/t1", base="t1")
    shell.do("t2")
    repository.commit(a="ours again\n")

    first = merged(opened, repository, "t1").clash
    second = merged(opened, repository, "t2").clash

    assert first is not None
    assert (first.fix, first.fix_state, first.undone) == ("t2", "completed", None)
    assert second is not None
    assert (second.task, second.fix, second.fix_state) == ("t2", "t3", "ready")


# --- crashes ----------------------------------------------------------------------------------------------------------

_STOPS = """#!/bin/sh
case " $* " in
  *" {step} "*)
    if [ "{when}" = after ]; then {real} "$@"; fi
    kill -9 $PPID
    exit 1;;
esac
exec {real} "$@"
"""


def stand_in(tmp_path: Path, script: str, **words: str) -> dict[str, str]:
    """An environment whose git is a script that may call the real one."""
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    file = tmp_path / "bin" / "git"
    file.parent.mkdir()
    file.write_text(script.format(real=real, **words))
    file.chmod(0o755)
    return {"PATH": f"{file.parent}:{os.environ['PATH']}"}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["commit --quiet", "merge-tree", "commit-tree", "update-ref", "merge --quiet"])
def test_whatever_step_a_merge_dies_at_the_next_one_finishes_it(
    repository: Repository, shell: Shell, tmp_path: Path, step: str, when: str
) -> None:
    task = done(shell)
    (repository.prepare(task).path / "a").write_text("two\n")
    repository.write(b="mine\n")

    died = shell.run("merge", task, env=stand_in(tmp_path, _STOPS, step=step, when=when))
    again = shell.run("merge", task)

    assert died.code == -signal.SIGKILL
    assert again.code == 0, again.err
    assert subjects(repository) == ["begin", "Merge t1: it is done"]
    assert ((repository.folder / "a").read_text(), (repository.folder / "b").read_text()) == ("two\n", "mine\n")
    assert (repository.git("status", "--porcelain"), repository.worktrees) == ("M b", [])
    assert [ref for ref in repository.refs if ref != "refs/trichrome/merging"] == []


_HALF = """#!/bin/sh
# Stands in for a git that is killed while it writes files: one is replaced, one is there in part.
case " $* " in
  *" --ff-only "*)
    printf 'two\\n' > {project}/a
    printf 'ma' > {project}/new
    touch {project}/.git/index.lock
    kill -9 $$;;
esac
exec {real} "$@"
"""


def test_files_that_a_killed_git_left_half_written_are_named_with_the_command_that_puts_them_back(
    repository: Repository, shell: Shell, tmp_path: Path
) -> None:
    task = done(shell)
    repository.work(task, a="two\n", new="made\n")
    repository.write(b="mine\n")
    before = repository.state

    died = shell.run("merge", task, env=stand_in(tmp_path, _HALF, project=str(repository.folder)))
    told = shell.run("merge", task)
    command = re.search(r"`(cd .*?)`", told.err)
    assert command is not None, told.err
    subprocess.run(command[1], shell=True, check=True)
    put_back = repository.state
    again = shell.run("merge", task)

    assert (died.code, told.code) == (1, 1)
    assert "Files may be half written" in died.err
    assert put_back == before
    assert again.code == 0, again.err
    assert (repository.folder / "new").read_text() == "made\n"
    assert (repository.folder / "b").read_text() == "mine\n"


def test_ctrl_c_lets_git_finish(repository: Repository, shell: Shell, tmp_path: Path) -> None:
    script = '#!/bin/sh\ncase " $* " in *" --ff-only "*) touch {flag}; sleep 0.5;; esac\nexec {real} "$@"\n'
    flag = tmp_path / "begun"
    task = done(shell)
    repository.work(task, a="two\n")
    environment = shell.environment(stand_in(tmp_path, script, flag=str(flag)))

    with shell.start("merge", task, env=environment, start_new_session=True) as merging:
        within(flag.exists)
        os.killpg(merging.pid, signal.SIGINT)
        code = merging.wait(20)

    assert code == 130
    within(lambda: len(subjects(repository)) == 2)
    assert repository.git("status", "--porcelain") == ""


def test_a_git_that_cannot_merge_in_its_store_says_so_and_changes_nothing(
    repository: Repository, shell: Shell, tmp_path: Path
) -> None:
    script = '#!/bin/sh\ncase " $* " in *" merge-tree "*) echo "usage: git merge-tree" >&2; exit 129;; esac\nexec {real} "$@"\n'
    task = done(shell)
    repository.work(task, a="two\n")

    ended = shell.run("merge", task, env=stand_in(tmp_path, script))

    assert ended.code == 1
    assert "merge-tree" in ended.err
    assert subjects(repository) == ["begin"]
