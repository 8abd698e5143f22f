"""A server leaves with whoever is above it, told by the kernel or by asking, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from trichrome.mcp_server import server
from trichrome.processes import _TABLE, Ancestor, ClientChain, ProcessRef, is_orphaned

BOUND_SECONDS = 5


@pytest.fixture
def client() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def chain(client: subprocess.Popen[bytes]) -> ClientChain:
    """That process above us."""
    start = _TABLE.start(client.pid)
    assert start is not None
    ancestor = Ancestor(ProcessRef(client.pid, start), "client")
    return ClientChain(os.getppid(), (ancestor,), ancestor)


@pytest.fixture(params=["told", "asks"])
def _kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that tells of ends, and one that must be asked."""

    def refused(_pid: int) -> int:
        raise PermissionError

    if request.param == "asks":
        monkeypatch.setattr(os, "pidfd_open", refused, raising=False)
        monkeypatch.setattr(server, "KEEP_SECONDS", 0.01)


@pytest.mark.usefixtures("_kernel")
def test_server_leaves_when_a_process_above_ends_and_not_before(
    client: subprocess.Popen[bytes], chain: ClientChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve() -> None:
        looked = anyio.Event()

        def looks(chain: ClientChain) -> bool:
            looked.set()
            return is_orphaned(chain)

        monkeypatch.setattr(server, "is_orphaned", looks)
        with anyio.fail_after(BOUND_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(server._leave_with_client, chain, group.cancel_scope)
                await looked.wait()
                await anyio.lowlevel.checkpoint()  # what would end it by now has done so
                client.kill()
                killed.append(True)
                await anyio.sleep_forever()

    killed: list[bool] = []

    anyio.run(serve)

    assert killed


@pytest.mark.usefixtures("_kernel")
def test_server_whose_client_ended_before_it_looked_leaves(client: subprocess.Popen[bytes], chain: ClientChain) -> None:
    client.kill()
    client.wait(BOUND_SECONDS)

    async def serve() -> None:
        with anyio.fail_after(BOUND_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(server._leave_with_client, chain, group.cancel_scope)
                await anyio.sleep_forever()

    anyio.run(serve)
