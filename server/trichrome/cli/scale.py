"""`trichrome scale`: how many workers of a role the supervisor keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trichrome.cli.output import Json, document, new_app, say
from trichrome.cli.project import opened

if TYPE_CHECKING:
    from trichrome.roles import Roles

MOST: Final = 100
"""The most workers of one role."""

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


def numbers_of(wanted: list[str], *, hint: str = "ROLE=N") -> dict[str, int]:
    """Read `blue=3`.

    Raises:
        BadParameter: one is not of that form.
    """
    numbers: dict[str, int] = {}
    for each in wanted:
        role, is_there, number = each.partition("=")
        if not (is_there and role and number.isdecimal() and int(number) <= MOST):
            raise typer.BadParameter(f"{each!r} is not ROLE=N, such as blue=3, with N up to {MOST}.", param_hint=hint)
        numbers[role] = int(number)
    return numbers


def check(roles: Roles, numbers: Mapping[str, int]) -> None:
    """Refuse a role that is none, or more workers than it may have.

    Raises:
        InvalidError: naming it.
    """
    from trichrome.supervisor import control

    for role, number in numbers.items():
        policy = roles.policies.get(role)
        concurrency = policy.concurrency if policy is not None else None
        control.check_scale(number, role, known=roles.names, concurrency=concurrency)
