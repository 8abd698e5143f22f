"""Starts sessions, which no other module does. A session is a process with everything that it starts.

Guarantees. A session reads nothing from whoever started it and writes to files that this user alone may read. What it
writes is read in bounded memory, however much that is. Signals reach only processes that are its own: the number of its
first process is used only until that one is waited for, since the system gives it out again afterwards. `sweep`
ends all of it, also what left its process group, or was stopped, and tells what even a kill does not end.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import psutil

from trichrome.processes import ProcessRef, ProcTable, PsutilTable, is_alive
from trichrome.runners.port import Ending, Launch
from trichrome.supervisor import marks
from trichrome.supervisor.limits import Cgroup, Limits, bound_forks, exceeded, written_too_much
from trichrome.supervisor.output import Output, opened, tail

_NOT_INHERITED: Final = frozenset(
    {
        # Who the starter is to Trichrome.
        "TRICHROME_HOME",
        "TRICHROME_OUTPUT",
        "TRICHROME_ROLE",
        "TRICHROME_SUPERVISOR",
        "TRICHROME_TASK",
        "TRICHROME_TOOLSET",
        "TRICHROME_WORKER",
        "TRICHROME_WORKSPACE",
        marks.SESSION,
        marks.SUPERVISION,
        # Which session of Claude Code, or which hook or plugin of one, the starter runs in.
        "CLAUDECODE",
        "CLAUDE_CODE_CHILD_SESSION",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_SESSION_KIND",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_ENV_FILE",
        "CLAUDE_PLUGIN_ROOT",
        "CLAUDE_PROJECT_DIR",
        # It would change the models of roles.
        "CLAUDE_CODE_SUBAGENT_MODEL",
        # Which repository the git hook works on that the starter runs in: git believes these more than the folder.
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_WORK_TREE",
    }
)
_LOOK_SECONDS: Final = 1.0
_LOOK_SHARE: Final = 0.01
"""The most of this process's time that looking after one session may take."""
_SWEEP_SECONDS: Final = 15.0
_PROGRAM_FAULTS: Final = frozenset(
    {errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENOENT, errno.ENOEXEC, errno.ENOTDIR, errno.EPERM}
)
"""Why a program cannot be started at any other time either."""

_TABLE: Final = ProcTable() if sys.platform == "linux" else PsutilTable()


def inherited() -> dict[str, str]:
    """This process's environment, but for what says who it is and where it was started."""
    return {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}


