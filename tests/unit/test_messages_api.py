"""The stand-in for the model, read by the official client: what it says is what Anthropic's own API would say."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Barrier
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError, NotFoundError, RateLimitError
from httpx2 import TransportError
from tests.support.messages_api import (
    MessagesApi,
    Reply,
    Request,
    Trouble,
    break_off,
    call,
    decline,
    say,
    stall,
)

SEARCH = {"name": "mcp__trichrome__claim_task", "description": "", "input_schema": {"type": "object"}}
HELLO = {"role": "user", "content": "hello"}


Connect = Callable[[MessagesApi], Anthropic]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as clients:
        yield lambda api: clients.enter_context(Anthropic(base_url=api.url, api_key="any", max_retries=0, timeout=5))


def ask(client: Anthropic, **body: Any) -> Any:
    body = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [HELLO], "tools": [SEARCH]} | body
    return client.beta.messages.create(**body)


def request(*messages: dict[str, Any], **body: Any) -> Request:
    return Request({}, {"model": "claude-haiku-5-5", "messages": list(messages), "tools": [SEARCH], **body})


def called(number: int, tool: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "tool_use", "id": f"c{number}", "name": tool, "input": {}}]}


def answered(number: int, text: str) -> dict[str, Any]:
    content = [{"type": "text", "text": text}]
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"c{number}", "content": content}]}


def test_official_client_reads_a_streamed_reply_with_words_and_calls(connect: Connect) -> None:
    def script(request: Request) -> Reply:
        return say("Let me see.") + call("claim_task", {"role": "blue"}) + call("claim_task", {})

    with MessagesApi(script) as api:
        asked = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [HELLO], "tools": [SEARCH]}
        with connect(api).beta.messages.stream(**asked) as stream:
            message = stream.get_final_message()

    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert message.content[0].text == "Let me see."
    assert [(block.name, block.input) for block in message.content[1:]] == [
        (SEARCH["name"], {"role": "blue"}),
        (SEARCH["name"], {}),
    ]
    assert len({block.id for block in message.content[1:]}) == 2
    assert message.stop_reason == "tool_use"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_reply_that_is_not_streamed_says_the_same(connect: Connect) -> None:
    with MessagesApi(lambda _: say("Done.")) as api:
        message = ask(connect(api))

    assert message.content[0].text == "Done."
    assert message.stop_reason == "end_turn"


def test_tokens_are_counted_without_asking_the_script(connect: Connect) -> None:
    with MessagesApi(lambda _: say("never")) as api:
        count = connect(api).beta.messages.count_tokens(model="claude-haiku-5-5", messages=[HELLO])

        assert count.input_tokens > 0
        assert api.requests == []


def test_unknown_path_is_an_error_of_the_api(connect: Connect) -> None:
    with MessagesApi(lambda _: say("never")) as api, pytest.raises(NotFoundError, match="/v1/models"):
        connect(api).models.list()


def test_failing_script_reaches_the_client_and_then_the_test(connect: Connect) -> None:
    def script(request: Request) -> Reply:
        raise KeyError("attempt")

    api = MessagesApi(script)

    with pytest.raises(KeyError, match="attempt"), api, pytest.raises(BadRequestError, match="attempt"):
        ask(connect(api))


def test_failing_script_is_noted_on_the_failure_it_caused(connect: Connect) -> None:
    def script(request: Request) -> Reply:
        raise KeyError("attempt")

    api = MessagesApi(script)

    with pytest.raises(BadRequestError) as caught, api:
        ask(connect(api))

    assert "KeyError('attempt')" in caught.value.__notes__[0]


def test_conversations_at_the_same_time_do_not_wait_for_each_other(connect: Connect) -> None:
    together = Barrier(3, timeout=5)

    def script(request: Request) -> Reply:
        together.wait()
        return say(request.prompts[-1])

    with MessagesApi(script) as api, ThreadPoolExecutor(3) as threads:
        client = connect(api)
        replies = threads.map(lambda word: ask(client, messages=[{"role": "user", "content": word}]), "abc")

        assert [reply.content[0].text for reply in replies] == ["a", "b", "c"]
        assert sorted(request.prompts[-1] for request in api.requests) == ["a", "b", "c"]


def test_script_sees_what_its_calls_came_back_with() -> None:
    seen = request(
        HELLO,
        called(1, "mcp__trichrome__create_task"),
        answered(1, '{"run":"r1"}'),
        called(2, "mcp__trichrome__wait"),
        answered(2, "no JSON"),
    )

    assert seen.turns == 2
    assert seen.results_of("create_task") == [{"run": "r1"}]
    assert seen.last_tool_results == ["no JSON"]
    assert seen.results_of("task") == []


def test_last_results_are_empty_before_the_first_call_and_after_words() -> None:
    before = request(HELLO)
    after = request(HELLO, called(1, "x"), answered(1, "1"), {"role": "assistant", "content": "done"}, HELLO)

    assert before.last_tool_results == []
    assert after.last_tool_results == []


def test_notice_of_finished_work_is_found_as_a_prompt_and_in_mid_turn() -> None:
    prompt = {"role": "user", "content": "<task-notification>\none</task-notification>"}
    mid_turn = {"role": "system", "content": [{"type": "text", "text": "<task-notification>two</task-notification>"}]}

    assert request(prompt, called(1, "x"), answered(1, "1"), mid_turn).notices == ["\none", "two"]


def test_schema_of_a_deferred_tool_is_loaded_before_the_call(connect: Connect) -> None:
    tools = [SEARCH, {**SEARCH, "name": "ToolSearch"}]
    system = "Deferred tools:\nWebFetch\nmcp__trichrome__get_task\n"

    with MessagesApi(lambda _: call("get_task", {"task": "t1"})) as api:
        message = ask(connect(api), tools=tools, system=system)

    assert [(block.name, block.input) for block in message.content] == [
        ("ToolSearch", {"query": "select:mcp__trichrome__get_task"})
    ]


def test_tool_that_no_list_shows_is_searched_for_once(connect: Connect) -> None:
    tools = [SEARCH, {**SEARCH, "name": "ToolSearch"}]
    with MessagesApi(lambda _: call("get_task", {})) as api:
        searched = ask(connect(api), tools=tools).content[0].to_dict()
    again = [HELLO, {"role": "assistant", "content": [{**searched, "id": "c1"}]}, answered(1, "")]

    with (
        pytest.raises(LookupError, match="get_task"),
        MessagesApi(lambda _: call("get_task", {})) as api,
        pytest.raises(BadRequestError),
    ):
        ask(connect(api), tools=tools, messages=again)

    assert (searched["name"], searched["input"]) == ("ToolSearch", {"query": "select:get_task"})


def test_call_of_a_tool_that_nobody_offers_fails_the_script(connect: Connect) -> None:
    api = MessagesApi(lambda _: call("get_task", {}))

    with pytest.raises(LookupError, match="get_task"), api, pytest.raises(BadRequestError):
        ask(connect(api))


def test_subagent_is_told_from_the_main_agent_by_its_header() -> None:
    main = Request({"x-claude-code-session-id": "s"}, {})
    subagent = Request({"x-claude-code-session-id": "s", "x-claude-code-agent-id": "a1"}, {})

    assert (main.session, main.agent) == ("s", "")
    assert (subagent.session, subagent.agent) == ("s", "a1")


def test_trouble_reaches_the_client_with_its_status_and_headers(connect: Connect) -> None:
    trouble = Trouble(429, "rate_limit_error", "Slow down.", {"retry-after": "7"})

    with MessagesApi(lambda _: trouble) as api, pytest.raises(RateLimitError, match="Slow down") as caught:
        ask(connect(api))

    assert caught.value.response.headers["retry-after"] == "7"


def test_declined_reply_ends_as_the_api_ends_one(connect: Connect) -> None:
    with MessagesApi(lambda _: decline()) as api:
        message = ask(connect(api))

    assert message.stop_reason == "refusal"


@pytest.mark.parametrize("reply", [stall(), break_off()], ids=["stands still", "breaks off"])
def test_stream_that_does_not_arrive_whole_is_an_error_after_its_first_event(connect: Connect, reply: Reply) -> None:
    asked = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [HELLO], "timeout": 0.5}

    with MessagesApi(lambda _: reply) as api, connect(api).beta.messages.stream(**asked) as stream:
        first = next(stream)
        with pytest.raises(TransportError):
            stream.get_final_message()

    assert first.type == "message_start"


def test_blind_call_names_a_tool_that_was_not_offered(connect: Connect) -> None:
    with MessagesApi(lambda _: call("Write", {}, is_blind=True)) as api:
        message = ask(connect(api))

    assert message.content[0].name == "Write"
