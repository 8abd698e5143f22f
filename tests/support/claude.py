"""The real Claude Code, without a network: the pinned binary, a home of its own, and a stand-in for its model.

Guarantee: whatever a test does, no process that one of these sessions started outlives its `with` block, and no wait
is without a bound.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

SESSION_LIMIT = 60.0
"""Seconds for a whole headless session; one of a few turns takes 1 to 5."""

KILL_LIMIT = 5.0
"""Seconds for killed processes to be gone."""

API_KEY = "sk-ant-dummy"
"""The stand-in takes anything; Claude Code wants to see something."""

MARK = "CLAUDE_SESSION_OF_A_TEST"
"""Environment variable that every process of one session inherits, also those that left its process group: Claude Code
gives each shell command a session of its own."""


def binary() -> Path:
    """The binary that the pinned `claude-agent-sdk` brings along."""
    package = importlib.util.find_spec("claude_agent_sdk")
    assert package is not None, "claude-agent-sdk is a development dependency"
    assert package.origin is not None
    return Path(package.origin).parent / "_bundled" / "claude"


@dataclass(frozen=True)
class Answer:
    """How a headless session ended: `result` is its JSON result, empty when it printed none."""

    returncode: int
    result: dict[str, Any]
    stderr: str

    @property
    def text(self) -> str:
        """The model's last words."""
        return str(self.result.get("result", ""))


@dataclass(frozen=True, kw_only=True)
class Claude:
    """How to start Claude Code: its home and project folder, its model, and the servers, agents and hooks it has.

    With `agent`, the session itself is one of `agents`: it has that one's prompt, model and tools.
    """

    home: Path
    folder: Path
    api_url: str
    servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    allowed: Sequence[str] = ()
    agents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    agent: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str = ""
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, prompt: str, *, timeout: float = SESSION_LIMIT) -> Answer:
        """One headless session from start to end.

        Raises:
            TimeoutError: it took longer than `timeout` seconds; it is gone by then.
        """
        with self.start(prompt) as session:
            return session.wait(timeout)

    def start(self, prompt: str) -> "Session":
        """A headless session in the background, for a `with` block that bounds its life."""
        return Session(self.command("--print", "--output-format=json", prompt), self.folder, self.environment())

    def open(self, prompt: str) -> "Terminal":
        """An interactive session on a terminal of its own, for a `with` block that bounds its life.

        What a person would be asked at the first start is answered beforehand, and `prompt` is typed. The mode is not
        the usual `auto`: its check runs at the real API, and without one it asks before every subagent.
        """
        config = self.home / "config"
        config.mkdir(parents=True, exist_ok=True)
        answered = {
            "hasCompletedOnboarding": True,
            "customApiKeyResponses": {"approved": [API_KEY], "rejected": []},
            "projects": {str(self.folder.resolve()): {"hasTrustDialogAccepted": True}},
        }
        (config / ".claude.json").write_text(json.dumps(answered))
        return Terminal(
            self.command("--permission-mode=default", prompt),
            self.folder,
            self.environment() | {"TERM": "xterm-256color"},
        )

    def command(self, *more: str) -> list[str]:
        options = {
            "--mcp-config": {"mcpServers": self.servers},
            "--settings": self.settings,
            "--agents": self.agents,
        }
        return [
            str(binary()),
            "--strict-mcp-config",
            *(f"{name}={json.dumps(value)}" for name, value in options.items()),
            f"--allowedTools={','.join(self.allowed)}",
            f"--append-system-prompt={self.system_prompt}",
            *([f"--agent={self.agent}"] if self.agent else []),
            *more,
        ]

    def environment(self) -> dict[str, str]:
        """All that the binary sees of the machine. With it, it reaches nothing but the stand-in."""
        scratch = self.home / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
            "HOME": str(self.home),
            "CLAUDE_CONFIG_DIR": str(self.home / "config"),
            "TMPDIR": str(scratch),
            "LANG": "C.UTF-8",
            "ANTHROPIC_BASE_URL": self.api_url,
            "ANTHROPIC_API_KEY": API_KEY,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_ERROR_REPORTING": "1",
            "DISABLE_TELEMETRY": "1",
            **self.env,
        }


class Session:
    """One running Claude Code, with all that it starts. Leaving the `with` block kills what is left of it."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._mark = uuid.uuid4().hex
        # Files, not pipes: whatever a forgotten grandchild still holds, nobody waits for its end.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed with the session
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  likewise
        self.process = self._started(command, folder, {**environment, MARK: self._mark})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + KILL_LIMIT
        while alive := self.processes():
            assert time.monotonic() < deadline, f"processes that will not die: {alive}"
            for process in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=0.5)
        self.process.wait(KILL_LIMIT)
        self._output.close()
        self._errors.close()

    def wait(self, timeout: float = SESSION_LIMIT) -> Answer:
        """Wait for the session's own end.

        Raises:
            TimeoutError: it still runs after `timeout` seconds.
        """
        try:
            returncode = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"Claude Code still runs after {timeout} s; stderr: {_read(self._errors)}") from None
        last = (self.output().splitlines() or [b""])[-1]
        return Answer(returncode, json.loads(last) if last.startswith(b"{") else {}, _read(self._errors))

    def output(self) -> bytes:
        """What it has printed so far; with `--output-format=json` one line, at the end."""
        return _read(self._output).encode()

    def processes(self) -> list[psutil.Process]:
        """Every live process of this session: itself, its servers, its shell commands, and theirs."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _started(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


class Terminal(Session):
    """An interactive Claude Code. It has no result of its own; what it did is to be seen at the stand-in."""

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._reader.join(KILL_LIMIT)
        os.close(self._master)

    def press_enter(self) -> None:
        """Take what a dialog offers first."""
        os.write(self._master, b"\r")

    def _started(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        try:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
        finally:
            os.close(slave)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        return process

    def _drain(self) -> None:
        """Keep reading the screen, so that the program never waits for it. The last writer's end is an `OSError`."""
        with contextlib.suppress(OSError):
            while os.read(self._master, 65536):
                pass


def _read(file: Any) -> str:
    """The whole file, without moving the position that its writer shares."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