class Session:
    """One session.

    Attributes:
        pid: the number of its first process, and of its process group.
        ref: that process.
    """

    def __init__(self, popen: subprocess.Popen[bytes], mark: str, output: Path, errors: Path, limits: Limits) -> None:
        self.pid = popen.pid
        # One that is over already has no stamp; no process that lives has 0.
        self.ref = ProcessRef(popen.pid, _TABLE.start(popen.pid) or 0)
        self._popen = popen
        self._mark = mark
        self._output = Output(output)
        self._errors = errors
        self._limits = limits
        self._seen: set[psutil.Process] = set()
        self._over: str | None = None
        self._look_at = 0.0
        self._files = (output, errors)
        self._cgroup = Cgroup.make(mark, limits)
        if self._cgroup is not None:
            self._cgroup.add([self.pid])
        bound_forks(self.pid)

    @classmethod
    def start(
        cls,
        launch: Launch,
        *,
        folder: Path,
        output: Path,
        errors: Path,
        environment: Mapping[str, str],
        limits: Limits,
    ) -> Session | Ending:
        """Start a session; answers why there is none where its program cannot be started.

        Args:
            launch: its program.
            folder: where it works.
            output: the file for its standard output; an earlier one is kept beside it as `.1`.
            errors: the file for its standard error, likewise.
            environment: what the assignment says, `TRICHROME_SESSION` included: the mark that is this session's own.
            limits: what it may take of the machine.
        """
        environment = {**inherited(), **launch.environment, **environment}
        with ExitStack() as files:
            try:
                standard, error = (files.enter_context(opened(file)) for file in (output, errors))
            except OSError as refused:
                return _no_files(refused)
            try:
                popen = subprocess.Popen(
                    launch.command,
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=standard,
                    stderr=error,
                    start_new_session=True,
                )
            except OSError as refused:
                return _no_process(launch.command[0], folder, refused)
        return cls(popen, environment[marks.SESSION], output, errors, limits)

    def poll(self) -> int | None:
        """The exit code of its first process, minus a signal's number; None while that one runs or is stopped."""
        if self._popen.returncode is None and not is_alive(self.ref):
            self._look()  # its group can be told by its number for the last time
            self._popen.poll()
        return self._popen.returncode

    def ask(self) -> None:
        """Ask it to end; a stopped one is let go on, so that it can."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End its process group at once."""
        self._signal(signal.SIGKILL)

    def lines(self) -> list[bytes]:
        """Complete lines of its output since the last call, without their ends; none when there are no more for now.

        One call reads some megabytes at most, and of a longer line gives so much. Once `poll` gave a code, a last line
        that was never finished counts as complete.
        """
        return self._output.lines(is_over=self._popen.returncode is not None)

    def error_tail(self) -> str:
        """The end of what it wrote to standard error."""
        return tail(self._errors)

    def over_limit(self) -> str | None:
        """Which limit it went over, by how much, and by whom; None while it keeps them.

        May be asked at any time: it looks at processes every second or so, and less often where looking takes long.
        """
        if self._over is None:
            self._over = written_too_much(self._files, self._limits)
        if self._over is None and self._cgroup is not None:
            self._over = self._cgroup.exceeded()
        now = time.monotonic()
        if self._over is None and now >= self._look_at:
            self._over = exceeded(self._look(), self._limits)
            took = time.monotonic() - now
            self._look_at = now + max(_LOOK_SECONDS, took / _LOOK_SHARE)
        return self._over

    def sweep(self, *, grace_seconds: float = 2.0) -> marks.Swept:
        """End everything of it that runs, by SIGTERM first; answers how many processes that were, and what is left.

        Found is what carries its mark, what is in its process group or session, and what was seen below one of these
        at any look, its own parent being gone or not.
        """
        swept = marks.sweep(self._look, grace_seconds=grace_seconds, bound_seconds=_SWEEP_SECONDS)
        self.poll()
        if self._cgroup is not None:
            self._over = self._over or self._cgroup.exceeded()
            self._cgroup.remove()
            self._cgroup = None
        return swept

    def _signal(self, number: signal.Signals) -> None:
        if self._popen.returncode is None:
            # macOS refuses a signal to a group of which only a zombie is left.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _look(self) -> set[psutil.Process]:
        """All of its processes that run now; they are known from here on, whatever becomes of parent and mark."""
        marked = marks.carrying(marks.SESSION, self._mark)
        known = {process for process in self._seen if marks.runs(process)}.union(marked)
        numbers = [*(process.pid for process in known), *self._numbers()]
        for pid in numbers:  # it grows meanwhile, downwards from parent to child
            numbers += [child for child in _TABLE.children(pid) if child not in numbers]
        others = set(numbers).difference(process.pid for process in known)
        self._seen = known.union(process for pid in others if (process := marks.running(pid)) is not None)
        if self._cgroup is not None:
            self._cgroup.add(process.pid for process in self._seen)  # a child may have been started before it was made
        return self._seen

    def _numbers(self) -> list[int]:
        """Numbers of processes that belong to it by what the system says of them."""
        members = self._cgroup.members() if self._cgroup is not None else []
        if self._popen.returncode is None:
            members += [pid for pid in psutil.pids() if _session_of(pid) == self.pid]
        return members


def _no_files(error: OSError) -> Ending:
    return Ending(
        "unusable",
        f"No session can be started, since its output cannot be kept ({error.strerror}: {error.filename}). Nothing was "
        "lost: the tasks wait. Make room there, or mend its permissions.",
    )


def _no_process(program: str, folder: Path, error: OSError) -> Ending:
    if not folder.is_dir():
        return Ending("failed", f"No session was started: its workspace {folder} is gone. The task is kept.")
    if error.errno in _PROGRAM_FAULTS:
        return Ending(
            "unusable",
            f"`{program}` cannot be started ({error.strerror}). Nothing was lost: the tasks wait. Install it, or put "
            "its folder on PATH.",
        )
    return Ending("failed", f"`{program}` could not be started now ({error.strerror}). The task is kept.")


def _session_of(pid: int) -> int | None:
    with suppress(OSError):
        return os.getsid(pid)
    return None
