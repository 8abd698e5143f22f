"""Whatever comes in gets an answer where one can be given, and the server goes on serving."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.servers import Server, ending

from trichrome.mcp_server import tools
from trichrome.mcp_server.wire import MAX_LINE_BYTES

Start = Callable[..., Server]
LONE = "\\ud83d"
MEBIBYTE = 1 << 20


@pytest.fixture(scope="module")
def begun() -> Iterator[Start]:
    with ending() as start:
        yield start


@pytest.fixture(scope="module")
def shared(begun: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One server for all that must not harm it."""
    return begun(tmp_path_factory.mktemp("project"))


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    yield shared

    assert shared.result("tools/list")["tools"], "it serves no longer"
    assert b"\n".join(shared.lines).isascii() or b"\n".join(shared.lines).decode("utf-8")


@pytest.fixture
def start() -> Iterator[Start]:
    with ending() as start:
        yield start


def call_with(server: Server, tool: str, arguments: str) -> dict[str, Any]:
    """Call a tool with arguments as raw JSON text."""
    number = server.ask("ping")
    server.answer(number)
    raw = f'{{"jsonrpc":"2.0","id":"raw-{number}","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}'
    server.send_bytes(raw.encode() + b"\n")
    return server.answer(f"raw-{number}")


def required(tool: Any) -> dict[str, Any]:
    """Arguments that a tool cannot do without."""
    sample: dict[str, Any] = {"attempt": "t1.1", "outcome": "completed", "paths": ["x"]}
    return {name: sample.get(name, "t1") for name in tool.wire().input_schema.get("required", ())}


ARGUMENTS = [(tool, argument) for tool in tools.TOOLS for argument in tool.arguments.model_fields]


@pytest.mark.parametrize(
    ("tool", "argument"), ARGUMENTS, ids=[f"{tool.name}-{argument}" for tool, argument in ARGUMENTS]
)
def test_lone_surrogate_in_any_argument_gets_an_answer(server: Server, tool: Any, argument: str) -> None:
    forms = [
        f'"{LONE}"',
        f'"{LONE.upper().replace("U", "u")} and \\ud83d\\ude00"',
        f'["{LONE}"]',
        f'{{"{LONE}":["{LONE}"]}}',
    ]

    for form in forms:
        arguments = json.dumps(required(tool) | {argument: "@"}).replace('"@"', form)
        answer = call_with(server, tool.name, arguments)

        assert "structuredContent" in answer["result"]


def test_lone_surrogate_hidden_in_json_text_of_a_list_gets_an_answer(server: Server) -> None:
    for text in (f'["{LONE}"]', f'[{{"{LONE}": 1}}]', f'[{{"kind": "{LONE}", "instructions": "x"}}]'):
        answer = server.answer(server.ask_tool("create_task", tasks=text))

        assert answer["result"]["structuredContent"]["error"]["code"] in {"invalid", "unknown_argument"}


def test_pair_of_surrogates_is_the_character_it_means(server: Server) -> None:
    answer = call_with(server, "share_context", '{"name":"pair","text":"\\ud83d\\ude00 \\ud83d"}')

    assert answer["result"]["structuredContent"]["version"] == 1
    assert server.call("share_context", name="pair")["text"].startswith("\N{GRINNING FACE} ")


@pytest.mark.parametrize("broken", [b"\xff\xfe", b"\xc3", b"\xed\xa0\xbd", b"\x80"])
def test_bytes_that_are_not_utf_8_get_an_answer(server: Server, broken: bytes) -> None:
    number = server.ask("ping")
    server.answer(number)
    head = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"send_message","arguments":{"to":"' % (
        number + 10**6
    )
    server.send_bytes(head + broken + b'","text":"x"}}}\n')

    answer = server.answer(number + 10**6)

    assert "result" in answer or answer["error"]["data"]["error"]["code"] == "invalid"


UNSAFE = "a\x00b\x1b[31mc\u202ed\u2066e\x9bf\u200eg\ufeffh\u2028i"


