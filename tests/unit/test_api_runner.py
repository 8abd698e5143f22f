"""The parts of the API runner: what is missing, the file tools' bounds, reset times, and replies that were cut."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from anthropic import APIStatusError, AsyncAnthropic
from anthropic.lib.tools import ToolError, beta_async_tool
from tests.support.sessions import assignment

from trichrome.roles import MODELS, load_roles
from trichrome.runners.anthropic_api import AnthropicApiRunner, files
from trichrome.runners.anthropic_api.conversation import CUTS, Brief, converse
from trichrome.runners.anthropic_api.files import file_tools
from trichrome.runners.anthropic_api.refusals import limit_until, tell_of

pytestmark = pytest.mark.anyio

NOW = 1_790_000_000.0
BRIEF = Brief(model="claude-haiku-5-5", system="You are blue.", opening="Claim t1.")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# --- before a session -------------------------------------------------------------------------------------------------


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_without_a_key_no_session_is_started(no_credentials: None) -> None:
    assert AnthropicApiRunner().lacks() == (
        "There is no key for the Anthropic API. Set ANTHROPIC_API_KEY to one, and start again."
    )


def test_with_a_key_nothing_is_lacking(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-dummy")

    assert AnthropicApiRunner().lacks() is None


@pytest.mark.parametrize(("role", "may_write"), [("blue", False), ("green", True), ("red", False)])
def test_session_has_its_roles_model_and_rights(tmp_path: Path, role: str, may_write: bool) -> None:
    command = AnthropicApiRunner().launch(assignment(tmp_path, tmp_path / "scratch", role=role)).command

    assert MODELS[load_roles().read(role).model] in command
    assert ("--may-write" in command) == may_write


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside\n")
    root = tmp_path / "workspace"
    (root / "src").mkdir(parents=True)
    (root / "src" / "auth.py").write_text("def login(): ...\n")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path)
    (root / "new").symlink_to(tmp_path / "planted")
    (root / ".git").write_text("gitdir: elsewhere\n")
    return root


def tools(workspace: Path, *, may_write: bool = True) -> dict[str, Any]:
    return {tool.name: tool for tool in file_tools(workspace, may_write=may_write)}


def test_only_a_role_that_may_write_has_tools_that_do(workspace: Path) -> None:
    assert sorted(tools(workspace)) == ["edit", "glob", "grep", "read", "write"]
    assert sorted(tools(workspace, may_write=False)) == ["glob", "grep", "read"]


async def test_files_are_found_read_and_changed_by_paths_from_the_workspace(workspace: Path) -> None:
    have = tools(workspace)

    found = await have["glob"].call({"pattern": "**/*.py"})
    lines = await have["grep"].call({"pattern": "login"})
    await have["write"].call({"file_path": "src/new.py", "content": "x = 1\n"})
    await have["edit"].call({"file_path": "src/new.py", "old_string": "1", "new_string": "2"})
    text = await have["read"].call({"file_path": "src/new.py"})

    assert found == "src/auth.py"
    assert lines == "src/auth.py:1:def login(): ..."
    assert text == "x = 2\n"


OUTSIDE = ["../secret", "/etc/passwd", "link", "up/secret", "src/../../secret", "new", "\0"]


@pytest.mark.parametrize("path", OUTSIDE)
async def test_no_path_leads_out_of_the_workspace(workspace: Path, path: str) -> None:
    have = tools(workspace)
    calls = [
        ("read", {"file_path": path}),
        ("write", {"file_path": path, "content": "planted"}),
        ("edit", {"file_path": path, "old_string": "outside", "new_string": "planted"}),
        ("grep", {"pattern": ".", "path": path}),
    ]

    for tool, arguments in calls:
        with pytest.raises((ToolError, ValueError)):
            await have[tool].call(arguments)

    assert (workspace.parent / "secret").read_text() == "outside\n"
    assert not (workspace.parent / "planted").exists()


async def test_searches_do_not_follow_links_out_of_the_workspace(workspace: Path) -> None:
    have = tools(workspace)

    found = await have["glob"].call({"pattern": "up/sec*"})
    lines = await have["grep"].call({"pattern": "outside"})

    assert (found, lines) == ("no matches", "no matches")


@pytest.mark.parametrize("path", [".git", ".git/hooks/pre-commit", ".trichrome/config.toml", "src/../.trichrome/x"])
async def test_what_could_start_programs_is_not_written(workspace: Path, path: str) -> None:
    with pytest.raises(ToolError):
        await tools(workspace)["write"].call({"file_path": path, "content": "planted"})

    assert (workspace / ".git").read_text() == "gitdir: elsewhere\n"
    assert not (workspace / ".trichrome").exists()


@pytest.fixture
def data(workspace: Path) -> Path:
    folder = workspace / ".trichrome"
    for name in ("scratch/blue-1/servers.json", "logs/blue-1/output.jsonl", "events.db", "shared-context/note.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("KEY login\n")
    (folder / ".gitignore").write_text("*\n")
    (workspace / "src" / "way").symlink_to(folder)
    return folder


@pytest.mark.parametrize("path", ["scratch/blue-1/servers.json", "scratch", "logs/blue-1/output.jsonl", "events.db"])
async def test_what_is_private_is_neither_read_nor_searched(workspace: Path, data: Path, path: str) -> None:
    have = tools(workspace)

    for begin in (".trichrome", str(data), "src/way"):
        with pytest.raises(ToolError):
            await have["read"].call({"file_path": f"{begin}/{path}"})
        with pytest.raises(ToolError):
            await have["grep"].call({"pattern": "KEY", "path": f"{begin}/{path}"})


async def test_what_is_private_shows_in_no_list(workspace: Path, data: Path) -> None:
    have = tools(workspace)

    listed = str(await have["glob"].call({"pattern": "**/*"})).split("\n")
    found = await have["grep"].call({"pattern": "login"})
    within = await have["grep"].call({"pattern": "KEY", "path": ".trichrome"})

    assert ".trichrome/shared-context/note.md" in listed
    assert [name for name in listed if "servers.json" in name or "output.jsonl" in name or "events.db" in name] == []
    assert found == "src/auth.py:1:def login(): ..."
    assert within == "no matches"


async def test_what_is_shared_is_read_and_searched(workspace: Path, data: Path) -> None:
    have = tools(workspace)

    text = await have["read"].call({"file_path": ".trichrome/shared-context/note.md"})
    found = await have["grep"].call({"pattern": "KEY", "path": ".trichrome/shared-context"})

    assert (text, found) == ("KEY login\n", ".trichrome/shared-context/note.md:1:KEY login")


async def test_search_that_never_ends_is_ended_and_meanwhile_others_go_on(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SEARCH_SECONDS", 1.0)
    (workspace / "long.txt").write_text("a" * 60 + "b\n")
    have = tools(workspace)

    async with anyio.create_task_group() as group:
        group.start_soon(_never_ends, have)
        others = await have["read"].call({"file_path": "src/auth.py"})

    assert others == "def login(): ...\n"


async def _never_ends(have: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="the search was ended"):
        await have["grep"].call({"pattern": "(a+)+$", "path": "long.txt"})


async def test_pattern_that_is_none_is_told(workspace: Path) -> None:
    with pytest.raises(ToolError, match="not a regular expression"):
        await tools(workspace)["grep"].call({"pattern": "("})


# --- reset times ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({}, None),
        ({"retry-after": "90"}, NOW + 90),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:20 GMT"}, 1_790_000_000.0),
        ({"retry-after": "soon"}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-09-21T14:13:25Z"}, NOW + 5),
        (
            {
                "anthropic-ratelimit-requests-reset": "2026-09-21T15:13:20Z",
                "anthropic-ratelimit-requests-remaining": "7",
                "anthropic-ratelimit-tokens-reset": "2026-09-21T14:14:20+00:00",
                "anthropic-ratelimit-tokens-remaining": "0",
            },
            NOW + 60,
        ),
        ({"anthropic-ratelimit-unified-reset": "1790003600"}, NOW + 3600),
        ({"anthropic-ratelimit-tokens-reset": "garbage"}, None),
    ],
)
def test_headers_say_when_to_come_again(headers: dict[str, str], until: float | None) -> None:
    assert limit_until(headers, now=NOW) == until


@pytest.mark.parametrize(
    ("status", "code", "is_limit"),
    [
        (400, 1, False),
        (401, os.EX_CONFIG, False),
        (402, os.EX_CONFIG, False),
        (403, os.EX_CONFIG, False),
        (404, os.EX_CONFIG, False),
        (413, 1, False),
        (429, os.EX_TEMPFAIL, True),
        (500, os.EX_TEMPFAIL, True),
        (529, os.EX_TEMPFAIL, True),
    ],
)
async def test_status_says_who_is_wanted(
    capsys: pytest.CaptureFixture[str], status: int, code: int, is_limit: bool
) -> None:
    body = {"type": "error", "error": {"type": "some_error", "message": "as the API put it"}}
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _request: httpx2.Response(status, json=body)))
    async with AsyncAnthropic(api_key="dummy", http_client=http, max_retries=0) as client:
        with pytest.raises(APIStatusError) as refused:
            await converse(client, BRIEF, [], lambda: False)

    left = tell_of(refused.value)

    told = json.loads(capsys.readouterr().out)
    assert (left, told["status"], told.get("is_limit", False)) == (code, status, is_limit)
    assert "as the API put it" in told["error"]


# --- the conversation -------------------------------------------------------------------------------------------------


def message(stop_reason: str, *blocks: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": list(blocks),
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(number: int, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}


class Api:
    """Replies in order, and what was asked."""

    def __init__(self, *replies: dict[str, Any]) -> None:
        self.replies = list(replies)
        self.asked: list[dict[str, Any]] = []
        self.calls = 0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        return httpx2.Response(200, json=self.replies.pop(0))

    async def talk(self, is_over: Callable[[], bool] = lambda: False, brief: Brief = BRIEF) -> str | None:
        @beta_async_tool
        async def look() -> str:
            """Look."""
            self.calls += 1
            return "seen"

        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self.answer))
        async with AsyncAnthropic(api_key="dummy", http_client=http) as client:
            return await converse(client, brief, [look], is_over)


async def test_calls_are_carried_out_until_the_turn_ends() -> None:
    api = Api(message("tool_use", use(1, "look")), message("end_turn", text("Done.")))

    why = await api.talk()

    (result,) = api.asked[1]["messages"][-1]["content"]
    assert (why, api.calls) == (None, 1)
    assert result["content"] == "seen"


async def test_prompt_tools_and_conversation_are_cached() -> None:
    api = Api(message("end_turn", text("Done.")))

    await api.talk()

    (asked,) = api.asked
    assert asked["system"] == [{"type": "text", "text": "You are blue.", "cache_control": {"type": "ephemeral"}}]
    assert asked["cache_control"] == {"type": "ephemeral"}
    assert set(asked) == {"model", "max_tokens", "system", "messages", "tools", "cache_control"}


async def test_nothing_more_is_asked_once_it_is_over() -> None:
    api = Api(message("tool_use", use(1, "look")))

    why = await api.talk(lambda: api.calls == 1)

    assert (why, len(api.asked)) == (None, 1)


def costly(message: dict[str, Any]) -> dict[str, Any]:
    """A reply of the cheapest model that costs a cent."""
    return {**message, "usage": {"input_tokens": 100_000, "output_tokens": 0}}


@pytest.mark.parametrize(("most", "asked"), [(0.005, 1), (0.0105, 1), (0.0125, 2), (None, 2)])
async def test_nothing_more_is_asked_than_the_session_may_cost(most: float | None, asked: int) -> None:
    api = Api(costly(message("tool_use", use(1, "look"))), costly(message("end_turn")))

    why = await api.talk(brief=replace(BRIEF, max_cost_usd=most))

    assert len(api.asked) == asked
    assert why is None if asked == 2 else "would take it over" in str(why)


async def test_price_that_nobody_knows_holds_nothing_up() -> None:
    unknown = {**costly(message("tool_use", use(1, "look"))), "model": "a-model-of-tomorrow"}
    api = Api(unknown, message("end_turn"))

    why = await api.talk(brief=replace(BRIEF, max_cost_usd=0.000001))

    assert (why, len(api.asked)) == (None, 2)


async def test_reply_that_was_cut_is_gone_on_with_and_its_call_not_carried_out() -> None:
    api = Api(message("max_tokens", text("I wri"), use(1, "look")), message("end_turn", text("Done.")))

    why = await api.talk()

    result, words = api.asked[1]["messages"][-1]["content"]
    assert (why, api.calls) == (None, 0)
    assert (result["tool_use_id"], result["is_error"]) == ("toolu_1", True)
    assert words["text"].startswith("Your reply was cut off")


async def test_replies_that_are_cut_again_and_again_end_the_session() -> None:
    api = Api(*[message("max_tokens")] * (CUTS + 1))

    why = await api.talk()

    assert why == "The model's replies were cut off at 16000 tokens 4 times."
    assert api.replies == []


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("refusal", "The model declined to work on this."),
        (
            "model_context_window_exceeded",
            "The conversation outgrew the model's context window. Make the task smaller.",
        ),
    ],
)
async def test_session_says_what_ended_it_before_its_time(reason: str, why: str) -> None:
    assert await Api(message(reason, use(1, "look"))).talk() == why
