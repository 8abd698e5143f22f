"""Worker processes at the coordinator's level, killed at random: real processes, one real log.

Run as a program it is the crew: it forks the workers, kills one at a time with SIGKILL, and puts another in its place,
until it is told to stop. It never opens the log itself, so no connection crosses a fork.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trichrome.bootstrap import open_project
from trichrome.coordinator import Caller, attempts, liveness, principals, waiting
from trichrome.errors import StoreUnavailableError
from trichrome.processes import this_machine, this_process
from trichrome.store.port import Principal

ROOT: Final = Path(__file__).parents[2]


def join(project: Any) -> Caller:
    """Introduce this process, which is client and server at once."""
    machine, me = this_machine(), this_process()
    principal = Principal(
        id=secrets.token_hex(8),
        machine=(machine.host, machine.boot, machine.pid_namespace),
        server=(me.pid, me.start),
        client=(me.pid, me.start),
        session=None,
        name=None,
        role=None,
        lease_seconds=60.0,
    )
    principals.introduce(project.coordinator, principal)
    threading.Thread(target=keep, args=(project, principal), daemon=True).start()
    return Caller(principal=principal.id)


def keep(project: Any, principal: Principal) -> None:
    """Do beside the calls what a server does."""
    keeper = liveness.Keeper(project.coordinator, principal)
    while True:
        time.sleep(0.5)
        keeper.keep()


def work(folder: Path, acknowledged: Path, *, longest_seconds: float) -> None:
    """Claim and report until killed; write down each report after it was acknowledged, and not before."""
    project = open_project(folder)
    c, caller = project.coordinator, join(project)
    with (acknowledged / f"{os.getpid()}-{caller.principal}.jsonl").open("a", encoding="utf-8") as notes:
        answer: Any = waiting.claim(c, caller, wait_seconds=5)
        while True:
            if answer["attempt"] is None:
                answer = waiting.claim(c, caller, wait_seconds=5)
                continue
            time.sleep(random.uniform(0, longest_seconds))
            attempt, is_review = answer["attempt"], "reviews" in answer["task"]
            summary = f"{attempt} by {caller.principal}"
            said = attempts.report(
                c, caller, attempt, "approved" if is_review else "completed", summary, claim_next=True
            )
            notes.write(json.dumps({"attempt": attempt, "summary": summary, "state": said["state"]}) + "\n")
            notes.flush()
            os.fsync(notes.fileno())
            answer = said["claimed"]


@dataclass
class Crew:
    """The workers, as the crew's process sees them."""

    folder: Path
    notes: Path
    longest_seconds: float
    pids: list[int] = field(default_factory=list)

    def start(self) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                work(self.folder, self.notes, longest_seconds=self.longest_seconds)
            except StoreUnavailableError as error:
                sys.stderr.write(f"a worker gave up: {error}\n")
            finally:
                os._exit(1)
        self.pids.append(pid)

    def kill(self, pid: int) -> None:
        self.pids.remove(pid)
        killed_at = time.time()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with (self.notes / "killed").open("a", encoding="utf-8") as file:
            file.write(f"{pid} {killed_at}\n")

    def run(self, *, workers: int, every_seconds: float) -> None:
        stop = False

        def stopped(*_: object) -> None:
            nonlocal stop
            stop = True

        signal.signal(signal.SIGTERM, stopped)
        for _ in range(workers):
            self.start()
        while not stop:
            time.sleep(every_seconds)
            self.kill(random.choice(self.pids))
            self.start()
        for pid in list(self.pids):
            self.kill(pid)


@contextmanager
def crew(
    folder: Path, notes: Path, *, workers: int = 8, every_seconds: float = 0.2, longest_seconds: float = 0.1
) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a crew at work, and under fire, while the block runs."""
    notes.mkdir()
    arguments = [str(folder), str(notes), str(workers), str(every_seconds), str(longest_seconds)]
    process = subprocess.Popen([sys.executable, "-m", "tests.support.workers", *arguments], cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    where, written, count, every, longest = sys.argv[1:]
    Crew(Path(where), Path(written), float(longest)).run(workers=int(count), every_seconds=float(every))
