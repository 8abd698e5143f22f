"""`trichrome integrate`: what it writes for people without the plugin, and that it takes it back to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

NASTY: Mapping[str, bytes] = {
    "comments": b'// mine\n{\n  /* a */ "model": "opus", // why\n  "hooks": {"Stop": [/* none */]}, // b\n  // c\n}\n// d\n',
    "BOM": b'\xef\xbb\xbf{"model": "opus", "unknown": {"deep": [1, 2, {"x": null}]}}',
    "CRLF": b'{\r\n\t"model": "opus",\r\n\t"hooks": {\r\n\t\t"Stop": []\r\n\t}\r\n}\r\n',
    "others": b'{"hooks":{"PreToolUse":[{"matcher":"Bash","hooks":[{"type":"command","command":"mine"}]}]},"a":1,"a":2}',
    "no last newline": b'{\n    "model": "opus"\n}',
    "empty": b"",
}
SERVERS = (
    b'{\r\n  "numStartups": 7,\r\n  "mcpServers": {"other": {"command": "x", "args": []}},\r\n  "projects": {}\r\n}'
)


class House:
    """A home with files of other programs, and a project."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project = folder / "home", folder / "project"
        for each in (self.home / ".claude", self.project):
            each.mkdir(parents=True)
        (self.home / ".claude.json").write_bytes(SERVERS)

    @property
    def settings(self) -> Path:
        return self.home / ".claude" / "settings.json"

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "TRICHROME", "XDG"))
        }
        done = subprocess.run(
            [sys.executable, "-m", "trichrome", "integrate", *words],
            cwd=self.project,
            env={**kept, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout, done.stderr

    def files(self) -> dict[str, bytes]:
        """Every file of home and project, but for our own record."""
        found = [*self.home.rglob("*"), *self.project.rglob("*")]
        return {str(path): path.read_bytes() for path in found if path.is_file()}

    def folders(self) -> set[str]:
        return {str(path) for path in (*self.home.rglob("*"), *self.project.rglob("*")) if path.is_dir()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("settings", NASTY.values(), ids=NASTY)
def test_what_is_written_is_taken_back_to_the_byte(house: House, settings: bytes) -> None:
    house.settings.write_bytes(settings)
    (house.home / ".config" / "Claude").mkdir(parents=True)
    (house.home / ".config" / "Claude" / "claude_desktop_config.json").write_bytes(settings)
    before = house.files()

    house.run("--yes")
    during = house.files()
    house.run("--undo", "--yes")

    assert len(during) > len(before) + 10
    assert house.files() == before


def test_folders_that_it_made_go_with_it(house: House) -> None:
    before = house.folders()

    house.run("--claude-code", "--yes")
    house.run("--undo", "--yes")

    assert house.folders() - before <= {str(house.home / ".local"), str(house.home / ".local/state")} | {
        str(house.home / ".local/state/trichrome")
    }


def test_registrations_are_what_claude_code_reads(house: House) -> None:
    house.run("--claude-code", "--yes")

    servers = json.loads((house.home / ".claude.json").read_bytes())["mcpServers"]
    hooks = json.loads(house.settings.read_text(encoding="utf-8"))["hooks"]
    assert servers["other"] == {"command": "x", "args": []}
    assert servers["trichrome"]["args"][-1] == "mcp"
    assert Path(servers["trichrome"]["command"]).exists()
    assert {"UserPromptExpansion", "PreToolUse", "SubagentStop"} <= set(hooks)
    named = {
        each["server"] for groups in hooks.values() for group in groups for each in group["hooks"] if "server" in each
    }
    assert named == {"trichrome"}
    assert (house.home / ".claude" / "agents" / "blue.md").exists()
    assert (house.home / ".claude" / "skills" / "search" / "SKILL.md").exists()


def test_difference_is_shown_and_nothing_written(house: House) -> None:
    before = house.files()

    shown, _ = house.run("--claude-code", "--dry-run")

    assert '+    "trichrome": {' in shown
    assert house.files() == before


def test_without_anybody_to_ask_nothing_is_written(house: House) -> None:
    before = house.files()

    _, errors = house.run("--claude-code", code=1)

    assert "--yes" in errors
    assert house.files() == before


def test_twice_is_the_same_as_once(house: House) -> None:
    house.run("--claude-code", "--yes")
    once = house.files()

    said, _ = house.run("--claude-code", "--yes")

    assert "there already" in said
    assert house.files() == once


def test_later_choice_adds_to_the_earlier_one_and_both_are_taken_back(house: House) -> None:
    before = house.files()

    house.run("--claude-code", "--yes")
    house.run("--desktop", "--yes")
    both = house.files()
    house.run("--undo", "--yes")

    assert any(each.endswith("claude_desktop_config.json") for each in both)
    assert str(house.home / ".claude" / "agents" / "blue.md") in both
    assert b"UserPromptExpansion" in both[str(house.settings)]
    assert house.files() == before


def test_file_that_was_changed_since_loses_only_what_is_ours(house: House) -> None:
    house.settings.write_bytes(NASTY["others"])
    house.run("--claude-code", "--yes")
    servers = json.loads((house.home / ".claude.json").read_bytes())
    (house.home / ".claude.json").write_text(json.dumps({**servers, "numStartups": 8}), encoding="utf-8")

    house.run("--undo", "--yes")

    left = json.loads((house.home / ".claude.json").read_bytes())
    assert left == {"numStartups": 8, "mcpServers": {"other": {"command": "x", "args": []}}, "projects": {}}
    assert house.settings.read_bytes() == NASTY["others"]


def test_own_file_that_a_person_changed_stays_and_is_named(house: House) -> None:
    house.run("--claude-code", "--yes")
    mine = house.home / ".claude" / "skills" / "search" / "SKILL.md"
    mine.write_text("my own search\n", encoding="utf-8")

    _, errors = house.run("--undo", "--yes")

    assert str(mine) in errors
    assert mine.read_text(encoding="utf-8") == "my own search\n"
    assert not (house.home / ".claude" / "skills" / "fix").exists()


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (".claude/settings.json", b"{ this is not JSON"),
        (".claude/settings.json", b"\xff\xfe{}"),
        (".claude/settings.json", b'{"hooks": 7}'),
        (".claude.json", b'{"mcpServers": {"trichrome": {"command": "something else"}}}'),
        (".claude/agents/blue.md", b"my own blue"),
        (".claude/settings.json", b'{"enabledPlugins": {"trichrome@trichrome": true}}'),
    ],
    ids=["not JSON", "not UTF-8", "no object", "other server", "other agent", "plugin"],
)
def test_what_is_in_the_way_is_named_and_nothing_is_changed(house: House, path: str, content: bytes) -> None:
    (house.home / path).parent.mkdir(parents=True, exist_ok=True)
    (house.home / path).write_bytes(content)
    before = house.files()

    _, errors = house.run("--claude-code", "--yes", code=1)

    assert "othing was changed" in errors
    assert house.files() == before


def test_link_stays_a_link_and_rights_stay(house: House, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.json"
    real.write_bytes(NASTY["comments"])
    real.chmod(0o640)
    house.settings.symlink_to(real)

    house.run("--claude-code", "--yes")
    is_link, mode = house.settings.is_symlink(), real.stat().st_mode & 0o777
    house.run("--undo", "--yes")

    assert (is_link, mode) == (True, 0o640)
    assert real.read_bytes() == NASTY["comments"]


def test_crash_between_two_files_is_put_right(house: House) -> None:
    house.settings.write_bytes(NASTY["comments"])
    before = house.files()
    agents = house.home / ".claude" / "agents"
    agents.mkdir()
    agents.chmod(0o500)  # root writes all the same, so the folder is made a file's
    agents.rmdir()
    agents.write_bytes(b"in the way")

    house.run("--claude-code", "--yes", code=1)
    agents.unlink()
    house.run("--undo", "--yes")

    assert house.files() == before


def test_project_scope_names_no_path_of_this_machine_in_what_others_share(house: House) -> None:
    house.run("--claude-code", "--scope", "project", "--yes")

    shared = json.loads((house.project / ".mcp.json").read_bytes())["mcpServers"]["trichrome"]
    assert shared["command"] == "trichrome"
    assert not (house.project / ".claude" / "settings.json").exists()
    assert (house.project / ".claude" / "settings.local.json").exists()


def test_role_of_the_project_becomes_a_subagent_of_it(house: House) -> None:
    agents = house.project / ".trichrome" / "agents"
    agents.mkdir(parents=True, mode=0o700)
    (house.project / ".trichrome").chmod(0o700)
    (agents / "purple.md").write_text("---\nname: purple\ndescription: x\n---\nYou document.\n", encoding="utf-8")

    house.run("--roles", "--yes")

    assert (
        (house.project / ".claude" / "agents" / "purple.md").read_text(encoding="utf-8").startswith("---\nname: purple")
    )
    assert not (house.project / ".claude" / "agents" / "blue.md").exists()


def test_desktop_is_given_the_full_path_and_the_project(house: House) -> None:
    house.run("--desktop", "--yes")

    (path,) = (each for each in house.files() if each.endswith("claude_desktop_config.json"))
    entry: Any = json.loads(Path(path).read_bytes())["mcpServers"]["trichrome"]
    assert Path(entry["command"]).is_absolute()
    assert entry["env"] == {"TRICHROME_HOME": str(house.project)}


def test_json_says_what_was_changed(house: House) -> None:
    said, _ = house.run("--claude-code", "--yes", "--json")

    assert str(house.settings) in json.loads(said)["changed"]
