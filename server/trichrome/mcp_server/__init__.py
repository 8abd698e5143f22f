"""`trichrome mcp`: the MCP stdio server, for as long as its client wants it and not a moment longer.

This module is what starts first, so it imports almost nothing: who the client is must be recorded before anybody can
be re-parented, and `--help` must not pay for the protocol.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trichrome.processes import client_chain

if TYPE_CHECKING:
    from trichrome.clock import Clock


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trichrome mcp",
        description="Serve the coordination tools over MCP on stdin and stdout. MCP clients start this; to try it by "
        "hand, use MCP Inspector.",
        epilog="example: claude mcp add trichrome -- trichrome mcp --role blue",
    )
    environment = os.environ.get
    parser.add_argument(
        "--role",
        default=environment("TRICHROME_ROLE") or None,
        help="serve only this role, such as blue (also TRICHROME_ROLE)",
    )
    parser.add_argument(
        "--worker",
        default=environment("TRICHROME_WORKER") or None,
        help="be this named worker across restarts of client and server (also TRICHROME_WORKER)",
    )
    parser.add_argument(
        "--toolset",
        choices=("worker", "lead", "all"),
        default=environment("TRICHROME_TOOLSET") or "all",
        help="which tools to show (also TRICHROME_TOOLSET; default: all)",
    )
    parser.add_argument("--durability", choices=("full", "fast"), help="full survives a power cut (the default)")
    return parser


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """Serve until the client leaves, by the machine's clock unless another is given; answers the exit status."""
    chain = client_chain()
    flags = _parser().parse_args(argv)
    if flags.toolset not in {"worker", "lead", "all"}:
        sys.stderr.write(f"trichrome: TRICHROME_TOOLSET is {flags.toolset!r}; choose worker, lead or all.\n")
        return 2
    # Collecting while thousands of classes are made costs a fifth of the start, and finds nothing.
    gc.disable()
    from trichrome.mcp_server.server import Flags, run

    gc.enable()
    gc.freeze()
    return run(chain, Flags(flags.role, flags.worker, flags.toolset, flags.durability), clock)
