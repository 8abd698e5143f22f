"""The work's own process: it can be stopped whatever it is caught in, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from trichrome.runners.offline.connection import in_own_process

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "auth.py").write_text("def login(user): ...\n")
    (tmp_path / "trap.txt").write_text("a" * 60 + "!\n")
    return str(tmp_path)


def search(instructions: str) -> dict[str, Any]:
    task = {"id": "t1", "kind": "search", "role": "blue", "instructions": instructions}
    return {"attempt": "t1.1", "task": task, "dependencies": []}


ENDLESS = search("Find /(a+)+$/")
CAUGHT_SECONDS = 1.0
"""More processor time than starting takes: from here on it is the regular expression."""


def is_caught() -> bool:
    return any(child.cpu_times().user > CAUGHT_SECONDS for child in psutil.Process().children())


async def test_work_gives_its_result_from_its_process(folder: str) -> None:
    with anyio.fail_after(20):
        result = await in_own_process(folder, search("Find authentication"))

    assert result.outcome == "completed"
    assert result.data["matches"] == 1


async def test_work_beyond_its_time_fails_for_good_and_the_next_is_done(folder: str) -> None:
    with anyio.fail_after(20):
        late = await in_own_process(folder, ENDLESS, 0.3)
        next_one = await in_own_process(folder, search("Find authentication"))

    assert (late.outcome, late.retry) == ("failed", False)
    assert late.summary.startswith("The work was ended: it took longer than 0.3 s")
    assert next_one.outcome == "completed"


async def test_cancelled_work_ends_its_process(folder: str) -> None:
    before = set(psutil.Process().children())

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(in_own_process, folder, ENDLESS)
            while not is_caught():  # noqa: ASYNC110 - processor time used sends no event
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    assert set(psutil.Process().children()) <= before
