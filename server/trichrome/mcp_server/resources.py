"""What a client may read without calling a tool: tasks, runs, the status, the roles; and notices of their change."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types

from trichrome.domain import ids
from trichrome.errors import NotFoundError
from trichrome.mcp_server.session import Session

if TYPE_CHECKING:
    from trichrome.store.port import Recorded

STATUS: Final = "trichrome://status"
TEMPLATES: Final = (
    types.ResourceTemplate(
        uri_template="trichrome://tasks/{id}",
        name="task",
        description="One task: attempts, result, history in words.",
        mime_type="application/json",
    ),
    types.ResourceTemplate(
        uri_template="trichrome://runs/{id}",
        name="run",
        description="The tasks of one run.",
        mime_type="application/json",
    ),
    types.ResourceTemplate(
        uri_template="trichrome://roles/{name}",
        name="role",
        description="A role's prompt.",
        mime_type="text/markdown",
    ),
)
_URI: Final = re.compile(rf"{STATUS}|trichrome://(?P<family>tasks|runs|roles)/(?P<name>[A-Za-z0-9_-]{{1,80}})")


def listed() -> list[types.Resource]:
    """The resources that need no name."""
    return [
        types.Resource(
            uri=STATUS,
            name="status",
            description="Queue, workers, and what needs a human.",
            mime_type="application/json",
        )
    ]


def read(session: Session, uri: str) -> types.TextResourceContents:
    """One resource.

    Raises:
        TrichromeError: `not_found` and whatever reading it may raise.
    """
    family, name = parts(uri)
    if family == "roles":
        return types.TextResourceContents(uri=uri, mime_type="text/markdown", text=session.roles().read(name).prompt)
    from trichrome.coordinator import queries

    coordinator = session.project().coordinator
    match family:
        case "tasks":
            return _json(uri, queries.task_detail(coordinator, name))
        case "runs":
            return _json(uri, queries.page(coordinator, run=name, limit=queries.LARGEST_PAGE))
        case _:
            return _json(uri, queries.status(coordinator))


def parts(uri: str) -> tuple[str, str]:
    """What a resource is about, and which one.

    Raises:
        NotFoundError: there is no such resource.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise NotFoundError(f"There is no resource {uri[:80]!r}. resources/templates/list shows what there is.")
    return ("status", "") if uri == STATUS else (match["family"], match["name"])


def _json(uri: str, content: Any) -> types.TextResourceContents:
    from trichrome.coordinator import sizes

    text = json.dumps(sizes.fitted(content), ensure_ascii=False, separators=(",", ":"))
    return types.TextResourceContents(uri=uri, mime_type="application/json", text=text)


def touched(session: Session, events: list[Recorded]) -> list[str]:
    """The resources that these events changed, each once; a run is its tasks."""
    if not events:
        return []
    uris = dict.fromkeys([STATUS])
    with session.project().coordinator.store.reading() as view:
        for recorded in events:
            task = view.task(ids.TaskId(recorded.stream)) if ids.is_task(recorded.stream) else None
            if task is not None:
                uris |= dict.fromkeys([f"trichrome://tasks/{task.id}", f"trichrome://runs/{task.run}"])
            elif ids.is_run(recorded.stream):
                uris[f"trichrome://runs/{recorded.stream}"] = None
    return list(uris)
