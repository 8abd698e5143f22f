"""The program's own log: a file for each process, and not too many of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trichrome import logs

WRITE = """\
import sys
from pathlib import Path
from trichrome import logs
logs.open_log(Path(sys.argv[1]), name="server", level="info")
logs.get("test").info("here", token="abc")
"""


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for handler in logging.getLogger("trichrome").handlers:
        handler.close()
    logging.getLogger("trichrome").handlers.clear()


def test_each_process_writes_a_file_of_its_own(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], check=True, timeout=20)

    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) == 2
    for path in files:
        (line,) = map(json.loads, path.read_text().splitlines())
        assert (line["event"], line["token"]) == ("here", "(not written)")


def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    for age in range(30):
        path = folder / f"server-{age}.jsonl"
        path.write_text("{}")
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (folder / "demo-blue-1.log").write_text("not ours")

    logs.open_log(tmp_path, name="server", level="info")

    assert {path.name for path in folder.iterdir()} == {
        "demo-blue-1.log", *(f"server-{age}.jsonl" for age in range(logs.KEPT))
    }  # fmt: skip


def test_a_log_that_is_opened_anew_lets_go_of_the_file_before(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    logs.open_log(tmp_path, name="server", level="info")
    logs.get("test").info("here")
    (before,) = logging.getLogger("trichrome").handlers

    logs.open_log(tmp_path / "other", name="server", level="info")

    assert isinstance(before, logging.FileHandler)
    assert before.stream is None
    assert before not in logging.getLogger("trichrome").handlers


def test_logging_leaves_the_library_that_draws_on_terminals_alone_and_importable(tmp_path: Path) -> None:
    program = f"""{WRITE}
assert "rich" not in sys.modules
import rich.console
"""

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=20)
