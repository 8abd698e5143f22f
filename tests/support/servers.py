"""A real server in a process of its own, spoken to in raw JSON-RPC lines, so that what is tested is what is on the wire.

Nothing here waits without a bound, and nothing that was started outlives the test. The test's process is the client of
the servers that it starts itself. Run as a plain file, this module is a client of its own: it starts the command that
its arguments name, relays its own input and output to and from it, and lives on when that server is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

BOUND_SECONDS = 20.0
"""Longer than anything here takes on a loaded machine; reached only by a failing test."""
TRICHROME = [sys.executable, "-m", "trichrome", "mcp"]
RELAY = [sys.executable, str(Path(__file__).resolve())]
"""The command of a client of its own; what follows it is the server's."""

Era = Literal["2025-11-25", "2026-07-28"]
ERAS: tuple[Era, ...] = ("2025-11-25", "2026-07-28")


def environment(project: Path, **more: str) -> dict[str, str]:
    """What a server of a project is started with: nothing of ours but what is said here."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TRICHROME_", "CLAUDE"))}
    return {**inherited, "TRICHROME_HOME": str(project), "TRICHROME_DURABILITY": "fast", **more}


def eventually(happened: Callable[[], object], *, seconds: float = BOUND_SECONDS) -> float:
    """Wait until something happened; answers how many seconds it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - began


