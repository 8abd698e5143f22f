"""A client that speaks raw JSON-RPC lines to a server of its own, so that what is timed is the server and the pipe."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

Era = Literal["2025-11-25", "2026-07-28"]

BARE = [sys.executable, str(Path(__file__).with_name("bare.py"))]
"""The command of the bare server."""
TRICHROME = [sys.executable, "-m", "trichrome", "mcp"]
"""The command of ours."""

_CLIENT = {"name": "bench", "version": "1"}
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def environment(folder: Path) -> dict[str, str]:
    """The environment of a server that works in a folder: nothing of ours but the folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TRICHROME_", "CLAUDE"))}
    return {**inherited, "TRICHROME_HOME": str(folder)}


class Talk:
    """A conversation with one server, one request at a time; it is started at once and ended with the block."""

    def __init__(
        self, command: Sequence[str], folder: Path, *, era: Era = "2025-11-25", errors: int = subprocess.DEVNULL
    ) -> None:
        self.era = era
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env=environment(folder),
            bufsize=0,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._to = self.process.stdin.fileno()
        self._from = self.process.stdout.fileno()
        self._id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        with self.process, contextlib.suppress(OSError):
            pass

    def open(self) -> bytes:
        """Open the conversation as its era does; answers the first answer's line."""
        if self.era == "2026-07-28":
            return self.asked(self.request("server/discover"))
        first = self.asked(
            self.request("initialize", {"protocolVersion": self.era, "capabilities": {}, "clientInfo": _CLIENT})
        )
        os.write(self._to, b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return first

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> bytes:
        """A request's line, as this era writes it."""
        self._id += 1
        whole = dict(params or {})
        if self.era == "2026-07-28":
            whole["_meta"] = _ENVELOPE
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": whole}
        return json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def asked(self, line: bytes) -> bytes:
        """Write a line and read the answer's."""
        os.write(self._to, line)
        answer = b""
        while not answer.endswith(b"\n"):
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise EOFError(f"the server left: {' '.join(self.process.args)}")  # type: ignore[arg-type]  # it is a list of texts
            answer += chunk
        return answer

    def call(self, tool: str, **arguments: Any) -> tuple[float, dict[str, Any]]:
        """Call a tool: the seconds from the first byte written to the last one read, and its structured content."""
        line = self.request("tools/call", {"name": tool, "arguments": arguments})
        begin = time.perf_counter()
        answer = self.asked(line)
        took = time.perf_counter() - begin
        content: dict[str, Any] = json.loads(answer)["result"]["structuredContent"]
        return took, content

    def does(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must do it; answers its content."""
        _, content = self.call(tool, **arguments)
        if "error" in content:
            raise RuntimeError(f"{tool}: {content['error']}")
        return content
