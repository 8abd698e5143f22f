"""A history in lines that a person reads: all of it, or what concerns one task."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.simulation.history import History

from trichrome.coordinator.history import sentence
from trichrome.errors import TrichromeError
from trichrome.store.port import Recorded

Entry = tuple[float, str, str, Any]


def told(history: History, *, about: str = "") -> list[str]:
    """A history, and what it broke."""
    ending = [] if history.broken is None else [f"BROKEN  {history.broken}"]
    return [*lines(history.trace, about=about), *ending]


def lines(trace: Iterable[Entry], *, about: str = "") -> Iterator[str]:
    """Each line of a trace; only those that name a task, and the faults, when `about` says which."""
    named = re.compile(rf"\b{about}\b") if about else None
    for when, who, what, told in trace:
        line = f"{when:10.3f}  {who:<22} {_said(what, told)}"
        if (
            named is None
            or what not in {"event", "calls", "answered", "refused", "lost", "cancelled"}
            or named.search(line)
        ):
            yield line


def _said(what: str, told: Any) -> str:
    if isinstance(told, Recorded):
        return f"  {told.position}: {told.stream}: {sentence(told.stream, told.event)}"
    match what, told:
        case "calls", (tool, handle, asked):
            arguments = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value is not None)
            return f"{tool}({', '.join(part for part in (handle, arguments) if part)})"
        case (("answered" | "refused" | "lost" | "cancelled"), (tool, _, answer)):
            return f"{what}: {tool}{_answer(answer)}"
        case _:
            return f"* {what} {told}".rstrip()


def _answer(answer: Any) -> str:
    if isinstance(answer, TrichromeError):
        return f": {answer.code}: {answer.message}"
    if not isinstance(answer, dict):
        return ""
    short = {
        name: value for name, value in answer.items() if name in {"attempt", "resumed", "state", "task", "tasks", "run"}
    }
    task = short.get("task")
    short["task"] = task["id"] if isinstance(task, dict) else task
    if "tasks" in short:
        short["tasks"] = ", ".join(each["id"] for each in short["tasks"])
    told = [f"{name}={value}" for name, value in short.items() if value is not None]
    if "claimed" in answer:
        told.append(f"claimed{_answer(answer['claimed'])}")
    return " -> " + " ".join(told)
