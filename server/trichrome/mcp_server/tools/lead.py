"""What a lead does: create tasks, wait for them, look, cancel, and ask how much team a request deserves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, ValidationError

from trichrome.errors import InvalidError
from trichrome.mcp_server.registry import Arguments, Call, Objects, Texts, Tool, Toolset, Whole, refusal

if TYPE_CHECKING:
    from trichrome.domain.drafts import Draft

_LEAD: Final[frozenset[Toolset]] = frozenset({"lead"})


class _Wish(Arguments):
    """What may be said about a task to create, in a list or by itself."""

    kind: str | None = None
    instructions: str | None = None
    role: str | None = None
    acceptance: str | None = None
    priority: Whole = 5
    depends_on: Texts = ()
    files: Texts = ()
    review: str | None = None
    key: str | None = None
    max_attempts: Whole | None = None
    not_before_seconds: float = 0
    time_limit_seconds: float | None = None


class TaskDraft(_Wish):
    """One task to create; strict, wherever it stands."""

    kind: str
    instructions: str
    ref: str | None = None


class CreateTask(_Wish):
    """Arguments of create_task: one task, or `tasks`."""

    run: str | None = None
    tasks: Objects | None = None


def _create_task(call: Call, args: CreateTask) -> Mapping[str, Any]:
    from trichrome.coordinator import tasks

    single = args.model_dump(exclude={"run", "tasks"}, exclude_unset=True)
    if args.tasks is None:
        drafts = [_draft(single, where="")]
    elif single:
        raise InvalidError(
            f"Give either tasks, or {', '.join(single)} for one task. With tasks, each one carries its own.",
            field="tasks",
        )
    else:
        drafts = [_draft(each, where=f"tasks[{number}].") for number, each in enumerate(args.tasks)]
    return tasks.create(call.coordinator, call.caller, drafts, run=args.run)


def _draft(values: Mapping[str, Any], *, where: str) -> Draft:
    from trichrome.domain.drafts import Draft

    try:
        checked = TaskDraft.model_validate(values)
    except ValidationError as error:
        raise refusal(error, TaskDraft, where=where) from None
    return Draft(**checked.model_dump())


class Wait(Arguments):
    """Arguments of wait."""

    run: str | None = None
    tasks: Texts | None = None
    cursor: Whole | None = None
    wait_seconds: float = 60


def _wait(call: Call, args: Wait) -> Mapping[str, Any]:
    from trichrome.coordinator import waiting

    return waiting.wait(
        call.coordinator,
        call.caller,
        run=args.run,
        tasks=args.tasks,
        cursor=args.cursor,
        wait_seconds=args.wait_seconds,
        stop=call.stop,
    )


class ListTasks(Arguments):
    """Arguments of list_tasks."""

    run: str | None = None
    state: str | None = None
    role: str | None = None
    limit: Whole | None = None
    after: str | None = None


def _list_tasks(call: Call, args: ListTasks) -> Mapping[str, Any]:
    from trichrome.coordinator import queries

    return queries.page(
        call.coordinator, run=args.run, state=args.state, role=args.role, limit=args.limit, after=args.after
    )


class CancelTask(Arguments):
    """Arguments of cancel_task."""

    task: str | None = None
    run: str | None = None
    reason: str | None = None


def _cancel_task(call: Call, args: CancelTask) -> Mapping[str, Any]:
    from trichrome.coordinator import tasks

    return tasks.cancel(call.coordinator, call.caller, task=args.task, run=args.run, reason=args.reason)


class GetStatus(Arguments):
    """Arguments of get_status: none."""


def _get_status(call: Call, _args: GetStatus) -> Mapping[str, Any]:
    from trichrome.coordinator import queries

    return queries.status(call.coordinator)


class RouteTask(Arguments):
    """Arguments of route_task."""

    request: Annotated[str, Field(max_length=65536)]
    files: Texts = ()


def _route_task(call: Call, args: RouteTask) -> Mapping[str, Any]:
    from trichrome.coordinator import costs

    return costs.route(call.coordinator, args.request, args.files)


TOOLS: Final[tuple[Tool[Any], ...]] = (
    Tool(
        "create_task",
        "Create one task, or all of tasks=[{ref, kind, instructions, ...}] at once; depends_on names tasks or refs. "
        "kind picks the role: search, analyze: blue; implement, fix, refactor, test, document: green; review: red; "
        "others need role. review names a role that judges the result. files: paths it will change. priority 0 urgent "
        "to 9. key: the same again finds the first. Without run, a new one.",
        CreateTask,
        _create_task,
        _LEAD,
        hot=True,
    ),
    Tool(
        "wait",
        "Wait (to 90 s) until something in a run, or of these tasks, ended or is stuck. Pass the cursor of the answer "
        "to go on. Default: your newest run.",
        Wait,
        _wait,
        _LEAD,
        reads=True,
        hot=True,
    ),
    Tool("list_tasks", "Tasks, filtered, a page at a time.", ListTasks, _list_tasks, _LEAD, reads=True),
    Tool(
        "cancel_task",
        "Cancel a task, or a whole run.",
        CancelTask,
        _cancel_task,
        _LEAD,
        repeats=True,
        destroys=True,
    ),
    Tool("get_status", "Queue, workers, and what needs a human.", GetStatus, _get_status, _LEAD, reads=True),
    Tool(
        "route_task",
        "Whether a request (flags may be in it) deserves one agent or a team: roles, plan, why, at what cost. Creates "
        "nothing.",
        RouteTask,
        _route_task,
        _LEAD,
        reads=True,
    ),
)
