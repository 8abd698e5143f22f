"""Without the plugin: what `trichrome integrate` wrote, as the real Claude Code reads it, and after it was taken back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import superclaude
from tests.support.claude import binary
from tests.support.messages_api import MessagesApi
from tests.support.plugin import Place, instructions, model

pytestmark = pytest.mark.xdist_group("claude")

SETTINGS = b'\xef\xbb\xbf{\r\n  "cleanupPeriodDays": 30,\r\n  "unknown": {"x": 1}\r\n}'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, plugin=None)
    config = place.home / "config"
    config.mkdir()
    (config / "settings.json").write_bytes(SETTINGS)
    return place


def integrate(place: Place, *words: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "TRICHROME", "XDG"))}
    subprocess.run(
        [sys.executable, "-m", "trichrome", "integrate", "--yes", *words],
        cwd=place.project,
        env={**kept, "HOME": str(place.home), "CLAUDE_CONFIG_DIR": str(place.home / "config")},
        capture_output=True,
        check=True,
        timeout=60,
    )


def servers(place: Place) -> str:
    with MessagesApi(model) as api:
        asked = subprocess.run(
            [binary(), "mcp", "list"],
            cwd=place.project,
            env=place.environment(api),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    return asked.stdout + asked.stderr


def test_server_is_there_and_gone_again_and_the_settings_are_as_before(place: Place) -> None:
    integrate(place, "--claude-code")
    during = servers(place)
    integrate(place, "--undo")

    assert "trichrome" in during
    assert "trichrome" not in servers(place)
    assert (place.home / "config" / "settings.json").read_bytes() == SETTINGS


def test_command_orchestrates_as_it_does_with_the_plugin(place: Place) -> None:
    integrate(place, "--claude-code")

    with MessagesApi(model) as api:
        answer = place.run(api, "/search auth --multi-agent")

    assert instructions(api.requests[0]).startswith("Trichrome orchestration")
    assert answer.text == "merged r1"
    assert {each["attempts"][-1]["worker"] for each in place.tasks()} == {"blue-1", "blue-2", "blue-3", "red-1"}


def test_superclaude_s_commands_orchestrate_and_none_of_its_files_changes(place: Place) -> None:
    config = place.home / "config"
    superclaude.install(place.home, config)
    before = superclaude.digests(config)
    integrate(place, "--superclaude")

    with MessagesApi(model) as api:
        answer = place.run(api, "/sc:analyze src --multi-agent")

    after = superclaude.digests(config)
    assert answer.text == "merged r1"
    assert {name: digest for name, digest in after.items() if name in before} == before
    assert set(after) - set(before) == {"agents/blue.md", "agents/green.md", "agents/red.md"}
