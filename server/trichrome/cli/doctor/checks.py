"""What `doctor` looks at, one function a check.

A check that breaks is a failed check: the others go on, so that a damaged log does not hide what is wrong beside it.
Nothing is made or changed, but for what opening a log of an older form brings with it.
"""

from __future__ import annotations

import difflib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from trichrome.cli.doctor import claude, places
from trichrome.cli.doctor.report import Check, Setting, Visit, check
from trichrome.cli.output import counted, one_line
from trichrome.cli.project import MEMORY, UPGRADE
from trichrome.errors import StoreDamagedError, StoreTooNewError, TrichromeError
from trichrome.version import VERSION

_DAMAGED: Final = (
    "`trichrome repair --log` tells what can be saved; with `--yes` it makes a new log of that. The damaged file is "
    "kept in .trichrome/aside."
)
_HOLES: Final = "`trichrome repair --log --yes` appends what is missing; it changes nothing that is there."
_VIEWS_DIFFER: Final = (
    "The log itself is whole, nothing is lost: `trichrome repair --views --yes` makes the views anew from it."
)
_OF_A_PROCESS: Final = ("HOME", "ROLE", "TOOLSET", "WORKER")
"""Variables that say where and as whom a process works, and are no settings."""

_LARGE_WAL_BYTES: Final = 256 * 1024 * 1024
_SHOWN: Final = 3
_TOLD: Final = 200
"""Characters of what SQLite finds wrong that the advice ends with."""
_MANY_EVENTS: Final = 1000
_LONG_SECONDS: Final = 24 * 3600.0
"""How many events, or how old a log, without a backup are worth a word."""
_VERSION_SECONDS: Final = 15.0


def examine(visit: Visit) -> list[Check]:
    """Run every check that applies, in order."""
    checks = [check for look in _CHECKS for check in _guarded(look, visit)]
    if visit.project is not None:
        visit.project.close()
    return checks


def _guarded(look: Callable[[Visit], Iterator[Check]], visit: Visit) -> list[Check]:
    name = look.__name__.strip("_").replace("_", " ")
    found: list[Check] = []
    try:
        found.extend(look(visit))
    except TrichromeError as error:
        found.append(_refused(name, error))
    except Exception as error:  # noqa: BLE001  a check that breaks is a finding, and the others are still wanted
        told = one_line(f"{type(error).__name__}: {error}", most=200)
        found.append(check(name, "fail", f"this check broke: {told}", _DAMAGED if visit.log else None))
    return found


def _refused(name: str, error: TrichromeError) -> Check:
    match error:
        case StoreTooNewError():
            return check(name, "fail", error.message, UPGRADE)
        case StoreDamagedError():
            return check(name, "fail", error.message, _DAMAGED)
        case _:
            return check(name, "fail", error.message, "Mend it as the message says.")


# --- the program ------------------------------------------------------------------------------------------------------


