"""What all commands have in common: help, documents, exit codes, what they import, how they end."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.commands import BOUND, Shell

from trichrome.cli import GROUPS, OPERATORS
from trichrome.version import VERSION

COMMANDS = sorted(name for names in GROUPS.values() for name in names)
OURS = [name for name in COMMANDS if name != "mcp"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def imported(shell: Shell, *arguments: str) -> set[str]:
    """The top-level modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "trichrome", *arguments],
        cwd=shell.folder,
        env=shell.environment(),
        capture_output=True,
        text=True,
        timeout=BOUND * 2,
        check=False,
    )
    return {name.partition(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)}


def test_without_arguments_every_command_is_listed_in_its_group(shell: Shell) -> None:
    ended = shell.run()

    assert ended.code == 0
    for title, names in GROUPS.items():
        section = ended.out.partition(f"{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == list(names)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_documented(command: str) -> None:
    page = (ROOT / "docs" / "commands.md").read_text()

    assert f"### `trichrome {command}" in page


@pytest.mark.parametrize("command", OURS)
def test_each_help_has_an_example_of_its_command(shell: Shell, command: str) -> None:
    ended = shell.run(command, "--help")

    assert ended.code == 0
    assert f"Example: trichrome {command}" in ended.out


def test_every_option_that_help_names_is_documented(shell: Shell) -> None:
    page = (ROOT / "docs" / "commands.md").read_text()

    for command in OURS:
        section = page.partition(f"### `trichrome {command}")[2].partition("\n### ")[0]
        options = set(re.findall(r"--[a-z-]+", shell.run(command, "--help").out)) - {"--help", "--json"}
        assert {option for option in options if option not in section} == set(), command


@pytest.mark.parametrize(
    "arguments",
    [
        ("version",),
        ("status",),
        ("create", "search", "x"),
        ("list",),
        ("wait", "--timeout", "0"),
        ("events",),
        ("doctor",),
        ("init",),
        ("--help",),
    ],
    ids=" ".join,
)
def test_no_command_but_mcp_imports_the_sdk(shell: Shell, arguments: tuple[str, ...]) -> None:
    modules = imported(shell, *arguments)

    assert "trichrome" in modules
    assert modules.isdisjoint({"mcp", "mcp_types", "anthropic"})


def test_version_imports_nothing_that_it_does_not_need(shell: Shell) -> None:
    modules = imported(shell, "version")

    assert modules.isdisjoint({"rich", "apsw", "sqlite_utils", "structlog", "psutil", "yaml"})
    assert not (shell.folder / ".trichrome").exists()


def test_a_program_that_reads_pays_for_no_table(shell: Shell) -> None:
    shell.run("create", "search", "x")

    modules = imported(shell, "list", "--json")

    assert modules.isdisjoint({"rich", "sqlite_utils", "structlog", "psutil", "yaml", "sqlite3"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("show",),
        ("create", "search"),
        ("create", "search", "x", "--priority", "high"),
        ("reject", "t1"),
        ("events", "--limit", "0"),
        ("demo", "/no/such/folder"),
    ],
    ids=" ".join,
)
def test_misuse_is_told_on_stderr_and_exits_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    ended = shell.run(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err


def test_the_version_is_told_either_way(shell: Shell) -> None:
    assert shell.run("--version").out == shell.run("version").out == f"trichrome {VERSION}\n"
    assert shell.json("version") == {"version": VERSION}


def test_a_mistyped_command_is_guessed(shell: Shell) -> None:
    assert "Did you mean 'status'" in shell.run("statsu").err


@pytest.mark.parametrize("command", sorted(OPERATORS))
def test_a_session_of_a_worker_does_not_decide_for_the_operator(shell: Shell, command: str) -> None:
    (task,) = shell.create("x")

    refusal = shell.run(command, task, "--json", env={"TRICHROME_SESSION": "5e55"}).refusal

    assert refusal["code"] == "not_permitted"
    assert f"`trichrome {command}` is for the operator" in refusal["message"]
    assert shell.json("show", task)["state"] == "ready"


@pytest.mark.parametrize("arguments", [("list",), ("show", "t1"), ("status",), ("approve", "--help")], ids=" ".join)
def test_a_session_of_a_worker_may_look(shell: Shell, arguments: tuple[str, ...]) -> None:
    shell.create("x")

    assert shell.run(*arguments, env={"TRICHROME_SESSION": "5e55"}).code == 0


@pytest.mark.parametrize("command", ["show", "explain", "cancel", "retry", "approve"])
def test_an_unknown_task_is_refused_with_its_code(shell: Shell, command: str) -> None:
    ended = shell.run(command, "t99", "--json")

    assert ended.refusal["code"] == "not_found"
    assert ended.err == ""


def test_a_refusal_for_people_is_one_line_on_stderr(shell: Shell) -> None:
    ended = shell.run("show", "t99")

    assert (ended.code, ended.out) == (1, "")
    assert re.fullmatch(r"trichrome: There is no task t99\. .* \(not_found\)\n", ended.err)


def test_a_bad_setting_is_refused_by_its_name(shell: Shell) -> None:
    ended = shell.run("list", "--json", env={"TRICHROME_DURABILITY": "perhaps"})

    assert (ended.refusal["code"], ended.refusal["field"]) == ("invalid", "durability")


@pytest.mark.parametrize("folder", ["/", "~"])
def test_root_and_home_are_no_project(shell: Shell, folder: str) -> None:
    home = {"HOME": str(shell.folder), "TRICHROME_HOME": ""}
    where = shell.folder if folder == "~" else Path(folder)

    ended = shell.run("list", "--json", env=home, cwd=where)

    assert ended.refusal["code"] == "invalid"
    assert "TRICHROME_HOME" in ended.refusal["message"]
    assert not (where / ".trichrome").exists()


def test_a_damaged_log_is_refused_as_unavailable(shell: Shell) -> None:
    shell.run("create", "search", "x")
    (shell.folder / ".trichrome" / "events.db").write_bytes(b"no log" * 1000)

    ended = shell.run("list", "--json")

    assert ended.refusal["code"] == "store_unavailable"
    assert "damaged" in ended.refusal["message"]


def test_a_reader_that_goes_away_is_no_error_worth_a_word(shell: Shell) -> None:
    shell.create("x")
    process = shell.start("events", "--json", "--follow")
    assert process.stdout is not None
    assert process.stderr is not None

    process.stdout.readline()
    process.stdout.close()
    shell.create("one more")
    said = process.stderr.read()

    assert process.wait(BOUND) == 1
    assert said == ""
    process.stderr.close()


@pytest.mark.parametrize("command", ["list", "show t1", "--help", "create --help", "doctor", "events"])
def test_a_pipe_that_nobody_reads_is_no_error_worth_a_word(shell: Shell, command: str) -> None:
    shell.create("x")
    reading, writing = os.pipe()
    os.close(reading)

    process = shell.start(*command.split(), stdout=writing)
    os.close(writing)
    _, said = process.communicate(timeout=BOUND)

    assert process.returncode == 1
    assert "Error" not in said
    assert "Exception" not in said


@pytest.mark.parametrize("arguments", [("events", "--follow"), ("wait", "r1")], ids=" ".join)
def test_ctrl_c_ends_a_command_with_130_and_without_a_traceback(shell: Shell, arguments: tuple[str, ...]) -> None:
    over, running = shell.create("this is over", "this goes on")
    shell.do(over)
    shell.claim(running)
    process = shell.start(*arguments)
    assert process.stdout is not None

    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=BOUND)

    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    ("streams", "code", "told"),
    [
        (">&-", 1, "standard output is closed"),
        (">/dev/full", 1, "cannot be written: No space left on device"),
        ("--json >/dev/full", 1, "cannot be written: No space left on device"),
        ("2>&-", 0, ""),
        ("--state lost 2>/dev/full", 1, ""),
        (">&- 2>&-", 1, ""),
    ],
)
def test_a_stream_that_cannot_be_written_ends_a_command_in_a_line(
    shell: Shell, streams: str, code: int, told: str
) -> None:
    shell.create("a")
    command = shlex.join(shell.command("list"))

    done = subprocess.run(
        ["sh", "-c", f"{command} {streams}"],
        env=shell.environment(),
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )

    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == bool(told)


def test_a_store_in_memory_is_refused_where_each_command_is_a_process(shell: Shell) -> None:
    refusal = shell.run("list", "--json", env={"TRICHROME_STORE": "memory"}).refusal

    assert (refusal["code"], refusal["field"]) == ("invalid", "store")
    assert "TRICHROME_STORE" in refusal["message"]
