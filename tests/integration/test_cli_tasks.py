"""Creating, reading and steering tasks at the shell."""

from pathlib import Path

import apsw
import pytest
from tests.support.commands import Shell

from trichrome.coordinator import supervision
from trichrome.coordinator.supervision import SessionFacts
from trichrome.domain import ids


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_created_task_is_listed_and_shown_with_what_was_asked(shell: Shell) -> None:
    first = shell.json("create", "search", "Find it", "--key", "k")
    second = shell.json(
        "create", "document", "-", "--role", "red", "--priority", "1", "--depends-on", "t1", "--files", "docs",
        "--files", "a.md", "--review", "blue", "--acceptance", "It reads well.", "--run", "r1", "--max-attempts", "1",
        stdin="Write it down\n",
    )  # fmt: skip
    listed = shell.json("list")
    shown = shell.json("show", "t2")

    assert first["tasks"] == [{"id": "t1", "state": "ready", "role": "blue"}]
    assert (second["run"], second["tasks"]) == ("r1", [{"id": "t2", "state": "blocked", "role": "red"}])
    assert listed["tasks"] == [
        {"id": "t1", "run": "r1", "kind": "search", "role": "blue", "state": "ready"},
        {"id": "t2", "run": "r1", "kind": "document", "role": "red", "state": "blocked"},
    ]
    del shown["history"]
    assert shown == {
        "id": "t2",
        "run": "r1",
        "kind": "document",
        "role": "red",
        "state": "blocked",
        "priority": 1,
        "instructions": "Write it down\n",
        "acceptance": "It reads well.",
        "depends_on": ["t1"],
        "files": ["docs", "a.md"],
        "attempts": [],
    }


def test_the_same_key_answers_the_same_task(shell: Shell) -> None:
    shell.json("create", "search", "Find it", "--key", "k")

    again = shell.json("create", "search", "Find it", "--key", "k")
    other = shell.run("create", "search", "Find something else", "--key", "k", "--json")

    assert again["tasks"][0]["id"] == "t1"
    assert other.refusal["code"] == "key_reused"


def test_a_list_is_paged_and_filtered(shell: Shell) -> None:
    names = shell.create("a", "b", "c")
    shell.do(names[1])

    first = shell.json("list", "--limit", "2")
    rest = shell.json("list", "--limit", "2", "--after", first["after"])
    completed = shell.json("list", "--state", "completed", "--role", "blue", "--run", "r1")

    assert [task["id"] for task in first["tasks"]] == ["t1", "t2"]
    assert ([task["id"] for task in rest["tasks"]], rest.get("after")) == (["t3"], None)
    assert [task["id"] for task in completed["tasks"]] == ["t2"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "search", ""), "invalid"),
        (("create", "Search!", "x"), "invalid"),
        (("create", "juggle", "x"), "unknown_role"),
        (("create", "search", "x", "--role", "pink"), "unknown_role"),
        (("create", "search", "x", "--depends-on", "t7"), "not_found"),
        (("create", "search", "x", "--priority", "11"), "invalid"),
        (("create", "search", "x", "--run", "r7"), "not_found"),
        (("list", "--state", "lost"), "invalid"),
        (("list", "--limit", "0"), "invalid"),
        (("wait", "r1", "t1"), "invalid"),
        (("wait",), "not_found"),
        (("pause", "r9"), "not_found"),
        (("show", "seventeen"), "invalid"),
    ],
)
def test_what_cannot_be_is_refused_with_a_stable_code(shell: Shell, arguments: tuple[str, ...], code: str) -> None:
    ended = shell.run(*arguments, "--json")

    assert ended.refusal["code"] == code
    assert ended.refusal["message"]


def test_oversized_instructions_are_refused_and_nothing_is_made(shell: Shell) -> None:
    ended = shell.run("create", "search", "-", "--json", stdin="x" * 1_000_000)

    assert ended.refusal["code"] == "too_large"
    assert shell.json("list")["tasks"] == []


def test_the_operator_steers_a_task_through_review(shell: Shell) -> None:
    (name,) = shell.create("Find it", review="red")
    shell.do(name)

    rejected = shell.json("reject", name, "--reason", "Look again.")
    feedback = shell.json("show", name)["feedback"]
    shell.do(name)
    approved = shell.json("approve", name)

    assert (rejected["state"], feedback["summary"]) == ("ready", "Look again.")
    assert approved == {"id": name, "run": "r1", "kind": "search", "role": "blue", "state": "completed"}


def test_a_final_rejection_ends_the_task(shell: Shell) -> None:
    (name,) = shell.create("Find it", review="red")
    shell.do(name)

    assert shell.json("reject", name, "--reason", "No.", "--final")["state"] == "failed"


def test_a_cancelled_task_can_be_retried_and_amended(shell: Shell) -> None:
    shell.create("a", "b")

    cancelled = shell.json("cancel", "r1", "--reason", "not now")
    again = shell.json("cancel", "r1")
    retried = shell.json("retry", "t2")
    shell.json("amend", "t2", "--priority", "0", "--instructions", "c")
    shown = shell.json("show", "t2")

    assert (cancelled, again) == ({"cancelled": ["t1", "t2"]}, {"cancelled": []})
    assert retried["state"] == "ready"
    assert (shown["priority"], shown["instructions"]) == (0, "c")


@pytest.mark.parametrize(("command", "kind"), [("pause", "could be paused"), ("resume", "is paused")])
def test_a_run_that_is_not_named_is_usage_and_those_there_are_get_told(shell: Shell, command: str, kind: str) -> None:
    none = shell.run(command)
    shell.create("a")
    shell.create("b")
    shell.json("pause", "r1")

    some = shell.run(command)

    assert (none.code, some.code) == (2, 2)
    assert f"no run and no role {kind} now." in none.err
    assert f"say which. What {kind}: {'r2' if command == 'pause' else 'r1'}." in some.err


