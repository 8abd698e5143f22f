"""The plugin in a home of its own, and a model that does what it is told there: plan, start workers, wait, merge.

The scripted model knows nothing of a test: it reads the instructions in its context and the tools that it has, as a
real one would. What the test wants to see it finds in the log and in the requests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.claude import Answer, Claude, Session, binary
from tests.support.messages_api import MessagesApi, Reply, Request, call, say

from trichrome.bootstrap import Project, open_project
from trichrome.coordinator import queries

ROOT = Path(__file__).parents[2]
"""The plugin's folder: this checkout."""
ALLOWED = "mcp__plugin_trichrome_trichrome__*,mcp__trichrome__*"


@dataclass
class Place:
    """A project, a home beside it, and Claude Code with the plugin in it.

    Attributes:
        plugin: the plugin's folder; None for Claude Code without it.
        path: the folders in which programs are looked for; None for the usual ones, `trichrome` among them.
    """

    folder: Path
    plugin: Path | None = ROOT
    path: Sequence[Path] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.project.mkdir(exist_ok=True)
        self.home.mkdir(exist_ok=True)

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def run(self, api: MessagesApi, prompt: str, *more: str, allowed: str = ALLOWED, timeout: float = 90.0) -> Answer:
        """One headless session from start to end."""
        with self.start(api, prompt, *more, allowed=allowed) as session:
            return session.wait(timeout)

    def start(self, api: MessagesApi, prompt: str, *more: str, allowed: str = ALLOWED) -> Session:
        """One headless session in the background."""
        command = [
            str(binary()),
            *([f"--plugin-dir={self.plugin}"] if self.plugin is not None else []),
            f"--settings={json.dumps(self.settings)}",
            f"--allowedTools={allowed}",
            "--print",
            "--output-format=json",
            *more,
            prompt,
        ]
        return Session(command, self.project, self.environment(api))

    def environment(self, api: MessagesApi) -> dict[str, str]:
        claude = Claude(home=self.home, folder=self.project, api_url=api.url, env=dict(self.env))
        environment = claude.environment()
        if self.path is not None:
            environment["PATH"] = os.pathsep.join(map(str, self.path))
        return environment

    def opened(self) -> Project:
        """The tester's own eye on the log; close it."""
        return open_project(self.project)

    def tasks(self) -> list[Any]:
        """Every task with its attempts, in the order they were created; none where there is no log."""
        if not (self.project / ".trichrome" / "events.db").exists():
            return []
        project = self.opened()
        try:
            page = queries.page(project.coordinator)["tasks"]
            return [queries.task_detail(project.coordinator, each["id"]) for each in page]
        finally:
            project.close()


