"""What `doctor` looks at around Claude Code: its version, settings, servers, login, models, and our plugin in it.

Files of other programs are read tolerantly, and no secret is printed: a login is told by what is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from trichrome.cli.doctor.report import Check, Visit, check
from trichrome.cli.output import one_line
from trichrome.domain.outputs import SERVER
from trichrome.roles import MODELS
from trichrome.runners.claude_code import configured
from trichrome.version import VERSION

TRIED: Final = (2, 1, 330)
"""The version that docs/decisions 0007, 0016 and 0023 speak of."""
_VERSION_SECONDS: Final = 15.0
_PLUGIN: Final = "trichrome@"
_PYTHON: Final = (3, 11)
_LOGINS: Final = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_CLOUDS: Final = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


def _program(_visit: Visit) -> Iterator[Check]:
    binary = shutil.which("claude")
    if binary is None:
        yield check(
            "claude",
            "warn",
            "not on the PATH",
            "Claude workers need Claude Code (https://claude.com/claude-code); the demo does not.",
        )
        return
    asked = _asked(binary, "--version")
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", asked or "")
    if asked is None or found is None:
        yield check(
            "claude", "warn", f"{one_line(asked or '', most=80)} at {binary}", "`claude --version` does not answer."
        )
        return
    is_old = tuple(map(int, found.groups())) < TRIED
    yield check(
        "claude",
        "warn" if is_old else "ok",
        f"{one_line(asked, most=80)} at {binary}",
        f"Hooks and subagents were tried with {'.'.join(map(str, TRIED))}: update with `claude update`.",
    )


def _python(_visit: Visit) -> Iterator[Check]:
    """Hooks that are plain files are run by whatever `python3` is on the PATH."""
    if not _has_registration():
        return
    binary = shutil.which("python3")
    asked = None if binary is None else _asked(binary, "-IS", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    found = re.fullmatch(r"(\d+)\.(\d+)", asked or "")
    is_well = found is not None and tuple(map(int, found.groups())) >= _PYTHON
    yield check(
        "hooks' python",
        "ok" if is_well else "warn",
        f"{asked or 'no answer'} at {binary or 'nowhere'}",
        "Flags such as --multi-agent, and the git guard, need a `python3` from 3.11 on the PATH; the rest does not.",
    )


def _asked(*command: str) -> str | None:
    try:
        asked = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


# --- registrations ----------------------------------------------------------------------------------------------------


def _settings(visit: Visit) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each file of settings by its scope, the strongest first."""
    if visit.folder is not None:
        yield "local", configured.read(visit.folder / ".claude" / "settings.local.json")
        yield "project", configured.read(visit.folder / ".claude" / "settings.json")
    yield "user", configured.read(configured.folder() / "settings.json")


def _plugins(visit: Visit) -> dict[str, bool]:
    """Our plugin by its marketplace, and whether it is enabled; a stronger scope decides."""
    found: dict[str, bool] = {}
    for _, settings in _settings(visit):
        for name, is_on in configured.table(settings, "enabledPlugins").items():
            if name.startswith(_PLUGIN):
                found.setdefault(name, is_on is True)
    return found


def _has_registration() -> bool:
    return bool(_plugins(Visit())) or SERVER in configured.table(configured.read(configured.state()), "mcpServers")


def _servers(visit: Visit) -> dict[str, Any]:
    """Every server of our name by where it is registered, the one that wins first."""
    user = configured.read(configured.state())
    here = {} if visit.folder is None else configured.table(user, "projects", str(visit.folder.resolve()))
    shared = {} if visit.folder is None else configured.read(visit.folder / ".mcp.json")
    scopes = {"local": here, "project": shared, "user": user}
    found = {scope: configured.table(document, "mcpServers").get(SERVER) for scope, document in scopes.items()}
    return {scope: server for scope, server in found.items() if server is not None}


def _registered(visit: Visit) -> Iterator[Check]:
    servers, plugins = _servers(visit), _plugins(visit)
    enabled = [name for name, is_on in plugins.items() if is_on]
    told = [*(f"server, {scope} scope" for scope in servers), *(f"plugin {name}" for name in enabled)]
    if not told and shutil.which("claude") is None:
        return
    if not told:
        off = ", ".join(plugins)
        found = f"the plugin {off} is disabled" if off else "not registered with Claude Code"
        advice = f"`claude plugin enable {off}`" if off else "Install the plugin, or run `trichrome integrate`."
        yield check("registration", "warn", found, advice)
        return
    if servers and enabled:
        advice = "Both start a server of this project, and hooks of both run twice: `trichrome integrate --undo`, or "
        yield check("registration", "warn", "; ".join(told), f"{advice}`claude mcp remove trichrome`.")
    elif len(servers) > 1:
        first = next(iter(servers))
        yield check("registration", "warn", "; ".join(told), f"The one of {first} scope wins. Remove the others.")
    else:
        yield check("registration", "ok", "; ".join(told))
    yield from _foreign(servers)
    yield from _versions(enabled)


