"""A client's side of the wire: a server that it started, JSON-RPC lines, and the file of what was asked and told.

Guarantee: what is asked is in the file before it is sent, and what was told as soon as it was read, each in one write;
so a client that is killed at any moment leaves behind all that it knew. The standard library alone: the client starts
a thousand times, and must start at once.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

Answer = dict[str, Any]

ANSWER_SECONDS: Final = 90.0
"""How long an answer may take; neither a fault nor a wait for a repair is nearly as long."""
LEAVE_SECONDS: Final = 5.0
"""How long a server that lost its client's attention may take to leave."""
_LEAVING: Final = -32000
"""What a server answers to calls that it has no time to finish, once its input has ended."""
_PROSE: Final = frozenset({"next", "instructions", "dependencies", "feedback", "inbox"})


class GoneError(Exception):
    """The server is gone, or does not answer."""


class History:
    """What one life of a client writes down: a JSON object a line, each with the moment."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def note(self, **facts: object) -> None:
        """Write a line down, whole, before anything else happens."""
        os.write(self._file, line({"at": time.monotonic(), **facts}))


class Server:
    """A server of ours, and the pipes to it."""

    def __init__(self, command: list[str], environment: Mapping[str, str], errors: str) -> None:
        with open(errors, "ab") as log:  # noqa: PTH123 - pathlib costs a client a fifth of its start
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, env=environment
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        self._read = b""

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    def send(self, message: bytes) -> None:
        """Write bytes.

        Raises:
            GoneError: nobody reads them.
        """
        try:
            self.into.write(message)
        except (OSError, ValueError) as error:
            raise GoneError from error

    def next(self, deadline: float) -> Answer:
        """The next message.

        Raises:
            GoneError: there is none any more, or none in time.
        """
        while b"\n" not in self._read:
            try:
                ready, _, _ = select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))
                chunk = os.read(self.out.fileno(), 1 << 16) if ready else b""
            except (OSError, ValueError) as error:
                raise GoneError from error
            if not chunk:
                raise GoneError
            self._read += chunk
        whole, _, self._read = self._read.partition(b"\n")
        message: Answer = json.loads(whole)
        return message

    def end(self, *, kill: bool = True) -> None:
        """Close the pipes, kill it unless it may leave by itself, and be sure that it is gone."""
        for pipe in (self.into, self.out):
            with suppress(OSError):
                pipe.close()
        if not kill:
            self.leave()
        self.process.kill()
        self.process.wait()

    def leave(self) -> None:
        """Give it the time to leave by itself."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(LEAVE_SECONDS)


class Calls:
    """Calls of tools, and their answers, all written down."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.last = 0

    def prepare(self, server: Server, tool: str, arguments: Mapping[str, Any]) -> tuple[int, bytes]:
        """Write a call down; answers its number and the line to send."""
        self.last += 1
        self.history.note(ask=self.last, tool=tool, arguments=arguments, server=server.pid)
        params = {"name": tool, "arguments": arguments}
        return self.last, line({"jsonrpc": "2.0", "id": self.last, "method": "tools/call", "params": params})

    def ask(self, server: Server, tool: str, arguments: Mapping[str, Any]) -> int:
        """Write a call down and send it; answers its number.

        Raises:
            GoneError: nobody takes it.
        """
        number, message = self.prepare(server, tool, arguments)
        server.send(message)
        return number

    def answer(self, server: Server, number: int) -> Answer:
        """Read the answer to a call and write it down.

        Raises:
            GoneError: there will be none.
        """
        deadline = time.monotonic() + ANSWER_SECONDS
        message = self._next(server, number, deadline)
        if message is None or message.get("error", {}).get("code") == _LEAVING:
            self.history.note(unanswered=number, hung=time.monotonic() >= deadline)
            raise GoneError
        content: Answer = message.get("result", {}).get("structuredContent") or {
            "error": {"code": "protocol", "message": json.dumps(message.get("error"))}
        }
        self.history.note(told=number, answer=_facts(content))
        return content

    @staticmethod
    def _next(server: Server, number: int, deadline: float) -> Answer | None:
        """The message that answers a call; None when there is none any more, or none in time."""
        with suppress(GoneError):
            while (message := server.next(deadline)).get("id") != number:
                """Whatever answers a call that was cancelled is no concern of ours."""
            return message
        return None


def greet(server: Server, name: str) -> None:
    """Begin to speak with a server, under a name.

    Raises:
        GoneError: it does not answer.
    """
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": name, "version": "1"}}
    server.send(line({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}))
    deadline = time.monotonic() + ANSWER_SECONDS
    while server.next(deadline).get("id") != 0:
        pass
    server.send(line({"jsonrpc": "2.0", "method": "notifications/initialized"}))


def line(message: object) -> bytes:
    """A JSON object as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _facts(answer: Any) -> Any:
    """An answer without its prose."""
    if isinstance(answer, dict):
        return {name: _facts(value) for name, value in answer.items() if name not in _PROSE}
    return answer
