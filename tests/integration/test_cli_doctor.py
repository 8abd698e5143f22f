"""`trichrome doctor`: whatever is broken, it reports and does not break."""

import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psutil
import pytest
from tests.support.anybody import as_anybody
from tests.support.commands import Ended, Shell

from trichrome.cli.doctor import places


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def check(ended: Ended, name: str) -> Any:
    found = [each for each in ended.answer["checks"] if each["name"] == name]
    assert len(found) == 1, ended.answer["checks"]
    return found[0]


def log_of(shell: Shell) -> Path:
    return shell.folder / ".trichrome" / "events.db"


def alter(shell: Shell, *statements: str) -> None:
    connection = apsw.Connection(str(log_of(shell)))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_healthy_project_is_ok_from_top_to_bottom(shell: Shell) -> None:
    shell.create("a", "b")

    ended = shell.run("doctor", "--json")

    assert ended.code == 0
    assert ended.answer["ok"] is True
    assert {each["name"] for each in ended.answer["checks"] if each["state"] == "ok"} >= {
        "python", "trichrome", "sqlite", "project", "settings", "roles", "folder", "log", "views", "wal",
        "workers",
    }  # fmt: skip
    assert "3 events, 2 tasks" in check(ended, "log")["found"]
    assert "TRICHROME_HOME" in check(ended, "project")["found"]


def test_a_folder_without_a_log_is_looked_at_and_left_alone(shell: Shell) -> None:
    ended = shell.run("doctor", "--json")

    assert ended.code == 0
    assert not (shell.folder / ".trichrome").exists()


def test_each_setting_comes_with_its_value_and_source(shell: Shell) -> None:
    shell.run("init")
    (shell.folder / ".trichrome" / "config.toml").write_text("max_attempts = 7\ndurability = 'full'\n")

    ended = shell.run("doctor", "--json", env={"TRICHROME_DURABILITY": "fast"})
    settings = {each["name"]: (each["value"], each["source"]) for each in ended.answer["settings"]}

    assert settings["durability"] == ("fast", "environment")
    assert settings["max_attempts"] == (7, "file")
    assert settings["store"] == ("sqlite", "default")


def test_a_bad_setting_fails_and_the_log_is_looked_at_no_less(shell: Shell) -> None:
    shell.create("a")

    ended = shell.run("doctor", "--json", env={"TRICHROME_MAX_ATTEMPTS": "none"})

    assert ended.code == 1
    assert check(ended, "settings")["state"] == "fail"
    assert check(ended, "folder")["state"] == "ok"


def test_a_damaged_log_fails_with_advice(shell: Shell) -> None:
    shell.create("a")
    log_of(shell).write_bytes(b"no log" * 1000)

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert check(ended, "log")["state"] == "fail"
    assert "trichrome repair --log" in check(ended, "log")["advice"]


def test_damage_in_the_middle_of_the_log_is_found(shell: Shell) -> None:
    shell.create(*("x" * 5000 for _ in range(20)))
    alter(shell, "pragma wal_checkpoint(truncate)")
    with log_of(shell).open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096 * 4)

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert check(ended, "log")["state"] == "fail"


def test_an_event_that_was_changed_breaks_its_chain(shell: Shell) -> None:
    shell.create("a")
    alter(
        shell,
        "drop trigger events_refuse_update",
        """update events set payload = replace(payload, '"search"', '"sketch"') where stream = 't1'""",
    )

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert check(ended, "log")["found"].endswith("is damaged")
    assert "t1 version 1" in check(ended, "log")["advice"].partition("What was found: ")[2]
    assert "repair --log" in check(ended, "log")["advice"]


def test_a_view_that_is_not_the_fold_of_the_log_is_found(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "update tasks set priority = 9")

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert check(ended, "views")["state"] == "fail"
    assert check(ended, "log")["state"] == "ok"
    assert "trichrome repair --views" in check(ended, "views")["advice"]
    assert "repair --log" not in check(ended, "views")["advice"]


def test_an_event_that_cannot_be_read_is_a_failed_check_and_no_crash(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "drop trigger events_refuse_update", "update events set payload = '{', kind = 'Nonsense'")

    ended = shell.run("doctor", "--json")

    assert (ended.code, ended.err) == (1, "")
    assert any(each["state"] == "fail" for each in ended.answer["checks"])


def test_a_table_that_is_missing_is_a_failed_check_and_no_crash(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "drop table tasks")

    ended = shell.run("doctor", "--json")

    assert (ended.code, ended.err) == (1, "")
    assert "table tasks is missing" in check(ended, "log")["found"]
    assert "repair --views" in check(ended, "log")["advice"]


