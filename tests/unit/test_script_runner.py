"""The lines that a session tells, what its exit code means, and the files that a script is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.sessions import assignment

from trichrome.domain.text import clean
from trichrome.runners.port import Ending, Transcript, Usage
from trichrome.runners.script import ScriptRunner
from trichrome.runners.telling import NAMES, SAID_CHARACTERS, LineReader, ending


def read(*lines: bytes | dict[str, Any]) -> Transcript:
    reader = LineReader()
    for line in lines:
        reader.read(line if isinstance(line, bytes) else json.dumps(line).encode())
    return reader.transcript


def test_lines_add_up_to_what_a_session_did() -> None:
    told = read(
        {"type": "said", "text": "I look"},
        {"type": "called", "tool": "grep"},
        {"type": "called", "tool": "grep"},
        {"type": "denied", "tool": "bash"},
        {"type": "denied", "tool": "bash"},
        {"type": "used", "model": "m", "input": 3, "output": 4, "cache_read": 5, "cost_usd": 0.25},
        {"type": "used", "model": "m", "input": 30, "cache_write": 6, "cost_usd": 0.5},
        {"type": "used", "model": "n", "output": 1},
        {"type": "ended"},
    )

    assert told == Transcript(
        said="I look",
        denials=("bash",),
        usage={"m": Usage(input=33, output=4, cache_read=5, cache_write=6), "n": Usage(output=1)},
        cost_usd=0.75,
        is_ended=True,
    )


def test_trouble_is_kept_with_its_status_and_its_end() -> None:
    told = read({"type": "trouble", "error": "too many", "status": 429, "is_limit": True, "until": 1790000000})

    assert (told.error, told.status, told.is_limit, told.limit_until) == ("too many", 429, True, 1790000000.0)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{" + b'"n":' + b"9" * 5_000 + b"}",
        b'{"type": "said"}',
        b'{"type": ["said"], "text": {}}',
        b'{"type": "used", "model": "m", "input": -1, "output": true, "cache_read": "1", "cost_usd": NaN}',
        b'{"type": "trouble", "error": "x", "status": 1e400, "until": "soon"}',
        b'{"type": "called", "tool": null}',
    ],
)
def test_no_line_breaks_the_reader(line: bytes) -> None:
    told = read(line, {"type": "ended"})

    assert told.is_ended
    assert told.usage in ({}, {"m": Usage()})
    assert (told.cost_usd, told.status, told.limit_until) == (None, None, None)


def test_nothing_unclean_or_endless_leaves_the_reader() -> None:
    bad = "\ud800\x1b[2J\u202e" + "x" * 10_000
    lines: list[dict[str, Any]] = [{"type": "trouble", "error": bad}, {"type": "said", "text": bad}]
    lines += [{"type": "denied", "tool": f"{number}{bad}"} for number in range(NAMES + 5)]
    lines += [{"type": "used", "model": f"{number}{bad}", "input": 1} for number in range(NAMES + 5)]

    told = read(*lines, b'{"type": "said", "text": "\\ud83d\x1b[1m bold"}')

    texts = [told.said, told.error or "", *told.denials, *told.usage]
    assert [each for each in texts if each != clean(each) or len(each) > SAID_CHARACTERS] == []
    assert (len(told.denials), len(told.usage)) == (NAMES, NAMES)


def test_reason_from_standard_error_is_clean_and_short() -> None:
    reason = ending(Transcript(), code=3, errors="first\n\x1b[31mred " + "x" * 10_000 + "\n\x07\n").reason

    assert reason == clean(reason)
    assert len(reason) < 600
    assert "[31mred" in reason


def test_free_text_is_what_was_said_and_only_its_end_is_kept() -> None:
    told = read(b"first", b'{"not": "ours"}', b"x" * SAID_CHARACTERS, b"last")

    assert len(told.said) == SAID_CHARACTERS
    assert told.said.endswith("x\nlast")


LIMIT = Transcript(error="The limit is reached.", status=429, is_limit=True, limit_until=17.0)


@pytest.mark.parametrize(
    ("transcript", "code", "errors", "expected"),
    [
        (Transcript(), 0, "", Ending("ended", "The session ended by itself.")),
        (Transcript(), 3, "a\nb\n\n", Ending("failed", "The session left with exit code 3. b")),
        (Transcript(), 3, "", Ending("failed", "The session left with exit code 3. It did not say why.")),
        (Transcript(error="why"), -9, "b", Ending("failed", "The session was ended by SIGKILL. why")),
        (LIMIT, 75, "", Ending("limit", "The limit is reached.", until=17.0, scope="role")),
        (LIMIT, 1, "", Ending("limit", "The limit is reached.", until=17.0, scope="role")),
        (Transcript(), 75, "come back", Ending("limit", "come back")),
        (Transcript(error="no key"), 78, "", Ending("unusable", "no key")),
        (Transcript(error="no model", status=404), 78, "", Ending("unusable", "no model", scope="role")),
    ],
)
def test_exit_code_and_lines_say_why_a_session_is_over(
    transcript: Transcript, code: int, errors: str, expected: Ending
) -> None:
    assert ending(transcript, code=code, errors=errors) == expected


def test_script_is_given_its_task_its_prompt_and_our_server(tmp_path: Path) -> None:
    given = assignment(tmp_path, tmp_path / "scratch", role="green", task="t17")

    launch = ScriptRunner(f"{sys.executable} agent.py 'two words'").launch(given)

    config = json.loads(Path(launch.environment["TRICHROME_MCP_CONFIG"]).read_text())["mcpServers"]["trichrome"]
    prompt = Path(launch.environment["TRICHROME_PROMPT"]).read_text()
    assert launch.command == (sys.executable, "agent.py", "two words")
    assert launch.environment["TRICHROME_TASK"] == config["env"]["TRICHROME_TASK"] == "t17"
    assert launch.environment["TRICHROME_WORKER"] == "green-1"
    assert config["env"]["TRICHROME_WORKER"] == "green-1"
    assert config["args"][-2:] == ["trichrome", "mcp"]
    assert given.role.prompt in prompt
    assert 'claim_task(task="t17")' in prompt


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "names no command"),
        ("'half", "not a command line"),
        ("no-such-program-anywhere --x", "no program 'no-such-program-anywhere'"),
    ],
)
def test_script_that_cannot_be_started_is_told_before_any_session(command: str, words: str) -> None:
    lack = ScriptRunner(command).lacks()

    assert lack is not None
    assert words in lack


def test_script_that_can_be_started_lacks_nothing() -> None:
    assert ScriptRunner(f"{sys.executable} -V").lacks() is None
