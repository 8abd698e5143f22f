"""`trichrome repair`: it finds what is wrong, changes nothing unless told to, and loses nothing that can be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import psutil
import pytest
from tests.support.anybody import as_anybody
from tests.support.commands import Shell
from tests.support.old_forms import make_old
from tests.support.repositories import made
from tests.support.servers import RELAY, TRICHROME, ending

from trichrome import processes
from trichrome.clock import SystemClock
from trichrome.coordinator import supervision
from trichrome.store.sqlite import facts, leftovers, looking
from trichrome.store.sqlite.alone import alone
from trichrome.supervisor import control


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def log_of(shell: Shell) -> Path:
    return shell.folder / ".trichrome" / "events.db"


def alter(shell: Shell, *statements: str) -> None:
    connection = apsw.Connection(str(log_of(shell)))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def content(shell: Shell) -> dict[str, bytes]:
    """Every file of the project, byte for byte."""
    return {
        str(file.relative_to(shell.folder)): file.read_bytes() for file in shell.folder.rglob("*") if file.is_file()
    }


def found(shell: Shell) -> dict[str, str]:
    """What a check finds, by the part that is to be repaired."""
    ended = shell.run("repair", "--check", "--json")
    assert ended.code == (0 if ended.answer["ok"] else 1), ended
    return {each["part"]: each["found"] for each in ended.answer["findings"]}


def found_lines(shell: Shell, part: str) -> list[str]:
    answer = shell.run("repair", "--check", "--json").answer
    return [each["found"] for each in answer["findings"] if each["part"] == part]


def steps(answer: Any) -> list[str]:
    return [step for each in answer["repairs"] for step in each["steps"]]


# --- checking ---------------------------------------------------------------------------------------------------------


def test_a_project_without_a_log_and_a_healthy_one_are_well_and_nothing_is_made(shell: Shell) -> None:
    before = shell.run("repair", "--check")
    made = content(shell)
    shell.create("a", "b")
    (log_of(shell).parent / "events.db.alone").unlink()
    healthy = content(shell)

    ended = shell.run("repair")

    assert (before.code, ended.code, ended.out) == (0, 0, "")
    assert before.err == "There is no log here yet.\n"
    assert "All is well" in ended.err
    assert made == {}
    assert content(shell) == healthy


def test_a_view_that_differs_is_found_and_made_anew(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "update tasks set priority = 9")
    wrong = found(shell)
    before = content(shell)

    planned = shell.json("repair", "--views")
    untouched = content(shell) == before
    done = shell.json("repair", "--views", "--yes")
    again = shell.json("repair", "--views", "--yes")

    assert "t1 differs" in wrong["views"]
    assert (planned["done"], planned["next"]) == (False, "trichrome repair --views --yes")
    assert untouched
    assert done["done"] is True
    assert "backed the log up" in steps(done)[0]
    assert shell.json("show", "t1")["priority"] == 5
    assert (again["done"], steps(again)) == (False, [])
    assert found(shell) == {}


def test_views_of_a_log_that_was_changed_are_left_alone(shell: Shell) -> None:
    shell.create("a")
    alter(
        shell,
        "drop trigger events_refuse_update",
        """update events set payload = replace(payload, '"search"', '"sketch"') where stream = 't1'""",
    )

    ended = shell.run("repair", "--views", "--yes", "--json")

    assert "repair --log" in ended.refusal["message"]
    assert "t1 version 1" in found(shell)["log"]
    assert shell.json("show", "t1")["kind"] == "search"


def test_a_log_that_is_gone_is_missed_where_there_is_a_backup_of_it(shell: Shell) -> None:
    shell.create("a")
    shell.run("backup")
    log_of(shell).unlink()

    ended = shell.run("repair", "--check", "--json")

    assert ended.code == 1
    assert ended.answer["findings"][0]["mend"].startswith("trichrome restore ")


def test_a_log_that_became_empty_is_missed_where_there_is_a_backup_of_it(shell: Shell) -> None:
    shell.create("a")
    shell.run("backup")
    log_of(shell).write_bytes(b"")

    ended = shell.run("repair", "--check", "--json")

    assert ended.code == 1
    assert ended.answer["findings"][0]["mend"].startswith("trichrome restore ")


def test_a_log_of_a_newer_program_is_left_alone(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "update log set minimum_version = 999")

    ended = shell.run("repair", "--check", "--json")

    assert ended.code == 1
    assert "as you installed it" in ended.answer["findings"][0]["mend"]


def test_a_damaged_backup_is_named_and_a_log_that_is_gone_comes_back_from_a_good_one(shell: Shell) -> None:
    shell.create("a")
    good = shell.json("backup")["backup"]["name"]
    shell.create("b")
    bad = shell.json("backup")["backup"]
    Path(bad["path"]).write_bytes(b"what was here?")

    wrong = shell.run("repair", "--check", "--json")
    log_of(shell).unlink()
    gone = shell.run("repair", "--check", "--json").answer["findings"]

    (finding,) = wrong.answer["findings"]
    assert (wrong.code, finding["part"], finding["state"]) == (0, "backups", "warn")
    assert bad["name"] in finding["found"]
    assert finding["mend"] == "trichrome backup"
    assert gone[0]["mend"] == f"trichrome restore {good}"


@pytest.mark.parametrize("arguments", [("--yes",), ("--check", "--yes")])
def test_a_check_takes_no_yes(shell: Shell, arguments: tuple[str, ...]) -> None:
    ended = shell.run("repair", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert "--repair-all --yes" in " ".join(ended.err.replace("│", " ").split())


def test_help_says_that_an_emergency_acts_at_once(shell: Shell) -> None:
    page = " ".join(shell.run("repair", "--help").out.split())

    assert "--emergency alone acts at once" in page


def test_options_that_exclude_each_other_are_refused(shell: Shell) -> None:
    ended = shell.run("repair", "--check", "--views")

    assert (ended.code, ended.out) == (2, "")


# --- orphans ----------------------------------------------------------------------------------------------------------


def test_a_server_whose_client_is_gone_is_ended_and_its_attempt_rescued(shell: Shell) -> None:
    shell.create("a")
    with ending() as start:
        server = start(shell.folder, command=[*RELAY, *TRICHROME])
        attempt = server.call("claim_task")["attempt"]
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        server.process.kill()
        server.process.wait()

        before = found_lines(shell, "orphans")
        planned = shell.json("repair", "--orphans")
        is_untouched = psutil.pid_exists(pid)
        done = shell.json("repair", "--orphans", "--yes")

        assert any(f"server process {pid}: its client" in line for line in before)
        assert any(line.startswith(f"{attempt} of ") and "is gone" in line for line in before)
        assert (planned["done"], is_untouched) == (False, True)
        assert not psutil.pid_exists(pid)
        assert done["done"] is True
        assert shell.json("show", "t1")["state"] == "ready"
        assert found(shell) == {}
        assert steps(shell.json("repair", "--orphans", "--yes")) == []


def test_a_process_that_is_not_provably_ours_is_left_alone(shell: Shell) -> None:
    shell.create("a")
    with ending() as start:
        server = start(shell.folder)
        server.call("claim_task")
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        begun = this_process_of(other.pid)
        with shell.project() as project, project.coordinator.store.writing(actor="", causation="") as tx:
            (mine,) = tx.principals()
            tx.put_principal(replace(mine, server=begun, client=(2**22 - 1, 1)))

        shell.json("repair", "--orphans", "--yes")

        assert other.poll() is None
        other.kill()
        other.communicate()


def this_process_of(pid: int) -> tuple[int, int]:
    known = processes.ProcTable().read(pid) if sys.platform == "linux" else processes.PsutilTable().read(pid)
    assert known is not None
    return known.ref.pid, known.ref.start


def test_rows_and_files_that_nobody_owns_are_told_and_removed(shell: Shell) -> None:
    (task,) = shell.create("a")
    shell.do(task)
    alter(
        shell,
        "insert into leases (task, attempt, boot, deadline) values (1, 1, 'x', 0)",
        "insert into dues (task, boot, due, wall, seconds) values (99, 'x', 0, 0, 0)",
        "insert into offers (message, worker) values (7, 'nobody')",
        "insert into principals (id, boot, server_pid, server_start, lease_seconds, connected) "
        "values ('p', 'x', 1, 1, 600, 0)",
    )
    left_a_moment_ago(shell)
    partial = log_of(shell).parent / "backups" / "20260101T000000Z-schedule.db.partial"
    partial.parent.mkdir(exist_ok=True)
    partial.write_bytes(b"half")

    workers = rows(shell, "select name from workers")
    before = "; ".join(found_lines(shell, "orphans"))
    check = shell.run("repair", "--check")
    shell.json("repair", "--orphans", "--yes")

    for told in ("deadlines of attempts", "times of tasks", "have arrived", "1 row: servers that left", "was killed"):
        assert told in before
    assert check.code == 1
    assert not partial.exists()
    assert found(shell) == {}
    assert workers == rows(shell, "select name from workers") != []
    assert ("recent",) in rows(shell, "select id from principals")
    later = replace(SystemClock().now(), monotonic=leftovers.KEPT_SECONDS + 1)
    assert leftovers.count(log_of(shell), later) == {"principals": 1}


def test_of_a_supervised_worker_only_the_newest_session_is_remembered(shell: Shell) -> None:
    (task,) = shell.create("a")
    shell.do(task)
    sessions = ("first", "second", "newest")
    alter(
        shell,
        *(
            "insert into principals (id, boot, server_pid, server_start, name, lease_seconds, connected, "
            f"supervisor_pid, supervisor_start) values ('{each}', 'x', 1, 1, 'green-7', 600, 0, 2, 2)"
            for each in sessions
        ),
        "insert into principals (id, boot, server_pid, server_start, name, lease_seconds, connected) "
        "values ('anna', 'x', 1, 1, 'anna', 600, 0)",
        "insert into workers (name, principal, role, is_taker, is_shared) values ('green-7', 'newest', 'green', 1, 0)",
        "update tasks set ended = null, principal = 'second'",
    )

    shell.json("repair", "--orphans", "--yes")

    left = {each for (each,) in rows(shell, "select id from principals")}
    assert left & {*sessions, "anna"} == {"second", "newest", "anna"}


def left_a_moment_ago(shell: Shell) -> None:
    """A server of this boot that did nothing, and is gone."""
    boot = SystemClock().now().boot
    alter(
        shell,
        "insert into principals (id, boot, server_pid, server_start, lease_seconds, connected) "
        f"values ('recent', '{boot}', 1, 1, 600, 0)",
    )


def rows(shell: Shell, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(log_of(shell)))
    answer = list(connection.execute(sql))
    connection.close()
    return answer


def test_what_lies_in_a_workspace_is_named_and_kept(shell: Shell) -> None:
    shell.create("a")
    folder = log_of(shell).parent / "workspaces"
    work = folder / "green-agent" / "t1" / "new.py"
    for each in (work.parent, folder / ".removed", folder / "blue-agent"):
        each.mkdir(parents=True)
    work.write_text("print()")

    told = found_lines(shell, "orphans")
    shell.json("repair", "--orphans", "--yes")

    assert [line.partition(" is kept: ")[0] for line in told] == ["workspaces/green-agent/t1"]
    assert steps(shell.json("repair", "--orphans")) == []
    assert work.read_text() == "print()"


def test_what_a_dead_supervisor_left_is_named_and_ended(shell: Shell) -> None:
    repository = made(shell.folder)
    (task,) = shell.create("a", kind="implement")
    (repository.prepare(task).path / "a").write_text("half\n")
    repository.prepare("t9")
    left_fleet(shell, task)
    with subprocess.Popen(["sleep", "600"], env={**os.environ, "TRICHROME_SUPERVISION": "of-the-dead"}) as orphan:
        told = found_lines(shell, "orphans")
        planned = steps(shell.json("repair", "--orphans"))
        is_untouched = orphan.poll() is None
        shell.json("repair", "--orphans", "--yes")
        code = orphan.wait(20)

    assert [line.partition(":")[0] for line in told] == [
        "the supervisor (process 4194303) died, and what it had begun is not put away",
        f"process {orphan.pid} (sleep)",
        "workspaces/green-agent/t9",
    ]
    assert (planned, is_untouched, code) == (told, True, -signal.SIGTERM)
    assert repository.shown("a", at=f"trichrome/{task}") == "half"
    assert (repository.worktrees, found(shell)) == ([], {})


def test_the_workspaces_of_a_supervisor_that_runs_are_not_called_ownerless(shell: Shell) -> None:
    repository = made(shell.folder)
    (task,) = shell.create("a", kind="implement")
    workspace = repository.prepare(task)
    (workspace.path / "a").write_text("half\n")
    repository.prepare("t9")
    left_fleet(shell, task)

    with shell.project() as project, control.alone(project.coordinator, project.data):
        told = found(shell)
        shell.json("repair", "--orphans", "--yes")

    assert told == {}
    assert repository.worktrees == ["green-agent/t1", "green-agent/t9"]


def left_fleet(shell: Shell, task: str) -> None:
    """What a supervisor says while it lives, and leaves when it is killed."""
    supervisor = {"pid": 4194303, "start": 1, "machine": ["here", "x", ""], "supervision": "of-the-dead"}
    worker = {"name": "green-1", "role": "green", "task": task}
    with shell.project() as project:
        supervision.put_fleet(project.coordinator, {"supervisor": supervisor, "workers": [worker], "stopping": False})


# --- a damaged log ----------------------------------------------------------------------------------------------------

PAGE = 4096


def pages_with(shell: Shell, text: str) -> list[int]:
    """The pages of the log's file that hold a text, once nothing is left in its WAL."""
    alter(shell, "pragma wal_checkpoint(truncate)")
    data = log_of(shell).read_bytes()
    return [page for page in range(len(data) // PAGE) if text.encode() in data[page * PAGE : (page + 1) * PAGE]]


def hit(shell: Shell, *pages: int) -> None:
    with log_of(shell).open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(os.urandom(PAGE))


@pytest.fixture
def damaged(shell: Shell) -> Shell:
    """A project of twelve tasks, two of which are done; the third's first event is lost."""
    names = shell.create(*(f"task-{number} " + "x" * 3000 for number in range(12)))
    shell.do(names[0], summary="found this")
    shell.do(names[1])
    hit(shell, *pages_with(shell, "task-2 "))
    return shell


def test_a_damaged_log_becomes_a_new_one_of_all_that_is_whole(damaged: Shell) -> None:
    before = content(damaged)
    refused = damaged.run("list")

    planned = damaged.json("repair", "--log")
    untouched = content(damaged)
    done = damaged.json("repair", "--log", "--yes")
    again = damaged.json("repair", "--log", "--yes")

    assert (refused.code, "repair --log" in refused.err) == (1, True)
    assert untouched == before
    assert planned["repairs"][0]["lost"] == done["repairs"][0]["lost"]
    assert any(line.startswith("t3, a task, is gone") for line in done["repairs"][0]["lost"])
    aside = Path(done["repairs"][0]["files"]["the damaged log"])
    assert (aside / "events.db").read_bytes() == before[".trichrome/events.db"]
    assert damaged.json("show", "t1")["result"]["summary"] == "found this"
    assert {task["id"] for task in damaged.json("list")["tasks"]} == {f"t{number}" for number in range(1, 13)} - {"t3"}
    assert found(damaged) == {}
    assert again == {"done": False, "repairs": [{"part": "log", "steps": []}]}


def test_what_a_backup_holds_is_not_lost(shell: Shell) -> None:
    shell.create(*(f"task-{number} " + "x" * 3000 for number in range(12)))
    shell.run("backup")
    shell.do("t1")
    hit(shell, *pages_with(shell, "task-2 "))

    done = shell.json("repair", "--log", "--yes")["repairs"][0]

    assert done["lost"] == []
    assert len(shell.json("list")["tasks"]) == 12
    assert shell.json("show", "t1")["state"] == "completed"


def test_a_result_that_is_lost_is_named_and_the_task_done_again(shell: Shell) -> None:
    shell.create("a")
    shell.do("t1", summary="a summary to be lost " + "y" * 3500)
    hit(shell, *pages_with(shell, "a summary to be lost"))

    done = shell.json("repair", "--repair-all", "--yes")["repairs"][0]

    assert any(line.startswith("t1: all that happened from version") for line in done["lost"])
    assert shell.json("show", "t1")["state"] in {"running", "ready"}
    assert found(shell) == {}


def test_a_running_server_goes_on_with_the_log_that_a_repair_made(shell: Shell) -> None:
    shell.create(*(f"task-{number} " + "x" * 3000 for number in range(12)))
    with ending() as start:
        server = start(shell.folder)
        attempt = server.call("claim_task")["attempt"]
        hit(shell, *pages_with(shell, "task-7 "))

        done = shell.json("repair", "--log", "--yes")["repairs"][0]
        answer = server.call("report_result", attempt=attempt, outcome="completed", summary="went on", claim_next=True)

        assert any(line.startswith("t8, a task, is gone") for line in done["lost"])
        assert answer["state"] == "completed"
        assert answer["claimed"]["attempt"] == "t2.1001"
        assert shell.json("show", "t1")["result"]["summary"] == "went on"


def test_an_attempt_that_the_damage_took_is_told_to_its_worker(shell: Shell) -> None:
    shell.create(*(f"task-{number} " + "x" * 3000 for number in range(12)))
    with ending() as start:
        server = start(shell.folder)
        attempt = server.call("claim_task")["attempt"]
        hit(shell, *pages_with(shell, "task-0 "))

        shell.json("repair", "--log", "--yes")
        refused = server.refused("report_result", attempt=attempt, outcome="completed", summary="too late")

        assert refused["code"] == "not_found"
        assert "repaired" in refused["message"]
        assert server.call("claim_task")["attempt"] == "t2.2001"


def test_nothing_that_is_whole_is_a_refusal_and_in_an_emergency_a_new_log_begins(shell: Shell) -> None:
    shell.create("a")
    noise = os.urandom(PAGE * 20)
    log_of(shell).write_bytes(noise)

    planned = shell.run("repair", "--log", "--json")
    refused = shell.run("repair", "--log", "--yes", "--json")
    untouched = log_of(shell).read_bytes() == noise
    done = shell.json("repair", "--emergency")["repairs"][0]
    made = shell.create("b")

    assert "restore" in refused.refusal["message"]
    assert planned.refusal == refused.refusal
    assert untouched
    assert (Path(done["files"]["the damaged log"]) / "events.db").read_bytes() == noise
    assert made != ["t1"]
    assert found(shell) == {}


def test_what_a_salvage_tells_is_in_words_that_people_know(damaged: Shell) -> None:
    hit(damaged, 0)

    done = damaged.run("repair", "--emergency")

    assert (
        "who was there (servers, their workers, names that are taken, signs of life, what a supervisor noted, deadlines"
        in done.out
    )
    for table in ("principals", "worker_names", "leases"):
        assert table not in done.out


def test_a_task_that_never_was_is_no_loss_of_a_repair_that_lost_nothing(shell: Shell) -> None:
    shell.create(*(f"task-{number} " + "x" * 3000 for number in range(12)))
    shell.run("backup")
    hit(shell, *pages_with(shell, "task-2 "))
    shell.json("repair", "--log", "--yes")

    whole = shell.run("explain", "t999").err
    hit(shell, *pages_with(shell, "task-4 "))
    for backup in log_of(shell).parent.glob("backups/*"):
        backup.unlink()
    shell.json("repair", "--log", "--yes")
    lost = shell.run("explain", "t999").err

    assert "There is no task t999. `trichrome list`" in whole
    assert "If you know that it was there, it is lost" in lost


def test_an_emergency_saves_what_can_be_and_exports_it(damaged: Shell) -> None:
    hit(damaged, 0)

    done = damaged.json("repair", "--emergency")["repairs"][0]
    again = damaged.run("repair", "--emergency", "--json")

    saved = [json.loads(line) for line in Path(done["files"]["every event that was saved"]).read_text().splitlines()]
    assert {each["stream"] for each in saved if each["kind"] == "TaskCreated"} == {
        f"t{number}" for number in range(1, 13)
    } - {"t3"}
    assert len(damaged.json("list")["tasks"]) == 11
    assert again.answer["done"] is False


KILLED = """
import os, signal, sys
from pathlib import Path
from trichrome.cli import main
left, rename = {left}, Path.rename

def counted(self, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)

Path.rename = counted
sys.exit(main(["repair", "--log", "--yes"]))
"""


@pytest.mark.parametrize("left", range(4))
def test_a_repair_that_is_killed_is_finished_or_done_again(damaged: Shell, left: int) -> None:
    before = log_of(damaged).read_bytes()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(left=left)],
        cwd=damaged.folder,
        env=damaged.environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )

    damaged.run("list")
    damaged.json("repair", "--repair-all", "--yes")

    assert killed.returncode in {-signal.SIGKILL, 0}
    assert len(damaged.json("list")["tasks"]) == 11
    assert found(damaged) == {}
    kept = [file.read_bytes() for file in log_of(damaged).parent.glob("aside/*/events.db")]
    assert before in kept
    assert not list(log_of(damaged).parent.glob("successor-*"))


