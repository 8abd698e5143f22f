"""Who the client is, on tables of processes written by hand; and what both readers say about this very process."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trichrome import processes
from trichrome.processes import (
    Machine,
    Process,
    ProcessRef,
    ProcessSenses,
    ProcessTable,
    ProcTable,
    PsutilTable,
    at_work,
    chain_above,
    client_chain,
    is_alive,
    is_orphaned,
    is_stopped,
    this_machine,
    this_process,
)

TABLES: list[ProcessSenses] = [PsutilTable(), *([ProcTable()] if sys.platform == "linux" else [])]
both_readers = pytest.mark.parametrize("table", TABLES, ids=lambda table: type(table).__name__)

SYSTEMD = Process(ProcessRef(1, 0), 0, "systemd", ("/sbin/init",))


def ancestry(*rows: tuple[str, str] | tuple[str, str, str]) -> dict[int, Process]:
    """Processes 10, 11, ... from the server's parent upwards, each (name, command line, perhaps "terminal"); then 1."""
    table = {1: SYSTEMD}
    for place, (name, command, *terminal) in enumerate(rows):
        pid = 10 + place
        parent = pid + 1 if place + 1 < len(rows) else 1
        table[pid] = Process(ProcessRef(pid, 1000 - place), parent, name, tuple(command.split(" ")), bool(terminal))
    return table


CLAUDE = ("claude", "claude --resume")
CHAINS = {
    "Claude Code starts the server itself": ([CLAUDE], "claude"),
    "a Python program starts it": ([("python3.11", "/usr/bin/python3 client.py")], "python3.11"),
    "a Node program starts it": ([("node", "node /usr/lib/inspector/cli.js --cli x")], "node"),
    "uv run": ([("uv", "uv run trichrome mcp"), CLAUDE], "claude"),
    "uvx": ([("uv", "/home/a/.local/bin/uv tool uvx trichrome mcp"), ("uvx", "uvx trichrome mcp"), CLAUDE], "claude"),
    "python -m uv": ([("python3.11", "/v/bin/python -X dev -m uv run trichrome mcp"), CLAUDE], "claude"),
    "a script called pipx": ([("python3", "/usr/bin/python3 /usr/bin/pipx run trichrome mcp"), CLAUDE], "claude"),
    "npx before it renamed itself": ([("node", "node /usr/bin/npx trichrome"), CLAUDE], "claude"),
    "npx after it renamed itself": (
        [("sh", "sh -c trichrome"), ("npm exec trichr", "npm exec trichrome  "), CLAUDE],
        "claude",
    ),
    "npx by its file": (
        [("MainThread", "/opt/node --no-warnings /lib/npm/bin/npx-cli.js trichrome"), CLAUDE],
        "claude",
    ),
    "sh with a command": ([("sh", "sh -c trichrome mcp;true"), CLAUDE], "claude"),
    "nested shells": ([("dash", "sh -c b"), ("bash", "bash -lc a"), ("zsh", "/bin/zsh -c z"), CLAUDE], "claude"),
    "a script": ([("serve.sh", "/bin/bash ./serve.sh"), CLAUDE], "claude"),
    "env, timeout and sudo": ([("env", "env -S a"), ("timeout", "timeout 5 b"), ("sudo", "sudo b"), CLAUDE], "claude"),
    "a sudo whose arguments may not be read": ([("sudo", ""), CLAUDE], "claude"),
    "busybox": ([("busybox", "busybox sh -c trichrome"), CLAUDE], "claude"),
    "a launcher in a folder with a space": ([("uv", "/Users/a b/bin/uv run trichrome mcp"), CLAUDE], "claude"),
    "a shell that runs a command at a terminal": (
        [("bash", "bash -lc trichrome", "terminal"), ("claude", "claude", "terminal"), ("bash", "-bash", "terminal")],
        "claude",
    ),
    "a shell that runs a script at a terminal": (
        [("bash", "bash -o pipefail run.sh", "terminal"), ("zsh", "-zsh", "terminal")],
        "zsh",
    ),
    "typed at a terminal": ([("uv", "uv run trichrome mcp", "terminal"), ("bash", "-bash", "terminal")], "bash"),
    "typed into an editor's terminal": (
        [("bash", "/bin/bash --init-file /x/shellIntegration-bash.sh -i", "terminal"), ("code", "code")],
        "bash",
    ),
    "commands piped into a shell": ([("sh", "sh"), ("agent", "/opt/agent")], "agent"),
    "a client of ours": (
        [("python3.11", "/v/bin/python -m trichrome demo"), ("bash", "-bash", "terminal")],
        "python3.11",
    ),
    "an orphan of a shell": ([("sh", "sh -c trichrome mcp;true")], None),
    "a service": ([], None),
    "an orphan in a user's session": ([("systemd", "/usr/lib/systemd/systemd --user")], None),
    "ssh": ([("bash", "bash -c trichrome mcp"), ("sshd", "sshd: ada@notty")], None),
    "newer ssh": ([("sshd-session", "sshd-session: ada@notty")], None),
    "WSL, started from Windows": ([("Relay(42)", "/init"), ("SessionLeader", "/init")], None),
}


