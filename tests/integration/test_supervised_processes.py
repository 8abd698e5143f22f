"""Sessions as real processes that behave badly, and the reaper: after them, nothing is left.

Each program here ends by itself after a minute, should a test break.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import psutil
import pytest

from trichrome.processes import ProcTable, PsutilTable, is_alive
from trichrome.runners.port import Ending, Launch
from trichrome.supervisor import marks, reaper
from trichrome.supervisor import session as session_module
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.session import Session

BOUND_SECONDS = 20
PLENTY = Limits(memory_bytes=4 * 2**30, processes=256)
MIB = 2**20
both_readers = pytest.mark.parametrize(
    "table",
    [PsutilTable(), *([ProcTable()] if sys.platform == "linux" else [])],
    ids=lambda table: type(table).__name__,
)

IDLE = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
POLITE = f"import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(7)); {IDLE}"
# Leaves the group and the session, and loses its parent.
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(60)
    os._exit(0)
os.wait()
if "stays" in sys.argv:
    time.sleep(60)
"""
# A child that left the group and cleaned its environment, but is still known by its parent.
CLEANED = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"], env={}, start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
EATER = """
import time
held = []
for _ in range(40):
    held.append(bytearray(b"x") * 4 * 2**20)
    time.sleep(0.01)
print("full", flush=True)
time.sleep(60)
"""
BOMB = """
import os, time
for _ in range(5):
    os.fork()
print(os.getpid(), flush=True)
time.sleep(60)
"""
# A supervisor: a session, a daemon of it, and a reaper; then it waits to be killed.
SUPERVISOR = f"""
import sys, time
from pathlib import Path
from trichrome.runners.port import Launch
from trichrome.supervisor import marks, reaper
from trichrome.supervisor import session as session_module
from trichrome.supervisor.limits import Limits
from trichrome.supervisor.session import Session

folder, supervision = Path(sys.argv[1]), sys.argv[2]
ours = reaper.start(supervision)
for number, code in enumerate({[IDLE, DAEMON, STUBBORN]!r}):
    session = Session.start(
        Launch((sys.executable, "-S", "-c", code, "stays")),
        folder=folder,
        output=folder / f"output{{number}}",
        errors=folder / f"errors{{number}}",
        environment={{marks.SESSION: str(number), marks.SUPERVISION: supervision}},
        limits=Limits(2**32, 256),
    )
    while not session.lines():
        time.sleep(0.01)
if "killed" in sys.argv:
    import os, signal
    os.kill(ours.pid, signal.SIGKILL)
    while ours.is_alive():
        time.sleep(0.01)
    ours.dismiss()
    ours = reaper.start(supervision)
print(ours.pid, flush=True)
if "leaves" in sys.argv:
    ours.dismiss()
    print("left", flush=True)
time.sleep(60)
"""


def python(code: str, *arguments: str) -> Launch:
    return Launch((sys.executable, "-S", "-c", code, *arguments))


