"""`trichrome create`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from trichrome.cli.output import Json, document, new_app, note, table
from trichrome.cli.project import opened
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from trichrome.bootstrap import Project
    from trichrome.domain.drafts import Draft

app = new_app()


@app.command(epilog='Example: trichrome create search "Find who reads passwords" --review red')
def create(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="search, analyze, implement, fix, refactor, test, document, review ..."),
    ],
    instructions: Annotated[
        str, typer.Argument(metavar="INSTRUCTIONS", help="What to do, in words; - reads it from standard input.")
    ],
    role: Annotated[
        str | None, typer.Option(metavar="ROLE", help="Who does it; by default the role that takes this kind.")
    ] = None,
    priority: Annotated[int, typer.Option(metavar="0-9", help="0 is urgent, 9 can wait.")] = 5,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="TASK", help="A task to wait for; may be repeated.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A path that it will change; may be repeated.")
    ] = None,
    review: Annotated[str | None, typer.Option(metavar="ROLE", help="The role that reviews the result.")] = None,
    acceptance: Annotated[str | None, typer.Option(metavar="TEXT", help="When it counts as done.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Create it once: the same key again answers the same task.")
    ] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="The run it joins; by default a new one.")] = None,
    max_attempts: Annotated[int | None, typer.Option(metavar="N", help="How many tries it gets.")] = None,
    not_before: Annotated[float, typer.Option(metavar="SECONDS", help="How long it waits first.")] = 0.0,
    time_limit: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long one try may take.")] = None,
    as_json: Json = False,
) -> None:
    """Create a task for a worker of the right role."""
    with opened(as_json) as project:
        from trichrome.coordinator import OPERATOR, tasks
        from trichrome.domain.drafts import Draft

        draft = Draft(
            kind=kind,
            instructions=sys.stdin.read() if instructions == "-" else instructions,
            role=role,
            acceptance=acceptance,
            priority=priority,
            depends_on=tuple(name.strip() for each in depends_on or () for name in each.split(",")),
            files=tuple(files or ()),
            review=review,
            key=key,
            max_attempts=max_attempts,
            not_before_seconds=not_before,
            time_limit_seconds=time_limit,
        )
        with _kinds_told(draft, project):
            created = tasks.create(project.coordinator, OPERATOR, [draft], run=run)
    if as_json:
        document(created)
        return
    table(
        ("task", "state", "role", "run"), [(t["id"], t["state"], t["role"], created["run"]) for t in created["tasks"]]
    )
    note(f"`trichrome wait {created['run']}` waits for it.")


@contextmanager
def _kinds_told(draft: Draft, project: Project) -> Iterator[None]:
    """Add to the refusal of a kind what it may be a misspelling of, and the kinds there are."""
    try:
        yield
    except InvalidError as error:
        kinds = sorted({each for kinds in project.coordinator.roles.values() for each in kinds})
        if error.code != "unknown_role" or error.field != "role" or draft.role is not None:
            raise
        from trichrome.domain.drafts import meant

        told = f"{error.message}{meant(draft.kind, kinds)} Kinds that a role takes: {', '.join(kinds)}."
        raise InvalidError(told, code=error.code, field=error.field) from error
