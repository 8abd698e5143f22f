"""Who the client is and whether it lives, with real processes, real launchers and real signals.

The probe stands for a server: it says who its client is, waits until somebody above it is gone, says what it sees then,
and leaves. It never outlives the test, whose process is always above it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trichrome.processes import (
    Process,
    ProcessRef,
    ProcessTable,
    ProcTable,
    PsutilTable,
    chain_above,
    is_alive,
    this_machine,
    this_process,
)

TABLES: list[ProcessTable] = [PsutilTable(), *([ProcTable()] if sys.platform == "linux" else [])]
both_readers = pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux's own way to number processes")

# Longer than anything here takes on a loaded machine; reached only by a failing test.
BOUND_SECONDS = 20

SOURCE = Path(__file__).parents[2] / "server"
PROBE = """
import dataclasses, json, os, sys, time
from trichrome import processes

def say(**facts):
    print(json.dumps(facts), flush=True)

def main():
    chain = processes.client_chain()
    say(
        me=dataclasses.astuple(processes.this_process()),
        machine=dataclasses.asdict(processes.this_machine()),
        names=[ancestor.name for ancestor in chain.ancestors],
        ancestors=[dataclasses.astuple(ancestor.ref) for ancestor in chain.ancestors],
        client=chain.client and dataclasses.astuple(chain.client.ref),
    )
    bound = time.monotonic() + 60  # a probe that a broken check never sends away leaves all the same
    while not processes.is_orphaned(chain) and time.monotonic() < bound:
        time.sleep(0.01)
    say(
        parent_changed=os.getppid() != chain.parent,
        alive=[processes.is_alive(ancestor.ref) for ancestor in chain.ancestors],
    )

if __name__ == "__main__":
    main()
"""

# A client: it starts the command it is given as its server, and goes on until it is killed.
CLIENT = "import subprocess, sys, signal; server = subprocess.Popen(sys.argv[1:]); signal.pause()"


class Probe:
    """What a started command tells, line by line."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, **options)
        self.chain = self.line()
        self.me = ref(self.chain["me"])
        self.client = self.chain["client"] and ref(self.chain["client"])

    def line(self) -> dict[str, Any]:
        """The next thing the probe says."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], BOUND_SECONDS)
        assert readable, "the probe said nothing in time"
        text = self.process.stdout.readline()
        assert text, "the probe ended without a word"
        facts: dict[str, Any] = json.loads(text)
        return facts

    def end(self) -> None:
        """End everything this command started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with self.process:
            pass


def ref(pair: list[int]) -> ProcessRef:
    return ProcessRef(*pair)


