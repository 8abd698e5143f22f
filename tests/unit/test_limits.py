"""Limits of a session: what is counted, and what the kernel is told where it takes part.

The kernel's control groups are a folder here, in which a made group gets the files that a real one has.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trichrome.processes import this_process
from trichrome.supervisor import limits
from trichrome.supervisor.limits import Cgroup, Limits, exceeded

GIB = 2**30
TEN = Limits(memory_bytes=GIB, processes=10)


class Stand:
    """A process as far as limits look at it."""

    def __init__(self, name: str, *, resident: float = 0.01, **held: float) -> None:
        self.pid = 1000
        self._name = name
        self._resident = resident
        self._held = held

    def name(self) -> str:
        return self._name

    def memory_info(self) -> Any:
        return SimpleNamespace(rss=int(self._resident * GIB))

    def memory_full_info(self) -> Any:
        assert self._held, "it was measured without need"
        return SimpleNamespace(**{kind: int(size * GIB) for kind, size in self._held.items()})


def why(*processes: Stand) -> str | None:
    return exceeded(processes, TEN)  # type: ignore[arg-type]


def test_session_within_its_limits_is_not_measured() -> None:
    assert why(*[Stand("sh", resident=0.1)] * 10) is None


def test_one_process_too_many_is_counted_and_most_of_them_named() -> None:
    said = why(*[Stand("sh")] * 7, *[Stand("node")] * 4)

    assert said == "it ran 11 processes and may run 10; 7 of them are `sh`"


def test_memory_that_is_shared_counts_once() -> None:
    assert why(*[Stand("node", resident=0.9, uss=0.0, pss=0.4)] * 2) is None


def test_too_much_memory_is_told_with_who_holds_most() -> None:
    said = why(Stand("claude", resident=0.5, uss=0.4, pss=0.5), Stand("pytest", resident=1.0, uss=0.9, pss=1.0))

    assert said == "it held 1,536 MiB of memory and may hold 1,024 MiB; 1,024 MiB of it `pytest` (process 1000)"


def test_where_no_parts_are_told_a_process_counts_by_what_is_its_own() -> None:
    said = why(Stand("claude", resident=2.0, uss=1.5))

    assert said is not None
    assert said.startswith("it held 1,536 MiB")


@pytest.mark.skipif(sys.platform != "linux", reason="no other system lets one process set the limits of another")
def test_forks_are_bounded_some_way_above_what_the_user_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = resource.getrlimit(resource.RLIMIT_NPROC)
    monkeypatch.setattr(limits, "_BOMB_TASKS", 50)
    with subprocess.Popen(["sleep", "60"]) as process:
        limits.bound_forks(process.pid)

        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NPROC)
        process.kill()

    assert soft > 50
    assert soft < ours[0] or ours[0] == resource.RLIM_INFINITY
    assert hard == ours[1]
    assert resource.getrlimit(resource.RLIMIT_NPROC) == ours


# --- control groups ---------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The group that the user may make others in; this process is in one of them, `shell`."""
    root = tmp_path / "cgroup"
    user = root / "user"
    (user / "shell").mkdir(parents=True)
    for folder, passed_on in ((root, "memory pids"), (user, "cpu memory pids"), (user / "shell", "")):
        (folder / "cgroup.subtree_control").write_text(passed_on)
        (folder / "cgroup.procs").touch()
    (tmp_path / "mounts").write_text(f"proc /proc proc rw 0 0\ncgroup2 {root} cgroup2 rw 0 0\n")
    (tmp_path / "own").write_text("1:name=systemd:/\n0::/user/shell\n")
    monkeypatch.setattr(limits, "_MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(limits, "_OWN_CGROUP", tmp_path / "own")
    make = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        for file in ("cgroup.procs", "memory.swap.max", "cgroup.kill"):
            (self / file).touch()
        (self / "memory.events").write_text("low 0\noom_kill 0\n")
        (self / "pids.events").write_text("max 0\n")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "rmdir", shutil.rmtree)
    yield user
    monkeypatch.undo()


def groups(kernel: Path) -> list[Path]:
    return sorted(kernel.glob("trichrome-*"))


def test_group_is_made_where_limits_are_passed_on_and_told_what_to_hold(kernel: Path) -> None:
    group = Cgroup.make("a1b2", TEN)

    assert group is not None
    (folder,) = groups(kernel)
    me = this_process()
    assert folder.name == f"trichrome-{me.pid}-{me.start}-a1b2"
    assert (folder / "memory.max").read_text() == str(GIB)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "pids.max").read_text() == "160"


def test_group_takes_the_session_in_and_says_who_is_there(kernel: Path) -> None:
    group = Cgroup.make("a1b2", TEN)
    assert group is not None

    group.add([4711])

    assert group.members() == [4711]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("memory.events", "low 0\noom_kill 2\n", "it held more than the 1,024 MiB of memory that it may hold"),
        ("pids.events", "max 1\n", "it ran 160 threads"),
    ],
)
def test_group_says_what_the_kernel_held_it_to(kernel: Path, file: str, text: str, said: str) -> None:
    group = Cgroup.make("a1b2", TEN)
    assert group is not None
    assert group.exceeded() is None

    (groups(kernel)[0] / file).write_text(text)

    assert said in str(group.exceeded())


def test_removed_group_is_ended_and_gone(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Cgroup.make("a1b2", TEN)
    assert group is not None
    (folder,) = groups(kernel)
    at_the_end: list[str] = []

    def rmdir(self: Path) -> None:
        at_the_end.append((self / "cgroup.kill").read_text())
        shutil.rmtree(self)

    monkeypatch.setattr(Path, "rmdir", rmdir)

    group.remove()

    assert at_the_end == ["1"]
    assert not folder.exists()


def test_groups_of_dead_supervisors_are_removed_and_those_of_live_ones_kept(kernel: Path) -> None:
    me = this_process()
    for name in (f"trichrome-{me.pid}-{me.start + 1}-dead", f"trichrome-{me.pid}-{me.start}-live", "trichrome-by-hand"):
        (kernel / name).mkdir()

    Cgroup.make("a1b2", TEN)

    assert [folder.name.rpartition("-")[2] for folder in groups(kernel)] == ["a1b2", "live", "hand"]


def test_no_group_is_made_where_limits_are_not_passed_on(kernel: Path) -> None:
    for folder in (kernel, kernel.parent):
        (folder / "cgroup.subtree_control").write_text("cpu")

    assert Cgroup.make("a1b2", TEN) is None
    assert groups(kernel) == []


def test_no_group_is_made_in_one_of_somebody_else(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert Cgroup.make("a1b2", TEN) is None
    assert groups(kernel) == []


def test_no_group_is_made_on_a_system_that_has_none(kernel: Path) -> None:
    limits._MOUNTS.unlink()

    assert Cgroup.make("a1b2", TEN) is None


def test_group_that_the_kernel_refuses_leaves_no_folder(kernel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_text

    def refused(self: Path, text: str, *arguments: Any, **options: Any) -> int:
        if self.name == "pids.max":
            raise PermissionError
        return write(self, text, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", refused)

    assert Cgroup.make("a1b2", TEN) is None
    assert groups(kernel) == []