def test_what_others_read_holds_no_control_or_bidirectional_characters(server: Server) -> None:
    created = server.call("create_task", kind="search", instructions=UNSAFE, acceptance=UNSAFE, files=["clean"])
    task = created["tasks"][0]["id"]
    attempt = server.call("claim_task", task=task)["attempt"]
    server.call("report_progress", attempt=attempt, note=UNSAFE)
    server.call(
        "report_result",
        attempt=attempt,
        outcome="completed",
        summary=UNSAFE,
        data={UNSAFE: [UNSAFE]},
        follow_ups=[UNSAFE],
    )
    server.call("share_context", name="unsafe", text=UNSAFE)
    detail = server.call("get_task", task=task)
    note = server.call("share_context", name="unsafe")

    read = json.dumps([detail, note], ensure_ascii=False)

    assert detail["result"]["data"] == {"ab[31mcdefghi": ["ab[31mcdefghi"]}
    assert not set(UNSAFE) - set("abcdefghi[31m") & set(read)


def test_refusal_names_an_unknown_argument_without_its_unsafe_characters(server: Server) -> None:
    error = server.refused("claim_task", **{f"bogus{UNSAFE}" + "x" * 500: 1})

    assert error["code"] == "unknown_argument"
    assert error["field"].startswith("bogus")
    assert len(error["field"]) <= 80
    assert not {"\x00", "\x1b", "\u202e", "\u2066"} & set(json.dumps(error, ensure_ascii=False))
    assert "role, task, wait_seconds" in error["message"]


SECRET = "hunter2"
WRONG: list[Any] = [SECRET, [SECRET], {SECRET: SECRET}, 10**30, 1.5, True, None, [[SECRET]], [None], ""]


@pytest.mark.parametrize("tool", tools.TOOLS, ids=lambda tool: tool.name)
def test_wrong_types_are_refused_without_echo_of_the_input_or_a_library(server: Server, tool: Any) -> None:
    texts = {"to", "text", "summary", "instructions", "request", "note", "name", "reason", "data", "key", "acceptance"}
    for argument in tool.arguments.model_fields:
        for value in WRONG:
            content = server.tool_answer(server.ask_tool(tool.name, **(required(tool) | {argument: value})))
            said = json.dumps(content)

            assert "pydantic" not in said
            assert "http" not in said
            if "error" in content:
                assert content["error"]["code"] != "internal", (argument, value)
                assert argument in texts or SECRET not in said or content["error"]["message"].count(SECRET) == 1


def test_unknown_tool_is_refused_with_the_names_of_those_there_are(server: Server) -> None:
    error = server.refused("nope\u202e")

    assert error["code"] == "not_found"
    assert "claim_task" in error["message"]
    assert "\u202e" not in error["message"]


def test_deep_nesting_gets_an_answer(server: Server) -> None:
    for depth in (150, 5_000, 200_000):
        nested = "[" * depth + "]" * depth
        for arguments in (
            f'{{"attempt":"t1.1","outcome":"completed","summary":"x","data":{nested}}}',
            f'{{"attempt":"t1.1","outcome":"completed","summary":"x","files":"{nested}"}}',
        ):
            answer = call_with(server, "report_result", arguments)

            code = (
                answer["error"]["data"]["error"]
                if "error" in answer
                else answer["result"]["structuredContent"]["error"]
            )
            assert code["code"] in {"invalid", "not_found", "too_large", "already_reported"}


ODD_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "1" + "0" * 5000, "-0.0"]


@pytest.mark.parametrize("number", ODD_NUMBERS, ids=[text[:10] + str(len(text)) for text in ODD_NUMBERS])
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("claim_task", '{"wait_seconds":@}'),
        ("wait", '{"tasks":["t1"],"cursor":@,"wait_seconds":0}'),
        ("create_task", '{"kind":"search","instructions":"x","priority":@}'),
        ("create_task", '{"kind":"search","instructions":"x","not_before_seconds":@}'),
        ("create_task", '{"kind":"search","instructions":"x","time_limit_seconds":@}'),
        ("create_task", '{"kind":"search","instructions":"x","max_attempts":@}'),
        ("report_progress", '{"attempt":"t1.1","fraction":@}'),
        ("report_result", '{"attempt":"t1.1","outcome":"completed","summary":"x","data":@}'),
        ("list_tasks", '{"limit":@}'),
        ("share_context", '{"name":"n","text":"x","expect_version":@}'),
    ],
)
def test_numbers_that_no_argument_can_be_get_an_answer(server: Server, tool: str, arguments: str, number: str) -> None:
    answer = call_with(server, tool, arguments.replace("@", number))

    if "result" in answer:
        assert answer["result"]["structuredContent"].get("error", {}).get("code") != "internal"
    else:
        assert answer["error"]["data"]["error"]["code"] == "invalid"


