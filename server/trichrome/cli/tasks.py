"""`trichrome list`, `show` and `explain`: reading tasks, and what their workers do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import Json, data, document, new_app, note, one_line, say, table
from trichrome.cli.project import check_task, opened

if TYPE_CHECKING:
    from trichrome.coordinator.answers import Result, TaskDetail, TaskExplained, WorkerDetail

_SHOWN_DATA: Final = 4_000
"""Characters of a result's data that `show` prints for people."""

_TASK: Final = re.compile(r"t\d+(\.\d+)?")

app = new_app()

Task = Annotated[str, typer.Argument(metavar="TASK", help="A task, such as t17.")]


@app.command("list", epilog="Example: trichrome list --state running --role blue")
def list_tasks(
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only tasks of this run.")] = None,
    state: Annotated[
        str | None,
        typer.Option(metavar="STATE", help="blocked, ready, running, in_review, completed, failed or cancelled."),
    ] = None,
    role: Annotated[str | None, typer.Option(metavar="ROLE", help="Only tasks for this role.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="The most tasks, up to 500.")] = 50,
    after: Annotated[str | None, typer.Option(metavar="TASK", help="Go on behind this task.")] = None,
    as_json: Json = False,
) -> None:
    """List tasks, oldest first."""
    with opened(as_json) as project:
        from trichrome.coordinator import queries

        page = queries.page(project.coordinator, run=run, state=state, role=role, limit=limit, after=after)
    if as_json:
        document(page)
        return
    rows = [(t["id"], t["run"], t["kind"], t["role"], t["state"], t.get("summary", "")) for t in page["tasks"]]
    if rows:
        table(("task", "run", "kind", "role", "state", "result"), rows, brief=True)
    else:
        note(_none(run=run, state=state, role=role, after=after))
    if "after" in page:
        note(f"There are more: --after {page['after']}")


def _none(*, run: str | None, state: str | None, role: str | None, after: str | None) -> str:
    """That nothing is listed, with what was asked for."""
    if not (run or state or role or after):
        return 'There is no task yet. `trichrome create search "..."` makes one.'
    what = " ".join(filter(None, ("No", role, "task", f"of {run}" if run else "", f"after {after}" if after else "")))
    return f"{what} is {state.replace('_', ' ')}." if state else f"{what} is there."


@app.command(epilog="Example: trichrome show t1")
def show(task: Task, as_json: Json = False) -> None:
    """Show one task whole: instructions, attempts, result, history."""
    with opened(as_json) as project:
        from trichrome.coordinator import queries

        check_task(task)
        detail = queries.task_detail(project.coordinator, task)
    if as_json:
        document(detail)
        return
    say("\n".join(_told(detail)))


def _told(detail: TaskDetail) -> Iterator[str]:
    yield f"{detail['id']}  {detail['state']}  {detail['kind']} for {detail['role']}, of {detail['run']}"
    yield f"priority {detail['priority']}"
    if detail["depends_on"]:
        yield f"depends on {', '.join(detail['depends_on'])}"
    if "reviews" in detail:
        yield f"reviews {detail['reviews']}"
    if "files" in detail:
        yield f"changes {', '.join(detail['files'])}"
    yield from _section("Instructions", detail["instructions"])
    if "acceptance" in detail:
        yield from _section("Done when", detail["acceptance"])
    if "feedback" in detail:
        yield from _section(f"Sent back by {detail['feedback']['by']}", detail["feedback"]["summary"])
    if detail["attempts"]:
        lines = (
            f"{each['attempt']}  {each['state']}  {each['worker']}  {one_line(each.get('summary', ''), most=120)}"
            for each in detail["attempts"]
        )
        yield from _section("Attempts", "\n".join(line.rstrip() for line in lines))
    if "result" in detail:
        yield from _section("Result", "\n".join(_result(detail["result"])))
    for late in detail.get("superseded", ()):
        yield from _section(f"Superseded result of {late['attempt']}, by {late['worker']}", "\n".join(_result(late)))
    yield from _section("History (UTC)", "\n".join(one_line(line) for line in detail["history"]))


def _result(result: Result) -> Iterator[str]:
    yield result["summary"]
    yield from (f"artifact: {path}" for path in result.get("artifacts", ()))
    yield from (f"changed: {path}" for path in result.get("files", ()))
    yield from ([f"branch: {result['branch']}"] if "branch" in result else ())
    yield from (f"proposed: {one_line(each)}" for each in result.get("follow_ups", ()))
    if "data" in result:
        yield data(result["data"], most=_SHOWN_DATA)


def _section(title: str, body: str) -> Iterator[str]:
    yield ""
    yield title
    yield from (f"  {line}" for line in body.splitlines())


@app.command(epilog="Example: trichrome explain t3; trichrome explain blue-1")
def explain(
    what: Annotated[str, typer.Argument(metavar="TASK|WORKER", help="A task, such as t17, or a worker: blue-1.")],
    as_json: Json = False,
) -> None:
    """Tell why a task or a worker stands where it stands, and what would help."""
    with opened(as_json) as project:
        from trichrome.coordinator import queries

        check_task(what)
        answer: WorkerDetail | TaskExplained
        if _TASK.fullmatch(what):
            answer = {"task": what, "explanation": queries.explain(project.coordinator, what)}
        else:
            answer = queries.explain_worker(project.coordinator, what)
    if as_json:
        document(answer)
        return
    say("\n".join(one_line(line) for line in answer["explanation"]))