def programs(folder: Path, *names: str) -> Path:
    """A folder with nothing but these programs of the machine, for a PATH without the others."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        found = sys.executable if name == "python3" else shutil.which(name)  # a version manager's would look around
        assert found is not None, name
        (folder / name).symlink_to(Path(found).resolve())
    return folder


def copied(folder: Path, *, without: Sequence[str] = ()) -> Path:
    """A copy of the plugin that lacks some of its parts, as after half an installation."""
    parts = (".claude-plugin", "agents", "skills", "hooks", "bin", "server", "mcp.json", "README.md", "LICENSE")
    for part in parts:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / part, folder / part)
    for part in without:
        target = folder / part
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    return folder


# --- a model that follows its instructions ----------------------------------------------------------------------------

_ADDED = re.compile(r"(?:UserPromptExpansion|UserPromptSubmit) hook additional context: (?=Trichrome)")
_PLAN = re.compile(r"^\[\{.*\}\]$", re.MULTILINE)
_WORKERS = re.compile(r'(\d+) of subagent_type "([^"]+)" for ([\w-]+)')


def instructions(request: Request) -> str:
    """What Trichrome added to the conversation; empty for nothing."""
    found = list(_ADDED.finditer(request.system))
    return request.system[found[-1].end() :] if found else ""


def plan(request: Request) -> list[dict[str, Any]]:
    """The tasks that it is told to create."""
    found = _PLAN.search(instructions(request))
    return json.loads(found[0]) if found else []


def has(request: Request, tool: str) -> bool:
    """Whether the model can reach a tool of ours, loaded or by a search."""
    names = (*request.tools, *re.findall(r"^mcp__\S+$", request.system, re.MULTILINE))
    return any(name.endswith(f"__{tool}") for name in names)


def model(request: Request) -> Reply:
    """A lead where it is told to lead, a worker where it is a subagent, and else one agent that does the work."""
    if request.agent:
        return worker(request)
    if not plan(request) or "dry run" in instructions(request):
        return say("done alone")
    if not has(request, "create_task"):
        return say("Working alone, because Trichrome's tools are missing. done alone")
    return lead(request)


def lead(request: Request) -> Reply:
    """Create the plan, start the workers of each role that has a ready task, wait, merge."""
    created = request.results_of("create_task")
    if not created:
        return call("create_task", {"tasks": plan(request)})
    if "run" not in created[-1]:
        return say(f"Working alone: {created[-1]}. done alone")
    waited = [each for each in request.results_of("wait") if isinstance(each, dict)]
    if waited and waited[-1].get("done"):
        return say(f"merged {created[-1]['run']}")
    if any(result.tool == "Agent" and result.failed for result in request.results) and not _is_idle(request):
        return worker(request)  # none can be started, so it does their work itself
    ready = _ready_roles(request)
    wanted = {role: (int(count), kind) for count, kind, role in _WORKERS.findall(instructions(request))}
    started = {kind for name, asked in uses(request) if name == "Agent" for kind in [asked["subagent_type"]]}
    starts = [
        call("Agent", {"description": role, "prompt": f"claim_task(role={role})", "subagent_type": kind})
        for role in ready
        for count, kind in [wanted.get(role, (0, ""))]
        if kind not in started
        for _ in range(count)
    ]
    waits = {"wait_seconds": 30, **({"cursor": waited[-1]["cursor"]} if waited else {})}
    return sum(starts, say("")) + call("wait", waits) if starts else call("wait", waits)


def _is_idle(request: Request) -> bool:
    """Whether the last claim brought nothing."""
    claimed = request.results_of("claim_task")
    reported = request.results_of("report_result")
    newest = reported[-1].get("claimed", {}) if reported else claimed[-1] if claimed else {"attempt": "none yet"}
    return newest.get("attempt") is None


def _ready_roles(request: Request) -> list[str]:
    """The roles of tasks whose dependencies are over, as far as the lead was told."""
    over = {each["ref"] for each in plan(request) if _is_over(request, each["ref"])}
    tasks = [each for each in plan(request) if set(each.get("depends_on", ())) <= over]
    reviews = [each["review"] for each in tasks if each.get("review")]
    return list(dict.fromkeys([each["role"] for each in tasks] + reviews))


def _is_over(request: Request, ref: str) -> bool:
    ids = {each.get("ref"): each["id"] for each in request.results_of("create_task")[-1]["tasks"]}
    answers = [each for each in request.results_of("wait") if isinstance(each, dict)]
    ended = {each["id"] for waited in answers for each in waited.get("changed", ())}
    return ids.get(ref) in ended


def uses(request: Request) -> list[tuple[str, dict[str, Any]]]:
    return [
        (block["name"], block["input"])
        for message in request.body["messages"]
        if message["role"] == "assistant" and not isinstance(message["content"], str)
        for block in message["content"]
        if block["type"] == "tool_use"
    ]


def worker(request: Request) -> Reply:
    """Claim what its role is for, report it, and go on until there is nothing to do.

    A terminal that joined claims anew each time, with its role; a subagent has its role from its hook.
    """
    has_joined = "is a worker of Trichrome now" in "\n".join(request.prompts)
    role = re.search(r"(?:claim_task\(role=\"?|of this role: )([a-z][\w-]*)", "\n".join(request.prompts))
    claims = [
        *request.results_of("claim_task"),
        *(each.get("claimed", {}) for each in request.results_of("report_result")),
    ]
    asked = len(request.results_of("claim_task"))
    if not claims:
        return call("claim_task", {**({"role": role[1]} if role else {}), "wait_seconds": 20})
    attempts = [each["attempt"] for each in claims if each.get("attempt")]
    reported = len(request.results_of("report_result"))
    if len(attempts) > reported:
        task = next(each["task"] for each in claims if each.get("attempt") == attempts[-1])
        outcome = "approved" if task["kind"] == "review" and "reviews" in task else "completed"
        told = {"attempt": attempts[-1], "outcome": outcome, "summary": f"found {attempts[-1]}"}
        return call("report_result", {**told, **({} if has_joined else {"claim_next": True})})
    if has_joined and asked == reported:
        return call("claim_task", {**({"role": role[1]} if role else {}), "wait_seconds": 20})
    return say(f"nothing to do after {reported} of {asked}")
