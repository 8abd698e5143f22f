"""Keeping answers within what a reader can afford: data goes first, then long texts are cut.

Handles, orders and what one agent wrote to another stay whole, even where an answer is then longer than it should be
(docs/decisions/0009).
"""

from __future__ import annotations

import json
from typing import Any, Final

ANSWER_TOKENS: Final = 10_000
"""The most an answer may cost its reader."""
BYTES_A_TOKEN: Final = 4
ANSWER_BYTES: Final = ANSWER_TOKENS * BYTES_A_TOKEN
LEFT_OUT: Final = "left out for length; `trichrome show --json` has it, and artifacts are pointers to more"
_CAPS: Final = (2000, 1000, 500, 250, 120)
_WHOLE: Final = frozenset({"instructions", "acceptance", "next", "text"})
"""Orders, and the texts of notes and messages: half of one misleads, and a note is merged from what was read."""
_SPARED: Final = 4
"""An answer that cannot be made to fit may stay longer than its shortest form by this part of the limit."""


def size(value: object) -> int:
    """Bytes of a value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def fitted(answer: Any, *, limit: int = ANSWER_BYTES) -> Any:
    """The answer, shortened until it fits: the largest `data` first, then texts to ever lower caps.

    Where even the lowest cap leaves too much, because of what stays whole, texts are cut only as far as that saves
    much. The instructions under review are no order to their reader: they may be cut, and say where the whole is.
    """
    excess = size(answer) - limit
    if excess <= 0:
        return answer
    left_out: set[int] = set()
    for place in sorted(_data_in(answer), key=lambda each: -size(each["data"])):
        if excess <= 0:
            break
        excess -= size(place["data"]) - size(LEFT_OUT)
        left_out.add(id(place))
    answer = _without(answer, left_out)
    if size(answer) <= limit:
        return answer
    shortest = size(_capped(answer, _CAPS[-1]))
    goal = limit if shortest <= limit else shortest + limit // _SPARED
    forms = (answer, *(_capped(answer, cap) for cap in _CAPS))
    return next(form for form in forms if size(form) <= goal)


def _data_in(node: Any) -> list[dict[str, Any]]:
    """Every object with data that takes more room than saying it was left out."""
    if isinstance(node, list):
        return [each for item in node for each in _data_in(item)]
    if not isinstance(node, dict):
        return []
    mine = [node] if "data" in node and size(node["data"]) > size(LEFT_OUT) else []
    return mine + [each for key, item in node.items() if key != "data" for each in _data_in(item)]


def _without(node: Any, places: set[int]) -> Any:
    if isinstance(node, list):
        return [_without(item, places) for item in node]
    if isinstance(node, dict):
        kept = {key: _without(item, places) for key, item in node.items()}
        return {**kept, "data": LEFT_OUT} if id(node) in places else kept
    return node


def _capped(node: Any, cap: int) -> Any:
    if isinstance(node, str):
        return _cut(node, cap)
    if isinstance(node, list):
        return [_capped(item, cap) for item in node]
    if isinstance(node, dict):
        short = {key: item if key in _WHOLE else _capped(item, cap) for key, item in node.items()}
        match short.get("reviews"):
            case {"task": str() as task, "instructions": str() as instructions}:
                cut = _cut(instructions, cap, f" ... get_task(task={task!r}) has them whole")
                short["reviews"]["instructions"] = cut
            case _:
                pass
        return short
    return node


def _cut(text: str, cap: int, ending: str = " ...") -> str:
    return text if len(text) <= cap else text[: cap - len(ending)] + ending