def _foreign(servers: dict[str, Any]) -> Iterator[Check]:
    for scope, server in servers.items():
        words = (
            [str(server.get("command", "")), *map(str, server.get("args") or ())] if isinstance(server, dict) else []
        )
        if not any("trichrome" in word for word in words):
            yield check(
                "other server",
                "warn",
                f"the server trichrome of {scope} scope is another program",
                "Rename it: our hooks and subagents speak to a server of this name.",
            )


def _versions(enabled: list[str]) -> Iterator[Check]:
    installed = configured.table(configured.read(configured.folder() / "plugins" / "installed_plugins.json"), "plugins")
    for name in enabled:
        copies = installed.get(name)
        for copy in copies if isinstance(copies, list) else ():
            version = copy.get("version") if isinstance(copy, dict) else None
            if version not in {None, VERSION}:
                yield check(
                    "plugin version",
                    "warn",
                    f"the plugin {name} is {version}, this program is {VERSION}",
                    "One log should have one program: `claude plugin update trichrome`, or install this one again.",
                )


# --- settings that stand in the way -----------------------------------------------------------------------------------


def _in_the_way(visit: Visit) -> Iterator[Check]:
    for scope, settings in _settings(visit):
        if settings.get("disableAllHooks") is True:
            yield check(
                "hooks",
                "warn",
                f"disableAllHooks is set in the {scope} settings",
                "Flags do nothing then, and subagents cannot be told apart: remove it, or let workers be sessions.",
            )
        denied = [
            rule
            for rule in configured.names(configured.table(settings, "permissions"), "deny")
            if rule.startswith("mcp__") and "trichrome" in rule
        ]
        if denied:
            told = one_line(", ".join(denied), most=120)
            yield check("permissions", "warn", f"the {scope} settings deny {told}", "Workers cannot claim: remove it.")
    if os.environ.get("ENABLE_TOOL_SEARCH") == "false":
        yield check(
            "tool search",
            "warn",
            "ENABLE_TOOL_SEARCH=false",
            "Every session then pays for the schemas of all tools of all servers: unset it.",
        )
    if visit.folder is not None and _servers(visit).keys() == {"project"} and not _is_trusted(visit.folder):
        yield check(
            "trust",
            "warn",
            "the server is registered in .mcp.json, and this folder is not trusted yet",
            "Start `claude` here once, and say yes to the folder and to the server.",
        )


def _is_trusted(folder: Path) -> bool:
    here = configured.table(configured.read(configured.state()), "projects", str(folder.resolve()))
    return here.get("hasTrustDialogAccepted") is True


# --- models and login -------------------------------------------------------------------------------------------------


def _models(visit: Visit) -> Iterator[Check]:
    if model := os.environ.get("CLAUDE_CODE_SUBAGENT_MODEL"):
        yield check(
            "subagent model",
            "warn",
            f"CLAUDE_CODE_SUBAGENT_MODEL={one_line(model, most=80)}",
            "It overrides the model of every role that runs as a subagent: unset it to let blue, green and red differ.",
        )
    for alias, known in MODELS.items():
        meant = os.environ.get(f"ANTHROPIC_DEFAULT_{alias.upper()}_MODEL")
        if meant and meant != known:
            yield check(
                "model alias",
                "warn",
                f"{alias} stands for {one_line(meant, most=80)}, not {known}",
                f"Expected costs are those of {known}. Name a model in [roles.NAME] of the settings to be exact.",
            )
    for scope, settings in _settings(visit):
        available = configured.names(settings, "availableModels")
        lacking = [alias for alias in ("haiku", "sonnet", "opus") if available and alias not in available]
        if lacking:
            yield check(
                "models",
                "warn",
                f"the {scope} settings do not allow {', '.join(lacking)}",
                "Roles on those run on another model, or not at all: allow them, or set `model` in [roles.NAME].",
            )


def _login(_visit: Visit) -> Iterator[Check]:
    """By what is there; whether it is accepted only a session can tell."""
    if shutil.which("claude") is None:
        return
    found = [name for name in (*_LOGINS, *_CLOUDS) if os.environ.get(name)]
    if (configured.folder() / ".credentials.json").exists() or configured.read(configured.state()).get("oauthAccount"):
        found.append("a login of Claude Code")
    if any(settings.get("apiKeyHelper") for _, settings in _settings(Visit())):
        found.append("apiKeyHelper")
    is_unsure = not found and sys.platform == "darwin"
    yield check(
        "login",
        "ok" if found or is_unsure else "warn",
        ", ".join(found) or ("perhaps in the keychain" if is_unsure else "none seen"),
        "Run `claude` once and log in, or set ANTHROPIC_API_KEY; workers of `trichrome start` need it too.",
    )


LOOKS: Final[tuple[Callable[[Visit], Iterator[Check]], ...]] = (
    _program,
    _python,
    _registered,
    _in_the_way,
    _models,
    _login,
)
"""Every check of this module, in order."""
