"""JSON-RPC lines over the process's own stdin and stdout.

Guarantees. Nothing but protocol reaches the real stdout: descriptor 1 is pointed at stderr, descriptor 0 at the null
device, and the wire lives on private copies. A line that cannot be taken gets an answer where its id can be seen, and
never stops the server: too long, not JSON, a lone surrogate, not UTF-8. A result that cannot be encoded becomes an
error of its own request. Memory stays bounded whatever comes in.
"""

from __future__ import annotations

import json
import os
import re
import select
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""The longest message taken: 200 tasks with instructions of 64 KiB fit."""
DRAIN_SECONDS: Final = 1.0
"""How long what was asked before the end of input may take to be answered."""
_READ_BYTES: Final = 256 * 1024
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ID: Final = re.compile(rb'"id"\s*:\s*(-?\d{1,18}|"(?:[^"\\]|\\.){0,200}")')

Reader = MemoryObjectReceiveStream[SessionMessage | Exception]
Writer = MemoryObjectSendStream[SessionMessage]
Id = int | str | None


class Lines:
    """Bytes into lines, in bounded memory; a line over the limit comes out as its beginning, marked."""

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._parts = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """Take a chunk; answers (line, whether it is whole) for each line that ended, or grew too long."""
        found: list[tuple[bytes, bool]] = []
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._take(chunk[start:end], found)
            if not self._skipping:
                found.append((bytes(self._parts), True))
            self._parts.clear()
            self._skipping = False
            start = end + 1
        self._take(chunk[start:], found)
        return found

    def _take(self, piece: bytes, found: list[tuple[bytes, bool]]) -> None:
        if self._skipping:
            return
        self._parts += piece
        if len(self._parts) > self._limit:
            found.append((bytes(self._parts[:4096]), False))
            self._parts.clear()
            self._skipping = True


def parse(line: bytes) -> SessionMessage:
    """A message from a line.

    Raises:
        ValueError: it is none.
    """
    if _SURROGATE.search(line):
        line = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
    text = line.decode("utf-8", "replace")
    return SessionMessage(types.jsonrpc_message_adapter.validate_json(text, by_name=False))


def id_in(line: bytes) -> Id:
    """The request's id as far as it can be seen in a line that is no message."""
    match = _ID.search(line)
    if match is None:
        return None
    try:
        found: Id = json.loads(match[1])
    except ValueError:
        return None
    return found


def error_line(request: Id, code: int, message: str, *, stable: str) -> bytes:
    """An error answer as a line; its data carry the stable code."""
    data = {"code": stable, "message": message, "retryable": False}
    answer = {"jsonrpc": "2.0", "id": request, "error": {"code": code, "message": message, "data": {"error": data}}}
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def encode(message: types.JSONRPCMessage) -> bytes:
    """A message as a line; one that cannot be encoded becomes an error of its request."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode("utf-8") + b"\n"
    except ValueError as error:
        request: Id = getattr(message, "id", None)
        return error_line(request, types.INTERNAL_ERROR, f"The answer could not be encoded: {error}", stable="internal")


class Wire:
    """The two descriptors of the protocol.

    Args:
        read_from: a descriptor to read lines from.
        write_to: a descriptor to write lines to.
    """

    def __init__(self, read_from: int, write_to: int) -> None:
        self._in = read_from
        self._out = write_to
        self._writing = anyio.Lock()
        self._is_file = stat.S_ISREG(os.fstat(read_from).st_mode)

    @classmethod
    def claim(cls) -> Wire:
        """Take stdin and stdout for the protocol; stray prints go to stderr, stray reads find an end of input."""
        read_from, write_to = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        return cls(read_from, write_to)

    async def chunks(self) -> AsyncIterator[bytes]:
        """What comes in, until the end of input."""
        while True:
            if self._is_file:
                chunk = await anyio.to_thread.run_sync(os.read, self._in, _READ_BYTES)
            else:
                await anyio.wait_readable(self._in)
                chunk = os.read(self._in, _READ_BYTES)
            if not chunk:
                return
            yield chunk

    async def write(self, line: bytes) -> None:
        """Write a whole line.

        Raises:
            OSError: nobody reads any more.
        """
        async with self._writing:
            view = memoryview(line)
            while view:
                await _wait_writable(self._out)
                # A pipe that is writable takes this much without blocking the loop (POSIX, write(2)).
                view = view[os.write(self._out, view[: select.PIPE_BUF]) :]


async def _wait_writable(descriptor: int) -> None:
    try:
        await anyio.wait_writable(descriptor)
    except PermissionError:
        return  # a regular file: always writable, and epoll says so this way


class _Open:
    """Requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[Id] = set()
        self._changed = anyio.Event()

    def add(self, request: Id) -> None:
        self._ids.add(request)

    def discard(self, request: Id) -> None:
        self._ids.discard(request)
        self._changed.set()

    async def none(self) -> None:
        """Wait until every request is answered."""
        while self._ids:
            self._changed = anyio.Event()
            await self._changed.wait()


@asynccontextmanager
async def streams(
    wire: Wire, *, on_written: Callable[[Id], None], on_gone: Callable[[], Awaitable[None]]
) -> AsyncIterator[tuple[Reader, Writer]]:
    """Connect the wire to a pair of streams of messages.

    Args:
        wire: the descriptors.
        on_written: told the id of each answer that was written.
        on_gone: awaited once, when nobody reads the answers any more.
    """
    open_requests = _Open()
    to_server, reader = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    writer, from_server = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        lines = Lines()
        async with to_server:
            async for chunk in wire.chunks():
                for line, is_whole in lines.feed(chunk):
                    await _deliver(wire, line, is_whole, to_server, open_requests)
            with anyio.move_on_after(DRAIN_SECONDS):
                await open_requests.none()

    async def write() -> None:
        async with from_server:
            async for message in from_server:
                try:
                    await wire.write(encode(message.message))
                except OSError:
                    await on_gone()
                    return
                if isinstance(message.message, types.JSONRPCResponse | types.JSONRPCError):
                    on_written(message.message.id)
                    open_requests.discard(message.message.id)

    async with anyio.create_task_group() as group:
        group.start_soon(_quietly, read)
        group.start_soon(_quietly, write)
        yield reader, writer
        group.cancel_scope.cancel()


async def _quietly(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        return  # the other side of the pair has stopped; so does this one


async def _deliver(
    wire: Wire,
    line: bytes,
    is_whole: bool,
    to_server: MemoryObjectSendStream[SessionMessage | Exception],
    open_requests: _Open,
) -> None:
    if not is_whole:
        message = f"The message is longer than {MAX_LINE_BYTES} bytes and was dropped. Send less in one call."
        await wire.write(error_line(id_in(line), types.INVALID_REQUEST, message, stable="too_large"))
        return
    if not line.strip():
        return
    try:
        message_ = parse(line)
    except (ValueError, RecursionError):
        message = "That line is no JSON-RPC message. Send one JSON object a line."
        await wire.write(error_line(id_in(line), types.PARSE_ERROR, message, stable="invalid"))
        return
    if isinstance(message_.message, types.JSONRPCRequest):
        open_requests.add(message_.message.id)
    await to_server.send(message_)