def _python(_visit: Visit) -> Iterator[Check]:
    yield check("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _trichrome(_visit: Visit) -> Iterator[Check]:
    yield check("trichrome", "ok", f"{VERSION} in {Path(__file__).resolve().parents[2]}")


def _sqlite(_visit: Visit) -> Iterator[Check]:
    from trichrome.store.sqlite.facts import library

    version, is_safe = library()
    yield check(
        "sqlite",
        "ok" if is_safe else "fail",
        f"{version}, carried by apsw",
        "Versions up to 3.51.2 can corrupt a log that several programs write: `pip install --upgrade apsw`.",
    )


# --- the project ------------------------------------------------------------------------------------------------------


def _project(visit: Visit) -> Iterator[Check]:
    visit.folder, why = places.project()
    yield check("project", "ok", f"{visit.folder}: {why}")


def _settings(visit: Visit) -> Iterator[Check]:
    if visit.folder is None:
        return
    from trichrome.config import PREFIX, load

    loaded = load(visit.folder)
    for name, value in loaded.config:
        setting: Setting = {"name": name, "value": value, "source": loaded.sources[name]}
        if name != "roles":
            setting["variable"] = PREFIX + name.upper()
        visit.settings.append(setting)
    changed = sum(setting["source"] != "default" for setting in visit.settings)
    yield check("settings", "ok", f"{changed or 'none'} of {len(visit.settings)} differ from the defaults")
    if loaded.config.store == "memory":
        yield check("store", "warn", "memory", MEMORY)


def _variables(_visit: Visit) -> Iterator[Check]:
    from trichrome.config import PREFIX, Config

    known = [*(name.upper() for name in Config.model_fields if name != "roles"), *_OF_A_PROCESS]
    for name in sorted(os.environ):
        said = name.removeprefix(PREFIX)
        if said != name and said not in known:
            close = difflib.get_close_matches(said, known, n=1)
            advice = f"Did you mean {PREFIX}{close[0]}?" if close else "Unset it, or see the settings below."
            yield check("variables", "warn", f"{one_line(name, most=80)} is read by nothing", advice)


def _roles(visit: Visit) -> Iterator[Check]:
    if not visit.settings or visit.folder is None:
        return
    from trichrome.config import load
    from trichrome.roles import load_roles

    roles = load_roles(visit.folder, load(visit.folder).config.roles)
    for name in roles.names:
        roles.read(name)
    yield check("roles", "ok", ", ".join(roles.names))


def _folder(visit: Visit) -> Iterator[Check]:
    if visit.folder is None:
        return
    from trichrome.config import FOLDER, open_folder

    folder = visit.folder / FOLDER
    place = folder if folder.exists() else visit.folder
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        refused = "written" if os.access(place, os.R_OK | os.X_OK) else "read"
        yield check(
            "folder",
            "fail",
            f"{place} cannot be {refused}",
            "Make it writable for this user, or name another project folder with TRICHROME_HOME.",
        )
        return
    if place != folder:
        yield check("folder", "ok", f"{folder} is not there yet; the first command makes it")
        return
    open_folder(visit.folder)
    mode = folder.stat().st_mode & 0o777
    is_private = not mode & 0o077
    yield check(
        "folder",
        "ok" if is_private else "warn",
        f"{folder}, mode {mode:04o}, not tracked by git",
        f"Other users may look into it: `chmod 700 {folder}`.",
    )


def _file_system(visit: Visit) -> Iterator[Check]:
    if visit.folder is None:
        return
    kind, is_network = places.file_system(visit.folder)
    yield check(
        "file system",
        "warn" if is_network else "ok",
        kind or "unknown",
        "SQLite's locks cannot be relied on over a network. Put the project, or TRICHROME_HOME, on a local disk; for"
        " several hosts PostgreSQL is the answer.",
    )


# --- the log ----------------------------------------------------------------------------------------------------------


def _log(visit: Visit) -> Iterator[Check]:
    if visit.log is None:
        if visit.folder is not None and places.is_open(visit.folder):
            yield check("log", "ok", "none yet; the first command makes it")
        return
    from trichrome.bootstrap import open_project
    from trichrome.store.sqlite.facts import counts, damage, form, missing

    if faults := damage(visit.log):
        told = one_line("; ".join(faults[:_SHOWN]), most=_TOLD)
        yield check("log", "fail", f"{visit.log} is damaged", f"{_DAMAGED} What was found: {told}")
        return
    if lack := missing(visit.log):
        yield check("log", "fail", f"{visit.log} lacks what it should have: {'; '.join(lack[:_SHOWN])}", _VIEWS_DIFFER)
        return
    visit.project = open_project(visit.folder)
    events, tasks = counts(visit.log)
    yield check(
        "log", "ok", f"{visit.log}, form {form(visit.log)}, {counted(events, 'event')}, {counted(tasks, 'task')}"
    )


def _views(visit: Visit) -> Iterator[Check]:
    if visit.project is None:
        return
    from trichrome.coordinator import mending

    differences = visit.project.coordinator.store.differences()
    yield _compared("views", differences, "equal the log", _VIEWS_DIFFER)
    if not differences:
        yield _compared("holes", mending.missing(visit.project.coordinator), "nothing is half told", _HOLES)


def _compared(name: str, differences: list[str], well: str, advice: str) -> Check:
    if not differences:
        return check(name, "ok", well)
    return check(name, "fail", f"{len(differences)} differ: {'; '.join(differences[:_SHOWN])}", advice)


def _wal(visit: Visit) -> Iterator[Check]:
    if visit.log is None:
        return
    from trichrome.store.sqlite.parts import wal_of

    wal = wal_of(visit.log)
    size = wal.stat().st_size if wal.exists() else 0
    yield check(
        "wal",
        "ok" if size < _LARGE_WAL_BYTES else "warn",
        f"{size / 1024 / 1024:.1f} MiB",
        "Some program has kept an old state open for long: restart the oldest session.",
    )


def _backups(visit: Visit) -> Iterator[Check]:
    if visit.log is None:
        return
    from trichrome.domain.evidence import lasting
    from trichrome.store.sqlite.backups import folder_of, found, verify

    kept = found(folder_of(visit.log))
    if not kept:
        yield check(
            "backups", "warn" if _is_worth_a_backup(visit) else "ok", "none yet", "`trichrome backup` makes one."
        )
        return
    newest = kept[0]
    faults = verify(newest)
    events = counted(newest.events, "event")
    told = f"{len(kept)}, the newest {lasting(time.time() - newest.made_at)} old, with {events}"
    yield check(
        "backups",
        "warn" if faults else "ok",
        f"{told}: {'it is damaged' if faults else 'it opens, and is whole'}",
        "`trichrome backup` makes a new one; `trichrome backup --list` names those before it. What was found: "
        + one_line("; ".join(faults[:_SHOWN]), most=_TOLD),
    )


def _is_worth_a_backup(visit: Visit) -> bool:
    """Whether much would be lost with the log; where it cannot be read, nobody knows."""
    if visit.project is None:
        return True
    with visit.project.coordinator.store.reading() as view:
        first = view.events(limit=1)
        return bool(first) and (view.position() > _MANY_EVENTS or time.time() - first[0].recorded_at > _LONG_SECONDS)


def _workers(visit: Visit) -> Iterator[Check]:
    if visit.project is None:
        return
    from trichrome.coordinator import queries

    workers = queries.status(visit.project.coordinator)["workers"]
    lost = [worker["worker"] for worker in workers if worker["state"] in {"suspect", "gone"}]
    told = ", ".join(f"{worker['worker']} ({worker['state']})" for worker in workers) or "none connected"
    yield check(
        "workers",
        "warn" if lost else "ok",
        told,
        f"{', '.join(lost)} cannot be seen working; `trichrome status` shows the attempts.",
    )


_CHECKS: Final = (
    _python,
    _trichrome,
    _sqlite,
    _project,
    _settings,
    _variables,
    _roles,
    _folder,
    _file_system,
    _log,
    _views,
    _wal,
    _backups,
    _workers,
    *claude.LOOKS,
)
