"""`trichrome init`: a folder, a settings file that says everything, and what to do next."""

import re
import tomllib
from pathlib import Path

import pytest
from tests.support.commands import Shell

from trichrome.cli.init import MEANING, settings_file
from trichrome.config import Config
from trichrome.roles import SHIPPED, load_roles


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def uncommented() -> Config:
    """The settings file with every setting switched on."""
    switched_on = re.sub(r"^# (\w+ = |\[)", r"\1", settings_file(Config()), flags=re.MULTILINE)
    return Config.model_validate(tomllib.loads(switched_on))


def test_the_settings_file_shows_every_setting_with_its_default() -> None:
    assert set(MEANING) == set(Config.model_fields) - {"roles"}
    assert uncommented().model_copy(update={"roles": {}}) == Config()


def test_the_settings_file_shows_the_roles_as_they_are() -> None:
    assert load_roles(None, uncommented().roles).policies == SHIPPED


def test_init_makes_the_folder_and_says_what_next(shell: Shell) -> None:
    made = shell.run("init")
    folder = shell.folder / ".trichrome"

    assert made.code == 0
    assert "claude mcp add trichrome -- " in made.out
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    assert Config.model_validate(tomllib.loads((folder / "config.toml").read_text())) == Config()


def test_init_again_changes_nothing(shell: Shell) -> None:
    shell.run("init")
    settings = shell.folder / ".trichrome" / "config.toml"
    settings.write_text("max_attempts = 7\n")

    again = shell.json("init")

    assert again["made"] == []
    assert settings.read_text() == "max_attempts = 7\n"


def test_init_refuses_a_settings_file_that_does_not_work(shell: Shell) -> None:
    shell.run("init")
    (shell.folder / ".trichrome" / "config.toml").write_text("max_attemps = 7\n")

    ended = shell.run("init", "--json")

    assert ended.refusal["code"] == "invalid"
    assert "max_attemps" in ended.refusal["message"]
