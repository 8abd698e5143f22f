"""Agents for `script:` that misbehave in one way each: `python agent.py BEHAVIOUR NOTES`.

Each run adds a line to the file `NOTES/runs`. None outlives its supervisor by more than a minute, should a test break.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

SECONDS: Final = 60


def begun(notes: Path) -> int:
    """Count this run; answers which one it is."""
    with (notes / "runs").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    return len((notes / "runs").read_text(encoding="utf-8").splitlines())


def hold() -> None:
    """Say nothing more."""
    time.sleep(SECONDS)


def offline() -> None:
    """Become a worker that does the task."""
    task, role = os.environ["TRICHROME_TASK"], os.environ["TRICHROME_ROLE"]
    project = os.environ["TRICHROME_HOME"]
    words = ["-m", "trichrome.runners.offline", "--role", role, "--project", project, "--task", task]
    os.execv(sys.executable, [sys.executable, *words])


def leave_a_daemon(notes: Path) -> None:
    """Start a process that leaves the group and the session, and loses its parent."""
    if (child := os.fork()) == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            hold()
        else:
            (notes / "daemon").write_text(str(daemon), encoding="utf-8")
        os._exit(0)
    os.waitpid(child, 0)


def write() -> None:
    """Do what a task asks for."""
    Path("made.py").write_text("made = True\n", encoding="utf-8")


def converse(behaviour: str) -> None:
    """Claim the task, and go on as the behaviour says."""
    import anyio
    from mcp import Client, StdioServerParameters

    config = json.loads(Path(os.environ["TRICHROME_MCP_CONFIG"]).read_text(encoding="utf-8"))
    entry = config["mcpServers"]["trichrome"]
    server = StdioServerParameters(command=entry["command"], args=entry["args"], env={**os.environ, **entry["env"]})

    async def talk() -> None:
        async with Client(server) as client:

            async def call(tool: str, **arguments: Any) -> str:
                answer = await client.call_tool(tool, arguments)
                return "".join(getattr(part, "text", "") for part in answer.content)

            claimed = json.loads(await call("claim_task", task=os.environ["TRICHROME_TASK"]))
            sys.stdout.write("I am thinking\n")
            sys.stdout.flush()
            if behaviour == "writes":
                write()
            if behaviour == "silent":
                await anyio.sleep(SECONDS)
            if behaviour == "eats":
                held = bytearray(b"x") * (600 * 2**20)
                await anyio.sleep(SECONDS)
                del held
            if behaviour == "boasts":  # as our own programs tell what they do
                sys.stdout.write(json.dumps({"type": "said", "text": "I made it."}) + "\n")
                sys.stdout.flush()
            if behaviour in {"writes", "boasts"}:
                said = await call("report_result", attempt=claimed["attempt"], outcome="completed", summary="Done.")
                sys.stdout.write(f"{said}\n")

    anyio.run(talk)


def main(behaviour: str, notes: Path) -> int:
    """Behave."""
    run = begun(notes)
    match behaviour:
        case "hangs":
            hold()
        case "fails":
            return 3
        case "vanishes":
            Path(sys.argv[0]).unlink()
            return 3
        case "limited" if run == 1:
            line = {"type": "trouble", "error": "Slow down.", "status": 529, "is_limit": True, "until": time.time() + 1}
            sys.stdout.write(json.dumps(line) + "\n")
            return os.EX_TEMPFAIL
        case "limited":
            offline()
        case "forks":
            leave_a_daemon(notes)
            offline()
        case _:
            converse(behaviour)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