def test_a_paused_run_says_so_and_goes_on_when_resumed(shell: Shell) -> None:
    shell.create("a")

    paused = shell.json("pause", "r1")
    why = shell.json("explain", "t1")["explanation"]
    resumed = shell.json("resume", "r1")

    assert (paused, resumed) == ({"run": "r1", "paused": True}, {"run": "r1", "paused": False})
    assert any("r1 is paused" in line and "trichrome resume r1" in line for line in why)


def test_status_counts_tasks_and_says_what_needs_a_human(shell: Shell) -> None:
    shell.create("a", "b")

    status = shell.json("status")
    told = shell.run("status").out

    assert status["tasks"] == {"ready": 2}
    assert [each["id"] for each in status["needs_you"]] == ["t1", "t2"]
    assert "no blue worker is connected" in told
    assert str(shell.folder) in told


def test_everything_about_a_task_is_shown_to_people_too(shell: Shell) -> None:
    (name,) = shell.create("Find it", acceptance="Found.", files=("src/",))
    shell.do(name, summary="It is there.", data={"line": 7}, artifacts=["a.md"], follow_ups=["Mend it."])

    told = shell.run("show", name).out

    for part in ("Find it", "Found.", "src", "It is there.", '"line": 7', "a.md", "Mend it.", "t1.1  completed"):
        assert part in told


# What a program that wrote the file without our checks could have left there.
HOSTILE = "[bold red]not bold[/] \x1b[31mno red\x1b]0;title\x07 \u202eright to left :smile: {x}"


def test_hostile_text_reaches_a_terminal_as_plain_words(shell: Shell) -> None:
    (name,) = shell.create("harmless")
    shell.do(name)
    log = apsw.Connection(str(shell.folder / ".trichrome" / "events.db"))
    log.execute("drop trigger events_refuse_update")
    log.execute("update events set payload = json_set(payload, '$.report.summary', ?) where version = 3", (HOSTILE,))
    log.close()

    for command in (("list",), ("show", name), ("wait", name)):
        sent = shell.on_terminal(*command, columns=200, env={"NO_COLOR": "1"})
        assert "[bold red]not bold[/] [31mno red]0;title right to left :smile: {x}" in sent
        assert not {"\x07", "\u202e"} & set(sent)
        assert "\x1b[31m" not in sent


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_of_any_width_shows_every_task(shell: Shell, columns: int) -> None:
    for name in shell.create("a", "b", "c"):
        shell.do(name, summary="many words " * 40)

    sent = shell.on_terminal("list", columns=columns)

    assert all(name in sent for name in ("t1", "t2", "t3"))
    assert sent.count("many words") >= 3
    assert len(sent.splitlines()) <= 7


def test_no_color_is_honoured_and_a_pipe_gets_plain_lines(shell: Shell) -> None:
    shell.create("a")

    coloured = shell.on_terminal("list", columns=80)
    plain = shell.on_terminal("list", columns=80, env={"NO_COLOR": "1"})
    piped = shell.run("list").out

    assert "\x1b[36m" in coloured
    assert "\x1b[36m" not in plain
    assert piped == "t1  r1  search  blue  ready\n"


def test_a_small_alphabet_is_no_reason_to_fail(shell: Shell) -> None:
    (name,) = shell.create("na\u00efve \u65e5\u672c\u8a9e")

    ended = shell.run("show", name, env={"PYTHONIOENCODING": "ascii"})

    assert ended.code == 0
    assert "\\u65e5" in ended.out


def test_a_misspelt_kind_is_guessed(shell: Shell) -> None:
    refusal = shell.run("create", "serch", "x", "--json").refusal

    assert refusal["code"] == "unknown_role"
    assert "Did you mean search? Kinds that a role takes: analyze, " in refusal["message"]


@pytest.mark.parametrize("command", ["show", "explain"])
def test_a_run_in_place_of_a_task_is_told_how_to_be_listed(shell: Shell, command: str) -> None:
    shell.create("a")

    refusal = shell.run(command, "r1", "--json").refusal

    assert "r1 is a run: `trichrome list --run r1`" in refusal["message"]


def test_a_folder_of_any_name_works_in_any_alphabet(tmp_path: Path) -> None:
    shell = Shell(tmp_path / "w\u00e9ird dir \u65e5\u672c")
    shell.folder.mkdir()
    shell.create("a")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    assert shell.json("show", "t1", env=plain)["instructions"] == "a"
    assert shell.json("doctor", env=plain)["ok"] is True


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), "There is no task yet."),
        (("--state", "running"), "No task is running."),
        (("--role", "blue", "--state", "in_review"), "No blue task is in review."),
        (("--role", "red"), "No red task is there."),
    ],
    ids=str,
)
def test_a_list_of_nothing_says_what_is_not_there(shell: Shell, asked: tuple[str, ...], told: str) -> None:
    assert told in shell.run("list", *asked).err


def test_the_branch_and_the_last_words_of_a_session_are_shown(shell: Shell) -> None:
    (task,) = shell.create("a")
    attempt = shell.claim(task)
    shell.report(attempt)
    ended = SessionFacts(
        task=task,
        worker="green-1",
        runner="claude",
        reason="it reported its result",
        attempt=ids.attempt_id(attempt),
        said="All done.",
        branch="trichrome/t1",
    )
    with shell.project() as project:
        supervision.session_ended(project.coordinator, ended)

    told = shell.run("show", task).out

    assert "branch: trichrome/t1" in told
    assert 'it said last: "All done."' in told
    assert shell.json("show", task)["result"]["branch"] == "trichrome/t1"