def test_error_goes_to_the_request_and_not_to_an_id_inside_of_its_arguments(server: Server) -> None:
    server.send_bytes(
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"id":1}},"nonsense":"\\q","id":901}\n'
    )
    server.send_bytes(b'{"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{"id":1, "id":"\\q"}}}\n')

    first = server.until(lambda message: "error" in message)
    second = server.until(lambda message: "error" in message)

    assert (first["id"], second["id"]) == (901, None)


def test_requests_with_one_id_are_each_answered(server: Server) -> None:
    for _ in range(3):
        server.send(server.request("twice", "ping"))

    answers = [server.answer("twice") for _ in range(3)]

    assert [answer["result"] for answer in answers] == [{}, {}, {}]


def test_200_mb_without_a_newline_is_too_large_in_bounded_memory_and_the_server_goes_on(
    start: Start, tmp_path: Path
) -> None:
    server = start(tmp_path)
    before = psutil.Process(server.pid).memory_info().rss
    peak = before
    piece = b"x" * (4 * MEBIBYTE)

    server.send_bytes(b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"')
    for _ in range(50):
        server.send_bytes(piece)
        peak = max(peak, psutil.Process(server.pid).memory_info().rss)
    error = server.answer(77)["error"]
    server.send_bytes(b"\n")

    assert error["data"]["error"]["code"] == "too_large"
    assert peak - before < 4 * MAX_LINE_BYTES
    assert server.call("get_status")["tasks"] == {}


def test_line_that_is_too_long_and_names_its_id_last_is_answered_at_its_end(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)

    server.send_bytes(b'{"method":"tools/call","params":{"name":"' + b"x" * (MAX_LINE_BYTES + 1))
    at_once = server.answer(None)["error"]
    server.send_bytes(b'"},"jsonrpc":"2.0","id":78}\n')
    at_its_end = server.answer(78)["error"]

    assert at_once["data"]["error"]["code"] == at_its_end["data"]["error"]["code"] == "too_large"
    assert server.call("get_status")["tasks"] == {}


STRAY = """
import os, subprocess, sys
from trichrome.coordinator import queries
from trichrome.mcp_server import main

honest = queries.status

def chatty(coordinator):
    print("stray print", flush=True)
    os.write(1, b"stray write\\n")
    subprocess.run(["sh", "-c", "echo stray child; cat"], check=True, stdin=None)
    assert sys.stdin.read() == ""
    return honest(coordinator)

queries.status = chatty
sys.exit(main([]))
"""


def test_stray_output_from_inside_does_not_reach_the_wire_and_stray_reads_do_not_eat_it(
    start: Start, tmp_path: Path
) -> None:
    import sys

    server = start(tmp_path, command=[sys.executable, "-c", STRAY])

    server.call("get_status")
    server.call("get_status")

    assert all(line.startswith(b'{"jsonrpc"') for line in server.lines)
    assert {"stray print", "stray write", "stray child"} <= set(server.said().split("\n"))


def test_reader_that_stops_reading_does_not_stop_the_server_from_leaving_with_its_input(
    start: Start, tmp_path: Path
) -> None:
    server = start(tmp_path)
    request = json.dumps(server.request("deaf", "tools/list")).encode() + b"\n"

    server.send_bytes(request * 200 + b"nonsense\n" * 20, reading=False)
    server.close_input()

    assert server.left(seconds=5) == 0


def test_reader_that_stops_for_a_while_misses_nothing(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    lines = [json.dumps(server.request(f"slow-{number}", "tools/list")).encode() + b"\n" for number in range(300)]

    server.send_bytes(b"".join(lines), reading=False)
    time.sleep(0.2)  # long enough for the pipe to be full and the server to wait at it
    answers = [server.answer(f"slow-{number}") for number in range(300)]

    assert len({len(answer["result"]["tools"]) for answer in answers}) == 1


def test_server_whose_input_is_the_null_device_leaves_at_once(tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.support.servers import environment

    with Path(os.devnull).open("rb") as nothing:
        done = subprocess.run(
            [sys.executable, "-m", "trichrome", "mcp"],
            stdin=nothing,
            capture_output=True,
            env=environment(tmp_path),
            timeout=20,
            check=False,
        )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
