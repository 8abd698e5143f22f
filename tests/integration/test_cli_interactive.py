"""The prompt of `start --interactive`, on a real terminal."""

import sys
from pathlib import Path

import pytest
from tests.support.commands import BOUND, Shell
from tests.support.fleets import fleet_of, worker
from tests.support.terminal import Terminal

from trichrome.cli import interactive
from trichrome.coordinator import supervision
from trichrome.errors import InvalidError
from trichrome.supervisor import control

PROMPT = "trichrome>"
CTRL_C, CTRL_D = "\x03", "\x04"
RUN = "from trichrome.bootstrap import open_project; from trichrome.cli import interactive; interactive.run(open_project())"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def prompt(shell: Shell) -> Terminal:
    return Terminal([sys.executable, "-c", RUN], cwd=shell.folder, env=shell.environment())


def ask(terminal: Terminal, line: str, answer: str) -> None:
    """Type a line at the prompt, and wait for an answer and the next prompt."""
    terminal.enter(line)
    terminal.until(answer)
    terminal.until(PROMPT)


def test_tasks_are_created_shown_and_cancelled(shell: Shell) -> None:
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        ask(terminal, 'create search "Find the tests" --role blue', "t1 +ready")
        ask(terminal, 'trichrome create implement "Mend them" --depends-on t1', "t2 +blocked")
        ask(terminal, "show t1", "Find the tests")
        ask(terminal, "cancel t2", r"Cancelled t2\.")
        terminal.enter("quit")
        code = terminal.end()

    assert code == 0
    assert [(each["id"], each["state"]) for each in shell.json("list")["tasks"]] == [
        ("t1", "ready"),
        ("t2", "cancelled"),
    ]


def test_the_board_shows_tasks_workers_and_spend_and_follows_the_log(shell: Shell) -> None:
    shell.create("a", "b")
    lines = [
        worker("blue-1", "working", task="t1", reason="it reads \x1b[2Jfiles"),
        worker("red-1", "parked", reason="no login"),
    ]

    with (
        shell.project() as project,
        control.alone(project.coordinator, project.data),
        prompt(shell) as terminal,
    ):
        supervision.put_fleet(project.coordinator, fleet_of(*lines, cost_usd=1.5))
        told = terminal.shown("no login")
        shell.do("t1")
        terminal.shown("1 completed")
        terminal.type(CTRL_D)
        terminal.end()

    assert "Tasks  2 ready   $1.50 spent" in told
    assert "blue-1         working           t1" in told
    assert "red-1          parked" in told


def test_a_line_that_is_refused_misspelt_or_unreadable_does_not_end_the_prompt(shell: Shell) -> None:
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        ask(terminal, "show t99", "There is no task t99")
        ask(terminal, "shwo t1", "No such command 'shwo'")
        ask(terminal, "create search Bob's", "double quotes")
        ask(terminal, "create search", "Missing argument")
        ask(terminal, "start --blue 3", "runs already: `scale ROLE=N` changes")
        ask(terminal, "demo", "run `trichrome demo` in another one")
        terminal.enter("")
        ask(terminal, "list --limit 0", "limit is 0")
        terminal.enter("quit")
        code = terminal.end()

    assert code == 0
    assert "Traceback" not in terminal.sent


def test_a_command_that_breaks_does_not_end_the_prompt(shell: Shell) -> None:
    broken = f"import trichrome.cli.status as s; s._show = lambda _: 1 / 0; {RUN}"
    with Terminal([sys.executable, "-c", broken], cwd=shell.folder, env=shell.environment()) as terminal:
        terminal.until(PROMPT)
        ask(terminal, "status", "status failed: ZeroDivisionError")
        terminal.enter("quit")
        code = terminal.end()

    assert code == 0


def test_help_lists_the_commands_and_tells_of_each(shell: Shell) -> None:
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        terminal.enter("help")
        listed = terminal.until("gives none")
        terminal.until(PROMPT)
        ask(terminal, "help create", "Example: trichrome create")
        terminal.enter("quit")
        terminal.end()

    assert "approve" in listed
    assert "torture" not in listed


