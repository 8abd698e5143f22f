"""`trichrome scale`: how many workers of a role the supervisor keeps."""

from __future__ import annotations

from typing import Annotated

import typer

from trichrome.cli.numbers import check, numbers_of
from trichrome.cli.output import Json, document, new_app, say
from trichrome.cli.project import opened

app = new_app()


@app.command(epilog="Example: trichrome scale blue=3 red=0")
def scale(
    wanted: Annotated[list[str], typer.Argument(metavar="ROLE=N...", help="A role and its number of workers.")],
    as_json: Json = False,
) -> None:
    """Keep more or fewer workers of a role; one at work that is too many finishes its task first."""
    from trichrome.supervisor import control

    numbers = numbers_of(wanted)
    with opened(as_json) as project:
        check(project.roles, numbers)

        def change(orders: control.Orders) -> None:
            orders["scale"] = {**orders.get("scale", {}), **numbers}

        control.give(project.coordinator, project.data, change)
    if as_json:
        document({"scale": numbers})
    else:
        say(f"{', '.join(f'{role}: {number}' for role, number in numbers.items())}. `trichrome workers` shows them.")
