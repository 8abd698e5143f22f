"""How many workers of each role: read from a command line, and whether they may be so many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from trichrome.roles import Roles

MOST: Final = 100
"""The most workers of one role."""


def numbers_of(wanted: Sequence[str], *, hint: str = "ROLE=N") -> dict[str, int]:
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
