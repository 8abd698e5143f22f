"""What the tools cost a model to read, and what they say about themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trichrome.errors import InvalidError
from trichrome.mcp_server import tools
from trichrome.mcp_server.registry import Tool, Toolset

PINNED = Path(__file__).with_name("tools.json")
HOT = {"claim_task", "report_result", "create_task", "wait"}


def wire(tool: Tool[Any]) -> dict[str, Any]:
    return tool.wire().model_dump(by_alias=True, exclude_none=True, mode="json")


def tokens(toolset: Toolset) -> float:
    """Compact bytes of name, description and inputSchema, by four."""
    shown = [{key: wire(tool)[key] for key in ("name", "description", "inputSchema")} for tool in tools.of(toolset)]
    return sum(len(json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode()) for each in shown) / 4


def test_wire_form_of_the_tools_is_pinned() -> None:
    """After a wanted change: TRICHROME_PIN=1 writes tests/unit/tools.json again."""
    found = [wire(tool) for tool in tools.of("all")]
    if os.environ.get("TRICHROME_PIN"):
        PINNED.write_text(json.dumps(found, indent=1) + "\n")

    assert found == json.loads(PINNED.read_text())


@pytest.mark.parametrize(("toolset", "ceiling"), [("all", 2000), ("worker", 1000), ("lead", 2000)])
def test_tools_stay_below_their_ceiling_of_tokens(toolset: Toolset, ceiling: int) -> None:
    assert tokens(toolset) <= ceiling


def test_toolsets_share_what_everybody_does() -> None:
    names = {toolset: {tool.name for tool in tools.of(toolset)} for toolset in ("worker", "lead", "all")}

    assert names["worker"] & names["lead"] == {"get_task", "send_message", "share_context"}
    assert names["worker"] | names["lead"] == names["all"]
    assert len(names["all"]) == 13


def test_every_tool_has_hints_and_the_hot_ones_are_loaded_at_once() -> None:
    shown = {tool.name: wire(tool) for tool in tools.TOOLS}

    assert all(len(each["annotations"]) == 4 for each in shown.values())
    assert {name for name, each in shown.items() if each.get("_meta") == {"anthropic/alwaysLoad": True}} == HOT
    assert {name for name, each in shown.items() if each["annotations"]["destructiveHint"]} == {"cancel_task"}
    assert {name for name, each in shown.items() if each["annotations"]["readOnlyHint"]} == {
        "get_task",
        "wait",
        "list_tasks",
        "get_status",
        "route_task",
    }
    assert not any("outputSchema" in each for each in shown.values())


def test_schemas_say_what_is_needed_and_nothing_else() -> None:
    for tool in tools.TOOLS:
        text = json.dumps(wire(tool)["inputSchema"])

        assert '"title"' not in text
        assert '"null"' not in text
        assert "$defs" not in text


def parse(name: str, **arguments: Any) -> Any:
    return next(tool for tool in tools.TOOLS if tool.name == name).parse(arguments)


def refused(name: str, **arguments: Any) -> InvalidError:
    with pytest.raises(InvalidError) as caught:
        parse(name, **arguments)
    assert not isinstance(caught.value.__cause__, ValidationError)
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "code", "field"),
    [
        ({"colour": 1}, "unknown_argument", "colour"),
        ({"role": 7}, "invalid", "role"),
        ({"wait_seconds": "soon"}, "invalid", "wait_seconds"),
        ({"task": ["t1"]}, "invalid", "task"),
        ({"a\u202eb\x1b" + "c" * 100: 1}, "unknown_argument", "ab" + "c" * 78),
    ],
    ids=["unknown", "number", "text", "list", "unsafe"],
)
def test_refusal_names_the_argument(arguments: dict[str, Any], code: str, field: str) -> None:
    error = refused("claim_task", **arguments)

    assert (error.code, error.field) == (code, field)
    assert "http" not in error.message


def test_missing_argument_is_named() -> None:
    assert refused("get_task").message == "task is missing. Give it."


def test_no_arguments_at_all_are_none() -> None:
    tool = next(tool for tool in tools.TOOLS if tool.name == "claim_task")

    assert tool.parse(None) == tool.parse({})


def test_list_written_as_json_text_is_taken_as_the_list() -> None:
    args = parse("reserve_files", attempt="t1.1", paths='["a", "b"]')

    assert args.paths == ("a", "b")


@pytest.mark.parametrize(
    "text", ["[", "[1, 2", "[" * 200_000, "a", "[1]"], ids=["open", "cut", "deep", "word", "numbers"]
)
def test_text_that_is_no_list_of_texts_is_refused(text: str) -> None:
    assert refused("reserve_files", attempt="t1.1", paths=text).code == "invalid"


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**400], ids=["large", "small", "huge"])
@pytest.mark.parametrize(
    ("tool", "argument"),
    [("wait", "cursor"), ("list_tasks", "limit"), ("create_task", "priority"), ("create_task", "max_attempts")],
)
def test_integer_that_the_log_cannot_hold_is_refused(tool: str, argument: str, number: int) -> None:
    error = refused(tool, **{argument: number})

    assert (error.code, error.field) == ("invalid", argument)
    assert "range" in error.message
