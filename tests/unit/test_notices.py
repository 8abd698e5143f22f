"""Notices about what changed: a log that cannot be read is no reason to fill the program's own."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from trichrome.errors import StoreUnavailableError
from trichrome.mcp_server import server, serving
from trichrome.mcp_server.threads import Threads


def test_a_refusal_that_stands_is_logged_once_until_it_changes_or_the_log_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter(["full", "full", "full", "gone", "gone", None, "gone", "gone"])
    logged: list[str] = []
    monkeypatch.setattr(server, "KEEP_SECONDS", 0)
    monkeypatch.setattr(serving.logs, "get", lambda _: SimpleNamespace(warning=lambda _, error: logged.append(error)))

    async def until_there_are_no_more() -> None:
        loop = asyncio.get_running_loop()

        def project() -> Any:
            refusal = next(answers, "over")
            if refusal == "over":
                loop.call_soon_threadsafe(group.cancel_scope.cancel)
            elif refusal is not None:
                raise StoreUnavailableError(refusal)
            view = SimpleNamespace(events=lambda after: [])
            return SimpleNamespace(
                coordinator=SimpleNamespace(store=SimpleNamespace(reading=lambda: nullcontext(view)))
            )

        followed = anyio.Event()
        followed.set()
        subscribers: Any = SimpleNamespace(
            followed=followed, seen=0, threads=Threads(), session=SimpleNamespace(project=project)
        )
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(server._send_notices, subscribers)

    anyio.run(until_there_are_no_more)

    assert logged == ["full", "gone", "gone"]
