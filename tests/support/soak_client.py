"""A client that works: run as a plain file, with the command of its server as arguments.

It starts its server, claims and reports, and writes down on stdout what was acknowledged before it goes on; when its
server dies, it starts another and goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from typing import Any, Self


def work(command: list[str]) -> None:
    """Claim and report until there is nothing left, through as many servers as it takes."""
    is_more = True
    while is_more:
        pipe = Pipe(command)
        with contextlib.suppress(OSError, EOFError), pipe:
            while is_more:
                is_more = one_task(pipe)


def note(**facts: object) -> None:
    """Write down what happened, before anything else does."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Pipe:
    """The plainest client there can be: one request, one answer."""

    def __init__(self, command: list[str]) -> None:
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.number = 0

    def __enter__(self) -> Self:
        client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
        self.ask("initialize", client)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self.server.wait()

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask, and wait for the answer.

        Raises:
            EOFError: the server is gone; OSError likewise.
        """
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.number += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})
        self.server.stdin.write(line.encode() + b"\n")
        self.server.stdin.flush()
        if not (answer := self.server.stdout.readline()).endswith(b"\n"):
            raise EOFError
        return json.loads(answer)["result"]  # type: ignore[no-any-return]

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments})["structuredContent"]  # type: ignore[no-any-return]


def one_task(pipe: Pipe) -> bool:
    """Do one task; answers whether there may be more."""
    claimed = pipe.call("claim_task", wait_seconds=1)
    if "error" in claimed:
        note(error=claimed["error"]["code"])
        return True
    if claimed["attempt"] is None:
        return any(pipe.call("list_tasks", state=state, limit=1)["tasks"] for state in ("ready", "running"))
    attempt = claimed["attempt"]
    note(claimed=attempt, resumed=claimed.get("resumed", False))
    time.sleep(random.random() / 2)  # what a worker does between the two calls
    summary = f"{os.getpid()} did {attempt}"
    answer = pipe.call("report_result", attempt=attempt, outcome="completed", summary=summary)
    if "error" in answer:
        note(refused=attempt, code=answer["error"]["code"])
    else:
        note(acknowledged=attempt, summary=summary)
    return True


if __name__ == "__main__":
    work(sys.argv[1:])