def test_ctrl_c_asks_before_it_leaves(shell: Shell) -> None:
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        terminal.type(CTRL_C)
        terminal.until(r"Stop the workers and leave\? \[y/N\]")
        terminal.enter("n")
        terminal.until(PROMPT)
        terminal.type(CTRL_C)
        terminal.until("leave")
        terminal.enter("y")
        code = terminal.end()

    assert code == 0


def test_a_second_ctrl_c_leaves(shell: Shell) -> None:
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        terminal.type(CTRL_C)
        terminal.until("leave")
        terminal.type(CTRL_C)
        code = terminal.end()

    assert code == 0


def test_ctrl_c_ends_what_a_command_waits_for_and_the_prompt_goes_on(shell: Shell) -> None:
    shell.create("a")
    with prompt(shell) as terminal:
        terminal.until(PROMPT)
        terminal.enter("events --follow")
        terminal.until("operator created it")
        terminal.type(CTRL_C)
        terminal.until(PROMPT)
        ask(terminal, "list", "t1 ")
        terminal.type(CTRL_D)
        code = terminal.end()

    assert code == 0


def test_without_a_terminal_it_refuses_and_says_what_to_do(shell: Shell) -> None:
    with shell.project() as project, pytest.raises(InvalidError, match="needs a terminal") as refused:
        interactive.run(project)

    assert "--detach" in str(refused.value)


def started(shell: Shell, *arguments: str) -> Terminal:
    """`start --interactive`, with workers that need no model."""
    command = shell.command("start", "--interactive", "--runner", "offline", "--blue", "1", *arguments)
    return Terminal(command, cwd=shell.folder, env=shell.environment())


def test_examples_are_created_and_the_workers_take_them(shell: Shell) -> None:
    (shell.folder / "README.md").write_text("# A project\n\nIt starts with `python main.py`.\n")

    with started(shell, "--create-examples") as terminal:
        terminal.shown("Tasks .* 2 completed")
        terminal.enter("quit")
        code = terminal.end()

    assert code == 0
    assert "Stopped. Nothing of it runs." in terminal.sent
    assert [each["state"] for each in shell.json("list")["tasks"]] == ["completed", "completed", "ready"]
    assert shell.processes() == []


@pytest.mark.parametrize("line", ["quit", "stop", "stop --force"])
def test_leaving_stops_the_supervisor(shell: Shell, line: str) -> None:
    with started(shell) as terminal:
        terminal.shown("blue-1 +idle")
        terminal.enter(line)
        code = terminal.end()

    assert code == 0
    assert shell.processes() == []


def test_workers_are_scaled_and_paused_from_the_prompt(shell: Shell) -> None:
    with started(shell) as terminal:
        terminal.shown("blue-1 +idle")
        terminal.enter("scale blue=2")
        terminal.shown("blue-2 +idle")
        terminal.enter("pause blue")
        terminal.shown("blue-2 +paused")
        terminal.enter("resume blue")
        terminal.shown("blue-2 +idle")
        terminal.enter("logs blue-2")
        terminal.until("hired")
        terminal.until(PROMPT)
        terminal.type(CTRL_D)
        code = terminal.end()

    assert code == 0


def test_closing_the_terminal_stops_the_supervisor(shell: Shell) -> None:
    with started(shell) as terminal:
        terminal.shown("blue-1 +idle")
        terminal.hang_up()
        terminal.process.wait(BOUND)

    assert shell.json("stop") == {"stopped": False}
    assert shell.processes() == []


def test_start_without_a_terminal_starts_nothing(shell: Shell) -> None:
    refusal = shell.run("start", "--interactive", "--runner", "offline")

    assert refusal.code == 1
    assert "needs a terminal" in refusal.err
    assert shell.json("workers") == {"workers": []}
