"""What clients wrote down, and what the log said meanwhile: the evidence that the checker judges.

All moments are seconds on the machine's one monotonic clock, so that what different processes wrote can be compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trichrome.domain.events import Event


@dataclass(slots=True)
class Call:
    """One call of a tool by one life of a client.

    Attributes:
        client: which life of which worker: `2.1` is the first life of worker 2.
        server: the process that was asked.
        asked: when it was written down, before it was sent.
        answer: what was read; None when nothing was.
        told: when that was read.
        cancelled: the client cancelled it, so that no answer binds anybody.
        hung: the client waited in vain for as long as it ever does.
    """

    client: str
    number: int
    server: int
    tool: str
    arguments: Mapping[str, Any]
    asked: float
    answer: Mapping[str, Any] | None = None
    told: float | None = None
    cancelled: bool = False
    hung: bool = False

    @property
    def code(self) -> str | None:
        """The code of the refusal, when it was one."""
        return self.answer["error"]["code"] if self.answer is not None and "error" in self.answer else None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the client was told that it was done."""
        return self.answer is not None and "error" not in self.answer and not self.cancelled

    @property
    def claimed(self) -> Mapping[str, Any] | None:
        """The claim that the answer brought, by itself or after a report."""
        if self.answer is None or not self.is_acknowledged:
            return None
        claim: Mapping[str, Any] = self.answer if self.tool == "claim_task" else self.answer.get("claimed", {})
        return claim if claim.get("attempt") is not None else None

    def names(self, task: str) -> bool:
        """Whether it is about a task."""
        said = json.dumps([self.arguments, self.answer])
        return f'"{task}"' in said or f'"{task}.' in said


def failure(what: str, told: str) -> Call:
    """Something that failed as no call may, in the form of one: of nobody's, answered with a defect."""
    now = time.monotonic()
    return Call("operator", 0, 0, what, {}, now, {"error": {"code": "internal", "message": told}}, now)


@dataclass(frozen=True, slots=True)
class Fact:
    """An event of the log, what caused it, and when it was first seen there."""

    position: int
    stream: str
    version: int
    event: Event = field(compare=False)
    seen: float = field(compare=False)
    causation: str = field(default="", compare=False)
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Damage:
    """What a damage to the file, and its repair, did to the log.

    Attributes:
        at: when the repair was over.
        after: how many facts had been seen before it.
        lost: facts that were in the log before it and are not any more.
        unnamed: those among them that the repair did not name as lost.
        is_unseen: nothing in the file told of the damage, so that what was lost may be given out again.
    """

    at: float
    after: int
    lost: tuple[Fact, ...]
    unnamed: tuple[Fact, ...]
    is_unseen: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a fault may make the log refuse calls: of one worker's servers, or of all."""

    began: float
    ended: float
    worker: int | None = None

    def excuses(self, call: Call) -> bool:
        """Whether a call falls into it."""
        if self.worker is not None and call.client.partition(".")[0] != str(self.worker):
            return False
        return call.asked <= self.ended and (call.told or call.asked) >= self.began


@dataclass(slots=True)
class Evidence:
    """All that is known about a torture.

    Attributes:
        calls: of every client, in the order in which they were asked.
        facts: of the log in the order in which they were seen; after a damage come those that are new.
        damages: oldest first.
        deaths: when each life of a client was over; one that is missing lived to the end.
        windows: when the log may have refused.
        differences: where its views and its chain do not fit, as it says itself.
        left_behind: processes that should have been gone by the end.
        rescue_bound_seconds: how long a dead client may keep a task.
    """

    calls: list[Call] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    deaths: dict[str, float] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    rescue_bound_seconds: float = 15.0


class Life:
    """One life of a client, as far as it has written.

    Attributes:
        calls: its calls by number.
        servers: processes that it started.
        faults: those that it has done, by number.
        told: how many answers it has read.
        is_finishing: it creates nothing more.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.calls: dict[int, Call] = {}
        self.servers: list[int] = []
        self.faults: set[int] = set()
        self.told = 0
        self.is_finishing = False
        self._path = path
        self._offset = 0
        self._half = b""

    def read_on(self) -> None:
        """Read what it has written since; a line that its death cut short was not written."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return
        self._offset += len(chunk)
        *lines, self._half = (self._half + chunk).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, said: dict[str, Any]) -> None:
        match said:
            case {"ask": number}:
                self.calls[number] = Call(
                    self.name, number, said["server"], said["tool"], said["arguments"], said["at"]
                )
            case {"told": number}:
                self.calls[number].answer, self.calls[number].told = said["answer"], said["at"]
                self.told += 1
            case {"unanswered": number}:
                self.calls[number].hung = said["hung"]
            case {"cancelled": number}:
                self.calls[number].cancelled = True
            case {"server": pid}:
                self.servers.append(pid)
            case {"fault": number}:
                self.faults.add(number)
            case {"finishing": True}:
                self.is_finishing = True
            case _:
                pass

    @property
    def held(self) -> str | None:
        """The attempt that it had been told it holds and, as far as it was told, has not reported."""
        held: str | None = None
        for call in self.calls.values():
            if (claim := call.claimed) is not None:
                held = claim["attempt"]
            elif call.tool == "report_result" and call.arguments["attempt"] == held and call.answer is not None:
                held = None
        return held

    @property
    def former(self) -> list[str]:
        """The attempts that it was told of, oldest first."""
        return [claim["attempt"] for call in self.calls.values() if (claim := call.claimed) is not None]


def about(evidence: Evidence, task: str) -> list[tuple[float, str]]:
    """What was asked, told and logged about a task, in the order of time: (moment, words)."""
    lines: list[tuple[float, str]] = []
    for call in evidence.calls:
        if call.names(task):
            lines.append((call.asked, f"client {call.client} asks #{call.number} {call.tool} {_short(call.arguments)}"))
            if call.answer is not None and call.told is not None:
                lines.append((call.told, f"client {call.client} is told #{call.number} {_short(call.answer)}"))
    lines += [
        (fact.seen, f"log {fact.position}: {fact.stream} {fact.version} {_event(fact.event)}")
        for fact in evidence.facts
        if fact.stream == task
    ]
    lines += [(damage.at, "the log was damaged and repaired") for damage in evidence.damages]
    lives = {call.client for call in evidence.calls if call.names(task)}
    lines += [(at, f"client {life} is dead") for life, at in evidence.deaths.items() if life in lives]
    return sorted(lines, key=lambda line: line[0])


def _short(value: object) -> str:
    said = json.dumps(value, separators=(",", ":"))
    return said if len(said) <= _MOST else f"{said[:_MOST]}..."


_MOST = 300


def _event(event: Event) -> str:
    said = ", ".join(f"{name}={value!r}" for name, value in vars(event).items() if value not in (None, (), "", 0))
    return _cut(f"{type(event).__name__}({said})")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def in_order(calls: Iterable[Call]) -> list[Call]:
    """Calls in the order in which they were asked."""
    return sorted(calls, key=lambda call: call.asked)
