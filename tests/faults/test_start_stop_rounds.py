"""Round after round of start and stop, and what they leave: nothing, however they end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.supervised import House, house, until

from trichrome.bootstrap import open_project
from trichrome.supervisor import keeping
from trichrome.supervisor.choice import runner
from trichrome.supervisor.fleet import Rules


@pytest.fixture
def there(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as made:
        yield made


def files(there: House) -> set[str]:
    """Every file that the project keeps, by name, but for the logs of servers: the newest of those are kept."""
    found = {path.relative_to(there.data).as_posix() for path in there.data.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("logs/server-")}


def play(there: House, number: int) -> str:
    """One round: a supervisor, a task, and one of four ends; answers the task."""
    (task,) = there.shell.create("login")
    started = there.start("start", "--blue", "1", "--runner", "offline", "--detach", "--json")
    assert started.code == 0, (started.out, started.err)
    match number % 4:
        case 0:
            until(lambda: there.state(task) == "completed")
        case 1:
            assert there.start("stop", "--force").code == 0
        case 2:
            os.kill(started.answer["pid"], signal.SIGKILL)
        case _:
            until(lambda: task in [each["stream"] for each in there.events("TaskClaimed")])
            os.kill(started.answer["pid"], signal.SIGKILL)
    stopped = there.start("stop")
    assert stopped.code == 0, (stopped.out, stopped.err)
    return task


@pytest.mark.parametrize("rounds", [6, pytest.param(50, marks=pytest.mark.soak)])
def test_rounds_of_start_and_stop_leave_nothing(there: House, rounds: int) -> None:
    tasks = [play(there, number) for number in range(2)]
    before = files(there)

    tasks += [play(there, number) for number in range(2, rounds)]

    there.assert_nothing_is_left()
    assert {name for name in files(there) - before if not name.endswith(".1")} == set()
    assert there.start("start", "--blue", "2", "--runner", "offline", "--until-idle", bound=180).code == 0
    there.assert_each_was_completed_once(*tasks)
    there.assert_nothing_is_left()


def test_fifty_supervisors_in_one_process_leave_no_handle_thread_or_child(there: House) -> None:
    there.shell.create("login")
    me = psutil.Process()

    def keep() -> None:
        project = open_project(there.shell.folder, environment={})
        try:
            done = keeping.keep(
                project, runner("script:true"), {"blue": 1}, until_idle=True, rules=Rules(backoff=0.0, failures=1)
            )
        finally:
            project.close()
        assert done.code == 1

    keep()
    before = (me.num_fds(), me.num_threads(), len(me.children()))

    for _ in range(50):
        keep()

    assert (me.num_fds(), me.num_threads(), len(me.children())) == before
    there.assert_nothing_is_left()
