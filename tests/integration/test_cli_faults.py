"""Whatever is wrong with the log or its place: a person is told what happened, what was kept, and what to run next."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import apsw
import pytest
from tests.support.commands import BOUND, Ended, Shell
from tests.support.servers import ending

from trichrome.cli import GROUPS
from trichrome.errors import StoreUnavailableError
from trichrome.store.sqlite import alone
from trichrome.store.sqlite.errors import raise_translated

OURS = {name for names in GROUPS.values() for name in names}
THEIRS = {"git", "pip", "kill", "lsof"}
KEPT = re.compile(
    r"nothing (else )?(that was acknowledged |in it )?(was|is) (changed|done|written|lost)|is kept|are kept|keeps the|"
    r"as (it was|they were)|was not begun"
)
NOBODY = 65534


def check_words(told: str) -> None:
    """It says what was kept, and names a command that exists."""
    assert KEPT.search(told), told
    commands = [shlex.split(each) for each in re.findall(r"`([^`]+)`", told) if not each.startswith("--")]
    assert commands, told
    for program, *arguments in commands:
        if program != "trichrome":
            assert program in THEIRS, told
            continue
        assert arguments[0] in OURS, told
        page = _help(arguments[0])
        assert {option for option in arguments if option.startswith("--") and option not in page} == set(), told


def _help(command: str, known: dict[str, str] = {}) -> str:  # noqa: B006 - asked once a command
    if command not in known:
        known[command] = subprocess.run(
            [sys.executable, "-m", "trichrome", command, "--help"], capture_output=True, text=True, check=True
        ).stdout
    return known[command]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    shell.create(*("x" * 3000 for _ in range(20)))
    return shell


def folder_of(shell: Shell) -> Path:
    return shell.folder / ".trichrome"


def log_of(shell: Shell) -> Path:
    return folder_of(shell) / "events.db"


def overwrite(file: Path, *, pages: range) -> None:
    with file.open("r+b") as opened:
        for page in pages:
            opened.seek(4096 * page)
            opened.write(os.urandom(4096))


# --- faults, made before a command runs -------------------------------------------------------------------------------


def damaged(shell: Shell) -> None:
    overwrite(log_of(shell), pages=range(3, 30))


def without_a_head(shell: Shell) -> None:
    overwrite(log_of(shell), pages=range(1))


def something_else(shell: Shell) -> None:
    log_of(shell).unlink()
    other = apsw.Connection(str(log_of(shell)))
    other.execute("create table songs (name); pragma user_version = 99")
    other.close()


def too_new(shell: Shell) -> None:
    log = apsw.Connection(str(log_of(shell)))
    log.execute("update log set minimum_version = 999")
    log.close()


def tracked(shell: Shell) -> None:
    git = ["git", "-C", str(shell.folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--force", ".trichrome/.gitignore"], check=True)


def a_file_for_a_folder(shell: Shell) -> None:
    folder_of(shell).rename(shell.folder / "away")
    folder_of(shell).write_text("in the way")


def a_folder_for_a_file(shell: Shell) -> None:
    log_of(shell).unlink()
    log_of(shell).mkdir()


def a_lock_in_the_way(shell: Shell) -> None:
    lock = folder_of(shell) / "events.db.gate"
    lock.unlink()
    lock.mkdir()


@pytest.mark.parametrize(
    "fault",
    [
        damaged,
        without_a_head,
        something_else,
        too_new,
        tracked,
        a_file_for_a_folder,
        a_folder_for_a_file,
        a_lock_in_the_way,
    ],
)
@pytest.mark.parametrize("command", [("list",), ("create", "search", "y")], ids=" ".join)
def test_a_fault_is_told_with_what_was_kept_and_what_to_run(
    shell: Shell, fault: Callable[[Shell], None], command: tuple[str, ...]
) -> None:
    fault(shell)

    ended = shell.run(*command)

    if ended.code == 0:  # reading needs no turn
        assert (fault, command[0]) == (a_lock_in_the_way, "list")
        return
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    check_words(ended.err)


@pytest.mark.parametrize("command", [("repair", "--log"), ("repair", "--log", "--yes"), ("repair", "--views", "--yes")])
def test_a_repair_that_finds_nothing_whole_is_told_with_the_way_on(shell: Shell, command: tuple[str, ...]) -> None:
    log_of(shell).write_bytes(os.urandom(4096 * 20))

    ended = shell.run(*command)

    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)


def test_a_damaged_backup_is_told(shell: Shell) -> None:
    shell.run("backup")
    (backup,) = (folder_of(shell) / "backups").glob("*.db")
    overwrite(backup, pages=range(3, 5))

    ended = shell.run("restore", backup.stem, "--yes")

    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)


def test_a_log_that_is_removed_under_a_server_is_told(shell: Shell) -> None:
    with ending() as start:
        server = start(shell.folder)
        server.call("get_status")
        log_of(shell).rename(shell.folder / "taken.db")

        refused = server.refused("create_task", kind="search", instructions="y")

    check_words(refused["message"])


def test_a_log_that_another_program_is_migrating_is_told(shell: Shell) -> None:
    log = apsw.Connection(str(log_of(shell)))
    log.execute("pragma user_version = 5")
    log.close()
    first = """
