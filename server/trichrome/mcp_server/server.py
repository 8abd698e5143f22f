"""The life of the server process: it serves, keeps its worker's leases, rescues, and leaves.

It leaves at the end of input, at SIGINT or SIGTERM, and when its parent is gone, whatever is still going on; it never
outlives its client, and its leaving ends no attempt.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Final

import anyio
from mcp.server.lowlevel import NotificationOptions

from trichrome.mcp_server import resources
from trichrome.mcp_server.registry import Toolset
from trichrome.mcp_server.serving import LEAVE_SECONDS, Serving, build, tolerant
from trichrome.mcp_server.session import Session
from trichrome.mcp_server.wire import Wire, streams
from trichrome.processes import ClientChain, is_orphaned

KEEP_SECONDS: Final = 0.5
"""How often the keeper looks after the parent and rescues; a dead client's task is free about that long after."""
RENEW_SECONDS: Final = 20.0
"""How often leases are renewed: a third of the shortest."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said."""

    role: str | None
    worker: str | None
    toolset: Toolset
    durability: str | None


def run(chain: ClientChain, flags: Flags) -> int:
    """Serve stdin and stdout until it is time to leave; ends the process, so that no thread can hold it."""
    serving = Serving(Session(chain, flags.role, flags.worker, flags.durability), flags.toolset)
    wire = Wire.claim()
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(_serve, serving, wire, chain)
    leaving = threading.Thread(target=serving.leave, daemon=True)
    leaving.start()
    leaving.join(LEAVE_SECONDS)
    sys.stderr.flush()
    os._exit(0)


async def _serve(serving: Serving, wire: Wire, chain: ClientChain) -> None:
    server = build(serving)
    options = server.create_initialization_options(NotificationOptions())
    async with anyio.create_task_group() as group:

        async def at_signals() -> None:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
                async for _ in received:
                    group.cancel_scope.cancel()
                    return

        async def gone() -> None:
            await serving.reader_gone()
            group.cancel_scope.cancel()

        group.start_soon(at_signals)
        group.start_soon(_leave_with_parent, chain, group.cancel_scope)
        group.start_soon(_keep, serving.session)
        group.start_soon(_send_notices, serving)
        async with streams(wire, on_written=serving.was_written, on_gone=gone) as (reader, writer):
            await server.run(reader, writer, options)
        group.cancel_scope.cancel()


async def _leave_with_parent(chain: ClientChain, scope: anyio.CancelScope) -> None:
    """Leave when anybody above is gone; nothing that may block has a part in it."""
    while True:
        if is_orphaned(chain):
            scope.cancel()
        await anyio.sleep(KEEP_SECONDS)


async def _keep(session: Session) -> None:
    """Introduce a declared worker, renew and rescue while serving."""
    due = 0.0
    while True:
        if time.monotonic() >= due:
            if session.is_open:
                await tolerant(session.renew)
                due = time.monotonic() + RENEW_SECONDS
            elif session.is_declared_worker and session.client_name is not None:
                await tolerant(session.project)
                due = time.monotonic() + RENEW_SECONDS
        if session.is_open:
            await tolerant(session.sweep)
        await anyio.sleep(KEEP_SECONDS)


async def _send_notices(serving: Serving) -> None:
    """Tell subscribers what changed."""

    def news() -> tuple[int, list[str]] | None:
        with serving.session.project().coordinator.store.reading() as view:
            events = view.events(after=serving.seen or 0)
        return (events[-1].position, resources.touched(serving.session, events)) if events else None

    while True:
        await anyio.sleep(KEEP_SECONDS)
        found = None if serving.seen is None else await tolerant(news)
        if found is not None:
            serving.seen, uris = found
            await serving.publish(uris)
