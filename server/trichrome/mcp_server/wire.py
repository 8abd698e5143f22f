"""JSON-RPC lines over the process's own stdin and stdout.

Guarantees. Nothing but protocol reaches the real stdout: descriptor 1 is pointed at stderr, descriptor 0 at the null
device, and the wire lives on private copies. A line that cannot be taken gets an answer where its id can be seen, and
never stops the server: too long, not JSON, a lone surrogate, not UTF-8. A result that cannot be encoded becomes an
error of its own request. What comes in takes bounded memory, whatever a line holds. Reading goes on while nobody takes
the answers, so that a cancellation and the end of input are seen; the answers wait in memory, so a client that goes on
asking and never reads makes its own server grow.
"""

from __future__ import annotations

import json
import os
import re
import select
import stat
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import anyio
import anyio.lowlevel
import mcp_types as types
from mcp.shared.message import SessionMessage

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""The longest message taken: 200 tasks with instructions of 64 KiB fit."""
DRAIN_SECONDS: Final = 1.0
"""How long what was asked before the end of input may take to be answered."""
_READ_BYTES: Final = 256 * 1024
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_END_BYTES: Final = 4096
"""How much of either end of a line is searched for its id."""
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]')
_VALUE: Final = rb'(-?\d{1,18}|"(?:[^"\\]|\\.){0,200}+")'
_ID_VALUE: Final = re.compile(rb"\s*:\s*" + _VALUE + rb"\s*[,}]")
_LAST_ID: Final = re.compile(
    rb'"id"\s*:\s*' + _VALUE + rb'\s*(?:,\s*"[^"\\]*+"\s*:\s*(?:"[^"\\]*+"|[^\s"{}\[\],]++)\s*)*+}\s*$'
)

Id = int | str | None
OnAnswer = Callable[[Id], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line over the limit, which was dropped.

    Attributes:
        request: the id that it showed, if any.
    """

    request: Id


class Lines:
    """Bytes into lines, in bounded memory.

    A line over the limit is told at once. When it shows no id before its last member, as some clients write it, it is
    told again when it ends, with that id.
    """

    def __init__(self, limit: int = MAX_LINE_BYTES) -> None:
        self._limit = limit
        self._parts = bytearray()
        self._dropped: TooLong | None = None

    def feed(self, chunk: bytes) -> list[bytes | TooLong]:
        """Take a chunk; answers each line that ended, or grew too long."""
        found: list[bytes | TooLong] = []
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._take(chunk[start:end], found)
            self._end(found)
            start = end + 1
        self._take(chunk[start:], found)
        return found

    def _take(self, piece: bytes, found: list[bytes | TooLong]) -> None:
        self._parts += piece
        if self._dropped is None and len(self._parts) > self._limit:
            self._dropped = TooLong(_first_id(bytes(self._parts[:_END_BYTES])))
            found.append(self._dropped)
        if self._dropped is not None:
            del self._parts[:-_END_BYTES]

    def _end(self, found: list[bytes | TooLong]) -> None:
        line = bytes(self._parts)
        if self._dropped is None:
            found.append(line)
        elif self._dropped.request is None and (request := _last_id(line)) is not None:
            found.append(TooLong(request))
        self._parts.clear()
        self._dropped = None


def parse(line: bytes) -> SessionMessage:
    """A message from a line.

    Raises:
        ValueError: it is none.
    """
    if _SURROGATE.search(line):
        line = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
    text = line.decode("utf-8", "replace")
    message = types.jsonrpc_message_adapter.validate_json(text, by_name=False)
    if isinstance(message, types.JSONRPCNotification) and b'"id"' in line and json.loads(text).get("id") is not None:
        raise ValueError(
            "an id that is neither an integer nor a text"
        )  # the SDK would take it for no id, and be silent
    return SessionMessage(message)


def id_in(line: bytes) -> Id:
    """The request's own id, as far as it shows near either end of a line that is no message."""
    first = _first_id(line[:_END_BYTES])
    return _last_id(line[-_END_BYTES:]) if first is None and len(line) > _END_BYTES else first