import filelock
def hold(self, **_):
    raise filelock.Timeout("lock")
filelock.FileLock.__enter__ = hold
"""

    ended = run_after(first, shell, "list")

    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)


def test_a_project_that_does_not_exist_is_told(shell: Shell) -> None:
    ended = shell.run("list", env={"TRICHROME_HOME": str(shell.folder / "nowhere")})

    assert ended.code == 1
    check_words(ended.err)


# --- faults that last while a command runs ----------------------------------------------------------------------------


@contextmanager
def busy(shell: Shell) -> Iterator[None]:
    """Another program that writes for long."""
    other = apsw.Connection(str(log_of(shell)))
    other.execute("begin immediate")
    try:
        yield
    finally:
        other.close()


@contextmanager
def under_repair(shell: Shell) -> Iterator[None]:
    lock = os.open(folder_of(shell) / "events.db.alone", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


AS_SOMEBODY = """
import encodings.ascii, os, resource, sys
import apsw, filelock, psutil, sqlite_utils, yaml, tomllib
import trichrome.cli.create, trichrome.cli.tasks, trichrome.bootstrap, trichrome.coordinator.queries
import trichrome.store.sqlite.migrations, trichrome.store.sqlite.backups
from trichrome.cli import main
{first}
sys.exit(main(sys.argv[1:]))
"""


def run_after(first: str, shell: Shell, *arguments: str) -> Ended:
    """A command in a process in which something was done first, by somebody who may not do everything."""
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY.format(first=first), *arguments],
        cwd=shell.folder,
        env=shell.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND * 2,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("patient", "first"),
    [
        (busy, "import trichrome.store.sqlite.connection as c; c.BUSY_MILLISECONDS = 50"),
        (under_repair, "import trichrome.store.sqlite.alone as a; a.Share.take.__kwdefaults__['seconds'] = 0.05"),
    ],
)
def test_whoever_waited_in_vain_is_told_for_whom(
    shell: Shell, patient: Callable[[Shell], AbstractContextManager[None]], first: str
) -> None:
    with patient(shell):
        ended = run_after(first, shell, "create", "search", "y")

    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)
    assert len(shell.json("list")["tasks"]) == 20


def test_a_disk_that_takes_no_more_is_told_and_keeps_what_was_acknowledged(shell: Shell) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (40_960, 40_960))"

    ended = run_after(limit, shell, "create", "search", "y" * 60_000)

    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)
    assert len(shell.json("list")["tasks"]) == 20


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_that_this_user_may_not_write_is_told(tmp_path_factory: pytest.TempPathFactory, mode: int) -> None:
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="trichrome-"))
    shell = Shell(place)
    shell.create("a")
    somebody = f"os.geteuid() or os.setuid({NOBODY})"
    if os.geteuid() == 0:
        for file in (place, folder_of(shell), *folder_of(shell).rglob("*")):
            os.chown(file, NOBODY, NOBODY)
    folder_of(shell).chmod(mode)

    ended = run_after(somebody, shell, "create", "search", "y")

    folder_of(shell).chmod(0o700)
    assert (ended.code, ended.out) == (1, "")
    check_words(ended.err)


# --- what SQLite may say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        apsw.BusyError,
        apsw.LockedError,
        apsw.FullError,
        apsw.ReadOnlyError,
        apsw.PermissionsError,
        apsw.CantOpenError,
        apsw.CorruptError,
        apsw.NotADBError,
        apsw.IOError,
    ],
)
def test_each_error_of_sqlite_is_told(error: type[apsw.Error]) -> None:
    with pytest.raises(StoreUnavailableError) as refused:
        raise_translated(Path("/project/.trichrome/events.db"), error())

    check_words(refused.value.message)


def test_whoever_cannot_be_alone_is_told_who_holds_the_log(tmp_path: Path) -> None:
    log = tmp_path / "events.db"
    with (
        alone.alone(log),
        pytest.raises(StoreUnavailableError) as refused,
        alone.alone(log, seconds=0),
    ):
        pytest.fail("two were alone")

    check_words(refused.value.message)
