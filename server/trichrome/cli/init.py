"""`trichrome init`: the project's folder, with a configuration to read and change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from trichrome.cli.output import Json, document, new_app, program, refusals, say

if TYPE_CHECKING:
    from trichrome.config import Config

MEANING: Final = {
    "durability": '"full" survives a power cut; "fast" may lose the last moments to one, never to a killed process.',
    "store": '"sqlite", or "memory" to try things out within one process.',
    "lease_seconds": "How long an attempt lives unrenewed where its client cannot be seen: another host, a container.",
    "max_attempts": "How many tries a task gets.",
    "time_limit_seconds": "How long one try may take.",
    "backoff_seconds": "The first wait after a failed try; it doubles from try to try. 0 for none.",
    "backoff_cap_seconds": "The longest such wait.",
    "max_review_rounds": "How often a reviewer may send a task back before it fails.",
    "on_lead_gone": 'What a run does when whoever created it is gone: "continue" or "pause".',
    "backup_every_hours": "How old the newest automatic backup may become while the log moves. 0 for none.",
    "backups_kept": "How many automatic backups are kept; those that you ask for are never pruned.",
    "runner": "What `trichrome start` starts sessions with: auto, claude, api, offline, or script:COMMAND.",
    "session_memory_mib": "Memory that one session of a worker may hold, with all that it starts.",
    "session_processes": "How many processes it may run at a time.",
    "stop_grace_seconds": "How long sessions may go on once a stop is wanted.",
    "restart_backoff_seconds": "The pause after a session that failed; it doubles with each further one in a row.",
    "edit_gate": 'Whom hooks keep from writing what is not theirs: "workers" of the supervisor, or "all" sessions.',
    "log_level": "What is written to .trichrome/logs: debug, info, warning or error.",
}
"""What each setting means, in a line."""

_HEAD: Final = """\
# The settings of this project. Each line shows a default: take the # away to change it.
# A variable of the environment beats this file: durability is also TRICHROME_DURABILITY, and so on.
# `trichrome doctor` shows each value and where it came from.
"""
_ROLES: Final = """
# Roles: what each takes and runs on. A new role is a file in .trichrome/agents/, with front matter.
"""

app = new_app()


@app.command(epilog="Example: trichrome init")
def init(as_json: Json = False) -> None:
    """Make this project's .trichrome folder and its settings file."""
    with refusals(as_json):
        from trichrome import config

        project = config.project_folder()
        is_new = not (project / config.FOLDER).exists()
        folder = config.open_folder(project)
        path = folder / "config.toml"
        made = [str(folder)] if is_new else []
        if not path.exists():
            path.write_text(settings_file(config.Config()), encoding="utf-8")
            made.append(str(path))
        config.load(project)
    if as_json:
        document({"project": str(project), "folder": str(folder), "made": made})
        return
    say("\n".join([f"Project {project}", *(f"made {each}" for each in made)]))
    if not made:
        say(f"It was set up already; {path} is as it was.")
    say()
    say("Next:")
    say("  trichrome demo                             watch workers coordinate, without a model")
    say(f"  claude mcp add trichrome -- {_command()}  give Claude Code the tools")
    say('  trichrome create search "..."              create a task; `trichrome wait` waits for it')


def settings_file(defaults: Config) -> str:
    """The settings file of a new project: every setting commented out, with its default and its meaning."""
    return "\n".join([_HEAD, *_settings(defaults), _ROLES, *_roles()]) + "\n"


def _settings(defaults: Config) -> Iterator[str]:
    for name, meaning in MEANING.items():
        yield f"# {meaning}"
        yield f"# {name} = {json.dumps(getattr(defaults, name))}"


def _roles() -> Iterator[str]:
    from trichrome.roles import SHIPPED

    for name, policy in SHIPPED.items():
        yield f"# [roles.{name}]"
        yield f"# kinds = {json.dumps(policy.kinds)}"
        yield f"# share = {policy.share}"
        yield f"# may_write = {json.dumps(policy.may_write)}"


def _command() -> str:
    """How Claude Code starts the server: by its bare name where that is found."""
    return f"{program()} mcp"