def _first_id(beginning: bytes) -> Id:
    depth = 0
    for token in _TOKEN.finditer(beginning):
        if token[0] in {b"{", b"["}:
            depth += 1
        elif token[0] in {b"}", b"]"}:
            depth -= 1
        elif depth == 1 and token[0] == b'"id"' and (value := _ID_VALUE.match(beginning, token.end())):
            return _value(value[1])
    return None


def _last_id(end: bytes) -> Id:
    last = _LAST_ID.search(end)
    return None if last is None else _value(last[1])


def _value(text: bytes) -> Id:
    try:
        found: Id = json.loads(text)
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
    except ValueError:
        request: Id = getattr(message, "id", None)
        return error_line(request, types.INTERNAL_ERROR, "The answer could not be encoded.", stable="internal")


class Wire:
    """The two descriptors of the protocol.

    Args:
        read_from: a descriptor to read lines from.
        write_to: a descriptor to write lines to.
    """

    def __init__(self, read_from: int, write_to: int) -> None:
        self._in = read_from
        self._out = write_to
        self._room = select.poll()
        self._room.register(write_to, select.POLLOUT)
        # The loop cannot wait for a file, nor for the null device; both answer at once.
        mode = os.fstat(read_from).st_mode
        self._never_blocks = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(read_from))

    @classmethod
    def claim(cls) -> Wire:
        """Take stdin and stdout for the protocol; stray prints go to stderr, stray reads find an end of input."""
        read_from, write_to = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        return cls(read_from, write_to)

    async def read(self) -> bytes:
        """What comes in next; nothing at the end of input."""
        if self._never_blocks:
            await anyio.lowlevel.checkpoint()
        else:
            await anyio.wait_readable(self._in)
        try:
            return os.read(self._in, _READ_BYTES)
        except OSError:
            return b""  # a terminal that hung up

    def write(self, some: bytes | bytearray) -> int:
        """Write as many bytes as the other side takes without a wait; answers how many.

        Raises:
            OSError: nobody reads any more.
        """
        written = 0
        while written < len(some) and self._room.poll(0):
            # A pipe that is writable takes this much without blocking the loop (POSIX, write(2)).
            written += os.write(self._out, some[written : written + select.PIPE_BUF])
        return written

    async def room(self) -> None:
        """Wait until the other side takes more."""
        await anyio.wait_writable(self._out)


class _Open:
    """Requests that have no answer yet."""

    def __init__(self) -> None:
        self._ids: set[Id] = set()
        self._changed = anyio.Event()

    def note(self, message: types.JSONRPCMessage) -> None:
        """A message came in: a request wants an answer, a cancelled one wants none any more."""
        if isinstance(message, types.JSONRPCRequest):
            self._ids.add(message.id)
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = (message.params or {}).get("requestId")
            if isinstance(cancelled, int | str):
                self.discard(cancelled)

    def discard(self, request: Id) -> None:
        self._ids.discard(request)
        self._changed.set()

    async def none(self) -> None:
        """Wait until every request is answered."""
        while self._ids:
            self._changed = anyio.Event()
            await self._changed.wait()


