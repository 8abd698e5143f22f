"""Whatever comes in over the pipe: each request is answered once, nothing is told of what is inside, the log stays whole.

`corpus/wire.jsonl` is the collection of nasty lines, each with what it is (`what`), itself (`raw`, a byte a character;
`@M` stands for what each era wants in `_meta`, `@` for `fill`: a text and how often), and how it is answered: `result`,
`none`, or the code of the error; to `id`, which is 1 where it is left out.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.nasty import examples, mutated, spoiled
from tests.support.servers import ERAS, Server, ending

from trichrome.bootstrap import Project, open_project
from trichrome.mcp_server.wire import Lines, _taken

CORPUS = [json.loads(line) for line in (Path(__file__).parent / "corpus" / "wire.jsonl").read_text().splitlines()]
INSIDE = re.compile(rb"Traceback|\.py\b|File \\|pydantic|https?://|site-packages|sqlite", re.IGNORECASE)
"""What no error may tell."""


@pytest.fixture(scope="module", params=ERAS)
def serving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Project]]:
    """One server of each era, with the project beside it to look at."""
    folder = tmp_path_factory.mktemp("project")
    with ending() as start:
        server = start(folder, era=request.param, variables={"TRICHROME_BACKUP_EVERY_HOURS": "0"})
        server.call("get_status")
        project = open_project(folder, environment={})
        yield server, project
        project.close()


@pytest.fixture
def server(serving: tuple[Server, Project]) -> Iterator[Server]:
    """The server; whatever was done to it, it goes on serving, and its log holds."""
    server, project = serving
    yield server

    assert server.result("tools/list")["tools"]
    assert project.coordinator.store.differences() == []
    assert "Traceback" not in server.said()


def answers(server: Server) -> list[dict[str, Any]]:
    """What was answered by now, and not asked for yet; two rounds through all that the server does one after the other."""
    for _ in range(2):
        server.call("get_status")
    told = [checked(message) for message in server.unread if "method" not in message]
    server.unread.clear()
    server.lines.clear()
    return told


def checked(message: dict[str, Any]) -> dict[str, Any]:
    """An answer, which is one, and whose error tells nothing of what is inside."""
    assert message["jsonrpc"] == "2.0"
    assert len(message.keys() & {"result", "error"}) == 1
    if "error" in message or message["result"].get("isError"):
        assert not INSIDE.search(json.dumps(message).encode())
    return message


# --- the corpus -------------------------------------------------------------------------------------------------------


def filled(entry: dict[str, Any], value: Any) -> Any:
    """A text of the corpus as it is meant; anything else is as it is."""
    if "fill" not in entry or not isinstance(value, str):
        return value
    text, times = entry["fill"]
    return value.replace("@", text * times)


def coded(message: dict[str, Any]) -> object:
    """How a message answers: `result`, or the code of its error."""
    content = message.get("error", {}).get("data") if "error" in message else message["result"].get("structuredContent")
    if isinstance(content, dict) and "error" in content:
        return content["error"]["code"]
    return message["error"]["code"] if "error" in message else "result"


@pytest.mark.parametrize("entry", CORPUS, ids=[entry["what"] for entry in CORPUS])
def test_each_line_of_the_corpus_is_answered_as_it_says_and_changes_nothing(
    server: Server, serving: tuple[Server, Project], entry: dict[str, Any]
) -> None:
    store = serving[1].coordinator.store
    meta = json.dumps(server.request(0, "x")["params"].get("_meta", {}))
    with store.reading() as view:
        before = view.position()

    server.send_bytes(filled(entry, entry["raw"].replace("@M", meta)).encode("latin-1") + b"\n")
    expected = entry["answer"] if isinstance(entry["answer"], list) else [entry["answer"]]
    told = [] if expected == ["none"] else [checked(server.answer(filled(entry, entry.get("id", 1))))]

    assert answers(server) == []
    assert all(coded(message) in expected for message in told)
    with store.reading() as view:
        assert view.position() == before


# --- conversations ----------------------------------------------------------------------------------------------------

SAID: list[dict[str, Any]] = [
    {
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
    },
    {"method": "server/discover", "params": {}},
    {"method": "ping"},
    {"method": "tools/list", "params": {"cursor": "x"}},
    {"method": "tools/call", "params": {"name": "get_status", "arguments": {}}},
    {"method": "tools/call", "params": {"name": "claim_task", "arguments": {"role": "blue"}}},
    {"method": "tools/call", "params": {"name": "create_task", "arguments": {"kind": "search", "instructions": "x"}}},
    {
        "method": "tools/call",
        "params": {
            "name": "create_task",
            "arguments": {"tasks": [{"kind": "search", "instructions": "x", "depends_on": ["t1"]}]},
        },
    },
    {
        "method": "tools/call",
        "params": {
            "name": "report_result",
            "arguments": {"attempt": "t1.1", "outcome": "completed", "summary": "x", "data": {"a": [1]}},
        },
    },
    {"method": "tools/call", "params": {"name": "wait", "arguments": {"tasks": ["t1"], "wait_seconds": 0}}},
    {
        "method": "tools/call",
        "params": {"name": "share_context", "arguments": {"name": "n", "text": "x", "expect_version": 1}},
    },
    {"method": "tools/call", "params": {"name": "reserve_files", "arguments": {"attempt": "t1.1", "paths": ["a"]}}},
    {"method": "tools/call", "params": {"name": "cancel_task", "arguments": {"task": "t1"}}},
    {"method": "resources/list"},
    {"method": "resources/read", "params": {"uri": "trichrome://status"}},
    {"method": "resources/subscribe", "params": {"uri": "trichrome://tasks/t1"}},
    {"method": "prompts/get", "params": {"name": "orchestrate", "arguments": {"request": "x"}}},
    {"method": "notifications/cancelled", "params": {"requestId": 5}},
    {"method": "notifications/initialized"},
    {"method": "subscriptions/listen", "params": {"notifications": {"resourceSubscriptions": ["trichrome://status"]}}},
    {"method": "logging/setLevel", "params": {"level": "debug"}},
    {"result": {}, "id": 4},
    {"error": {"code": 1, "message": "x"}, "id": 4},
]
"""What clients say: requests, notifications, and answers to what nobody asked."""


def patient(message: Any) -> Any:
    """The message, waiting for nothing."""
    params = message.get("params") if isinstance(message, dict) else None
    if not isinstance(params, dict) or params.get("name") not in ("wait", "claim_task"):
        return message
    given_ = params.get("arguments", {})
    if isinstance(given_, dict) and not isinstance(given_.get("wait_seconds", 0), list | dict | None):
        params = {**params, "arguments": {**given_, "wait_seconds": 0}}
    return {**message, "params": params}


@st.composite
def said(draw: st.DrawFn, server: Server, id_: int, ids: Sequence[int]) -> bytes:
    """A line that a client may say, most often with something wrong in it."""
    chosen = draw(st.sampled_from(SAID))
    message: Any = {**server.request(id_, "", chosen.get("params")), **chosen}
    if chosen.get("method", "").startswith("notifications/"):
        del message["id"]
        message["params"] = {"requestId": draw(st.sampled_from(ids))}
    elif "method" not in chosen:
        del message["method"]
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        message = draw(mutated(message))
    return draw(spoiled(json.dumps(patient(message)).encode()))


def is_answered(line: bytes, cancelled: Sequence[Any]) -> tuple[bool | None, Any]:
    """Whether a line must be answered (None: may be), and to which id; None as an id is any, at once."""
    if not line.strip():
        return False, None
    try:
        message = json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return True, None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return True, None
    id_, method = message.get("id"), message.get("method")
    if "method" not in message or id_ is None or message.keys() & {"result", "error"}:
        return None, None
    if (
        type(id_) not in {int, str}
        or not isinstance(method, str)
        or not isinstance(message.get("params", {}), dict | None)
    ):
        return True, None
    if isinstance(id_, str):
        id_ = id_.encode("utf-8", "replace").decode()
    return (None if id_ in cancelled or method == "subscriptions/listen" else True), id_


def cancelled_by(lines: Sequence[bytes]) -> Iterator[Any]:
    """The ids that a conversation may cancel."""
    for line in lines:
        with suppress(ValueError, RecursionError, TypeError, LookupError):
            yield json.loads(line.decode("utf-8", "replace"))["params"]["requestId"]


@examples(50)
@given(st.data())
def test_each_request_of_a_spoilt_conversation_is_answered_once(server: Server, data: st.DataObject) -> None:
    answers(server)
    ids = range(int(STEM + b"0"), int(STEM + b"0") + data.draw(st.integers(1, 7)))
    stem = b"%07d" % next(NUMBERS)
    lines = [data.draw(said(server, id_, ids)).replace(STEM, stem) for id_ in ids]
    whole = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r\n", b"\n\n"])) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))

    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        server.send_bytes(whole[start:end])

    cancelled = [each for each in cancelled_by(lines) if isinstance(each, int | str)]
    wanted = [is_answered(line, cancelled) for line in lines]
    for must, id_ in wanted:
        if must and id_ is not None:
            checked(server.answer(id_))
    rest = answers(server)
    late = [message for message in rest if message["id"] in LATE]
    errors = [id_ for must, id_ in wanted if must and id_ is None]
    perhaps = [id_ for must, id_ in wanted if must is None]
    LATE.update(id_ for id_ in perhaps if id_ is not None)
    assert len(errors) <= len(rest) <= len(errors) + len(perhaps) + len(late), (lines, rest)


STEM = b"9000000"
"""What the ids of a conversation begin with while it is made up; it is the same whenever it is made up again."""
NUMBERS = itertools.count(1_000_000)
"""What they begin with on the wire, in its place: no two conversations share an id."""
LATE: set[Any] = set()
"""Ids that may be answered at any time later."""


def test_messages_that_come_a_byte_at_a_time_are_answered(server: Server) -> None:
    lines = [json.dumps(server.request(id_, "tools/call", {"name": "get_status", "arguments": {}})) for id_ in "abc"]

    for byte in "\n".join([*lines, "nonsense", ""]).encode():
        server.send_bytes(bytes([byte]))
    told = [server.answer(id_) for id_ in ("a", "b", "c", None)]

    assert ["error" in each for each in told] == [False, False, False, True]


CHUNKS = st.lists(
    st.binary(max_size=20)
    | st.sampled_from([b"\n", b'{"jsonrpc":"2.0","id":1,"method":"ping"}', b'{"id":', b"\r\n", b'"']),
    max_size=12,
)


@examples(300)
@given(CHUNKS)
def test_each_line_of_any_bytes_is_a_message_or_gets_an_error(chunks: list[bytes]) -> None:
    lines = Lines()

    taken = [_taken(line) for chunk in chunks for line in lines.feed(chunk)]

    *whole, _unended = b"".join(chunks).split(b"\n")
    assert [each is not None for each in taken] == [bool(line.strip()) for line in whole]
    for refusal in taken:
        if isinstance(refusal, bytes):
            assert json.loads(refusal)["error"]["data"]["error"]["code"] == "invalid"
