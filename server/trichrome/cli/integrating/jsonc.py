"""JSON files of other programs, changed as text: a member goes in or out, and every other byte stays.

Comments, trailing commas, a byte order mark, either kind of line ends, any indentation and doubled keys are left as
they are. What cannot be read is refused and never touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from trichrome.errors import InvalidError

_BLANK: Final = re.compile(r"(?:[\s\ufeff]+|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
DEEPEST: Final = 200
"""How deep a document may nest."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a text.

    Attributes:
        value: what it says.
        start: where it begins.
        end: where it ends.
        items: what is in it, with the key (None in a list) and where the item begins; empty for anything else.
        comma: where a comma behind the last item is; None without one.
    """

    value: Any
    start: int
    end: int
    items: tuple[tuple[str | None, int, Node], ...] = ()
    comma: int | None = None


def parse(text: str) -> Node:
    """Read a document; an empty one is an empty object.

    Raises:
        InvalidError: it is not JSON, with the line.
    """
    at = _skip(text, 0)
    if at == len(text):
        return Node({}, at, at)
    node = _value(text, at, 0)
    end = _skip(text, node.end)
    if end != len(text):
        raise _unreadable(text, end)
    return node


def _value(text: str, at: int, depth: int) -> Node:
    if depth > DEEPEST:
        raise _unreadable(text, at)
    if text[at : at + 1] in {"{", "["}:
        return _container(text, at, depth)
    found = _STRING.match(text, at) or _SCALAR.match(text, at)
    if found is None:
        raise _unreadable(text, at)
    try:
        return Node(json.loads(found[0]), at, found.end())
    except ValueError:
        raise _unreadable(text, at) from None


def _container(text: str, start: int, depth: int) -> Node:
    is_object = text[start] == "{"
    items: list[tuple[str | None, int, Node]] = []
    comma: int | None = None
    at = _skip(text, start + 1)
    while text[at : at + 1] != ("}" if is_object else "]"):
        if items and comma is None:
            raise _unreadable(text, at)
        begin, key = at, None
        if is_object:
            key, at = _key(text, at)
        node = _value(text, at, depth + 1)
        items.append((key, begin, node))
        at = _skip(text, node.end)
        comma = at if text[at : at + 1] == "," else None
        at = _skip(text, at + 1) if comma is not None else at
    value: Any = {str(key): node.value for key, _, node in items} if is_object else [node.value for _, _, node in items]
    return Node(value, start, at + 1, tuple(items), comma)


def _key(text: str, at: int) -> tuple[str, int]:
    found = _STRING.match(text, at)
    colon = _skip(text, found.end()) if found is not None else at
    if found is None or text[colon : colon + 1] != ":":
        raise _unreadable(text, at)
    return str(json.loads(found[0])), _skip(text, colon + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found is not None else at


def _unreadable(text: str, at: int) -> InvalidError:
    return InvalidError(f"it is not JSON: line {text.count(chr(10), 0, at) + 1}")


# --- changing ---------------------------------------------------------------------------------------------------------


def put(text: str, path: Sequence[str], value: Any) -> str:
    """Add a member, the last of its object, with the objects on the way to it; one of that name is replaced.

    Raises:
        InvalidError: the text is not JSON, or something on the way is no object.
    """
    node = parse(text)
    if not text[node.start : node.end]:
        return text + _shown(_nested(path, value), "", _newline(text)) + _newline(text)
    for depth, key in enumerate(path):
        _check_object(node, path[:depth])
        known = [each for name, _, each in node.items if name == key]
        if not known:
            member = f"{json.dumps(key)}: "
            return _with_item(text, node, _nested(path[depth + 1 :], value), member)
        node = known[-1]  # the last of several is the one that counts
    return text[: node.start] + _shown(value, _indent_at(text, node.start), _newline(text)) + text[node.end :]


def append(text: str, path: Sequence[str], value: Any) -> str:
    """Add an item, the last of a list, with the objects on the way and the list itself.

    Raises:
        InvalidError: as `put`, or there is something else than a list.
    """
    node = find(parse(text), path)
    if node is None:
        return put(text, path, [value])
    if not isinstance(node.value, list):
        raise InvalidError(f"{'.'.join(path)} is no list")
    return _with_item(text, node, value, "")


def remove(text: str, path: Sequence[str], value: Any = None) -> str:
    """Take out a member, or the items of a list that equal a value; what is not there stays away.

    Raises:
        InvalidError: the text is not JSON.
    """
    root = parse(text)
    if value is None:
        holder = find(root, path[:-1])
        gone = [] if holder is None else [n for n, (key, _, _) in enumerate(holder.items) if key == path[-1]]
    else:
        holder = find(root, path)
        gone = [] if holder is None else [n for n, (_, _, node) in enumerate(holder.items) if node.value == value]
    for number in reversed(gone):
        assert holder is not None
        text = _without_item(text, holder, number)
        holder = find(parse(text), path[:-1] if value is None else path)
    return text


def find(node: Node, path: Sequence[str]) -> Node | None:
    """The value at a path; None where there is none."""
    for key in path:
        known = [each for name, _, each in node.items if name == key]
        if not known:
            return None
        node = known[-1]
    return node


def _check_object(node: Node, path: Sequence[str]) -> None:
    if not isinstance(node.value, dict):
        raise InvalidError(f"{'.'.join(path) or 'the document'} is no object")


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _with_item(text: str, node: Node, value: Any, label: str) -> str:
    newline = _newline(text)
    outer = _indent_at(text, node.start)
    inner = _indent_at(text, node.items[-1][1]) if node.items else outer
    if len(inner) <= len(outer):
        inner = outer + ("\t" if "\t" in outer else "  ")
    item = f"{label}{_shown(value, inner, newline)}"
    if not node.items:
        inside = text[node.start + 1 : node.end - 1].rstrip()
        head, tail = text[: node.start + 1], text[node.end - 1 :]
        return f"{head}{newline}{inner}{item}{inside}{newline}{outer}{tail}"
    last = node.items[-1][2].end
    between = text[last : node.end - 1]
    kept = between.rstrip()
    comma = "" if node.comma is not None else ","
    tail = between[len(kept) :] if "\n" in between[len(kept) :] else f"{newline}{outer}"
    return f"{text[:last]}{comma}{kept}{newline}{inner}{item}{tail}{text[node.end - 1 :]}"


def _without_item(text: str, holder: Node, number: int) -> str:
    _, start, node = holder.items[number]
    end = node.end
    before = holder.items[number - 1][2].end if number else holder.start + 1
    follows = _skip(text, end)
    if text[follows : follows + 1] == ",":
        begin = start - len(text[before:start]) + len(text[before:start].rstrip())
        return text[:begin] + text[follows + 1 :]
    begin = len(text[:start].rstrip())
    if number:  # the last one goes with the comma that stood before it
        comma = text.index(",", _skip(text, before))
        return text[:comma] + text[comma + 1 : begin] + text[end:]
    return text[:begin] + text[end:]


def _shown(value: Any, indent: str, newline: str) -> str:
    step = "\t" if "\t" in indent else 2
    return json.dumps(value, indent=step, ensure_ascii=False).replace("\n", newline + indent)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent_at(text: str, at: int) -> str:
    """What the line begins with that something is on."""
    line = text[text.rfind("\n", 0, at) + 1 : at].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]
