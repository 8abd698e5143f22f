"""`trichrome demo`: real workers, an approved report, and nothing left behind."""

import json
import re
import shlex
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.support.commands import Ended, Shell

from trichrome.cli.demo import themes

BOUND = 120.0
"""Seconds; a demo takes about ten on two free cores."""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    folder = tmp_path / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "login.py").write_text(
        "import os\n\nTOKEN = os.environ['TOKEN']\n\n\ndef login(user, password):\n"
        "    if not password:\n        raise ValueError('no password')\n    return TOKEN\n"
    )
    (folder / "README.md").write_text("# A small project\n\nTODO: say more about the password.\n")
    return Shell(folder)


def demo(shell: Shell, *arguments: str, code: int = 0) -> Ended:
    ended = shell.run("demo", "--json", *arguments, bound=BOUND)
    assert ended.code == code, (ended.out, ended.err)
    return ended


def assert_nothing_is_left(shell: Shell) -> None:
    _, left = psutil.wait_procs(shell.processes(), timeout=5)
    assert left == []


def cited(report: Path) -> list[tuple[str, int, str]]:
    found = re.findall(r"^- `([^`]+):(\d+)` `+ ?(.*?) ?`+$", report.read_text(), re.MULTILINE)
    return [(file, int(line), text) for file, line, text in found]