def test_what_a_hole_left_half_told_is_found_and_told_to_the_end(shell: Shell) -> None:
    shell.create("a")
    shell.create("b", depends_on=("t1",))
    shell.do("t1")
    alter(
        shell,
        "drop trigger events_refuse_delete",
        "delete from events where stream = 't2' and kind = 'DependencyCompleted'",
    )
    shell.json("repair", "--views", "--yes")

    wrong = found(shell)
    advice = {each["name"]: each.get("advice") for each in shell.run("doctor", "--json").answer["checks"]}
    planned = shell.json("repair", "--log")
    done = shell.json("repair", "--repair-all", "--yes")

    assert "t2 was never told that t1 completed" in wrong["log"]
    assert "repair --log" in advice["holes"]
    assert steps(planned) == steps(done)[1:] == ["t2 was never told that t1 completed"]
    assert shell.json("show", "t2")["state"] == "ready"
    assert found(shell) == {}


def test_a_check_beside_a_running_server_finds_nothing_and_leaves_its_files_alone(shell: Shell) -> None:
    shell.create("a")
    with ending() as start:
        server = start(shell.folder)
        attempt = server.call("claim_task")["attempt"]
        before = content(shell)

        wrong = found(shell)

        after = content(shell)
        assert wrong == {}
        assert after.keys() == before.keys()
        assert after[".trichrome/events.db"] == before[".trichrome/events.db"]
        assert after[".trichrome/events.db-wal"].startswith(before[".trichrome/events.db-wal"])  # the server may add
        assert (
            server.call("report_result", attempt=attempt, outcome="completed", summary="done")["state"] == "completed"
        )


