"""A client of its own, to be killed: it starts the server that its arguments name, and passes lines both ways.

Run as a plain file, and with nothing but the standard library, so that it is there at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading


def main() -> None:
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        threading.Thread(target=_copy, args=(server.stdout.fileno(), 1), daemon=True).start()
        _copy(0, server.stdin.fileno())
        server.stdin.close()


def _copy(source: int, target: int) -> None:
    while chunk := os.read(source, 1 << 16):
        os.write(target, chunk)


if __name__ == "__main__":
    main()
