"""`trichrome backup` and `trichrome restore`: real commands, and real servers that run meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.support.commands import Shell
from tests.support.servers import Server, ending

from trichrome.store.sqlite.backups import folder_of, found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    with ending() as begun:
        yield begun


def log_of(shell: Shell) -> Path:
    return shell.folder / ".trichrome" / "events.db"


def tasks_of(shell: Shell) -> list[str]:
    return [task["id"] for task in shell.json("list")["tasks"]]


def alter(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


# --- backup -----------------------------------------------------------------------------------------------------------


def test_a_backup_is_made_and_listed(shell: Shell) -> None:
    shell.create("a", "b")

    made = shell.json("backup")["backup"]
    shell.create("c")
    told = shell.run("backup")
    listed = shell.json("backup", "--list")["backups"]

    assert (made["events"], made["reason"], made["is_whole"]) == (3, "asked", True)
    assert Path(made["path"]).parent == folder_of(log_of(shell))
    assert "Backed up 5 events" in told.out
    assert "restore " in told.out
    assert [each["events"] for each in listed] == [5, 3]
    assert listed[1] == made
    lines = shell.run("backup", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == [each["name"] for each in listed]


def test_a_backup_goes_where_it_is_told_and_over_nothing(shell: Shell, tmp_path: Path) -> None:
    shell.create("a")
    target = tmp_path / "kept here.db"

    made = shell.json("backup", "--to", str(target))["backup"]
    again = shell.run("backup", "--to", str(target), "--json")
    nowhere = shell.run("backup", "--to", str(tmp_path / "no such" / "x.db"), "--json")

    assert made["path"] == str(target)
    assert "exists" in again.refusal["message"]
    assert "There is no folder" in nowhere.refusal["message"]
    assert f"mkdir -p '{tmp_path / 'no such'}'" in nowhere.refusal["message"]
    assert shell.json("backup", "--list") == {"backups": []}
    assert shell.json("restore", str(target))["lost"]["events"] == 0


def test_a_log_is_backed_up_with_settings_that_cannot_be_used(shell: Shell) -> None:
    shell.create("a")
    (shell.folder / ".trichrome" / "config.toml").write_text("max_attempts = = 3")

    assert shell.json("backup")["backup"]["events"] == 2


def test_without_a_log_there_is_nothing_to_back_up_and_nothing_is_made(shell: Shell) -> None:
    refused = shell.run("backup", "--json").refusal

    assert refused["code"] == "not_found"
    assert "nothing to back up" in refused["message"]
    assert "no backups yet" in shell.run("backup", "--list").out
    assert not (shell.folder / ".trichrome").exists()


def test_a_log_without_an_event_is_not_backed_up(shell: Shell) -> None:
    shell.run("list")

    begun = shell.run("backup", "--json").refusal
    log_of(shell).write_bytes(b"")
    empty = shell.run("backup", "--json").refusal

    assert "holds no event yet" in begun["message"]
    assert "There is no log" in empty["message"]
    assert not list(folder_of(log_of(shell)).glob("*.db"))


def test_a_damaged_log_is_not_backed_up_and_the_mend_is_named(shell: Shell) -> None:
    shell.create("a")
    log_of(shell).write_bytes(b"no log" * 1000)

    refused = shell.run("backup", "--json").refusal

    assert refused["code"] == "store_unavailable"
    assert "repair --check" in refused["message"].partition("What was found")[0]


def test_a_broken_chain_is_backed_up_and_said(shell: Shell) -> None:
    shell.create("a")
    alter(log_of(shell), "drop trigger events_refuse_update", "update events set actor = 'me'")

    ended = shell.run("backup")

    assert ended.code == 0
    assert "repair --check" in ended.err
    assert "broken chain" in shell.run("backup", "--list").out


def test_the_progress_of_a_backup_is_shown_on_a_terminal(shell: Shell) -> None:
    shell.create("a")

    sent = shell.on_terminal("backup", columns=80)

    assert "copying" in sent
    assert "Backed up 2 events" in sent


@pytest.mark.parametrize(
    "arguments",
    [("backup", "--list", "--to", "x"), ("restore",), ("restore", "x", "--latest")],
    ids=" ".join,
)
def test_misuse_is_told_and_exits_2(shell: Shell, arguments: tuple[str, ...]) -> None:
    ended = shell.run(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert "--list" in ended.err


# --- restore ----------------------------------------------------------------------------------------------------------


def test_without_yes_it_is_said_what_would_be_lost_and_nothing_is_done(shell: Shell) -> None:
    shell.create("a")
    shell.json("backup")
    shell.create("b", "c")
    shell.do("t1")

    ended = shell.run("restore", "--latest")
    answer = shell.json("restore", "--latest")

    assert ended.code == 0
    assert "5 events would be lost" in ended.out
    assert "tasks created since: t2, t3" in ended.out
    assert "tasks changed since: t1" in ended.out
    assert "restore --latest --yes" in ended.out
    assert answer["restored"] is False
    assert answer["lost"] == {"events": 5, "tasks_created": ["t2", "t3"], "tasks_changed": ["t1"], "returning": 0}
    assert tasks_of(shell) == ["t1", "t2", "t3"]
    assert not (shell.folder / ".trichrome" / "aside").exists()


def test_with_yes_the_backup_is_the_log_and_the_log_is_aside(shell: Shell) -> None:
    shell.create("a")
    name = shell.json("backup")["backup"]["name"]
    shell.create("b")

    answer = shell.json("restore", name, "--yes")

    assert answer["restored"] is True
    assert answer["lost"]["tasks_created"] == ["t2"]
    assert tasks_of(shell) == ["t1"]
    assert shell.run("doctor").code == 0
    assert "put back to" in shell.run("events").out
    back = shell.json("restore", str(Path(answer["aside"]) / "events.db"), "--yes")
    assert back["lost"]["returning"] == 2
    assert tasks_of(shell) == ["t1", "t2"]


def test_the_folder_that_a_restore_names_goes_back_to_what_was_put_aside(shell: Shell) -> None:
    shell.create("a")
    shell.json("backup")
    shell.create("b")

    told = shell.run("restore", "--latest", "--yes")
    (aside,) = (log_of(shell).parent / "aside").iterdir()
    asked = shell.run("restore", str(aside))
    shell.json("restore", str(aside), "--yes")

    assert "2 events were lost" in told.out
    assert f"restore {aside}\n" in told.out
    assert "2 events would come back" in asked.out
    assert tasks_of(shell) == ["t1", "t2"]


def test_what_is_lost_is_told_in_sentences(shell: Shell) -> None:
    shell.create("a")
    shell.json("backup")

    asked = shell.run("restore", "--latest")
    done = shell.run("restore", "--latest", "--yes")

    assert "No event would be lost" in asked.out
    assert "No event was lost" in done.out
    assert "holes in" not in shell.run("events").out


def test_who_was_there_and_could_not_be_read_is_told_in_words(shell: Shell) -> None:
    shell.create("a")
    shell.json("backup")
    log_of(shell).write_bytes(b"no log" * 1000)

    ended = shell.run("restore", "--latest", "--yes")

    assert (
        "Who was there (servers, their workers, names that are taken, signs of life, what a supervisor noted)"
        in ended.err
    )
    assert "nobody can tell what was lost" in ended.out


def test_servers_go_on_and_a_worker_whose_attempt_is_gone_is_told_so(
    shell: Shell, serve: Callable[..., Server]
) -> None:
    lead, blue, green = (serve(shell.folder, *flags) for flags in ((), ("--role", "blue"), ("--role", "green")))
    lead.call("create_task", kind="search", instructions="find it")
    kept = blue.call("claim_task")["attempt"]
    shell.json("backup")
    lead.call("create_task", kind="fix", instructions="mend it")
    lost = green.call("claim_task")["attempt"]

    shell.json("restore", "--latest", "--yes")
    told = green.refused("report_result", attempt=lost, outcome="completed", summary="mended")
    reported = blue.call("report_result", attempt=kept, outcome="completed", summary="found")
    again = lead.call("create_task", kind="fix", instructions="mend it")
    claimed = green.call("claim_task")

    assert told["code"] == "not_found"
    assert "put the log back" in told["message"]
    assert reported["state"] == "completed"
    assert again["tasks"][0]["id"] not in {"t1", "t2"}
    assert claimed["task"]["id"] == again["tasks"][0]["id"]
    assert shell.run("doctor").code == 0


def test_a_waiting_server_wakes_up_in_the_log_that_was_put_there(shell: Shell, serve: Callable[..., Server]) -> None:
    lead, blue = serve(shell.folder), serve(shell.folder, "--role", "blue")
    lead.call("create_task", kind="search", instructions="find it")
    shell.json("backup")
    attempt = blue.call("claim_task")["attempt"]
    blue.call("report_result", attempt=attempt, outcome="completed", summary="found")
    waits = blue.ask_tool("claim_task", wait_seconds=60)

    shell.json("restore", "--latest", "--yes")

    claimed = blue.tool_answer(waits)
    assert claimed["task"]["id"] == "t1"
    assert int(claimed["attempt"].partition(".")[2]) > 1000


@pytest.mark.parametrize(
    ("name", "told"), [("20200101T000000Z-asked", "There is no backup"), ("notes.txt", "no good backup")]
)
def test_what_is_no_backup_is_refused(shell: Shell, name: str, told: str) -> None:
    shell.create("a")
    (shell.folder / "notes.txt").write_text("what I wrote down")
    shell.json("backup")

    refused = shell.run("restore", name, "--yes", "--json").refusal

    assert told in refused["message"]
    assert "backup --list" in refused["message"]
    assert tasks_of(shell) == ["t1"]


def test_a_damaged_backup_is_refused_and_an_older_one_goes(shell: Shell) -> None:
    shell.create("a")
    old = shell.json("backup")["backup"]
    shell.create("b")
    new = Path(shell.json("backup")["backup"]["path"])
    raw = bytearray(new.read_bytes())
    raw[len(raw) // 2] ^= 1
    new.write_bytes(raw)

    refused = shell.run("restore", "--latest", "--yes", "--json").refusal
    shell.json("restore", old["name"], "--yes")

    advice, _, found = refused["message"].partition("What was found: ")
    assert "not those that were written" in found
    assert f"`trichrome restore {old['name']}`" in advice
    assert tasks_of(shell) == ["t1"]


def test_a_log_that_is_gone_comes_back(shell: Shell) -> None:
    shell.create("a")
    shell.json("backup")
    for path in log_of(shell).parent.glob("events.db*"):
        path.unlink()

    ended = shell.run("restore", "--latest", "--yes")

    assert ended.code == 0, ended.err
    assert "There was no log here" in ended.out
    assert "put aside" not in ended.out
    assert tasks_of(shell) == ["t1"]


def test_on_a_new_machine_a_backup_becomes_the_log_in_a_folder_as_every_command_makes_it(
    shell: Shell, tmp_path: Path
) -> None:
    shell.create("a")
    kept = tmp_path / "kept.db"
    shell.json("backup", "--to", str(kept))
    shutil.rmtree(shell.folder / ".trichrome")

    asked = shell.run("restore", str(kept))
    ended = shell.run("restore", str(kept), "--yes")

    folder = shell.folder / ".trichrome"
    assert "There is no log here" in asked.out
    assert ended.code == 0, ended.err
    assert "cannot be read" not in ended.out
    assert "The log that was there" not in ended.out
    assert (folder.stat().st_mode & 0o777, (folder / ".gitignore").read_text()) == (0o700, "*\n")
    assert tasks_of(shell) == ["t1"]


def test_without_a_backup_there_is_nothing_to_go_back_to(shell: Shell) -> None:
    shell.create("a")

    refused = shell.run("restore", "--latest", "--json").refusal

    assert refused["code"] == "not_found"
    assert "`trichrome backup` makes one" in refused["message"]


# --- doctor -----------------------------------------------------------------------------------------------------------


def backups_check(shell: Shell) -> Any:
    answer = shell.run("doctor", "--json").answer
    (check,) = [each for each in answer["checks"] if each["name"] == "backups"]
    return check


def test_doctor_tells_of_the_newest_backup_and_whether_it_opens(shell: Shell) -> None:
    shell.create("a")
    assert backups_check(shell) == {"name": "backups", "state": "ok", "found": "none yet"}

    shell.json("backup")
    good = backups_check(shell)
    (backup,) = found(folder_of(log_of(shell)))
    backup.path.write_bytes(b"what was here?")
    bad = backups_check(shell)

    assert (good["state"], "it opens, and is whole" in good["found"]) == ("ok", True)
    assert good["found"].startswith("1, the newest ")
    assert bad["state"] == "warn"
    assert bad["found"].endswith("it is damaged")
    assert "trichrome backup" in bad["advice"].partition("What was found: ")[0]


def test_doctor_warns_of_a_log_that_is_old_and_has_no_backup(shell: Shell) -> None:
    shell.create("a")
    alter(log_of(shell), "drop trigger events_refuse_update", "update events set recorded_at = recorded_at - 90000")

    assert backups_check(shell)["state"] == "warn"
