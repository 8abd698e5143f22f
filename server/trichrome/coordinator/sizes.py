"""Keeping answers within what a reader can afford: data goes first, then long texts; handles and instructions stay."""

from __future__ import annotations

import json
from typing import Any, Final

ANSWER_TOKENS: Final = 10_000
"""The most an answer may cost its reader."""
BYTES_A_TOKEN: Final = 4
ANSWER_BYTES: Final = ANSWER_TOKENS * BYTES_A_TOKEN
LEFT_OUT: Final = "left out for length; `trichrome show --json` has it, and artifacts are pointers to more"
_CAPS: Final = (2000, 1000, 500, 250, 120)
_KEPT: Final = "instructions"


def size(value: object) -> int:
    """Bytes of a value as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def fitted(answer: Any, *, limit: int = ANSWER_BYTES) -> Any:
    """The answer, shortened until it fits: the largest `data` first, then texts to ever lower caps.

    Instructions are never cut, since half an order is worse than a long one; they have a limit of their own.
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
    for cap in _CAPS:
        if size(answer) <= limit:
            break
        answer = _capped(answer, cap)
    return answer


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
        return node if len(node) <= cap else f"{node[: cap - 4]} ..."
    if isinstance(node, list):
        return [_capped(item, cap) for item in node]
    if isinstance(node, dict):
        return {key: item if key == _KEPT else _capped(item, cap) for key, item in node.items()}
    return node
