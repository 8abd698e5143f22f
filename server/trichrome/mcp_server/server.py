"""The life of the server process: it serves, keeps its worker's leases, rescues, and leaves.

It leaves at the end of input, at SIGINT or SIGTERM, and when its parent is gone, whatever is still going on; it never
outlives its client, and its leaving ends no attempt.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from mcp.server.lowlevel import NotificationOptions

from trichrome.errors import TrichromeError
from trichrome.mcp_server import resources
from trichrome.mcp_server.registry import Toolset
from trichrome.mcp_server.serving import LEAVE_SECONDS, Serving, build, tolerant, tolerated
from trichrome.mcp_server.session import Session
from trichrome.mcp_server.wire import Wire, streams
from trichrome.processes import ClientChain, is_orphaned

if TYPE_CHECKING:
    from trichrome.clock import Clock

KEEP_SECONDS: Final = 1.0
"""How often the server looks around and rescues. Whoever waits or claims rescues what he could take, and sooner."""
OPEN_AGAIN_SECONDS: Final = 20.0
"""How long a declared worker leaves a project alone that could not be opened."""


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line said."""

    role: str | None
    worker: str | None
    toolset: Toolset
    durability: str | None


def run(chain: ClientChain, flags: Flags, clock: Clock | None = None) -> int:
    """Serve stdin and stdout until it is time to leave; ends the process, so that no thread can hold it."""
    serving = Serving(Session(chain, flags.role, flags.worker, flags.durability, clock), flags.toolset)
    wire = Wire.claim()
    over = threading.Event()
    threading.Thread(target=_keep, args=(serving.session, over), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(_serve, serving, wire, chain)
    over.set()
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

        group.start_soon(at_signals)
        group.start_soon(_leave_with_client, chain, group.cancel_scope)
        group.start_soon(_send_notices, serving)
        async with streams(wire, on_written=serving.was_written, on_gone=group.cancel_scope.cancel) as (reader, writer):
            await server.run(reader, writer, options)
        group.cancel_scope.cancel()


async def _leave_with_client(chain: ClientChain, scope: anyio.CancelScope) -> None:
    """Leave when anybody above is gone; nothing that may block has a part in it."""
    end = _end_of_anybody(chain)
    while not is_orphaned(chain):  # asked once `end` is there, so that its numbers still meant whom they should
        if end is None:
            await anyio.sleep(KEEP_SECONDS)
        else:
            await anyio.wait_readable(end)
            end = None
    scope.cancel()


def _end_of_anybody(chain: ClientChain) -> select.epoll | None:
    """What can be read once a process above ends, where the kernel tells of that; asking again and again is dearer."""
    if sys.platform != "linux" or not chain.ancestors:
        return None
    ends = select.epoll()
    try:
        for ancestor in chain.ancestors:
            ends.register(os.pidfd_open(ancestor.ref.pid), select.EPOLLIN)
    except OSError:
        return None
    return ends


def _keep(session: Session, over: threading.Event) -> None:
    """Introduce a declared worker, renew and rescue while serving; in a thread of its own, where blocking is free."""
    open_at = 0.0
    while not over.is_set():
        time.sleep(KEEP_SECONDS)  # to wait for `over` would cost an idle server a quarter more
        if session.is_open:
            tolerated(session.keep)
        elif session.is_declared_worker and session.client_name is not None and time.monotonic() >= open_at:
            tolerated(session.project)
            open_at = time.monotonic() + OPEN_AGAIN_SECONDS


async def _send_notices(serving: Serving) -> None:
    """Tell subscribers what changed; a refusal that stands is logged once."""
    refusal: str | None = None

    def news() -> tuple[int, list[str]] | None:
        nonlocal refusal
        try:
            with serving.session.project().coordinator.store.reading() as view:
                events = view.events(after=serving.seen or 0)
            found = (events[-1].position, resources.touched(serving.session, events)) if events else None
        except TrichromeError as error:
            known, refusal = refusal, error.message
            if refusal == known:
                return None
            raise
        refusal = None
        return found

    await serving.followed.wait()
    while True:
        await anyio.sleep(KEEP_SECONDS)
        found = await tolerant(serving.threads, news)
        if found is not None:
            serving.seen, uris = found
            await serving.publish(uris)
