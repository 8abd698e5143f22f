"""`trichrome doctor`: whatever is broken, it reports and does not break."""

import json
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


# --- around Claude Code -----------------------------------------------------------------------------------------------

OURS = {"command": "trichrome", "args": ["mcp"]}


class Home:
    """A home with files of Claude Code, a `claude` that tells its version, and a project beside it."""

    def __init__(self, folder: Path) -> None:
        self.shell = Shell(folder)
        self.folder = folder / "home"
        (self.folder / ".claude").mkdir(parents=True)
        (folder / "bin").mkdir()
        self.path = folder / "bin"
        self.claude("2.1.330")

    def claude(self, version: str) -> None:
        (self.path / "claude").write_text(f"#!/bin/sh\necho '{version} (Claude Code)'\n")
        (self.path / "claude").chmod(0o755)

    def state(self, **said: Any) -> None:
        (self.folder / ".claude.json").write_text(json.dumps(said))

    def settings(self, **said: Any) -> None:
        (self.folder / ".claude" / "settings.json").write_text(json.dumps(said))

    def checks(self, **env: str) -> dict[str, Any]:
        """What doctor says is not well, by the check's name."""
        kept = {"HOME": str(self.folder), "PATH": f"{self.path}{os.pathsep}{os.environ['PATH']}"}
        ended = self.shell.run("doctor", "--json", env={**kept, **env})
        assert ended.code == 0, ended.out + ended.err
        return {each["name"]: each for each in ended.answer["checks"] if each["state"] != "ok"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_session_with_the_plugin_a_login_and_nothing_in_the_way_is_well(home: Home) -> None:
    home.settings(enabledPlugins={"trichrome@trichrome": True})

    assert home.checks(ANTHROPIC_API_KEY="sk-ant-secret") == {}


def test_no_secret_is_printed(home: Home) -> None:
    ended = home.shell.run("doctor", "--json", env={"HOME": str(home.folder), "ANTHROPIC_API_KEY": "sk-ant-secret"})

    assert "sk-ant-secret" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("state", "settings", "name", "told"),
    [
        ({}, {}, "registration", "not registered"),
        ({}, {"enabledPlugins": {"trichrome@trichrome": False}}, "registration", "is disabled"),
        (
            {"mcpServers": {"trichrome": OURS}},
            {"enabledPlugins": {"trichrome@x": True}},
            "registration",
            "server, user scope; plugin trichrome@x",
        ),
        ({"mcpServers": {"trichrome": {"command": "colours", "args": []}}}, {}, "other server", "another program"),
        ({}, {"disableAllHooks": True}, "hooks", "disableAllHooks"),
        ({}, {"permissions": {"deny": ["Bash", "mcp__trichrome__*"]}}, "permissions", "mcp__trichrome__*"),
        ({}, {"availableModels": ["sonnet"]}, "models", "haiku, opus"),
        ({}, {}, "login", "none seen"),
    ],
)
def test_what_is_in_the_way_is_named(
    home: Home, state: dict[str, Any], settings: dict[str, Any], name: str, told: str
) -> None:
    home.state(**state)
    home.settings(**settings)

    found = home.checks()[name]

    assert told in found["found"]
    assert found["advice"]


def test_stronger_registration_is_named_where_there_are_two(home: Home) -> None:
    here = {str(home.shell.folder.resolve()): {"mcpServers": {"trichrome": OURS}}}
    home.state(mcpServers={"trichrome": OURS}, projects=here)

    assert "The one of local scope wins" in home.checks()["registration"]["advice"]


def test_plugin_of_another_version_is_named(home: Home) -> None:
    home.settings(enabledPlugins={"trichrome@trichrome": True})
    plugins = home.folder / ".claude" / "plugins"
    plugins.mkdir()
    copies = {"trichrome@trichrome": [{"version": "0.0.1"}]}
    (plugins / "installed_plugins.json").write_text(json.dumps({"version": 2, "plugins": copies}))

    assert "is 0.0.1, this program is" in home.checks()["plugin version"]["found"]


def test_claude_that_is_older_than_what_was_tried_is_named(home: Home) -> None:
    home.claude("2.1.20")

    assert "claude update" in home.checks()["claude"]["advice"]


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("CLAUDE_CODE_SUBAGENT_MODEL", "haiku", "subagent model"),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", "claude-opus-5-5", "model alias"),
        ("ENABLE_TOOL_SEARCH", "false", "tool search"),
    ],
)
def test_variable_that_changes_what_roles_get_is_named(home: Home, variable: str, value: str, name: str) -> None:
    assert name in home.checks(**{variable: value})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"mcpServers": 7, "projects": [], "enabledPlugins": "x"}', "\ufeff{}"]
)
def test_files_of_other_programs_that_say_nothing_break_nothing(home: Home, content: str) -> None:
    for path in (".claude.json", ".claude/settings.json"):
        (home.folder / path).write_text(content, encoding="utf-8")

    assert home.checks()["registration"]["state"] == "warn"


def test_python_that_hooks_cannot_use_is_named(home: Home) -> None:
    home.settings(enabledPlugins={"trichrome@trichrome": True})
    (home.path / "python3").write_text("#!/bin/sh\necho 3.8\n")
    (home.path / "python3").chmod(0o755)

    assert "3.8" in home.checks()["hooks' python"]["found"]
