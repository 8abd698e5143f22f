"""A project with a supervisor of its own, and a look whether anything of it is left."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
from tests.support.commands import BOUND, Ended, Shell
from tests.support.repositories import Repository, made

from trichrome.supervisor import control

ROOT: Final = Path(__file__).parents[2]
ENDS: Final = {
    "AttemptExpired",
    "AttemptFailed",
    "AttemptReleased",
    "AttemptRescued",
    "TaskCancelled",
    "TaskCompleted",
    "TaskFailed",
}
"""What ends an attempt."""
MARK: Final = "MARK_OF_A_TEST"
"""Every process that a test starts inherits it, the reaper too."""


def until(what: Callable[[], Any], *, bound: float = BOUND) -> Any:
    """Wait for a moment; answers what was waited for."""
    deadline = time.monotonic() + bound
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class House:
    """A project in a repository, with all that a test starts there."""

    shell: Shell
    repository: Repository
    notes: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def data(self) -> Path:
        return self.shell.folder / ".trichrome"

    @property
    def environment(self) -> dict[str, str]:
        """What marks a command's processes, with a folder for temporary files that is theirs."""
        temporary = self.notes / "tmp"
        temporary.mkdir(exist_ok=True)
        return {MARK: self.mark, "TMPDIR": str(temporary)}

    def agent(self, behaviour: str) -> str:
        """A runner whose sessions behave so."""
        script = Path(__file__).with_name("agent.py")
        return f"script:{shlex.join([sys.executable, str(script), behaviour, str(self.notes)])}"

    def runs(self) -> int:
        """How often an agent was started."""
        path = self.notes / "runs"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def start(self, *arguments: str, bound: float = BOUND * 3, **environment: str) -> Ended:
        return self.shell.run(*arguments, env={**self.environment, **environment}, bound=bound)

    def keep(
        self, runner: str, *, env: Mapping[str, str] | None = None, bound: float = BOUND * 3, **more: Any
    ) -> Ended:
        """Keep workers under rules of the test, until nothing is left to do or the supervisor is killed."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.keeper", json.dumps({"runner": runner, **more})],
            cwd=ROOT,
            env=self.shell.environment({**self.environment, **(env or {})}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=bound,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def processes(self) -> list[psutil.Process]:
        """Everything that bears the test's mark and runs."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def events(self, *kinds: str) -> list[Any]:
        return [each for each in self.shell.run("events", "--json").lines if not kinds or each["kind"] in kinds]

    def state(self, task: str) -> str:
        return str(self.shell.json("show", task)["state"])

    def assert_nothing_is_left(self) -> None:
        """No process, lock, scratch, workspace, worktree, temporary file; and a log that is whole."""
        until(lambda: not self.processes())
        assert not control.is_running(self.data)
        assert list(self.data.glob("scratch/*")) == []
        assert [path for path in self.data.glob("workspaces/*/*") if path.is_dir()] == []
        assert self.repository.worktrees == []
        assert self.repository.git("worktree", "prune", "--dry-run", "--verbose") == ""
        assert list((self.shell.folder / ".git").rglob("*.lock")) == []
        assert [path.name for path in (self.notes / "tmp").iterdir() if not path.name.startswith("claude")] == []
        check = self.shell.run("repair", "--check")
        assert check.code == 0, (check.out, check.err)

    def assert_each_was_completed_once(self, *tasks: str) -> None:
        """One completion a task, and no two attempts at it at a time."""
        lines = self.events()
        done = Counter(each["stream"] for each in lines if each["kind"] == "TaskCompleted")
        assert done == dict.fromkeys(tasks, 1), done
        live = set()
        for each in lines:
            if each["kind"] in {"TaskClaimed", "AttemptResumed"}:
                assert each["stream"] not in live, each
                live.add(each["stream"])
            elif each["kind"] in ENDS:
                live.discard(each["stream"])
        with self.shell.project() as project, project.coordinator.store.reading() as view:
            assert list(view.live_attempts()) == []


@contextmanager
def house(folder: Path, config: str = "backoff_seconds = 0\nrestart_backoff_seconds = 0\n") -> Iterator[House]:
    """A house in a folder; whatever a test starts there is ended."""
    repository = made(folder / "project")
    repository.commit("files", auth="def login(password): ...\n")
    (repository.folder / ".trichrome" / "config.toml").write_text(config)
    notes = folder / "notes"
    notes.mkdir()
    (notes / "tmp").mkdir()
    there = House(Shell(repository.folder), repository, notes)
    try:
        yield there
    finally:
        left = there.processes()
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=BOUND)
