"""`trichrome route`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trichrome.cli.output import Json, counted, document, new_app, note, one_line, say, table
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.coordinator.answers import Route

app = new_app()


@app.command(epilog='Example: trichrome route "Find who reads passwords, and harden it --comprehensive"')
def route(
    request: Annotated[
        str, typer.Argument(metavar="REQUEST", help="What is wanted, in words; flags of slash commands may be in it.")
    ],
    files: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A path that it concerns; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether a request deserves one agent or a team: roles, plan, reasons, expected cost. Creates nothing."""
    with opened(as_json) as project:
        from trichrome.coordinator import costs

        answer = costs.route(project.coordinator, request, files or ())
    if as_json:
        document(answer)
        return
    for line in _told(answer):
        say(line)
    if "plan" in answer:
        rows = [
            (
                each["ref"],
                each["kind"],
                each["role"],
                ", ".join(each.get("depends_on", ())),
                each.get("review", ""),
                one_line(each["instructions"]),
            )
            for each in answer["plan"]
        ]
        table(("task", "kind", "role", "after", "review", "instructions"), rows)
    note("Nothing was created.")


def _told(answer: Route) -> Iterator[str]:
    many = ", ".join(
        f"{role} ({answer['models'].get(role, 'unknown model')}): {counted(count, 'part')}"
        for role, count in answer["roles"].items()
    )
    expected = answer["expected"]
    yield f"{answer['mode']} ({answer['kind']}, score {answer['score']:g}): {many}"
    yield f"expected: about {expected['tokens']:,} tokens, ${expected['usd']:.2f}"
    for role, sessions in expected.get("learned", {}).items():
        yield f"- {role} as its last {counted(sessions, 'session')} here cost on average"
    for reason in answer["reasons"]:
        yield f"- {reason}"
    for problem in answer.get("problems", ()):
        yield f"! {problem}"
