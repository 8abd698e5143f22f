"""The process of an offline worker: `python -m trichrome.runners.offline --role blue`.

SIGTERM, SIGINT and the end of whoever started it make it give back what it holds and leave with 0. This module is read
again by the process that does the work, so it imports nothing before it runs.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until it is idle or stopped; 1 when the server refuses it or cannot be started."""
    from trichrome.processes import client_chain

    parser = argparse.ArgumentParser(
        prog="python -m trichrome.runners.offline", description="Take tasks of one role and do them without a model."
    )
    parser.add_argument("--role", required=True, help="the role whose tasks it takes")
    parser.add_argument("--project", type=Path, default=Path(), help="the folder it works on (default: this one)")
    parser.add_argument("--wait-seconds", type=int, default=30, help="how long one claim blocks, 0 to 90")
    parser.add_argument("--until-idle", type=int, metavar="N", help="leave after N waits without work")
    given = parser.parse_args(arguments)
    above = client_chain()  # before anything that takes its time: who is gone by then would never be missed
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"{given.role}: %(message)s")
    logging.getLogger("mcp").setLevel(logging.WARNING)
    # Python 3.11 warns when the work's process, ended at exit, was reaped by somebody else first; nothing is lost then.
    logging.getLogger("asyncio").setLevel(logging.ERROR)

    import anyio

    from trichrome.runners.offline.connection import run_worker

    return anyio.run(run_worker, given.role, given.project.resolve(), given.wait_seconds, given.until_idle, above)


if __name__ == "__main__":
    sys.exit(main())
