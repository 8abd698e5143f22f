"""The torture's server with a rule of the product broken on purpose: `python sabotage.py RULE DIALS WORKER`.

What a checker never saw fail it may not see at all; so each of these has to be found.
"""

from __future__ import annotations

import sys
from typing import Any

from trichrome.domain import decisions
from trichrome.store.sqlite import store
from trichrome.torture import server


def fencing() -> None:
    """A call with an attempt that was superseded, or is over, is taken as if it were the live one."""
    decisions._take_up = lambda task, command: []


def turns() -> None:
    """Writers neither take turns nor begin by saying that they will write."""

    class Connection:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

        def execute(self, sql: str, *arguments: Any) -> Any:
            return self._connection.execute("begin" if sql == "begin immediate" else sql, *arguments)

    class NoGate:
        def __init__(self, *_: object) -> None: ...

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def close(self) -> None: ...

    whole = store.open_file
    store.open_file = lambda *arguments, **options: Connection(whole(*arguments, **options))  # type: ignore[assignment,return-value]
    store.Gate = NoGate  # type: ignore[assignment,misc]


if __name__ == "__main__":
    {"fencing": fencing, "turns": turns}[sys.argv[1]]()
    sys.exit(server.main(sys.argv[2:]))