# --- what is missing in the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "drop table tasks",
        "drop table leases",
        "drop index tasks_claimable",
        "drop index idx_events_stream_version",
        "drop trigger events_refuse_update",
        "alter table notes add column mood text",
    ],
)
def test_what_can_be_made_again_is_missed_and_made_again(shell: Shell, change: str) -> None:
    shell.create("a", "b")
    alter(shell, change)

    wrong = found(shell)
    doctor = shell.run("doctor", "--json")
    shell.json("repair", "--repair-all", "--yes")

    assert list(wrong) == ["views"]
    assert (doctor.code, doctor.err) == (1, "")
    assert found(shell) == {}
    assert shell.run("doctor", "--json").code == 0
    shell.do("t1")


@pytest.mark.parametrize("change", ["drop table log", "drop table principals", "alter table signs drop column at"])
def test_a_table_that_no_fold_makes_again_is_damage(shell: Shell, change: str) -> None:
    shell.create("a")
    alter(shell, change)

    wrong = found(shell)
    shell.json("repair", "--repair-all", "--yes")

    assert list(wrong) == ["log"]
    assert found(shell) == {}
    shell.do("t1")


def test_without_its_events_a_log_is_damaged_and_its_backup_is_named(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "drop table events")

    assert list(found(shell)) == ["log"]


