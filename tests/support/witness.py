"""An MCP server that only notes, a JSON line each, what its client sends on the pipe and how the client ends it.

Run as a plain file, with the note's path as its argument. It uses no SDK, so what it notes is what was on the wire.
Signals are noted and otherwise ignored, so that what a client does to a server that will not go shows too.

Its tools: `echo` answers at once; `meet` answers when as many calls of it are open as `WITNESS_MEET` says; `hidden`
works, but no list shows it; `refuse` and every unknown one, likewise unlisted, answer an error.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

SERVER = {"name": "witness", "version": "1"}
LISTED = [
    {"name": name, "description": name, "inputSchema": {"type": "object"}, "_meta": {"anthropic/alwaysLoad": True}}
    for name in ("echo", "meet")
]


def notes(path: Path) -> list[dict[str, Any]]:
    """What was noted so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    with Path(sys.argv[1]).open("a", buffering=1) as file:

        def note(**facts: Any) -> None:
            file.write(json.dumps({"at": time.monotonic(), "pid": os.getpid(), **facts}) + "\n")

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _: note(signal=signal.Signals(received).name))
        note(environment={name: value for name, value in os.environ.items() if "KEY" not in name})
        serve(note)
        note(end_of_input=True)


def serve(note: Any) -> None:
    legacy = os.environ.get("WITNESS_ERA") == "2025-11-25"
    meeting: list[dict[str, Any]] = []
    for line in sys.stdin:
        message = json.loads(line)
        note(received=message)
        match message:
            case {"method": "server/discover", "id": number} if not legacy:
                answer(number, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
            case {"method": "initialize", "id": number}:
                offer = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": SERVER}
                answer(number, offer)
            case {"method": "tools/list", "id": number}:
                answer(number, {"tools": LISTED})
            case {"method": "tools/call", "id": number, "params": {"name": "echo" | "hidden"}}:
                answer(number, {"content": []})
            case {"method": "tools/call", "params": {"name": "meet"}}:
                meeting.append(message)
                if len(meeting) == int(os.environ["WITNESS_MEET"]):
                    for open_call in meeting:
                        answer(open_call["id"], {"content": []})
            case {"method": "tools/call", "id": number, "params": {"name": "refuse"}}:
                answer(number, {"content": [{"type": "text", "text": "refused"}], "isError": True})
            case {"id": number}:
                send({"id": number, "error": {"code": -32601, "message": "unknown"}})
            case _:
                pass  # a notification wants no answer


def answer(number: int | str, result: dict[str, Any]) -> None:
    era = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    send({"id": number, "result": {**era, "_meta": {"io.modelcontextprotocol/serverInfo": SERVER}, **result}})


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
