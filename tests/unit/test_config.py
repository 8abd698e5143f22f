"""Settings: which source wins, what is refused, and where the project is."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from trichrome import config
from trichrome.config import Config
from trichrome.errors import InvalidError, TrichromeError


def write(folder: Path, text: str) -> None:
    (folder / ".trichrome").mkdir(exist_ok=True)
    (folder / ".trichrome" / "config.toml").write_text(text, encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_defaults_need_no_file(tmp_path: Path) -> None:
    loaded = config.load(tmp_path, environment={})

    assert loaded.config == Config()
    assert set(loaded.sources.values()) == {"default"}


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    write(tmp_path, "max_attempts = 4\nbackoff_seconds = 1\ndurability = 'fast'\n")
    environment = {"TRICHROME_BACKOFF_SECONDS": "0", "TRICHROME_DURABILITY": "full", "TRICHROME_STORE": ""}

    loaded = config.load(tmp_path, environment=environment, flags={"durability": "fast", "log_level": None})

    assert (loaded.config.max_attempts, loaded.sources["max_attempts"]) == (4, "file")
    assert (loaded.config.backoff_seconds, loaded.sources["backoff_seconds"]) == (0, "environment")
    assert (loaded.config.durability, loaded.sources["durability"]) == ("fast", "flag")
    assert (loaded.config.store, loaded.sources["store"]) == ("sqlite", "default")
    assert loaded.sources["log_level"] == "default"


@pytest.mark.parametrize("name", [name for name in Config.model_fields if name != "roles"])
def test_every_setting_has_its_variable(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        config.load(tmp_path, environment={f"TRICHROME_{name.upper()}": "!?"})

    assert refused.value.field == name
    assert f"TRICHROME_{name.upper()}" in refused.value.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max_attempts = 0", "max_attempts"),
        ("max_attempts = 'three'", "max_attempts"),
        ("durability = 'none'", "durability"),
        ("colour = 'blue'", "colour"),
        ("lease_seconds = 1", "lease_seconds"),
        ("backoff_seconds = nan", "backoff_seconds"),
        ("roles = 3", "roles"),
    ],
)
def test_a_bad_setting_in_the_file_is_refused_with_its_name_and_place(tmp_path: Path, text: str, named: str) -> None:
    write(tmp_path, text)

    with pytest.raises(InvalidError) as refused:
        config.load(tmp_path, environment={})

    assert named in refused.value.message
    assert "config.toml" in refused.value.message


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "max_attempts = = 3")

    with pytest.raises(InvalidError, match="line 1"):
        config.load(tmp_path, environment={})


def test_the_environment_names_the_project(tmp_path: Path) -> None:
    assert config.project_folder({"TRICHROME_HOME": str(tmp_path)}) == tmp_path
    with pytest.raises(InvalidError, match="no folder"):
        config.project_folder({"TRICHROME_HOME": str(tmp_path / "nowhere")})


def test_without_git_the_project_is_where_claude_was_started(tmp_path: Path) -> None:
    assert config.project_folder({"CLAUDE_PROJECT_DIR": str(tmp_path)}) == tmp_path
    assert config.project_folder({}, start=tmp_path) == tmp_path


def test_all_worktrees_of_a_repository_share_one_project(tmp_path: Path) -> None:
    main, other = tmp_path / "main", tmp_path / "other"
    main.mkdir()
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "x")
    git(main, "worktree", "add", "-q", str(other))
    (main / "deep" / "er").mkdir(parents=True)

    for start in (main, main / "deep" / "er", other):
        assert config.project_folder({}, start=start) == main


def test_neither_the_home_folder_nor_the_root_is_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    for folder in (tmp_path, Path("/")):
        with pytest.raises(InvalidError, match="no project folder"):
            config.project_folder({"TRICHROME_HOME": str(folder)})
        with pytest.raises(InvalidError, match="no project folder"):
            config.project_folder({}, start=folder)


def test_the_folder_is_private_and_ignores_itself(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")

    folder = config.open_folder(tmp_path)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    git(tmp_path, "add", "--all")
    assert config.open_folder(tmp_path) == folder


def test_a_folder_that_git_tracks_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "max_attempts = 1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--force", ".trichrome/config.toml")

    with pytest.raises(TrichromeError) as refused:
        config.open_folder(tmp_path)

    assert refused.value.code == "not_permitted"
    assert "git rm" in refused.value.message


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.open_folder(tmp_path)
    somebody_else = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: somebody_else)

    with pytest.raises(TrichromeError) as refused:
        config.open_folder(tmp_path)

    assert refused.value.code == "not_permitted"


def test_a_misspelt_setting_is_guessed(tmp_path: Path) -> None:
    data = tmp_path / config.FOLDER
    data.mkdir()
    (data / "config.toml").write_text('runer = "offline"\n')

    with pytest.raises(InvalidError, match=r"There is no setting 'runer' .* Did you mean runner\?"):
        config.load(tmp_path, environment={})
