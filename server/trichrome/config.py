"""Every setting, its default, and where its value came from: flag, else environment, else file, else default.

A setting `x` of `.trichrome/config.toml` is also `TRICHROME_X` in the environment. A few say where and as whom a
process works, and so make sense per process only: they are read from the environment or a flag, never from the file.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from trichrome.domain.drafts import meant
from trichrome.errors import InvalidError
from trichrome.files import sync

FOLDER: Final = ".trichrome"
LOG_FILE: Final = "events.db"
PREFIX: Final = "TRICHROME_"
RUNNERS: Final = "auto, claude, api, offline or script:COMMAND"
Source = Literal["flag", "environment", "file", "default"]


def _known_runner(name: str) -> str:
    if re.fullmatch(r"auto|claude|api|offline|script:.+", name) is None:
        raise PydanticCustomError(
            "unknown_runner", "there is no runner {name}. Choose {all}", {"name": repr(name[:80]), "all": RUNNERS}
        )
    return name


class Config(BaseModel):
    """The settings of a project, with their defaults.

    Attributes:
        durability: `full` survives a power cut; `fast` may lose the last moments to one, never to a killed process.
        store: `sqlite`, or `memory` for trying things out in one process.
        lease_seconds: how long an attempt lives unrenewed where its client cannot be seen from here.
        max_attempts: tries that a task gets.
        time_limit_seconds: how long one attempt may take.
        backoff_seconds: the first wait after a failed try; 0 for none.
        backoff_cap_seconds: the longest.
        max_review_rounds: how often a reviewer may send a task back.
        on_lead_gone: whether a run goes on or pauses when its lead is gone.
        backup_every_hours: how old the newest automatic backup may become while the log moves; 0 for none.
        backups_kept: how many automatic backups are kept.
        runner: what `trichrome start` starts sessions with: `auto`, `claude`, `api`, `offline` or `script:COMMAND`.
        session_memory_mib: memory that one supervised session may hold, with all that it starts.
        session_processes: how many processes it may run at a time.
        stop_grace_seconds: how long sessions may go on once a stop is wanted.
        restart_backoff_seconds: the pause after a session that failed; it doubles with each further one in a row.
        edit_gate: whom hooks keep from writing what is not theirs: `workers` of the supervisor, or `all` sessions.
        log_level: what is written to `.trichrome/logs`.
        roles: policy by role; see `trichrome.roles`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    durability: Literal["full", "fast"] = "full"
    store: Literal["sqlite", "memory"] = "sqlite"
    lease_seconds: Annotated[float, Field(ge=5, le=86_400)] = 600.0
    max_attempts: Annotated[int, Field(ge=1, le=1_000_000)] = 3
    time_limit_seconds: Annotated[float, Field(ge=1, le=2_592_000)] = 1800.0
    backoff_seconds: Annotated[float, Field(ge=0, le=86_400)] = 10.0
    backoff_cap_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    max_review_rounds: Annotated[int, Field(ge=0, le=100)] = 2
    on_lead_gone: Literal["continue", "pause"] = "continue"
    backup_every_hours: Annotated[float, Field(ge=0, le=8_760)] = 6.0
    backups_kept: Annotated[int, Field(ge=1, le=1_000)] = 8
    runner: Annotated[str, AfterValidator(_known_runner)] = "auto"
    session_memory_mib: Annotated[int, Field(ge=64, le=1_048_576)] = 4096
    session_processes: Annotated[int, Field(ge=4, le=65_536)] = 256
    stop_grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    restart_backoff_seconds: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    edit_gate: Literal["workers", "all"] = "workers"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    roles: dict[str, dict[str, Any]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with the source of each value."""

    config: Config
    sources: Mapping[str, Source]
    path: Path


def load(
    folder: Path, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Loaded:
    """Merge flags, environment, file and defaults.

    Args:
        folder: the project folder.
        environment: variables to read `TRICHROME_*` from; None for the process's own.
        flags: values given on the command line; None among them is not given.

    Raises:
        InvalidError: naming the setting and where its bad value came from.
    """
    variables = os.environ if environment is None else environment
    path = folder / FOLDER / "config.toml"
    layers: list[tuple[Source, Mapping[str, object]]] = [
        ("file", _read(path)),
        ("environment", {name: _variable(variables, name) for name in _scalars() if _variable(variables, name)}),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ]
    values: dict[str, object] = {}
    sources: dict[str, Source] = dict.fromkeys(Config.model_fields, "default")
    for source, layer in layers:
        values.update(layer)
        sources.update(dict.fromkeys(layer, source))
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _refusal(error, sources, path) from None
    return Loaded(config, sources, path)


def _scalars() -> list[str]:
    return [name for name in Config.model_fields if name != "roles"]


def _variable(variables: Mapping[str, str], name: str) -> str | None:
    return variables.get(PREFIX + name.upper())


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, and brackets as deep, are neither
        raise InvalidError(f"{path} is not valid TOML: {error}. Mend that line, or move the file away.") from error
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}.") from error


def _refusal(error: ValidationError, sources: Mapping[str, Source], path: Path) -> InvalidError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    where = {"file": f"in {path}", "environment": f"from {PREFIX}{name.upper()}"}.get(
        sources.get(name, "file"), "on the command line"
    )
    known = ", ".join(Config.model_fields)
    if first["type"] == "extra_forbidden":
        dotted = ".".join(str(part) for part in first["loc"])
        told = meant(dotted, Config.model_fields) or f" Settings are: {known}."
        return InvalidError(f"There is no setting {dotted!r} ({where}).{told}", field=name)
    return InvalidError(f"{name} {where}: {first['msg']}.", field=name)


# --- where the project is ---------------------------------------------------------------------------------------------


def project_folder(environment: Mapping[str, str] | None = None, *, start: Path | None = None) -> Path:
    """The folder whose `.trichrome` holds the log.

    `TRICHROME_HOME`, else the main worktree of git's common directory, else the nearest folder with a log at or above
    the one that Claude was started in (`CLAUDE_PROJECT_DIR`, else the current one), else that one itself; never the
    home folder or the root.

    Raises:
        InvalidError: there is no such folder that may be used.
    """
    variables = os.environ if environment is None else environment
    if named := variables.get(PREFIX + "HOME"):
        chosen = Path(named).expanduser()
        if not chosen.is_dir():
            raise InvalidError(
                f"TRICHROME_HOME names {chosen}, which is no folder, so nothing was changed. Make it, or unset the "
                "variable; `trichrome doctor` says which project is meant then."
            )
        return _allowed(chosen.resolve())
    began = (start or Path(variables.get("CLAUDE_PROJECT_DIR") or Path.cwd())).resolve()
    return _allowed(_main_worktree(began) or _begun_above(began) or began)


def _begun_above(folder: Path) -> Path | None:
    """The nearest folder above, or this one, that has a log already; home and the root are none."""
    barred = {_home(), Path(folder.anchor)}
    return next((each for each in (folder, *folder.parents) if each not in barred and (each / FOLDER).is_dir()), None)


def _allowed(folder: Path) -> Path:
    if folder == Path(folder.anchor) or folder == _home():
        raise InvalidError(
            f"{folder} is no project folder. Change into a project, or name one with TRICHROME_HOME=/path/to/project."
        )
    return folder


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except RuntimeError:
        return None


def _main_worktree(folder: Path) -> Path | None:
    """The main worktree, so that all worktrees of one repository share one log."""
    answer = _git(folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
    common = Path(answer or "")
    if common.name != ".git" or not common.parent.is_dir():
        return None
    return common.parent.resolve()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers about a folder; None outside a checkout (git is not even started there) or without git."""
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return None
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def open_folder(project: Path) -> Path:
    """Make or check the project's `.trichrome` folder; it ignores itself in git and is closed to other users.

    Raises:
        InvalidError: git tracks it, or another user owns it: what it holds could start programs.
    """
    folder = project / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
            sync(project)  # a power cut takes a new name that was not synced, with all in it
    except OSError as error:
        raise InvalidError(
            f"{folder} cannot be made or written ({error.strerror}), so nothing was changed. Make the project folder "
            "writable for this user, or name another with TRICHROME_HOME; `trichrome doctor` says which one is meant.",
            code="store_unavailable",
        ) from error
    check_folder(project)
    return folder


def check_folder(project: Path) -> None:
    """Refuse a `.trichrome` folder that could have been put there by somebody else.

    Raises:
        InvalidError: git tracks it, or another user owns it: what it holds could start programs.
    """
    folder = project / FOLDER
    if folder.stat().st_uid != os.getuid():
        raise InvalidError(
            f"{folder} belongs to another user, so it is not used and nothing in it was changed. Move it away, or name "
            "another project with TRICHROME_HOME; `trichrome doctor` says why this one is meant.",
            code="not_permitted",
        )
    if _git(project, "ls-files", "--", FOLDER):
        raise InvalidError(
            f"git tracks files in {folder}, so it is not used and nothing in it was changed: it could start programs. "
            f"Run `git rm -r --cached {FOLDER}`, which keeps the files, and commit.",
            code="not_permitted",
        )
