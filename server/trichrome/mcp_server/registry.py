"""What a tool is: name, arguments, handler and hints in one place, and the wire form that follows from them.

Arguments are checked strictly: an unknown one, or one of the wrong kind, is refused with its name and the mend, and
nothing of the input is echoed but that. The schema that a model pays for is the shortest that still says all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Literal, TypeVar

import mcp_types as types
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from trichrome.domain.text import clean
from trichrome.errors import InvalidError

if TYPE_CHECKING:
    from trichrome.coordinator import Caller, Coordinator
    from trichrome.coordinator.waiting import Stop

Toolset = Literal["worker", "lead", "all"]
ALWAYS_LOAD: Final = "anthropic/alwaysLoad"
_LARGEST: Final = 2**63


class Arguments(BaseModel):
    """Arguments of a tool; none besides those named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _unwrapped(value: object) -> object:
    """A list that a model wrote as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _storable(value: int) -> int:
    if abs(value) >= _LARGEST:
        raise PydanticCustomError("too_far", "Input is out of range")
    return value


Whole = Annotated[int, AfterValidator(_storable)]
"""An integer that the log can hold."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_unwrapped)]
"""Texts, also taken as the JSON text of a list: models send that now and then."""
Objects = Annotated[tuple[dict[str, Any], ...], BeforeValidator(_unwrapped)]
"""Loose objects, checked later, likewise."""

Args = TypeVar("Args", bound=Arguments)


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler works with.

    Attributes:
        coordinator: the project.
        caller: who calls.
        stop: set when nobody wants the answer any more.
    """

    coordinator: Coordinator
    caller: Caller
    stop: Stop


@dataclass(frozen=True, slots=True)
class Tool(Generic[Args]):
    """A tool.

    Attributes:
        run: the handler; it may block, and is run in a thread.
        toolsets: which narrower sets show it; `all` shows every tool.
        reads: whether it changes nothing.
        repeats: whether the same call again does no more.
        destroys: whether it ends what somebody works on.
        hot: whether Claude Code should load it at once instead of on demand.
    """

    name: str
    description: str
    arguments: type[Args]
    run: Callable[[Call, Args], Mapping[str, Any]]
    toolsets: frozenset[Toolset]
    reads: bool = False
    repeats: bool = False
    destroys: bool = False
    hot: bool = False

    def parse(self, arguments: Mapping[str, Any] | None) -> Args:
        """The arguments of a call.

        Raises:
            InvalidError: `unknown_argument` or `invalid`, naming the argument.
        """
        return parse(self.arguments, arguments)

    def wire(self) -> types.Tool:
        """The tool as `tools/list` shows it."""
        return types.Tool(
            name=self.name,
            description=self.description,
            input_schema=schema(self.arguments),
            annotations=types.ToolAnnotations(
                read_only_hint=self.reads,
                destructive_hint=self.destroys,
                idempotent_hint=self.repeats or self.reads,
                open_world_hint=False,
            ),
            _meta={ALWAYS_LOAD: True} if self.hot else None,
        )


def parse(model: type[Args], arguments: Mapping[str, Any] | None) -> Args:
    """The arguments of a call, checked.

    Raises:
        InvalidError: `unknown_argument` or `invalid`, naming the argument.
    """
    try:
        return model.model_validate(arguments or {})
    except ValidationError as error:
        raise refusal(error, model) from None


def refusal(error: ValidationError, arguments: type[BaseModel], *, where: str = "") -> InvalidError:
    """The first thing wrong with the arguments, as advice."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = clean(where + ".".join(str(part) for part in first["loc"]))[:80]
    if first["type"] == "extra_forbidden":
        known = ", ".join(arguments.model_fields) or "none"
        return InvalidError(
            f"There is no argument {field!r}. Arguments are: {known}.", code="unknown_argument", field=field
        )
    if first["type"] == "missing":
        return InvalidError(f"{field} is missing. Give it.", field=field)
    return InvalidError(f"{field or 'arguments'}: {first['msg']}.", field=field)


def schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema without what a reader does not need: titles, null alternatives, empty defaults."""
    whole = _shorter(model.model_json_schema())
    return {"type": "object", **{key: whole[key] for key in ("properties", "required") if key in whole}}


def _shorter(node: Any) -> Any:
    if isinstance(node, list):
        return [_shorter(item) for item in node]
    if not isinstance(node, dict):
        return node
    alternatives = [each for each in node.get("anyOf", ()) if each != {"type": "null"}]
    if len(alternatives) == 1:
        node = {**{key: value for key, value in node.items() if key != "anyOf"}, **alternatives[0]}
    short: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            short[key] = {name: _shorter(each) for name, each in value.items()}
        elif key in {"title", "additionalProperties"} or (key == "default" and value in (None, [], False, 0)):
            continue
        else:
            short[key] = _shorter(value)
    return short