@pytest.mark.parametrize(("rows", "client"), CHAINS.values(), ids=CHAINS)
def test_client_is_the_first_ancestor_that_did_more_than_launch(
    rows: list[tuple[str, str] | tuple[str, str, str]], client: str | None
) -> None:
    table = ancestry(*rows)

    chain = chain_above(10 if rows else 1, table.get)

    assert (chain.client and chain.client.name) == client


def test_chain_holds_everybody_from_the_parent_to_the_client() -> None:
    table = ancestry(("sh", "sh -c x"), ("uv", "uv run x"), CLAUDE, ("bash", "-bash", "terminal"))

    chain = chain_above(10, table.get)

    assert [(ancestor.ref.pid, ancestor.name) for ancestor in chain.ancestors] == [
        (10, "sh"),
        (11, "uv"),
        (12, "claude"),
    ]
    assert chain.client == chain.ancestors[-1]
    assert chain.client.ref == ProcessRef(12, 998)


def test_parent_outside_the_pid_namespace_means_no_client() -> None:
    chain = chain_above(0, {}.get)

    assert (chain.client, chain.ancestors) == (None, ())


def test_first_process_of_a_container_is_no_client() -> None:
    table = {
        1: Process(ProcessRef(1, 5), 0, "claude", ("claude",)),
        7: Process(ProcessRef(7, 6), 1, "sh", ("sh", "-c", "x")),
    }

    chain = chain_above(7, table.get)

    assert chain.client is None
    assert [ancestor.name for ancestor in chain.ancestors] == ["sh"]


def test_ancestor_that_may_not_be_looked_at_ends_the_sight() -> None:
    table = ancestry(("sh", "sh -c x"), ("sudo", "sudo x"), CLAUDE)
    del table[11]

    chain = chain_above(10, table.get)

    assert chain.client is None


class MovingTable:
    """A table in which something happens while it is being read: at each of the asker's looks, the next state."""

    def __init__(self, *states: dict[int, Process]) -> None:
        self.states = list(states)

    def me(self) -> ProcessRef:
        return ProcessRef(os.getpid(), 1)

    def start(self, pid: int) -> int | None:
        if len(self.states) > 1:
            del self.states[0]
        return 1

    def read(self, pid: int) -> Process | None:
        return self.states[0].get(pid)


def test_number_that_changes_hands_during_the_look_is_looked_at_again() -> None:
    parent = os.getppid()
    shell = Process(ProcessRef(parent, 5), 900, "sh", ("sh", "-c", "x"))
    stranger = Process(ProcessRef(900, 90), 1, "stranger", ("stranger",))
    reparented = dataclasses.replace(shell, parent=1)
    table = MovingTable({}, {parent: shell, 900: stranger}, {parent: reparented, 1: SYSTEMD})

    chain = client_chain(table)

    assert chain.client is None
    assert [ancestor.name for ancestor in chain.ancestors] == ["sh"]


@dataclasses.dataclass
class ForeignTable:
    """What a sandbox shows that has pid numbers of its own and the /proc of another namespace."""

    others: ProcessTable

    def me(self) -> ProcessRef:
        return dataclasses.replace(self.others.me(), start=-1)

    def start(self, pid: int) -> int | None:
        return self.others.start(pid)

    def read(self, pid: int) -> Process | None:
        return self.others.read(pid)


@both_readers
def test_process_that_does_not_find_itself_sees_no_client_and_shares_no_machine(table: ProcessTable) -> None:
    foreign = ForeignTable(table)

    chain = client_chain(foreign)

    assert chain.client is None
    assert not is_orphaned(chain, foreign)
    if this_machine().pid_namespace:
        assert this_machine(foreign) != this_machine()


@both_readers
def test_readers_know_this_process_and_its_parent(table: ProcessTable) -> None:
    me = this_process(table)

    row = table.read(os.getpid())
    parent = table.read(os.getppid())

    assert row is not None
    assert parent is not None
    assert row.ref == me
    assert row.parent == os.getppid() == parent.ref.pid
    assert any("pytest" in argument or "python" in argument for argument in row.argv)
    assert is_alive(me, table)


@both_readers
def test_readers_give_the_same_stamp_at_every_look(table: ProcessTable) -> None:
    seen = {this_process(table) for _ in range(50)}

    assert len(seen) == 1


@both_readers
def test_same_number_with_another_start_is_another_process(table: ProcessTable) -> None:
    me = this_process(table)

    reused = dataclasses.replace(me, start=me.start - 1)

    assert not is_alive(reused, table)


