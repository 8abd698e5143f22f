"""A supervisor as `trichrome start --until-idle` is one, with rules of the test, and with kills at a named moment.

Run as a program it takes one JSON object: `runner`, `scale`, `rules`, `moment`, `victims`. It prints what happens as
lines of JSON, and `{"event": "killed at"}` before it kills.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import psutil

from trichrome.bootstrap import open_project
from trichrome.config import project_folder
from trichrome.supervisor import keeping
from trichrome.supervisor.choice import runner
from trichrome.supervisor.fleet import Rules
from trichrome.supervisor.supervisor import Supervisor

SERVER_SECONDS: Final = 20.0


def tell(worker: str, event: str, **facts: Any) -> None:
    """One line of what happened."""
    sys.stdout.write(json.dumps({"worker": worker, "event": event, **facts}, default=str) + "\n")
    sys.stdout.flush()


def server_below(pid: int) -> list[int]:
    """The MCP server of a session, once there is one; none where the session is over."""
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        try:
            below = psutil.Process(pid).children(recursive=True)
            found = [each.pid for each in below if each.cmdline()[-3:] == ["-m", "trichrome", "mcp"]]
            if found or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return found
        except psutil.NoSuchProcess:
            return []
        time.sleep(0.01)
    return []


class Killer:
    """Kills once, at its moment."""

    def __init__(self, moment: str | None, victims: list[str]) -> None:
        self.moment = moment
        self.victims = victims
        self.supervisor: Supervisor | None = None

    def begun(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def at(self, moment: str) -> None:
        if moment != self.moment:
            return
        self.moment = None
        assert self.supervisor is not None
        sessions = [slot.running.pid for slot in self.supervisor.fleet.running() if slot.running is not None]
        pids = [pid for each in sessions for pid in server_below(each)] if "server" in self.victims else []
        pids += sessions if "session" in self.victims else []
        pids += [os.getpid()] if "supervisor" in self.victims else []
        tell("supervisor", "killed at", moment=moment, number=len(pids))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def main(wanted: dict[str, Any], tells: Callable[..., None] = tell) -> int:
    """Keep workers until nothing is left to do."""
    killer = Killer(wanted.get("moment"), wanted.get("victims", []))
    project = open_project(project_folder())
    try:
        done = keeping.keep(
            project,
            runner(wanted["runner"]),
            wanted.get("scale", {"blue": 1}),
            until_idle=True,
            rules=Rules(**{"backoff": 0.0, **wanted.get("rules", {})}),
            tell=[tells],
            at=killer.at,
            begun=killer.begun,
        )
    finally:
        project.close()
    return done.code


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