class _Stream:
    """What the SDK asks of either stream besides its messages; there is nothing to close."""

    async def aclose(self) -> None:
        """The descriptors stay: they are the process's."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Writer(_Stream):
    """The messages that go out, in the order in which they are sent.

    Most go to the pipe at once. What it does not take is written by one task as soon as it does, and so is all that is
    sent until then, whatever becomes of the sender: half a line would spoil the next one. The sender waits for that.

    Args:
        wire: where to.
        open_requests: which of them are answered.
        on_written: awaited with the id of each answer that was written.
    """

    def __init__(self, wire: Wire, open_requests: _Open, on_written: OnAnswer) -> None:
        self._wire = wire
        self._open = open_requests
        self._on_written = on_written
        self._left = bytearray()
        self._ended = 0
        """Bytes that were written, of all that were sent."""
        self._is_full = anyio.Event()
        self._moved = anyio.Event()
        self.gone = anyio.Event()
        """Set when nobody reads any more; from then on, what is sent is dropped."""

    async def send(self, item: SessionMessage) -> None:
        """Write a message; returns when it was written."""
        message = item.message
        end = self.put(encode(message))
        while self._ended < end:
            await self._moved.wait()
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and not self.gone.is_set():
            await self._on_written(message.id)
            self._open.discard(message.id)

    def put(self, line: bytes) -> int:
        """Write a line, now or soon; answers how many bytes will have been written then."""
        is_next = not self._left
        self._left += line
        end = self._ended + len(self._left)
        if is_next:  # otherwise senders wait for what is left, and only the task that writes it wakes them
            self._push()
            if self._left:
                self._is_full.set()
        return end

    def _push(self) -> None:
        try:
            written = self._wire.write(self._left)
        except OSError:
            written = len(self._left)
            self.gone.set()
        del self._left[:written]
        self._ended += written

    async def write_what_is_left(self) -> None:
        """Go on where the pipe was full, for ever."""
        while True:
            await self._is_full.wait()
            while self._left:
                await self._wire.room()
                self._push()
                self._moved.set()
                self._moved = anyio.Event()
            self._is_full = anyio.Event()


class Reader(_Stream):
    """The messages that come in; ends when the input has, and what was asked before is answered or takes too long.

    Args:
        wire: where from.
        open_requests: which are asked.
        refuse: takes the error line that answers a line that is no message.
    """

    def __init__(self, wire: Wire, open_requests: _Open, refuse: Callable[[bytes], object]) -> None:
        self._wire = wire
        self._open = open_requests
        self._refuse = refuse
        self._lines = Lines()
        self._came: deque[bytes | TooLong] = deque()

    async def receive(self) -> SessionMessage:
        """The next message.

        Raises:
            anyio.EndOfStream: there are no more.
        """
        while True:
            while self._came:
                taken = _taken(self._came.popleft())
                if isinstance(taken, SessionMessage):
                    self._open.note(taken.message)
                    return taken
                if taken is not None:
                    self._refuse(taken)
            chunk = await self._wire.read()
            if not chunk:
                with anyio.move_on_after(DRAIN_SECONDS):
                    await self._open.none()
                raise anyio.EndOfStream
            self._came.extend(self._lines.feed(chunk))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


@asynccontextmanager
async def streams(
    wire: Wire, *, on_written: OnAnswer, on_gone: Callable[[], object]
) -> AsyncIterator[tuple[Reader, Writer]]:
    """Connect the wire to a pair of streams of messages.

    Args:
        wire: the descriptors.
        on_written: awaited with the id of each answer that was written.
        on_gone: called when a write shows that nobody reads the answers any more.
    """
    open_requests = _Open()
    writer = Writer(wire, open_requests, on_written)

    async def when_gone() -> None:
        await writer.gone.wait()
        on_gone()

    async with anyio.create_task_group() as group:
        group.start_soon(writer.write_what_is_left)
        group.start_soon(when_gone)
        yield Reader(wire, open_requests, writer.put), writer
        group.cancel_scope.cancel()


def _taken(line: bytes | TooLong) -> SessionMessage | bytes | None:
    """The message in a line, or the error line that answers it; None for an empty one."""
    if isinstance(line, TooLong):
        message = f"The message is longer than {MAX_LINE_BYTES} bytes and was dropped. Send less in one call."
        return error_line(line.request, types.INVALID_REQUEST, message, stable="too_large")
    if not line.strip():
        return None
    try:
        return parse(line)
    except (ValueError, RecursionError):
        message = "That line is no JSON-RPC message. Send one JSON object a line; an id is an integer or a text."
        return error_line(id_in(line), types.PARSE_ERROR, message, stable="invalid")
