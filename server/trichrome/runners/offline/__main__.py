"""The process of an offline worker: `python -m trichrome.runners.offline --role blue`.

SIGTERM, SIGINT and the end of whoever started it make it give back what it holds and leave with 0. This module is read
again by the process that does the work, so it imports nothing before it runs.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until it is idle or stopped; 1 when the server refuses it or cannot be started."""
    from trichrome.processes import client_chain

    parser = argparse.ArgumentParser(
        prog="python -m trichrome.runners.offline", description="Take tasks of one role and do them without a model."
    )
    parser.add_argument("--role", required=True, help="the role whose tasks it takes")
    parser.add_argument("--project", type=Path, default=Path(), help="the folder it works on (default: this one)")
    parser.add_argument("--task", metavar="TASK", help="take this task alone, and leave")
    parser.add_argument("--wait-seconds", type=int, default=30, help="how long one claim blocks, 0 to 90")
    parser.add_argument("--until-idle", type=int, metavar="N", help="leave after N waits without work")
    given = parser.parse_args(arguments)
    above = client_chain()  # before anything that takes its time: who is gone by then would never be missed

    import anyio

    from trichrome.runners.offline.connection import in_own_process, run_worker, told
    from trichrome.runners.offline.worker import Worker
    from trichrome.runners.program import log_to_stderr

    log_to_stderr(given.role)
    project = given.project.resolve()
    work = partial(in_own_process, str(project))
    worker = Worker(
        role=given.role,
        work=told(work) if given.task else work,
        wait_seconds=given.wait_seconds,
        until_idle=given.until_idle,
        task=given.task,
    )
    return anyio.run(run_worker, worker, project, above)


if __name__ == "__main__":
    sys.exit(main())
