"""Making frozen values fast.

A frozen dataclass sets each of its fields through the guard that refuses every later change. That guard is most of
what a value costs, and a fold of the log makes millions of values. Here the fields are put into a new value's
`__dict__` at once: it equals any other of its class, and is as frozen. What is left out has the class's default, as
ever; a field that has none, and a name that is no field, only the type checker notices. It takes a class without slots,
and without `__post_init__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_new, _set = object.__new__, object.__setattr__


def made(cls: type[T], fields: dict[str, Any]) -> T:
    """A value of a frozen dataclass with these fields; the dictionary is the value's from now on."""
    value = _new(cls)
    _set(value, "__dict__", fields)
    return value


def maker(of: Callable[P, T]) -> Callable[P, T]:
    """What makes values of a frozen dataclass, called as the class is."""
    cls = cast("Any", of)
    names: tuple[str, ...] = cls.__match_args__

    def make(*values: Any, **fields: Any) -> Any:
        if values:
            fields.update(zip(names, values, strict=False))
        value = _new(cls)
        _set(value, "__dict__", fields)
        return value

    return make


if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - so that the checker knows the fields
else:

    def replace(value: T, /, **changes: Any) -> T:
        """As `dataclasses.replace`."""
        copy = _new(type(value))
        _set(copy, "__dict__", {**value.__dict__, **changes})
        return copy
