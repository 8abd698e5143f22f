"""What the reaper runs: wait at a pipe, then end everything that carries a mark.

A byte on standard input dismisses it; the end of the input means that the supervisor is gone. It imports next to
nothing until then.
"""

from __future__ import annotations

import os
import sys

_GRACE_SECONDS = 3.0
_BOUND_SECONDS = 60.0


def main() -> None:
    """Wait, and reap."""
    if os.read(0, 1):
        return

    from trichrome.supervisor import limits, marks

    marks.sweep(
        lambda: marks.carrying(marks.SUPERVISION, sys.argv[1]),
        grace_seconds=_GRACE_SECONDS,
        bound_seconds=_BOUND_SECONDS,
    )
    limits.remove_left()


if __name__ == "__main__":
    main()
