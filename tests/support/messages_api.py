"""A scripted stand-in for the Anthropic Messages API, on loopback.

It speaks the real wire, so that the real `claude` binary can be driven without a network and without a model: every
event it streams is one of the `anthropic` package's own types, checked on the way out. What to answer is decided by a
script, a function from the conversation so far to a reply, or to a trouble such as an API has: an error, a stream that
stands still, one that breaks off. A script that raises is answered with an error that the client does not retry, and
raises again when the stand-in is closed: no mistake of a script is mistaken for an outcome.
"""

import itertools
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from anthropic.types.beta import (
    BetaInputJSONDelta,
    BetaMessage,
    BetaMessageDeltaUsage,
    BetaMessageTokensCount,
    BetaRawContentBlockDeltaEvent,
    BetaRawContentBlockStartEvent,
    BetaRawContentBlockStopEvent,
    BetaRawMessageDeltaEvent,
    BetaRawMessageStartEvent,
    BetaRawMessageStopEvent,
    BetaRawMessageStreamEvent,
    BetaTextBlock,
    BetaTextDelta,
    BetaToolUseBlock,
    BetaUsage,
)
from anthropic.types.beta.beta_raw_message_delta_event import Delta

BYTES_PER_TOKEN = 4
"""Close enough for a bill that nobody pays; it makes costs in results grow with the conversation."""