def test_a_log_that_somebody_begins_to_write_while_it_is_looked_at_is_not_called_damaged(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.create("a")
    looked = facts.page_faults

    def disturbed(connection: apsw.Connection) -> list[str]:
        monkeypatch.setattr(facts, "page_faults", looked)
        shell.create("b")
        raise apsw.CorruptError

    monkeypatch.setattr(facts, "page_faults", disturbed)

    assert facts.damage(log_of(shell)) == []


def test_what_was_seen_of_a_log_that_changed_meanwhile_is_not_told(shell: Shell) -> None:
    shell.create("a")

    with pytest.raises(looking.ChangedError), looking.looking(log_of(shell)):
        shell.create("b")


# --- places that refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--log", "--yes"), ("--emergency",)])
def test_a_damaged_log_in_a_folder_that_cannot_be_written_is_a_refusal(damaged: Shell, arguments: list[str]) -> None:
    log_of(damaged).parent.chmod(0o555)

    ended = as_anybody(damaged, "repair", *arguments)

    log_of(damaged).parent.chmod(0o700)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "writable" in ended.err


@pytest.mark.parametrize("arguments", [("repair", "--check"), ("repair", "--orphans", "--yes"), ("backup", "--list")])
def test_a_folder_that_cannot_be_read_is_a_refusal(shell: Shell, arguments: list[str]) -> None:
    shell.create("a")
    log_of(shell).parent.chmod(0)

    ended = as_anybody(shell, *arguments)

    log_of(shell).parent.chmod(0o700)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "TRICHROME_HOME" in ended.err


# --- what is older, or begun ------------------------------------------------------------------------------------------


@pytest.fixture
def old(shell: Shell) -> Shell:
    """A project whose log an older program left."""
    shell.create("a")
    new = apsw.Connection(str(log_of(shell)))
    make_old(log_of(shell).with_name("old.db"), like=new)
    new.close()
    log_of(shell).with_name("old.db").rename(log_of(shell))
    return shell


@pytest.mark.parametrize("part", ["--orphans", "--views", "--log", "--repair-all"])
def test_a_log_of_an_older_form_is_brought_up_before_it_is_mended(old: Shell, part: str) -> None:
    before = content(old)
    planned = old.run("repair", part)
    untouched = content(old) == before
    done = old.json("repair", part, "--yes")

    assert "Traceback" not in planned.err
    assert untouched
    assert done["done"] is False
    assert found(old) == {}


def test_an_older_log_of_views_that_differ_is_mended_at_once(old: Shell) -> None:
    alter(old, "update tasks set priority = 9")

    done = old.json("repair", "--views", "--yes")

    assert done["done"] is True
    assert found(old) == {}


def test_what_an_interrupted_repair_would_go_on_with_is_said(damaged: Shell) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED.format(left=1)],
        cwd=damaged.folder,
        env=damaged.environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    before = content(damaged)

    wrong = found(damaged)
    planned = damaged.json("repair", "--log")
    untouched = content(damaged) == before
    done = damaged.json("repair", "--repair-all", "--yes")

    assert "interrupted" in wrong["log"]
    assert steps(planned) == steps(done)[:1] != []
    assert untouched
    assert found(damaged) == {}


