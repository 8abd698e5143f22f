"""The process of one session: `python -m trichrome.runners.anthropic_api`.

SIGTERM, SIGINT and the end of whoever started it make it give back what it holds and leave with 0.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run one session; answers an exit code as `telling` describes them."""
    from trichrome.processes import client_chain

    parser = argparse.ArgumentParser(
        prog="python -m trichrome.runners.anthropic_api", description="Work on one task with the Messages API."
    )
    parser.add_argument("--model", required=True, help="the model's id")
    parser.add_argument("--prompt", type=Path, required=True, help="a file: the system prompt")
    parser.add_argument("--opening", type=Path, required=True, help="a file: the first message")
    parser.add_argument("--workspace", type=Path, default=Path(), help="the folder it works in (default: this one)")
    parser.add_argument("--may-write", action="store_true", help="let it change files there")
    parser.add_argument("--max-cost-usd", type=float, help="what it may cost at most, by list prices")
    given = parser.parse_args(arguments)
    above = client_chain()  # before anything that takes its time: who is gone by then would never be missed

    from trichrome.runners import telling
    from trichrome.runners.anthropic_api import lacking
    from trichrome.runners.program import log_to_stderr

    log_to_stderr("api")
    if (lack := lacking()) is not None:
        telling.tell("trouble", error=lack)
        return os.EX_CONFIG

    import anyio

    from trichrome.runners.anthropic_api.conversation import Brief
    from trichrome.runners.anthropic_api.session import Session

    brief = Brief(
        model=given.model,
        system=given.prompt.read_text(encoding="utf-8"),
        opening=given.opening.read_text(encoding="utf-8"),
        max_cost_usd=given.max_cost_usd,
    )
    session = Session(brief, given.workspace.resolve(), may_write=given.may_write)
    code = anyio.run(session.run, above)
    telling.tell("ended")
    return code


if __name__ == "__main__":
    sys.exit(main())
