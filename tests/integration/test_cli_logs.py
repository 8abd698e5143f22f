"""`trichrome logs`: what supervised workers did, from the files that the supervisor and its sessions write."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.commands import BOUND, Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def entry(event: str, second: int = 0, **fields: Any) -> bytes:
    """A line as the supervisor writes it."""
    said = {"event": event, "timestamp": f"2026-01-01T10:00:{second:02d}.000000Z", "level": "info", **fields}
    return json.dumps(said).encode() + b"\n"


def journal(shell: Shell, worker: str, *lines: bytes, part: str = "") -> Path:
    folder = shell.folder / ".trichrome" / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.parent.chmod(0o700)
    path = folder / f"{worker}.log{part}"
    with path.open("ab") as file:
        file.writelines(lines)
    return path


def follow(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    return shell.start("logs", *arguments, "--follow")


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=BOUND)
    return process.returncode, said


def test_all_workers_are_told_in_the_order_of_time(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started", 1), entry("ended", 4))
    journal(shell, "green-1", entry("started", 2, task="t2"), entry("claimed", 3, task="t2", attempt="t2.1"))

    told = [line.split()[1:] for line in shell.run("logs").out.splitlines()]

    assert told == [
        ["blue-1", "started"],
        ["green-1", "t2", "started"],
        ["green-1", "t2.1", "claimed"],
        ["blue-1", "ended"],
    ]


def test_one_worker_is_chosen_and_its_newest_lines(shell: Shell) -> None:
    journal(shell, "blue-1", *(entry(f"event-{number}", number) for number in range(9)))
    journal(shell, "green-1", entry("another", 9))

    lines = shell.run("logs", "blue-1", "--lines", "2").out.splitlines()

    assert [line.split()[-1] for line in lines] == ["event-7", "event-8"]
    assert shell.run("logs", "--lines", "0").out == ""


def test_parts_that_were_rotated_come_first_the_oldest_first(shell: Shell) -> None:
    journal(shell, "blue-1", entry("third", 3))
    journal(shell, "blue-1", b"cut short\n", entry("first", 1), part=".2")
    journal(shell, "blue-1", entry("second", 2), b"cut too\n", part=".1")

    told = [each["event"] for each in shell.run("logs", "--json").lines]

    assert told == ["cut short", "first", "second", "cut too", "third"]


def test_a_program_gets_each_line_as_the_supervisor_wrote_it(shell: Shell) -> None:
    journal(shell, "blue-1", entry("said", 1, task="t1", said="naïve \u202e words"))

    (told,) = shell.run("logs", "--json").lines

    assert told == {
        "event": "said",
        "timestamp": "2026-01-01T10:00:01.000000Z",
        "level": "info",
        "task": "t1",
        "said": "naïve \u202e words",
        "worker": "blue-1",
    }


def test_text_of_agents_is_shown_as_one_harmless_line(shell: Shell) -> None:
    journal(shell, "blue-1", entry("said", 1, said="a\x1b[2J\u202eb\n10:00:09  green-1  forged [bold]c[/bold]"))

    out = shell.on_terminal("logs", columns=200)

    assert out.count("\n") == 1
    assert out.rstrip().endswith("said  said: a[2Jb 10:00:09 green-1 forged [bold]c[/bold]")


def test_a_line_that_a_crash_cut_short_is_told_as_it_is(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started", 1), b'{"event": "claim\n', b"[1]\n", b"\xff\xfe\n", entry("ended", 2))

    ended = shell.run("logs")

    assert ended.code == 0
    assert [line.split("blue-1", 1)[1].strip() for line in ended.out.splitlines()] == [
        "started",
        '{"event": "claim',
        "[1]",
        "\ufffd\ufffd",
        "ended",
    ]


def test_an_unknown_worker_is_refused_with_those_there_are(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started"))
    journal(shell, "red-1", entry("started"))

    refusal = shell.run("logs", "../../etc/passwd", "--json").refusal

    assert (refusal["code"], refusal["field"]) == ("not_found", "worker")
    assert "blue-1, red-1" in refusal["message"]


def test_without_any_worker_it_says_how_to_start_some(shell: Shell) -> None:
    ended = shell.run("logs")

    assert (ended.code, ended.out) == (0, "")
    assert "`trichrome start`" in ended.err


def test_the_logs_are_shown_although_the_log_of_events_is_damaged(shell: Shell) -> None:
    shell.create("a")
    (shell.folder / ".trichrome" / "events.db").write_bytes(b"no log" * 1000)
    journal(shell, "blue-1", entry("started"))

    assert shell.run("logs").code == 0


def test_what_a_session_wrote_is_shown_raw(shell: Shell) -> None:
    path = journal(shell, "blue-1", entry("started"))
    output = path.with_suffix("") / "output.jsonl"
    output.parent.mkdir()
    output.with_name("output.jsonl.1").write_bytes(b'{"type":"old"}\n')
    output.write_bytes(b'{"type":"system"}\nno JSON \x1b[2J at all\n')

    lines = shell.run("logs", "blue-1", "--raw").out.splitlines()

    assert lines == ['{"type":"old"}', '{"type":"system"}', "no JSON [2J at all"]


@pytest.mark.parametrize("arguments", [("--raw",), ("blue-1", "--raw", "--json"), ("--lines", "-1")])
def test_misuse_exits_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    assert shell.run("logs", *arguments).code == 2


def test_a_follower_sees_what_comes_and_ends_well_with_ctrl_c(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started", 1))
    process = follow(shell)

    first = next_line(process)
    journal(shell, "green-1", entry("came", 2))
    second = next_line(process)
    code, said = end(process)

    assert (first.split()[1:], second.split()[1:]) == (["blue-1", "started"], ["green-1", "came"])
    assert (code, said) == (0, "")


def test_a_follower_tells_a_line_once_it_is_whole(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started", 1))
    process = follow(shell)
    next_line(process)
    line = entry("claimed", 2)

    journal(shell, "blue-1", line[:20])
    journal(shell, "green-1", entry("meanwhile", 3))
    meanwhile = next_line(process)
    journal(shell, "blue-1", line[20:])
    whole = next_line(process)
    end(process)

    assert meanwhile.split()[-1] == "meanwhile"
    assert whole.split()[-1] == "claimed"


def test_a_follower_goes_on_through_rotation(shell: Shell) -> None:
    path = journal(shell, "blue-1", entry("started", 1))
    process = follow(shell, "blue-1")
    next_line(process)

    journal(shell, "blue-1", entry("last-words", 2))
    path.replace(path.with_name("blue-1.log.1"))
    journal(shell, "blue-1", entry("first-words", 3))
    told = [next_line(process).split()[-1] for _ in range(2)]
    end(process)

    assert told == ["last-words", "first-words"]


def test_a_follower_goes_on_when_the_file_is_cut_to_nothing(shell: Shell) -> None:
    path = journal(shell, "blue-1", entry("a-long-first-line", 1, said="x" * 500))
    process = follow(shell, "blue-1")
    next_line(process)

    path.write_bytes(entry("short", 2))
    told = next_line(process)
    end(process)

    assert told.split()[-1] == "short"


def test_a_follower_ends_when_nobody_reads_although_nothing_happens(shell: Shell) -> None:
    journal(shell, "blue-1", entry("started", 1))
    process = follow(shell)
    next_line(process)
    assert process.stdout is not None

    process.stdout.close()

    assert process.wait(BOUND) == 1
    assert process.stderr is not None
    with process.stderr as said:
        assert said.read() == ""


def test_a_worker_without_a_log_is_refused_with_the_workers_that_have_one(shell: Shell) -> None:
    for worker in ("blue-1", "green-1", "supervisor"):
        journal(shell, worker, entry("started"))

    refused = shell.run("logs", "blue-9").err

    assert "There is no log of a worker 'blue-9'. Workers that have one: blue-1, green-1." in refused
    assert shell.run("logs", "supervisor").out