def test_a_folder_that_cannot_be_read_fails_and_is_no_crash(shell: Shell) -> None:
    shell.create("a")
    (shell.folder / ".trichrome").chmod(0)

    ended = as_anybody(shell, "doctor", "--json")

    (shell.folder / ".trichrome").chmod(0o700)
    assert (ended.code, ended.err) == (1, "")
    assert "cannot be read" in check(ended, "folder")["found"]
    assert all(each["name"] != "log" for each in ended.answer["checks"])


def test_a_log_of_a_newer_program_says_to_upgrade(shell: Shell) -> None:
    shell.create("a")
    alter(shell, "update log set minimum_version = 999")

    ended = shell.run("doctor", "--json")
    refused = shell.run("list", "--json")

    assert refused.refusal["code"] == "store_too_new"
    assert ended.code == 1
    assert "as you installed it" in check(ended, "log")["advice"]
    assert "as you installed it" in refused.refusal["message"]


def test_a_folder_that_others_may_read_is_a_warning_alone(shell: Shell) -> None:
    shell.create("a")
    (shell.folder / ".trichrome").chmod(0o755)

    ended = shell.run("doctor", "--json")

    assert ended.code == 0
    assert (check(ended, "folder")["state"], "chmod 700" in check(ended, "folder")["advice"]) == ("warn", True)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that not even root may write")
def test_a_folder_that_cannot_be_written_fails(shell: Shell) -> None:
    ended = shell.run("doctor", "--json", env={"TRICHROME_HOME": "/proc/self"})

    assert ended.code == 1
    assert "cannot be written" in check(ended, "folder")["found"]


def test_a_folder_that_git_tracks_is_refused(shell: Shell) -> None:
    shell.create("a")
    git = ["git", "-C", str(shell.folder)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "--force", ".trichrome/.gitignore"], check=True)

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert "git rm" in check(ended, "folder")["found"]


def test_a_role_that_cannot_be_used_fails(shell: Shell) -> None:
    shell.run("init")
    agents = shell.folder / ".trichrome" / "agents"
    agents.mkdir()
    (agents / "violet.md").write_text("no front matter")

    ended = shell.run("doctor", "--json")

    assert ended.code == 1
    assert "violet.md" in check(ended, "roles")["found"]


def test_home_is_no_project_and_doctor_says_so(shell: Shell) -> None:
    ended = shell.run("doctor", "--json", env={"HOME": str(shell.folder), "TRICHROME_HOME": ""})

    assert ended.code == 1
    assert check(ended, "project")["state"] == "fail"


def test_claude_is_found_by_its_version(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "claude").write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    (folder / "claude").chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"

    ended = shell.run("doctor", "--json", env={"PATH": path, "CLAUDE_CODE_SUBAGENT_MODEL": "haiku"})

    assert check(ended, "claude")["found"].startswith("2.1.330")
    assert check(ended, "subagent model")["state"] == "warn"
    assert ended.code == 0


class Partition(NamedTuple):
    mountpoint: str
    fstype: str


@pytest.mark.parametrize(
    ("kind", "is_network"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("9p", True), ("ext4", False)]
)
def test_the_innermost_mount_decides_about_the_network(
    monkeypatch: pytest.MonkeyPatch, kind: str, is_network: bool
) -> None:
    mounts = [Partition("/", "xfs"), Partition("/srv", kind), Partition("/srv-old", "tmpfs"), Partition("/", "ext4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)

    assert places.file_system(Path("/srv/project")) == (kind, is_network)


def test_people_get_lines_and_the_advice_below(shell: Shell) -> None:
    shell.create("a")
    (shell.folder / ".trichrome").chmod(0o755)

    ended = shell.run("doctor")

    assert "warn: folder: Other users may look into it" in ended.out
    assert "All is well." in ended.err


def test_a_store_in_memory_and_variables_that_nothing_reads_are_warnings(shell: Shell) -> None:
    odd = {"TRICHROME_STORE": "memory", "TRICHROME_DURABILTY": "fast", "TRICHROME_ROLE": "blue"}

    report = shell.json("doctor", env=odd)

    warned = {check["name"]: check for check in report["checks"] if check["state"] == "warn"}
    assert report["ok"] is True
    assert "would be kept" in warned["store"]["advice"]
    assert warned["variables"]["found"] == "TRICHROME_DURABILTY is read by nothing"
    assert warned["variables"]["advice"] == "Did you mean TRICHROME_DURABILITY?"
