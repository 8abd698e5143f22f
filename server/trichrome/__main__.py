"""The entry point: `mcp` is dispatched before the command line is imported, since each session waits for it."""

from __future__ import annotations

import sys


def main() -> int:
    """Run what the arguments name; answers the exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["mcp"]:
        from trichrome.mcp_server import main as serve

        return serve(arguments[1:])
    from trichrome.cli import main as command_line

    return command_line(arguments)


if __name__ == "__main__":
    sys.exit(main())
