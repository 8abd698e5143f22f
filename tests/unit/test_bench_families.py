"""Each family is taken in a process of its own; what goes wrong in one stays there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from bench import families
from bench.families import FAMILIES, take, words
from bench.measure import Scale

BOUND_SECONDS = 30.0
NO_NUMBER = """
from bench.measure import *
def take(scale): return Taken([Figure("a", "a", "s", Spread.of([float("nan")]))])
"""
GROUP = ("matplotlib", "pyinstrument", "litequeue", "persistqueue", "huey", "dbos", "procrastinate", "psycopg")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of families that a test may write."""
    package = tmp_path / "made"
    package.mkdir()
    package.joinpath("__init__.py").touch()
    package.joinpath("good.py").write_text(
        dedent('''\
            """What is good

            And why.
            """

            from bench.measure import Figure, Spread, Taken

            def take(scale):
                return Taken([Figure("good.one", "one", "s", Spread.of([1.0 if scale.is_quick else 2.0]))])
            ''')
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(families, "PACKAGE", "made")
    return package


def test_figures_come_from_the_familys_own_process(made: Path, tmp_path: Path) -> None:
    quick, full = (take("good", Scale(is_quick), folder=tmp_path) for is_quick in (True, False))

    assert quick.taken is not None
    assert full.taken is not None
    assert [family.taken.figures[0].value.median for family in (quick, full) if family.taken] == [1.0, 2.0]


def test_words_are_the_docstring_of_a_module_that_is_not_run(made: Path) -> None:
    made.joinpath("loud.py").write_text('"""A heading\n\nText.\n"""\nraise RuntimeError\n')

    assert words("loud") == ("A heading", "Text.")
    assert words("missing") == ("missing", "")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise ValueError('no disk')", "ValueError: no disk"),
        ("def take(scale): print('half way'); import os; os._exit(3)", "exit status 3"),
        (NO_NUMBER, "not JSON compliant"),
    ],
    ids=["raises", "dies", "no number"],
)
def test_failing_family_says_why(made: Path, tmp_path: Path, source: str, told: str) -> None:
    made.joinpath("bad.py").write_text(source)

    family = take("bad", Scale(), folder=tmp_path)

    assert family.taken is None
    assert told in family.failure


def test_family_that_hangs_is_ended_and_reported(made: Path, tmp_path: Path) -> None:
    made.joinpath("slow.py").write_text("import threading\ndef take(scale): threading.Event().wait()")

    family = take("slow", Scale(), folder=tmp_path, limit_seconds=0.5)

    assert family.taken is None
    assert family.failure.startswith("not done after 0.5 s")


def ends(pid: int) -> bool:
    """Whether a process is gone, or a zombie that nobody has fetched yet, within the bound."""
    try:
        process = psutil.Process(pid)
        deadline = time.monotonic() + 5
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    except psutil.NoSuchProcess:
        pass
    return True


STARTS_A_SLEEPER = """
import pathlib, subprocess, threading
def take(scale):
    sleeper = subprocess.Popen(["sleep", "600"], start_new_session=True {env})
    pathlib.Path({path!r}).write_text(str(sleeper.pid))
    {then}
"""


@pytest.mark.parametrize("env", ["", ", env={'PATH': '/usr/bin:/bin'}"], ids=["marked", "unmarked"])
def test_interrupt_leaves_nothing_running(made: Path, tmp_path: Path, env: str) -> None:
    pid = tmp_path / "pid"
    made.joinpath("slow.py").write_text(
        STARTS_A_SLEEPER.format(env=env, path=str(pid), then="threading.Event().wait()")
    )

    def interrupt(_seconds: float) -> None:
        if pid.exists() and pid.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take("slow", Scale(), folder=tmp_path, limit_seconds=BOUND_SECONDS, tell=interrupt)

    assert ends(int(pid.read_text()))


def test_what_a_family_leaves_behind_is_ended(made: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    made.joinpath("untidy.py").write_text(STARTS_A_SLEEPER.format(env="", path=str(pid), then="raise ValueError"))

    take("untidy", Scale(), folder=tmp_path)

    assert ends(int(pid.read_text()))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_words_for_its_reader(name: str) -> None:
    heading, text = words(name)

    assert heading != name
    assert len(text) > 200


def test_importing_families_needs_nothing_that_only_measuring_needs() -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in GROUP)
    source = f"import sys, importlib; {blocked}[importlib.import_module('bench.' + name) for name in {FAMILIES!r}]"

    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, timeout=BOUND_SECONDS
    )

    assert done.returncode == 0, done.stderr