NOTICE = re.compile(r"<task-notification>(.*?)</task-notification>", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One tool call of a reply. `tool` may leave out the `mcp__server__` in front.

    With `is_blind`, the model calls it whether it was offered or not, as a real one may.
    """

    tool: str
    arguments: dict[str, Any]
    is_blind: bool = False


@dataclass(frozen=True)
class Reply:
    """What the model says next: texts and tool calls in order. Replies add up: `say("now") + call("wait", {})`.

    `stream` says whether it arrives whole, stands still after its first event, or breaks off there. A reply that is
    `declined` ends as the real API ends one that the model refuses to give.
    """

    parts: tuple[str | Call, ...]
    stream: Literal["whole", "stalls", "breaks"] = "whole"
    declined: bool = False

    def __add__(self, other: "Reply") -> "Reply":
        return replace(self, parts=self.parts + other.parts)


def say(text: str) -> Reply:
    """A reply in words. Without a call in it, it ends the turn."""
    return Reply((text,))


def call(tool: str, arguments: dict[str, Any], *, is_blind: bool = False) -> Reply:
    """A reply that calls one tool."""
    return Reply((Call(tool, arguments, is_blind),))


def stall() -> Reply:
    """A reply whose stream begins and then stands still until the client leaves or the stand-in closes."""
    return Reply(("never heard",), stream="stalls")


def break_off() -> Reply:
    """A reply whose stream begins, and whose connection is then closed."""
    return Reply(("never heard",), stream="breaks")


def decline() -> Reply:
    """A reply that the model's safeguards end."""
    return Reply(("",), declined=True)


@dataclass(frozen=True)
class Trouble:
    """An answer with an error instead of a reply: `kind` is the API's own word for it, such as `overloaded_error`."""

    status: int
    kind: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ToolResult:
    """What one call came back with: `value` is the decoded JSON, or the text where it is none."""

    tool: str
    text: str
    failed: bool

    @property
    def value(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            return self.text


@dataclass(frozen=True)
class Request:
    """One request for a reply: the whole conversation of one agent so far, as the client sent it."""

    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def session(self) -> str:
        """The id of the Claude Code session."""
        return self.headers["x-claude-code-session-id"]

    @property
    def agent(self) -> str:
        """The id of the subagent whose conversation this is; empty for the main agent."""
        return self.headers.get("x-claude-code-agent-id", "")

    @cached_property
    def system(self) -> str:
        """The system prompt, and what the client added to it in the middle of the conversation."""
        later = (message["content"] for message in self._messages if message["role"] == "system")
        return "\n".join(_text(content) for content in (self.body.get("system", ""), *later))

    @property
    def tools(self) -> list[str]:
        """The names of the tools whose schemas the model has."""
        return [tool["name"] for tool in self.body.get("tools", [])]

    @property
    def turns(self) -> int:
        """How many replies this conversation already has."""
        return sum(message["role"] == "assistant" for message in self._messages)

    @cached_property
    def prompts(self) -> list[str]:
        """What was said to the model in words, in order: prompts and reminders."""
        said = (
            block for message in self._messages if message["role"] == "user" for block in _blocks(message["content"])
        )
        return [block["text"] for block in said if block["type"] == "text"]

    @cached_property
    def notices(self) -> list[str]:
        """What the client told the model of background work that ended. It comes as a prompt, or in mid-turn."""
        told = (_text(message["content"]) for message in self._messages if message["role"] != "assistant")
        return [notice for text in told for notice in NOTICE.findall(text)]

    @cached_property
    def calls(self) -> dict[str, str]:
        """The tool of every call of this conversation, by the call's id."""
        return {block["id"]: block["name"] for block in self._uses}

    @property
    def searches(self) -> list[dict[str, Any]]:
        """What was asked for, each time that the stand-in looked for a tool."""
        return [block["input"] for block in self._uses if block["name"] == "ToolSearch"]

    @cached_property
    def results(self) -> list[ToolResult]:
        """What every call of this conversation came back with."""
        return [result for message in self._messages for result in self._results_in(message)]

    @property
    def last_tool_results(self) -> list[Any]:
        """The values of what was answered to the newest reply; empty when it called nothing."""
        ends = (n for n, message in enumerate(self._messages, 1) if message["role"] == "assistant")
        newest = self._messages[max(ends, default=0) :]
        return [result.value for message in newest for result in self._results_in(message)]

    def results_of(self, tool: str) -> list[Any]:
        """The values that the calls of one tool came back with."""
        return [result.value for result in self.results if _is_called(result.tool, tool)]

    @property
    def _messages(self) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def _uses(self) -> list[dict[str, Any]]:
        blocks = (block for message in self._messages for block in _blocks(message["content"]))
        return [block for block in blocks if block["type"] == "tool_use"]

    def _results_in(self, message: dict[str, Any]) -> Iterator[ToolResult]:
        for block in _blocks(message["content"]):
            if block["type"] == "tool_result":
                failed = bool(block.get("is_error"))
                yield ToolResult(self.calls[block["tool_use_id"]], _text(block.get("content", "")), failed)


Script = Callable[[Request], Reply | Trouble]


class MessagesApi:
    """The stand-in as a context manager: serves `script` at `url`, each request in a thread of its own.

    A script may block to arrange an order of events: other conversations go on meanwhile. It may call a tool whose
    schema is not loaded yet, or whose server an interactive session has not reached yet: as a model would, the stand-in
    then searches for it first, and the script is asked again. So a script does better to look at results than to count
    turns.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._faults: list[Exception] = []
        self._numbers = itertools.count(1)
        self._closing = threading.Event()
        self._server = _Listener(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def requests(self) -> list[Request]:
        """Every request for a reply so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if not self._faults:
            return
        if error is None:
            raise self._faults[0]
        error.add_note(f"the script of the stand-in had failed: {self._faults[0]!r}")

    def await_close(self) -> None:
        """Wait until the stand-in closes."""
        self._closing.wait()

    def reply_to(self, request: Request) -> "Trouble | tuple[BetaMessage, Reply]":
        """The script's reply, and it as a whole message, with the cost that its size would have had.

        Raises:
            Exception: whatever the script raises.
        """
        with self._lock:
            self._requests.append(request)
            number = next(self._numbers)
        try:
            answer = self._script(request)
            if isinstance(answer, Trouble):
                return answer
            reply = _with_tools_loaded(request, answer)
            content = [_block(request, f"{number}_{place}", part) for place, part in enumerate(reply.parts)]
        except Exception as fault:
            with self._lock:
                self._faults.append(fault)
            raise
        message = BetaMessage(
            id=f"msg_{number}",
            type="message",
            role="assistant",
            model=request.model,
            content=content,
            stop_reason=_stop_reason(reply),
            stop_sequence=None,
            usage=BetaUsage(
                input_tokens=_tokens(request.body), output_tokens=sum(_tokens(block.to_dict()) for block in content)
            ),
        )
        return message, reply


def events(message: BetaMessage) -> Iterator[BetaRawMessageStreamEvent]:
    """A whole message as the events that stream it, in the order of the real API."""
    opening = message.model_copy(update={"content": [], "stop_reason": None})
    yield BetaRawMessageStartEvent(type="message_start", message=opening)
    for index, block in enumerate(message.content):
        if isinstance(block, BetaToolUseBlock):
            start: BetaTextBlock | BetaToolUseBlock = block.model_copy(update={"input": {}})
            delta: BetaTextDelta | BetaInputJSONDelta = BetaInputJSONDelta(
                type="input_json_delta", partial_json=json.dumps(block.input)
            )
        else:
            assert isinstance(block, BetaTextBlock)
            start = block.model_copy(update={"text": ""})
            delta = BetaTextDelta(type="text_delta", text=block.text)
        yield BetaRawContentBlockStartEvent(type="content_block_start", index=index, content_block=start)
        yield BetaRawContentBlockDeltaEvent(type="content_block_delta", index=index, delta=delta)
        yield BetaRawContentBlockStopEvent(type="content_block_stop", index=index)
    yield BetaRawMessageDeltaEvent(
        type="message_delta",
        delta=Delta(stop_reason=message.stop_reason, stop_sequence=None),
        usage=BetaMessageDeltaUsage(output_tokens=message.usage.output_tokens),
    )
    yield BetaRawMessageStopEvent(type="message_stop")


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: MessagesApi) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.api = api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client went away in the middle: tests kill clients."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_HEAD(self) -> None:
        self._answer(200, b"")

    def do_GET(self) -> None:
        self._refuse(404, "not_found_error", f"no {self.path} here")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._answer(200, BetaMessageTokensCount(input_tokens=_tokens(body)).to_json(indent=None).encode())
        elif path == "/v1/messages":
            self._reply(Request({name.lower(): value for name, value in self.headers.items()}, body))
        else:
            self._refuse(404, "not_found_error", f"no {self.path} here")

    def log_message(self, *_: Any) -> None:
        """Say nothing: what arrived is in `MessagesApi.requests`."""

    def _reply(self, request: Request) -> None:
        try:
            answer = self.server.api.reply_to(request)
        except Exception as fault:  # noqa: BLE001  a script may raise anything, and the client still needs an answer
            self._refuse(400, "invalid_request_error", f"the script failed: {fault!r}")
            return
        if isinstance(answer, Trouble):
            self._refuse(answer.status, answer.kind, answer.message, answer.headers)
            return
        message, reply = answer
        if not request.body.get("stream"):
            self._answer(200, message.to_json(indent=None).encode())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events(message):
            line = f"event: {event.type}\ndata: {event.to_json(indent=None)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            if reply.stream != "whole":
                if reply.stream == "stalls":
                    self.server.api.await_close()
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, kind: str, why: str, headers: Mapping[str, str] | None = None) -> None:
        self._answer(status, json.dumps({"type": "error", "error": {"type": kind, "message": why}}).encode(), headers)

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _with_tools_loaded(request: Request, reply: Reply) -> Reply:
    """The reply, or first a search for the tools in it that the model does not have yet.

    A search for a name that no list shows is worth it once: Claude Code answers it when all servers are connected.
    """
    called = [part.tool for part in reply.parts if isinstance(part, Call) and not part.is_blind]
    missing = [tool for tool in called if _loaded(request, tool) is None]
    if not missing:
        return reply
    deferred = re.findall(r"^mcp__\S+$|^[A-Z]\w+$", request.system, re.MULTILINE)
    names = [next((name for name in deferred if _is_called(name, tool)), tool) for tool in missing]
    search = {"query": f"select:{','.join(names)}"}
    if _loaded(request, "ToolSearch") is None or search in request.searches:
        raise LookupError(f"the model has no tool {missing}, only {request.tools}, and later {deferred}")
    return call("ToolSearch", search)


def _block(request: Request, number: str, part: str | Call) -> BetaTextBlock | BetaToolUseBlock:
    match part:
        case str():
            return BetaTextBlock(type="text", text=part)
        case Call():
            name = part.tool if part.is_blind else _loaded(request, part.tool)
            assert name is not None
            return BetaToolUseBlock(type="tool_use", id=f"toolu_{number}", name=name, input=part.arguments)


def _stop_reason(reply: Reply) -> Literal["tool_use", "end_turn", "refusal"]:
    if reply.declined:
        return "refusal"
    return "tool_use" if any(isinstance(part, Call) for part in reply.parts) else "end_turn"


def _loaded(request: Request, tool: str) -> str | None:
    return next((name for name in request.tools if _is_called(name, tool)), None)


def _is_called(tool: str, name: str) -> bool:
    return tool == name or (tool.startswith("mcp__") and tool.endswith(f"__{name}"))


def _blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(content: str | list[dict[str, Any]]) -> str:
    return "\n".join(block["text"] for block in _blocks(content) if block["type"] == "text")


def _tokens(value: Any) -> int:
    return len(json.dumps(value)) // BYTES_PER_TOKEN + 1