def eventually(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def probe(tmp_path: Path) -> list[str]:
    script = tmp_path / "probe.py"
    script.write_text(PROBE)
    return [sys.executable, str(script)]


@pytest.fixture
def start() -> Iterator[Callable[..., Probe]]:
    with contextlib.ExitStack() as stack:

        def started(command: list[str], **options: Any) -> Probe:
            running = Probe(command, **options)
            stack.callback(running.end)
            return running

        yield started


def script_that_runs(command: str, folder: Path) -> str:
    script = folder / "serve.sh"
    script.write_text(f"#!/bin/sh\n{command}\ntrue\n")
    script.chmod(0o755)
    return str(script)


def beside_python(name: str) -> str:
    found = Path(sys.executable).with_name(name)
    return str(found) if found.exists() else name


def through_uv(probe: list[str], *uv: str) -> list[str]:
    return [*uv, "run", "--no-project", "--offline", "--python", sys.executable, "--", *probe]


def through_shell(command: list[str]) -> list[str]:
    return ["sh", "-c", f"{shlex.join(command)}; true"]


UV = beside_python("uv")

# How a client may start its server, and the launchers that then stand between the two.
WAYS: dict[str, tuple[Callable[[list[str], Path], list[str]], list[str]]] = {
    "itself": (lambda probe, _: probe, []),
    "env": (lambda probe, _: ["env", "A=1", *probe], []),
    "sh -c": (lambda probe, _: through_shell(probe), ["sh"]),
    "sh in sh": (lambda probe, _: through_shell(through_shell(probe)), ["sh", "sh"]),
    "timeout": (lambda probe, _: ["timeout", "60", *probe], ["timeout"]),
    "a script": (lambda probe, folder: [script_that_runs(shlex.join(probe), folder)], ["serve.sh"]),
    "uv run": (lambda probe, _: through_uv(probe, UV), ["uv"]),
    "python -m uv": (lambda probe, _: through_uv(probe, sys.executable, "-m", "uv"), ["uv"]),
    "uv in sh in timeout": (
        lambda probe, _: ["timeout", "60", *through_shell(through_uv(probe, UV))],
        ["uv", "sh", "timeout"],
    ),
}


@pytest.mark.parametrize(("way", "launchers"), WAYS.values(), ids=WAYS)
def test_launchers_between_server_and_client_are_skipped(
    start: Callable[..., Probe],
    probe: list[str],
    tmp_path: Path,
    way: Callable[[list[str], Path], list[str]],
    launchers: list[str],
) -> None:
    server = start(way(probe, tmp_path))

    assert server.client == this_process()
    assert server.chain["names"][:-1] == launchers
    assert server.chain["machine"]["boot"] == this_machine().boot


def test_uvx_between_server_and_client_is_skipped(start: Callable[..., Probe], tmp_path: Path) -> None:
    wheel = tmp_path / "probe-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("probe.py", PROBE)
        archive.writestr("probe-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1\n")
        archive.writestr("probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("probe-1.dist-info/entry_points.txt", "[console_scripts]\nprobe = probe:main\n")
        archive.writestr("probe-1.dist-info/RECORD", "")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "UV_CACHE_DIR": str(tmp_path / "cache")}
    options = ["--offline", "--no-index", "--python", sys.executable, "--from", str(wheel)]

    server = start([beside_python("uvx"), *options, "probe"], env=environment)

    assert server.client == this_process()
    assert set(server.chain["names"][:-1]) <= {"uv", "uvx"}
    assert len(server.chain["names"]) > 1


@pytest.mark.parametrize("way", ["itself", "sh -c", "uv run", "timeout"])
def test_end_of_the_server_is_not_the_end_of_its_client_and_the_next_server_has_the_same(
    start: Callable[..., Probe], probe: list[str], tmp_path: Path, way: str
) -> None:
    command = WAYS[way][0](probe, tmp_path)
    server = start(command)

    os.kill(server.me.pid, signal.SIGKILL)
    server.process.wait(BOUND_SECONDS)
    following = start(command)

    assert not is_alive(server.me)
    assert following.client == server.client
    assert is_alive(following.client)


@pytest.mark.parametrize("way", ["itself", "sh -c", "sh in sh", "uv run"])
def test_end_of_the_client_is_seen_although_its_launchers_live_on(
    start: Callable[..., Probe], probe: list[str], tmp_path: Path, way: str
) -> None:
    server = start([sys.executable, "-c", CLIENT, *WAYS[way][0](probe, tmp_path)])
    assert server.client is not None
    assert server.client.pid == server.process.pid

    server.process.kill()
    server.process.wait(BOUND_SECONDS)
    after = server.line()

    assert not is_alive(server.client)
    assert after["alive"] == [True] * len(WAYS[way][1]) + [False]
    assert after["parent_changed"] == (way == "itself")
    eventually(lambda: not is_alive(server.me))


@pytest.mark.parametrize("launcher", [0, 1])
def test_server_leaves_when_a_launcher_is_gone_but_its_client_lives(
    start: Callable[..., Probe], probe: list[str], tmp_path: Path, launcher: int
) -> None:
    server = start([sys.executable, "-c", CLIENT, *WAYS["sh in sh"][0](probe, tmp_path)])

    os.kill(ref(server.chain["ancestors"][launcher]).pid, signal.SIGKILL)
    after = server.line()

    assert not after["alive"][launcher]
    assert server.client is not None
    assert is_alive(server.client)
    eventually(lambda: not is_alive(server.me))


def test_shell_that_a_person_types_into_is_the_client(probe: list[str], tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    master, slave = pty.openpty()
    terminal = shlex.quote(os.ttyname(slave))
    # The first terminal that the leader of a session opens becomes its own.
    open_terminal = f"exec bash --norc --noprofile -i <{terminal} >{terminal} 2>&1"
    shell = subprocess.Popen(["sh", "-c", open_terminal], start_new_session=True)
    try:
        os.write(master, f"{shlex.join(probe)} >{shlex.quote(str(answers))}\n".encode())
        eventually(lambda: answers.exists() and b"\n" in answers.read_bytes())
        chain = json.loads(answers.read_text())
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait(BOUND_SECONDS)
        os.close(master)
        os.close(slave)

    assert ref(chain["client"]).pid == shell.pid
    assert chain["names"] == ["bash"]
    eventually(lambda: not is_alive(ref(chain["me"])))


@both_readers
def test_stopped_process_is_alive_and_a_zombie_is_dead(table: ProcessTable) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        start = table.start(child.pid)
        assert start is not None
        me = ProcessRef(child.pid, start)

        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        alive_when_stopped = is_alive(me, table)

        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        alive_as_zombie, row_of_zombie = is_alive(me, table), table.read(child.pid)
    finally:
        child.kill()
        child.wait(BOUND_SECONDS)

    assert alive_when_stopped
    assert not alive_as_zombie
    assert row_of_zombie is None
    assert not is_alive(me, table)


@on_linux
def test_process_whose_first_thread_has_ended_is_alive_until_the_last_one_ends() -> None:
    program = (
        "import ctypes, sys, threading;"
        "threading.Thread(target=sys.stdin.read).start(); print(flush=True);"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        eventually(lambda: "\nState:\tZ" in Path(f"/proc/{child.pid}/status").read_text())
        start = ProcTable().start(child.pid)
        assert start is not None

        alive_with_one_thread = is_alive(ProcessRef(child.pid, start))
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert alive_with_one_thread
        assert not is_alive(ProcessRef(child.pid, start))


def unshare(*options: str) -> list[str] | None:
    """The command that starts another in a pid namespace of its own, where this machine allows that."""
    program = shutil.which("unshare")
    if program is None:
        return None
    command = [program, "--user", "--map-root-user", "--pid", "--fork", "--kill-child", *options]
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else None


@on_linux
@pytest.mark.parametrize("way", ["itself", "sh -c", "timeout"])
def test_client_outside_the_container_is_not_taken_for_somebody_inside(
    start: Callable[..., Probe], probe: list[str], tmp_path: Path, way: str
) -> None:
    container = unshare("--mount-proc")
    if container is None:  # What is read inside a container, for machines that do not let this test make one.
        first = Process(ProcessRef(1, 5), 0, "sh", ("sh", "-c", "trichrome mcp; true"))
        assert chain_above(1, {1: first}.get).client is None
        return

    server = start([*container, *WAYS[way][0](probe, tmp_path)])

    assert server.client is None
    assert server.me.pid < 10
    assert server.chain["machine"]["boot"] == this_machine().boot
    assert server.chain["machine"]["pid_namespace"] != this_machine().pid_namespace


@on_linux
def test_client_inside_a_container_is_found(start: Callable[..., Probe], probe: list[str], tmp_path: Path) -> None:
    container = unshare("--mount-proc")
    if container is None:
        inside = {
            2: Process(ProcessRef(2, 6), 1, "claude", ("claude",)),
            3: Process(ProcessRef(3, 7), 2, "sh", ("sh", "-c", "trichrome mcp; true")),
        }
        assert chain_above(3, inside.get).client is not None
        return

    client = shlex.join([sys.executable, "-c", CLIENT, *WAYS["sh -c"][0](probe, tmp_path)])
    server = start([*container, "sh", "-c", f"{client}; true"])

    assert server.client is not None
    assert server.client.pid == 2


@on_linux
def test_sandbox_with_its_own_numbers_and_a_foreign_proc_sees_nobody(
    start: Callable[..., Probe], probe: list[str], tmp_path: Path
) -> None:
    sandbox = unshare()
    if sandbox is None:  # The reader that finds somebody else under its own number: tests/unit/test_processes.py.
        return

    servers = [start([*sandbox, *WAYS["sh -c"][0](probe, tmp_path)]) for _ in range(2)]

    machines = [server.chain["machine"]["pid_namespace"] for server in servers]
    assert [server.client for server in servers] == [None, None]
    assert len({*machines, this_machine().pid_namespace}) == 3
