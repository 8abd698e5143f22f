"""The files of Claude Code, read tolerantly: what is not there, or cannot be understood, says nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def folder() -> Path:
    """Where Claude Code keeps settings, agents and plugins of this user."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")


def state() -> Path:
    """The file with this user's servers, and what was answered for each project."""
    return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home()) / ".claude.json"


def read(path: Path) -> dict[str, Any]:
    """A JSON object from a file of another program; nothing where there is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def table(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """An object inside of another one; empty where there is none."""
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def names(document: Mapping[str, Any], key: str) -> list[str]:
    """A list of names inside of an object; empty where there is none."""
    value = document.get(key)
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