# --- room -------------------------------------------------------------------------------------------------------------


def test_files_that_nobody_owns_go_without_a_backup(shell: Shell) -> None:
    shell.create("a")
    left = log_of(shell).parent / "successor-x"
    left.mkdir()
    (left / "events.db").write_bytes(b"half")

    shell.json("repair", "--orphans", "--yes")

    assert not left.exists()
    assert not list(log_of(shell).parent.glob("backups/*.db"))


def test_files_of_a_repair_that_is_under_way_are_left_alone(shell: Shell) -> None:
    shell.create("a")
    left = log_of(shell).parent / "successor-x"
    left.mkdir()

    with alone(log_of(shell)):
        lines = found_lines(shell, "orphans")

    assert lines == []
    assert left.exists()


def test_a_log_that_was_removed_and_begun_anew_is_missed(shell: Shell) -> None:
    shell.create("a", "b", "c")
    shell.run("backup")
    for part in ("", "-wal", "-shm"):
        log_of(shell).with_name(f"events.db{part}").unlink(missing_ok=True)
    backups = log_of(shell).with_name("backups").rename(shell.folder / "kept")
    shell.create("d")
    backups.rename(log_of(shell).with_name("backups"))

    ended = shell.run("repair", "--check", "--json")

    assert ended.code == 1
    assert ended.answer["findings"][0]["mend"].startswith("trichrome restore ")