@both_readers
def test_number_that_nobody_has_is_dead(table: ProcessTable) -> None:
    assert not is_alive(ProcessRef(2**22 + 1, 1), table)
    assert table.read(2**22 + 1) is None


def test_readers_agree_about_every_ancestor() -> None:
    chains = [client_chain(table) for table in TABLES]

    assert len({tuple((link.ref.pid, link.name) for link in chain.ancestors) for chain in chains}) == 1
    assert not any(is_orphaned(chain, table) for chain, table in zip(chains, TABLES, strict=True))


def test_change_of_parent_makes_an_orphan() -> None:
    chain = dataclasses.replace(client_chain(), parent=os.getppid() + 1, ancestors=())

    assert is_orphaned(chain)


@both_readers
def test_stopped_process_is_told_from_one_that_runs_and_from_a_later_one_of_its_number(table: ProcessSenses) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        start = table.start(child.pid)
        assert start is not None
        ref = ProcessRef(child.pid, start)
        running = is_stopped(ref, table)

        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        stopped = [is_stopped(ref, table), is_stopped(dataclasses.replace(ref, start=start - 1), table)]
        child.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, child.pid, os.WCONTINUED | os.WNOWAIT)

        assert (running, stopped, is_stopped(ref, table)) == (False, [True, False], False)
    finally:
        child.kill()
        child.wait(5)
    assert not is_stopped(ref, table)


@both_readers
def test_what_a_client_started_well_after_its_server_is_work(
    table: ProcessSenses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SERVERS_START_WITHIN", 0.0)
    children: list[subprocess.Popen[bytes]] = []

    def started() -> ProcessRef:
        children.append(subprocess.Popen(["sleep", "60"]))
        pid = children[-1].pid
        start, born = table.start(pid), table.age(pid) or 0.0
        assert start is not None
        while (table.age(pid) or 0.0) < born + 0.03:  # starts are told in hundredths of a second
            pass
        return ProcessRef(pid, start)

    try:
        client, others, server, work = table.me(), started(), started(), started()
        found = at_work(client, server, table)
        later = at_work(client, work, table)
        monkeypatch.setattr(processes, "_SERVERS_START_WITHIN", 10.0)
        soon = at_work(client, others, table)
    finally:
        for child in children:
            child.kill()
            child.wait(5)

    assert [name for name, _ in found] == ["sleep"]
    assert 0 < found[0][1] < 60
    assert (later, soon) == ([], [])
    assert at_work(client, server, table) == [], "that server is gone"


@both_readers
def test_who_is_not_there_has_neither_age_nor_children(table: ProcessSenses) -> None:
    nobody = 2**22 + 1

    assert (table.age(nobody), table.children(nobody), table.is_stopped(nobody)) == (None, [], False)


@pytest.mark.parametrize("name", ["plain", "a) R 1 (b", "two words", "ümlaut", "new\nline"])
def test_any_program_name_is_read(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.symlink_to(Path(sys.executable).resolve())
    command = [str(program), "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()

        rows = [table.read(child.pid) for table in TABLES]

        child.kill()
    for row in rows:
        assert row is not None
        assert row.parent == os.getpid()
        assert row.name.startswith(name[:15])


def test_machine_is_the_same_at_every_look_and_the_name_of_the_host_does_not_matter() -> None:
    machine = this_machine()

    renamed = dataclasses.replace(machine, host="elsewhere.example")

    assert machine == this_machine() == renamed
    assert machine != dataclasses.replace(machine, boot="another")
    assert machine != dataclasses.replace(machine, pid_namespace="another")
    assert machine.host == os.uname().nodename
    assert isinstance(machine, Machine)
    assert machine.boot


def test_boot_is_asked_of_sysctl_where_there_is_no_file(tmp_path: Path) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text('#!/bin/sh\n[ "$*" = "-n kern.bootsessionuuid" ] && echo 0A1B-2C3D\n')
    sysctl.chmod(0o755)

    assert processes._boot_id(tmp_path / "missing", str(sysctl)) == "0A1B-2C3D"


@pytest.mark.parametrize("body", ["exit 1", None])
def test_boot_is_its_time_and_host_where_nothing_better_is_known(tmp_path: Path, body: str | None) -> None:
    sysctl = tmp_path / "sysctl"
    if body:
        sysctl.write_text(f"#!/bin/sh\n{body}\n")
        sysctl.chmod(0o755)

    boot = processes._boot_id(tmp_path / "missing", str(sysctl))

    seconds, _, host = boot.partition("@")
    assert int(seconds) > 0
    assert host == os.uname().nodename


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil is the reader")
def test_linux_answers_without_importing_psutil() -> None:
    program = (
        "import sys; from trichrome import processes;"
        "processes.this_machine(); processes.is_orphaned(processes.client_chain()); print('psutil' in sys.modules)"
    )

    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "False"