def command_of(process: psutil.Process) -> list[str]:
    """Its command line; nothing of one that ended between being listed and being asked."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def test_the_report_is_approved_and_every_cited_line_is_true(shell: Shell) -> None:
    played = demo(shell).answer
    report = Path(played["report"])
    lines = cited(report)

    assert played["approved"] is True
    assert played["model"] == "none"
    assert "No model was used" in report.read_text()
    assert report.is_absolute()
    assert ("src/login.py", 8, "raise ValueError('no password')") in lines
    for file, number, text in lines:
        assert (shell.folder / file).read_text().splitlines()[number - 1].strip() == text
    assert_nothing_is_left(shell)


def test_each_part_was_done_by_a_worker_of_its_colour(shell: Shell) -> None:
    played = demo(shell).answer

    tasks = shell.json("list", "--run", played["run"])["tasks"]
    workers = {attempt["worker"] for task in tasks for attempt in shell.json("show", task["id"])["attempts"]}

    assert {task["state"] for task in tasks} == {"completed"}
    assert {worker.partition("-")[0] for worker in workers} == {"blue", "green", "red"}
    assert shell.run("doctor", "--json").code == 0


def test_it_can_be_played_again_in_the_same_project(shell: Shell) -> None:
    first = demo(shell, "--query", "password").answer
    second = demo(shell, "--query", "password").answer

    assert (first["run"], second["run"]) == ("r1", "r2")
    assert first["report"] != second["report"]
    assert Path(first["report"]).exists()
    assert Path(second["report"]).exists()


def test_other_work_is_never_touched(shell: Shell) -> None:
    (mine,) = shell.create("Needs a model", kind="implement")

    played = demo(shell).answer

    assert played["approved"] is True
    assert Path(played["report"]).exists()
    assert not Path(played["report"]).is_relative_to(shell.folder)
    assert shell.json("show", mine)["attempts"] == []
    assert [task["id"] for task in shell.json("list")["tasks"]] == [mine]


def test_a_folder_that_cannot_be_written_is_worked_on_in_a_copy(shell: Shell) -> None:
    (shell.folder / ".trichrome").write_text("in the way of the folder")

    played = demo(shell).answer
    report = Path(played["report"])

    assert played["approved"] is True
    assert "src/login.py" in {file for file, _, _ in cited(report)}
    assert [path.name for path in report.parent.iterdir()] == ["report.md"]


def test_a_folder_may_be_named_whatever_the_environment_says(shell: Shell, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "main.go").write_text("func main() { panic(1) }\n")

    played = demo(shell, str(other)).answer

    assert played["project"] == str(other)
    assert Path(played["report"]).is_relative_to(other)
    assert not (shell.folder / ".trichrome").exists()


def test_an_empty_folder_gets_a_report_that_cites_nothing(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    played = demo(shell).answer

    assert "It cites no line." in Path(played["report"]).read_text()


def test_what_cannot_be_searched_fails_with_the_reason_and_leaves_nothing_open(shell: Shell) -> None:
    played = demo(shell, "--query", "/(/", code=1).answer

    assert played["approved"] is False
    assert "not a regular expression" in played["trouble"]
    assert {task["state"] for task in shell.json("list")["tasks"]} <= {"failed", "cancelled"}
    assert_nothing_is_left(shell)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_and_no_open_task(shell: Shell, number: signal.Signals) -> None:
    process = shell.start("demo")
    assert process.stdout is not None

    for line in process.stdout:
        if "operator created it" in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=BOUND)

    assert process.returncode == 128 + number
    assert "it was stopped" in out
    assert "Traceback" not in err
    assert {task["state"] for task in shell.json("list")["tasks"]} <= {"cancelled", "completed"}
    assert_nothing_is_left(shell)


def test_a_worker_that_dies_ends_the_demo_with_its_last_words(shell: Shell) -> None:
    process = shell.start("demo", "--json")

    workers: list[psutil.Process] = []
    while not workers and process.poll() is None:
        workers = [each for each in shell.processes() if "--role" in command_of(each)]
    workers[0].kill()
    out, _ = process.communicate(timeout=BOUND)

    assert process.returncode == 1
    assert "worker left with -9" in json.loads(out)["trouble"]
    assert_nothing_is_left(shell)


def test_a_pipe_gets_a_line_for_each_step_and_the_report_last(shell: Shell) -> None:
    ended = shell.run("demo", bound=BOUND)
    lines = ended.out.splitlines()

    assert lines[0].startswith("No model is used")
    assert any("claimed it as t1.1" in line for line in lines)
    assert re.fullmatch(rf"Report: {re.escape(str(shell.folder))}/\S+-report\.md", lines[-1])


def test_a_terminal_gets_a_board(shell: Shell) -> None:
    sent = shell.on_terminal("demo", columns=80)

    assert "Workers" in sent
    assert "Report: " in sent
    assert sent.rfind("\x1b[?25h") > sent.rfind("\x1b[?25l") >= 0


def test_themes_are_what_a_project_is_about(shell: Shell) -> None:
    chosen = themes.choose(shell.folder, None)

    assert "Find passwords, tokens and credentials" in chosen
    assert chosen == themes.choose(shell.folder, None)


def test_themes_of_prose_are_its_frequent_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The nightingale sang. A nightingale sings.\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)

    assert 'Find "nightingale"' in themes.choose(tmp_path, None)


def test_workers_of_a_killed_demo_leave_by_themselves(shell: Shell) -> None:
    process = shell.start("demo")
    assert process.stdout is not None
    for line in process.stdout:
        if "claimed it" in line:
            break

    process.kill()
    process.communicate(timeout=BOUND)

    _, left = psutil.wait_procs(shell.processes(), timeout=BOUND)
    assert left == []
    assert "running" not in {task["state"] for task in shell.json("list")["tasks"]}


def test_what_to_look_at_next_can_be_started_as_it_is_told(shell: Shell) -> None:
    ended = shell.run("demo", env={"PATH": "/usr/bin:/bin"}, bound=BOUND)

    commands = [line.strip() for line in ended.err.partition("Look closer:")[2].splitlines() if line.strip()]
    for command in commands:
        subprocess.run(shlex.split(command), env=shell.environment(), cwd=shell.folder, check=True, timeout=BOUND)
    assert [command.split()[-1] for command in commands] == ["r1", commands[1].split()[-1], "events"]


def test_an_empty_query_is_misuse(shell: Shell) -> None:
    ended = shell.run("demo", "--query", " ")

    assert ended.code == 2
    assert "--query" in ended.err