class Server:
    """One server process and the pipe to it.

    Args:
        project: the project folder.
        flags: added to the command line.
        command: what to start.
        era: how requests are written.
        name: how the client names itself.
        variables: added to the environment.
    """

    def __init__(
        self,
        project: Path,
        *flags: str,
        command: Sequence[str] = TRICHROME,
        era: Era = "2025-11-25",
        name: str = "test",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.era = era
        self.name = name
        self.errors = project / f"stderr-{time.monotonic_ns()}"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*command, *flags],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(project, **(variables or {})),
                cwd=project,
                start_new_session=True,
                bufsize=0,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdout = self.process.stdout
        self._to = self.process.stdin.fileno()
        self._from = self.process.stdout.fileno()
        os.set_blocking(self._to, False)
        self._half = b""
        self.unread: list[dict[str, Any]] = []
        self.lines: list[bytes] = []
        self._last = 0

    # --- messages -----------------------------------------------------------------------------------------------------

    def send_bytes(self, raw: bytes, *, reading: bool = True, seconds: float = BOUND_SECONDS) -> None:
        """Write bytes, reading what comes meanwhile, unless told not to."""
        deadline = time.monotonic() + seconds
        reading = reading and not self._stdout.closed
        view = memoryview(raw)
        while view:
            readable, writable, _ = select.select(
                [self._from] if reading else [], [self._to], [], max(0.0, deadline - time.monotonic())
            )
            assert readable or writable, "the server took nothing in time"
            if readable:
                self._read()
            if writable:
                view = view[os.write(self._to, view[: 1 << 20]) :]

    def send(self, message: object) -> None:
        """Write a message as one line."""
        self.send_bytes(json.dumps(message).encode() + b"\n")

    def ask(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a request; answers its id."""
        self._last += 1
        self.send(self.request(self._last, method, params))
        return self._last

    def request(self, number: int | str, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A request as this era writes it."""
        whole = dict(params or {})
        if self.era == "2026-07-28":
            whole["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": self.era,
                "io.modelcontextprotocol/clientInfo": {"name": self.name, "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
                **whole.get("_meta", {}),
            }
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": whole}

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": dict(params or {})})

    def answer(self, number: int | str | None, *, seconds: float = BOUND_SECONDS) -> dict[str, Any]:
        """The answer to a request."""
        return self.until(lambda message: "method" not in message and message["id"] == number, seconds=seconds)

    def notice(self, method: str, *, seconds: float = BOUND_SECONDS) -> dict[str, Any]:
        """The next notification of a method: its parameters."""
        params: dict[str, Any] = self.until(lambda message: message.get("method") == method, seconds=seconds)["params"]
        return params

    def until(self, wanted: Callable[[dict[str, Any]], bool], *, seconds: float = BOUND_SECONDS) -> dict[str, Any]:
        """The next message that is wanted; others are kept."""
        deadline = time.monotonic() + seconds
        while True:
            for message in self.unread:
                if wanted(message):
                    self.unread.remove(message)
                    return message
            readable, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"no such message in time; there are {self.unread[:3]}; {self.said()[-2000:]}"
            assert self._read(), f"the server is gone: {self.said()[-2000:]}"

    def _read(self) -> bool:
        chunk = os.read(self._from, 1 << 20)
        *whole, self._half = (self._half + chunk).split(b"\n")
        self.lines += whole
        self.unread += [json.loads(line) for line in whole]
        return bool(chunk)

    # --- requests -----------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Open the conversation as this era does."""
        if self.era == "2026-07-28":
            self.result("server/discover")
            return self
        client = {"protocolVersion": self.era, "capabilities": {}, "clientInfo": {"name": self.name, "version": "1"}}
        self.result("initialize", client)
        self.notify("notifications/initialized")
        return self

    def result(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The result of a request that must succeed."""
        answer = self.answer(self.ask(method, params))
        assert "result" in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def error(self, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The error of a request that must fail."""
        answer = self.answer(self.ask(method, params))
        assert "error" in answer, answer
        error: dict[str, Any] = answer["error"]
        return error

    def ask_tool(self, tool: str, **arguments: Any) -> int:
        """Begin to call a tool; answers the request's id."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})

    def tool_answer(self, number: int, *, seconds: float = BOUND_SECONDS) -> dict[str, Any]:
        """What a tool answered: its structured content, which its text must equal."""
        answer = self.answer(number, seconds=seconds)
        assert "result" in answer, answer
        content: dict[str, Any] = answer["result"]["structuredContent"]
        assert json.loads(answer["result"]["content"][0]["text"]) == content
        assert answer["result"].get("isError", False) == ("error" in content)
        return content

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must do it."""
        content = self.tool_answer(self.ask_tool(tool, **arguments))
        assert "error" not in content, content
        return content

    def refused(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must refuse: the error."""
        content = self.tool_answer(self.ask_tool(tool, **arguments))
        assert "error" in content, content
        error: dict[str, Any] = content["error"]
        return error

    # --- the process --------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process that serves, below whatever launched it."""
        import psutil

        own = psutil.Process(self.process.pid)
        for process in reversed([own, *own.children(recursive=True)]):
            with contextlib.suppress(psutil.Error):
                if "trichrome" in process.cmdline() and "python" in process.name():
                    return process.pid
        raise AssertionError("no server is running")

    def said(self) -> str:
        """What it wrote to stderr."""
        return self.errors.read_text(errors="replace")

    def close_input(self) -> None:
        """End its input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close_output(self) -> None:
        """Stop reading its answers, for good."""
        self._stdout.close()

    def left(self, *, seconds: float = BOUND_SECONDS) -> int:
        """Wait until it has left by itself; answers its exit status."""
        return self.process.wait(seconds)

    def end(self) -> None:
        """End everything this command started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(BOUND_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def ending() -> Iterator[Callable[..., Server]]:
    """Start servers; all are ended with the block."""
    with contextlib.ExitStack() as stack:

        def begun(*arguments: Any, started: bool = True, **options: Any) -> Server:
            server = Server(*arguments, **options)
            stack.callback(server.end)
            return server.start() if started else server

        yield begun


def relay(command: Sequence[str]) -> None:
    """Be a client: start a server, pass lines both ways until there is no more input, and outlive the server."""
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert server.stdin is not None
    assert server.stdout is not None

    def copy(source: int, target: int) -> None:
        with contextlib.suppress(OSError):
            while chunk := os.read(source, 1 << 16):
                os.write(target, chunk)

    threading.Thread(target=copy, args=(server.stdout.fileno(), 1), daemon=True).start()
    copy(0, server.stdin.fileno())
    while os.read(0, 1 << 16):
        pass  # the server is gone, this client is not
    server.stdin.close()
    server.wait()


if __name__ == "__main__":
    relay(sys.argv[1:])
