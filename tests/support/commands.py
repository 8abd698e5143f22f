"""The command line as a person or a program meets it: real processes of `python -m trichrome`."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from trichrome.bootstrap import Project, open_project
from trichrome.coordinator import OPERATOR, Caller, attempts, tasks
from trichrome.domain.drafts import Draft

BOUND = 30.0
"""Seconds for a command that answers at once, on a machine that is busy with other tests."""


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def refusal(self) -> Any:
        """What a refused command answered a program."""
        assert self.code == 1, (self.code, self.out, self.err)
        return self.answer["error"]

    @property
    def lines(self) -> list[Any]:
        """The JSON objects of standard output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Shell:
    """A shell in a project folder of its own."""

    folder: Path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Nothing of ours that the tests' own environment may say."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRICHROME_", "CLAUDE_"))}
        return {**kept, "TRICHROME_HOME": str(self.folder), **(more or {})}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "trichrome", *arguments]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and let it run."""
        defaults: dict[str, Any] = {
            "cwd": self.folder,
            "env": self.environment(),
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        return subprocess.Popen(self.command(*arguments), **(defaults | options))

    def run(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        bound: float = BOUND,
    ) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=cwd or self.folder,
            env=self.environment(env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=bound,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **options: Any) -> Any:
        """Run a command that must go well, and read its document."""
        ended = self.run(*arguments, "--json", **options)
        assert ended.code == 0, (ended.out, ended.err)
        return ended.answer

    def on_terminal(self, *arguments: str, columns: int, env: Mapping[str, str] | None = None) -> str:
        """What a terminal of some width is sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = self.environment({"TERM": "xterm-256color", **(env or {})})
        environment.pop("COLUMNS", None)
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        limit = threading.Timer(BOUND * 4, process.kill)
        limit.start()
        sent = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # what Linux says when the other end is closed
                chunk = b""
            if not chunk:
                break
            sent += chunk
        os.close(ours)
        process.wait(BOUND)
        limit.cancel()
        return sent.decode().replace("\r\n", "\n")

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The same project, opened by this process."""
        project = open_project(self.folder, environment={})
        try:
            yield project
        finally:
            project.close()

    def create(self, *instructions: str, **content: Any) -> list[str]:
        """Create searches in one run; answers their ids."""
        drafts = [Draft(kind=content.pop("kind", "search"), instructions=each, **content) for each in instructions]
        with self.project() as project:
            return [task["id"] for task in tasks.create(project.coordinator, OPERATOR, drafts)["tasks"]]

    def claim(self, task: str, by: str = "tester") -> str:
        """Take a task as some worker; answers the attempt."""
        with self.project() as project:
            return str(attempts.claim(project.coordinator, Caller(by), task=task)["attempt"])

    def report(self, attempt: str, outcome: Any = "completed", summary: str = "done", **said: Any) -> None:
        """Report an attempt as whoever claimed it."""
        by = said.pop("by", "tester")
        with self.project() as project:
            attempts.report(project.coordinator, Caller(by), attempt, outcome, summary, **said)

    def do(self, task: str, outcome: Any = "completed", summary: str = "done", **said: Any) -> None:
        """Take a task and report it."""
        self.report(self.claim(task), outcome, summary, **said)

    def processes(self) -> list[psutil.Process]:
        """Processes that work on this project."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get("TRICHROME_HOME") == str(self.folder):
                    found.append(process)
            except psutil.Error:
                continue
        return found
