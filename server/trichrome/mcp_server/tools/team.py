"""What everybody does: read a task, write to others, share notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trichrome.errors import InvalidError
from trichrome.mcp_server.registry import Arguments, Call, Tool, Toolset, Whole

_ALL: Final[frozenset[Toolset]] = frozenset({"worker", "lead"})


class GetTask(Arguments):
    """Arguments of get_task."""

    task: str


def _get_task(call: Call, args: GetTask) -> Mapping[str, Any]:
    from trichrome.coordinator import queries

    return queries.task_detail(call.coordinator, args.task)


class SendMessage(Arguments):
    """Arguments of send_message."""

    to: str
    text: str


def _send_message(call: Call, args: SendMessage) -> Mapping[str, Any]:
    from trichrome.coordinator import messages

    return messages.send(call.coordinator, call.caller, args.to, args.text)


class ShareContext(Arguments):
    """Arguments of share_context."""

    name: str | None = None
    text: str | None = None
    attempt: str | None = None
    expect_version: Whole | None = None


def _share_context(call: Call, args: ShareContext) -> Mapping[str, Any]:
    from trichrome.coordinator import notes

    if args.name is None:
        if args.text is not None:
            raise InvalidError("name is missing. Say which note the text is for.", field="name")
        return notes.listed(call.coordinator)
    if args.text is None:
        return notes.get(call.coordinator, args.name)
    return notes.put(
        call.coordinator,
        call.caller,
        args.name,
        args.text,
        attempt=args.attempt,
        expect_version=args.expect_version,
    )


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool("get_task", "One task: attempts, result, history in words.", GetTask, _get_task, _ALL, reads=True),
    Tool(
        "send_message",
        "Write to a worker (blue-1), a role, a run (r3) or lead. It rides on their next answer as inbox.",
        SendMessage,
        _send_message,
        _ALL,
    ),
    Tool(
        "share_context",
        "Notes that all roles share: name and text write one (expect_version refuses to overwrite a newer), name reads "
        "it, neither lists all.",
        ShareContext,
        _share_context,
        _ALL,
        repeats=True,
    ),
)