def eventually(happened: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + BOUND_SECONDS
    while not (answer := happened()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return answer


class Sessions:
    """Starts sessions in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Session] = []
        self.mark = secrets.token_hex(8)

    def launch(
        self, launch: Launch, *, limits: Limits = PLENTY, environment: Mapping[str, str] | None = None
    ) -> Session | Ending:
        return Session.start(
            launch,
            folder=self.folder,
            output=self.folder / "logs" / "output.jsonl",
            errors=self.folder / "logs" / "errors.log",
            environment=environment or {marks.SESSION: self.mark},
            limits=limits,
        )

    def start(self, launch: Launch, **options: Any) -> Session:
        session = self.launch(launch, **options)
        assert isinstance(session, Session), session
        self.started.append(session)
        return session

    def left(self) -> list[psutil.Process]:
        return marks.carrying(marks.SESSION, self.mark)


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(tmp_path)
    yield sessions
    for session in sessions.started:
        session.sweep(grace_seconds=0)


def first_line(session: Session) -> bytes:
    return next(iter(eventually(session.lines)))


@contextmanager
def input_given(text: bytes) -> Iterator[None]:
    """Have something on this process's standard input, meanwhile."""
    kept = os.dup(0)
    end, pipe = os.pipe()
    os.write(pipe, text)
    os.close(pipe)
    os.dup2(end, 0)
    os.close(end)
    yield
    os.dup2(kept, 0)
    os.close(kept)


def over(session: Session) -> int:
    eventually(lambda: session.poll() is not None)
    code = session.poll()
    assert code is not None
    return code


# --- what a session is given, and what it gives -----------------------------------------------------------------------


def test_session_has_its_own_group_no_input_and_files_for_this_user_alone(sessions: Sessions) -> None:
    ask = "import os, sys; print(os.getpgid(0) == os.getsid(0) == os.getpid(), sys.stdin.read() == '', os.getcwd())"

    with input_given(b"not for the session"):
        session = sessions.start(python(ask))

    assert over(session) == 0
    assert session.lines() == [f"True True {sessions.folder}".encode()]
    logs = sessions.folder / "logs"
    assert {stat.S_IMODE(each.stat().st_mode) for each in logs.iterdir()} == {0o600}
    assert stat.S_IMODE(logs.stat().st_mode) == 0o700


def test_session_inherits_settings_but_not_who_the_starter_is(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "TRICHROME_ROLE", "TRICHROME_SUPERVISION", "GIT_DIR"):
        monkeypatch.setenv(name, "the starter's")
    monkeypatch.setenv("TRICHROME_DURABILITY", "fast")
    monkeypatch.setenv("TRICHROME_WORKER", "the starter's")
    launch = Launch((*python("import os; print(dict(os.environ))").command,), {"FROM": "launch", "BOTH": "launch"})

    session = sessions.start(
        launch, environment={marks.SESSION: sessions.mark, "TRICHROME_WORKER": "blue-1", "BOTH": "us"}
    )

    over(session)
    (line,) = session.lines()
    assert b"the starter's" not in line
    for said in (
        b"'TRICHROME_DURABILITY': 'fast'",
        b"'TRICHROME_WORKER': 'blue-1'",
        b"'FROM': 'launch'",
        b"'BOTH': 'us'",
    ):
        assert said in line


def test_previous_output_is_kept_once(sessions: Sessions) -> None:
    for number in range(3):
        over(sessions.start(python(f"print({number})")))

    logs = sessions.folder / "logs"
    assert (logs / "output.jsonl").read_text() == "2\n"
    assert (logs / "output.jsonl.1").read_text() == "1\n"
    assert sorted(each.name for each in logs.iterdir()) == [
        "errors.log",
        "errors.log.1",
        "output.jsonl",
        "output.jsonl.1",
    ]


@pytest.mark.parametrize("program", ["no-such-program-of-anybody", "./plain", "./folder", "./no-interpreter"])
def test_program_that_cannot_be_started_makes_the_runner_unusable(sessions: Sessions, program: str) -> None:
    (sessions.folder / "plain").write_text("no program")
    (sessions.folder / "folder").mkdir()
    (sessions.folder / "no-interpreter").write_text("#!/no/such/interpreter\n")
    (sessions.folder / "no-interpreter").chmod(0o700)

    ending = sessions.launch(Launch((program,)))

    assert isinstance(ending, Ending)
    assert ending.kind == "unusable"
    assert f"`{program}` cannot be started" in ending.reason
    assert "put its folder on PATH" in ending.reason


def test_workspace_that_is_gone_is_no_fault_of_the_program(sessions: Sessions) -> None:
    sessions.folder /= "gone"
    sessions.folder.mkdir()
    over(sessions.start(python("pass")))
    logs = sessions.folder / "logs"
    elsewhere = logs.rename(sessions.folder.parent / "kept")
    sessions.folder.rmdir()

    ending = Session.start(
        python("pass"),
        folder=sessions.folder,
        output=elsewhere / "output.jsonl",
        errors=elsewhere / "errors.log",
        environment={marks.SESSION: sessions.mark},
        limits=PLENTY,
    )

    assert isinstance(ending, Ending)
    assert ending.kind == "failed"
    assert "workspace" in ending.reason


def test_output_that_cannot_be_kept_is_said(sessions: Sessions) -> None:
    (sessions.folder / "logs").write_text("in the way")

    ending = sessions.launch(python("pass"))

    assert isinstance(ending, Ending)
    assert ending.kind == "unusable"
    assert str(sessions.folder / "logs") in ending.reason


def test_lines_come_whole_and_the_last_one_at_the_end(sessions: Sessions) -> None:
    session = sessions.start(
        python("import os, sys; os.write(1, b'one\\ntw'); sys.stderr.write('oh no'); sys.stdin.read(); os._exit(3)")
    )

    code = over(session)

    assert session.lines() == [b"one", b"tw"]
    assert session.lines() == []
    assert code == 3
    assert session.error_tail() == "oh no"


def test_half_a_line_is_no_line_while_the_session_lives(sessions: Sessions) -> None:
    session = sessions.start(python("import os, time; os.write(1, b'one\\ntw'); time.sleep(60)"))

    assert first_line(session) == b"one"
    assert session.lines() == []
    session.kill()
    assert over(session) == -signal.SIGKILL
    assert session.lines() == [b"tw"]


LINES: Final = "import os\nfor n in range({}): os.write(1, (b'%07d' % n * 149_796)[:1024 * 1024 - 1] + b'\\n')"
"""Writes so many lines of a megabyte, each with its number."""


def test_sixty_megabytes_are_read_in_parts(sessions: Sessions) -> None:
    session = sessions.start(python(LINES.format(60)))
    over(session)

    calls = list(iter(session.lines, []))

    assert max(sum(map(len, lines)) for lines in calls) < 10 * MIB
    assert [int(line[:7]) for lines in calls for line in lines] == list(range(60))


def test_of_what_reading_cannot_keep_up_with_the_end_is_read_by_whole_lines(sessions: Sessions) -> None:
    session = sessions.start(python(LINES.format(100)))
    over(session)

    lines = [line for call in iter(session.lines, []) for line in call]

    assert [int(line[:7]) for line in lines] == list(range(92, 100))
    assert {len(line) for line in lines} == {7 * 149_796}


def test_a_session_that_writes_without_end_is_over_its_limit(sessions: Sessions) -> None:
    session = sessions.start(
        python(LINES.format(40)), limits=Limits(memory_bytes=4 * 2**30, processes=256, output_bytes=20 * MIB)
    )
    over(session)

    assert session.over_limit() == "it wrote 40 MiB of output and may write 20 MiB"


def test_line_above_the_bound_is_cut_and_the_next_one_is_whole(sessions: Sessions) -> None:
    session = sessions.start(python("import os, sys; sys.stdout.write('x' * 20 * 2**20 + '\\nnext\\n')"))
    over(session)

    lines = [line for call in iter(session.lines, []) for line in call]

    assert [len(line) for line in lines] == [8 * MIB, 4]
    assert lines[1] == b"next"


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_asking_ends_a_session_in_good_order_also_a_stopped_one(sessions: Sessions) -> None:
    session = sessions.start(python(POLITE))
    first_line(session)
    os.killpg(session.pid, signal.SIGSTOP)

    session.ask()

    assert over(session) == 7
    assert not is_alive(session.ref)


def test_what_was_waited_for_gets_no_signal_by_its_number(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    session = sessions.start(python("pass"))
    over(session)
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda *pair: sent.append(pair))

    session.ask()
    session.kill()

    assert sent == []


def test_sweep_ends_children_that_the_first_process_left_in_its_group(sessions: Sessions) -> None:
    session = sessions.start(Launch(("sh", "-c", "sleep 60 & sleep 60 & echo begun")))
    over(session)

    assert session.sweep().ended == 2
    assert sessions.left() == []


def test_sweep_ends_a_daemon_that_left_the_group_and_the_session(sessions: Sessions) -> None:
    session = sessions.start(python(DAEMON))
    daemon = psutil.Process(int(first_line(session)))
    over(session)
    assert marks.runs(daemon)

    assert session.sweep().ended == 1
    assert not marks.runs(daemon)


@both_readers
def test_sweep_ends_what_cleaned_its_environment_and_was_seen(
    sessions: Sessions, table: ProcTable | PsutilTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = sessions.start(python(CLEANED))
    monkeypatch.setattr(session_module, "_TABLE", table)
    child = psutil.Process(int(first_line(session)))
    assert session.over_limit() is None
    session.kill()
    over(session)
    assert marks.runs(child)

    assert session.sweep().ended == 1
    assert not marks.runs(child)


def test_sweep_needs_no_mark_for_what_stayed_in_the_group(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "carrying", lambda name, value: [])
    session = sessions.start(Launch(("sh", "-c", "sleep 60 & echo $!")))
    child = psutil.Process(int(first_line(session)))
    over(session)

    assert session.sweep().ended == 1
    assert not marks.runs(child)


def test_sweep_ends_what_ignores_the_request(sessions: Sessions) -> None:
    session = sessions.start(python(STUBBORN))
    first_line(session)
    session.ask()
    assert session.poll() is None

    assert session.sweep(grace_seconds=0.1).ended == 1
    assert session.poll() == -signal.SIGKILL


def test_sweep_ends_what_is_stopped(sessions: Sessions) -> None:
    session = sessions.start(python(DAEMON))
    daemon = psutil.Process(int(first_line(session)))
    over(session)
    daemon.suspend()
    eventually(lambda: daemon.status() == psutil.STATUS_STOPPED)

    assert session.sweep().ended == 1
    assert not marks.runs(daemon)


def test_sweep_leaves_the_starter_and_other_sessions_alone(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sessions.start(python(IDLE), environment={marks.SESSION: "another"})
    first_line(other)
    monkeypatch.setenv(marks.SESSION, sessions.mark)
    session = sessions.start(python(IDLE))
    first_line(session)

    session.sweep()

    assert session.poll() == -signal.SIGTERM
    assert other.poll() is None


def test_a_look_that_misses_a_process_once_does_not_end_the_sweep(sessions: Sessions) -> None:
    session = sessions.start(python(IDLE))
    looks = iter([[], [psutil.Process(session.pid)], [], []])

    swept = marks.sweep(lambda: next(looks), grace_seconds=BOUND_SECONDS, bound_seconds=BOUND_SECONDS)

    assert swept.ended == 1
    assert over(session) == -signal.SIGTERM


@pytest.mark.parametrize("platform", sorted({sys.platform, "any other"}))
def test_marks_are_found_with_and_without_a_fast_way_to_read_them(
    sessions: Sessions, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "sys", SimpleNamespace(platform=platform))

    session = sessions.start(python(IDLE))

    assert [process.pid for process in sessions.left()] == [session.pid]


def test_neither_the_asker_nor_what_is_above_it_is_found_by_a_mark(tmp_path: Path) -> None:
    code = "from trichrome.supervisor import marks; import sys; print(marks.carrying('TRICHROME_SESSION', sys.argv[1]))"
    mark = secrets.token_hex(8)
    command = ["sh", "-c", '"$@"; :', "sh", sys.executable, "-c", code, mark]

    said = subprocess.run(command, env={**os.environ, marks.SESSION: mark}, capture_output=True, check=True)

    assert said.stdout == b"[]\n"


# --- limits -----------------------------------------------------------------------------------------------------------


def test_session_that_eats_memory_is_named_with_how_much_it_held(sessions: Sessions) -> None:
    session = sessions.start(python(EATER), limits=Limits(memory_bytes=100 * MIB, processes=256))

    why = eventually(session.over_limit)

    assert "of memory and may hold 100 MiB" in why or "the 100 MiB of memory" in why
    session.sweep()
    assert session.over_limit() == why


def test_fork_bomb_is_counted_and_swept(sessions: Sessions) -> None:
    session = sessions.start(python(BOMB), limits=Limits(memory_bytes=4 * 2**30, processes=20))

    why = eventually(session.over_limit)

    assert "and may run 20" in why
    session.kill()
    over(session)
    session.sweep()
    assert sessions.left() == []


def test_session_within_its_limits_is_left_alone(sessions: Sessions) -> None:
    session = sessions.start(python(IDLE), limits=Limits(memory_bytes=200 * MIB, processes=2))
    first_line(session)

    assert session.over_limit() is None


# --- the reaper -------------------------------------------------------------------------------------------------------


class Supervisor:
    """A stand-in for a supervisor, in a process of its own."""

    def __init__(self, folder: Path, *how: str) -> None:
        self.mark = secrets.token_hex(8)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, str(folder), self.mark, *how], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.reaper = psutil.Process(int(self.process.stdout.readline()))

    def left(self) -> list[psutil.Process]:
        return marks.carrying(marks.SUPERVISION, self.mark)

    def end(self) -> None:
        self.process.kill()
        with self.process:
            pass
        marks.sweep(self.left, grace_seconds=0, bound_seconds=BOUND_SECONDS)


@pytest.mark.parametrize("how", ["", "killed"], ids=["first reaper", "second reaper"])
def test_killed_supervisor_leaves_nothing(tmp_path: Path, how: str) -> None:
    supervisor = Supervisor(tmp_path, how)
    assert len(supervisor.left()) == 4

    supervisor.process.kill()

    eventually(lambda: not supervisor.left())
    eventually(lambda: not marks.runs(supervisor.reaper))
    supervisor.end()


def test_reaper_outlives_what_a_terminal_sends(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        supervisor.reaper.send_signal(number)

    supervisor.process.kill()
    eventually(lambda: not supervisor.left())
    supervisor.end()


def test_dismissed_reaper_ends_nobody(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, "leaves")
    assert supervisor.process.stdout is not None

    assert supervisor.process.stdout.readline() == b"left\n"

    assert not marks.runs(supervisor.reaper)
    assert len(supervisor.left()) == 4
    supervisor.end()


def test_reaper_carries_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = secrets.token_hex(8)
    monkeypatch.setenv(marks.SUPERVISION, mark)

    watching = reaper.start(mark)

    assert watching.is_alive()
    assert marks.carrying(marks.SUPERVISION, mark) == []
    watching.dismiss()
    assert not watching.is_alive()


# --- nothing is left --------------------------------------------------------------------------------------------------


def test_fifty_sessions_leave_no_process_and_no_open_file(sessions: Sessions) -> None:
    me = psutil.Process()
    files, children = me.num_fds(), len(me.children())

    for _ in range(50):
        session = sessions.start(Launch(("sh", "-c", "sleep 60 & echo said")))
        over(session)
        session.sweep(grace_seconds=1)
        assert session.lines() == [b"said"]
    for _ in range(5):
        reaper.start(sessions.mark).dismiss()

    assert me.num_fds() == files
    assert len(me.children()) == children
    assert sessions.left() == []
