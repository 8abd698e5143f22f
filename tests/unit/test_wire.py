"""Lines in, lines out: bounded, and never without an answer that can be given."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.message import SessionMessage

from trichrome.mcp_server.wire import Lines, TooLong, Wire, encode, error_line, id_in, parse, streams

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
BOUND_SECONDS = 5
MORE_THAN_A_PIPE_HOLDS = 1_000_000


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=10), st.data())
def test_lines_are_the_same_however_they_arrive(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    taker, found = Lines(), []

    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += taker.feed(whole[start:end])

    assert found == lines


@pytest.mark.parametrize("size", [1, 3, 50])
def test_line_over_the_limit_is_told_once_and_the_next_one_is_whole(size: int) -> None:
    taker, found = Lines(limit=100), []
    raw = b'{"id": 7, "x": "' + b"y" * 500 + b'"}\n' + PING + b"\n"

    for start in range(0, len(raw), size):
        found += taker.feed(raw[start : start + size])

    assert found == [TooLong(7), PING]


def test_line_over_the_limit_that_names_its_id_last_is_told_again_at_its_end() -> None:
    taker = Lines(limit=100)

    found = [
        taker.feed(b'{"params": {"id": 1, "x": "' + b"y" * 500),
        taker.feed(b'"}, "id": "z"}\n'),
        taker.feed(b"a\n"),
    ]

    assert found == [[TooLong(None)], [TooLong("z")], [b"a"]]


def test_line_without_an_end_takes_bounded_memory() -> None:
    taker = Lines(limit=1000)

    for _ in range(100):
        taker.feed(b"x" * 1000)

    assert len(taker._parts) <= 8192


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"jsonrpc":"2.0","id":5,"method":', 5),
        (b'{"id" : "a\\"b" , "method": 1}', 'a"b'),
        (b'{"params":{"id":1},"id":2}', 2),
        (b'{"params":{"id":1}', None),
        (b'[{"id":1}]', None),
        (b'{"method":"id","x":[{"id":3}]}', None),
        (b'{"id":1.5}', None),
        (b'{"id":null}', None),
        (b'{"id":true}', None),
        (b'{"id":12', None),
        (b'{"x":"\\"id\\":9","y":1}', None),
        (b'{"id":' + b"9" * 30 + b"}", None),
        (b'{"params":{"x":"' + b"y" * 9000 + b'"},"id":8,"jsonrpc":"2.0"}', 8),
        (b'{"params":{"x":"' + b"y" * 9000 + b'","id":8}}', None),
        (b'"id":4', None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_id_is_the_one_of_the_request_itself_or_none(line: bytes, expected: object) -> None:
    assert id_in(line) == expected


@pytest.mark.parametrize("piece", [b'\\"', b'"', b"{", b'{"id"', b'"id":', b'"id":1,"a":', b"\\", b'"a":"b",'])
def test_search_for_an_id_takes_bounded_time(piece: bytes) -> None:
    line = b'{"id' + piece * (16_000_000 // len(piece))

    with_limit = id_in(line)

    assert with_limit in {None, 1}


def params(line: bytes) -> Any:
    message = parse(line).message
    assert isinstance(message, types.JSONRPCRequest)
    return message.params


@pytest.mark.parametrize("value", ["x", "\\ud83d\\ude00", "\\u00e9", "\\\\ud83d", "\N{GRINNING FACE}"])
def test_text_arrives_as_it_was_meant(value: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":"{value}"}}}}'.encode()

    assert params(line) == {"a": json.loads(f'"{value}"')}


@pytest.mark.parametrize("value", ["\\ud83d", "\\uDE00", "a\\ud83db", "\\ude00\\ud83d"])
def test_lone_surrogate_becomes_a_character_that_can_be_written(value: str) -> None:
    line = f'{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"{value}":["{value}"]}}}}'.encode()

    found = params(line)

    assert json.dumps(found, ensure_ascii=False).encode()
    assert "?" in next(iter(found))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"jsonrpc":"1.0","id":1,"method":"m"}',
        b"\x00",
        b"\xff",
        b"[" * 100_000,
        b'"\\ud83d',
        b'{"jsonrpc":"2.0","id":1.0,"method":"m"}',
        b'{"jsonrpc":"2.0","id":true,"method":"m"}',
        b'{"jsonrpc":"2.0","id":[],"method":"m"}',
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse(line)


def test_id_that_is_null_is_none_as_in_older_json_rpc() -> None:
    message = parse(b'{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}').message

    assert isinstance(message, types.JSONRPCNotification)


def test_answer_that_cannot_be_encoded_becomes_an_error_of_its_request() -> None:
    answer = types.JSONRPCResponse(jsonrpc="2.0", id=3, result={"x": "\ud83d"})

    said = json.loads(encode(answer))

    assert said["id"] == 3
    assert said["error"]["data"]["error"]["code"] == "internal"


def test_answer_is_one_compact_line() -> None:
    line = encode(types.JSONRPCResponse(jsonrpc="2.0", id=3, result={"x": "a\nb", "y": [1]}))

    assert line == b'{"jsonrpc":"2.0","id":3,"result":{"x":"a\\nb","y":[1]}}\n'


def test_error_line_carries_the_stable_code() -> None:
    said = json.loads(error_line("a", -32600, "No.", stable="too_large"))

    assert said["id"] == "a"
    assert said["error"]["data"]["error"] == {"code": "too_large", "message": "No.", "retryable": False}


class Pipes:
    """A wire whose other ends are at hand."""

    def __init__(self) -> None:
        self.server_in, self.to_server = os.pipe()
        self.from_server, self.server_out = os.pipe()
        self.written: list[object] = []
        self.gone = anyio.Event()
        self.wrote = anyio.Event()

    async def on_written(self, request: object) -> None:
        self.written.append(request)
        if len(self.written) == 2:
            self.wrote.set()

    def lines(self, count: int) -> list[bytes]:
        """Read so many lines; blocks."""
        read, chunk = b"", b"-"
        while chunk and read.count(b"\n") < count:
            chunk = os.read(self.from_server, 1 << 16)
            read += chunk
        return read.splitlines()

    def run(self, work: Callable[[Any, Any], Awaitable[None]]) -> None:
        """Do something with the streams over this wire."""

        async def bounded() -> None:
            with anyio.fail_after(BOUND_SECONDS):
                wire = Wire(self.server_in, self.server_out)
                async with streams(wire, on_written=self.on_written, on_gone=self.gone.set) as (reader, writer):
                    await work(reader, writer)
                    await reader.aclose()
                    await writer.aclose()

        try:
            anyio.run(bounded)
        finally:
            for descriptor in (self.server_in, self.to_server, self.from_server, self.server_out):
                try:
                    os.close(descriptor)
                except OSError:
                    continue


def answer_to(number: int, size: int = 0) -> SessionMessage:
    return SessionMessage(types.JSONRPCResponse(jsonrpc="2.0", id=number, result={"x": "y" * size}))


def test_written_answers_are_told_and_notices_are_not() -> None:
    pipes = Pipes()

    async def work(_reader: Any, writer: Any) -> None:
        await writer.send(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method="n")))
        await writer.send(answer_to(4))
        await writer.send(answer_to(5))
        await pipes.wrote.wait()

    pipes.run(work)

    assert pipes.written == [4, 5]


def test_reader_that_is_gone_is_told_of_and_its_answer_is_not_told_as_written() -> None:
    pipes = Pipes()
    os.close(pipes.from_server)

    async def work(_reader: Any, writer: Any) -> None:
        await writer.send(answer_to(4))
        await pipes.gone.wait()

    pipes.run(work)

    assert pipes.written == []


def test_reader_that_is_gone_is_noticed_by_an_error_too() -> None:
    pipes = Pipes()
    os.close(pipes.from_server)
    os.write(pipes.to_server, b"nonsense\n")

    async def work(reader: Any, _writer: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(reader.receive)
            await pipes.gone.wait()
            group.cancel_scope.cancel()

    pipes.run(work)


def test_messages_are_read_while_nobody_takes_the_answers_or_the_errors() -> None:
    pipes = Pipes()

    async def work(reader: Any, writer: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(writer.send, answer_to(1, size=MORE_THAN_A_PIPE_HOLDS))
            os.write(pipes.to_server, b"nonsense\n" * 10 + PING + b"\n")
            assert (await reader.receive()).message.method == "ping"
            group.cancel_scope.cancel()

    pipes.run(work)


def test_lines_stay_whole_and_in_order_although_the_pipe_is_full_and_a_sender_is_cancelled() -> None:
    pipes, lines = Pipes(), list[bytes]()

    async def work(_reader: Any, writer: Any) -> None:
        async with anyio.create_task_group() as group:
            with anyio.move_on_after(0):
                await writer.send(answer_to(1, size=MORE_THAN_A_PIPE_HOLDS))
            group.start_soon(writer.send, answer_to(4))
            group.start_soon(writer.send, answer_to(5))
            lines.extend(await anyio.to_thread.run_sync(pipes.lines, 3, abandon_on_cancel=True))
            await pipes.wrote.wait()

    pipes.run(work)

    assert [json.loads(line)["id"] for line in lines] == [1, 4, 5]
    assert pipes.written == [4, 5]


def test_sender_that_found_the_pipe_full_goes_on_although_the_next_one_finds_it_empty() -> None:
    pipes = Pipes()
    full = b"y" * MORE_THAN_A_PIPE_HOLDS

    async def work(_reader: Any, writer: Any) -> None:
        os.set_blocking(pipes.server_out, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(pipes.server_out, full):
                pass
        async with anyio.create_task_group() as group:
            group.start_soon(writer.send, answer_to(4))
            group.start_soon(emptied)
            group.start_soon(writer.send, answer_to(5))
            await pipes.wrote.wait()

    async def emptied() -> None:
        os.set_blocking(pipes.from_server, False)
        with contextlib.suppress(BlockingIOError):
            while os.read(pipes.from_server, MORE_THAN_A_PIPE_HOLDS):
                pass

    pipes.run(work)

    assert pipes.written == [4, 5]


def test_input_that_is_a_file_ends_with_it() -> None:
    pipes = Pipes()
    os.close(pipes.server_in)
    pipes.server_in = os.memfd_create("input") if hasattr(os, "memfd_create") else os.open(os.devnull, os.O_RDONLY)
    if hasattr(os, "memfd_create"):
        os.write(pipes.server_in, PING + b"\n")
        os.lseek(pipes.server_in, 0, os.SEEK_SET)
    found: list[Any] = []

    async def work(reader: Any, _writer: Any) -> None:
        found.extend([message.message.method async for message in reader])

    pipes.run(work)

    assert found in (["ping"], [])
