"""The tasks that a routed request begins with: who does what, and what has to come first; pure.

A plan is a beginning: the lead adapts it to what the project has. Guarantee: `create_task(tasks=[...])` takes it as it
is; it has no cycle; one agent alone has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from trichrome.domain.requests import Request
from trichrome.domain.routing import KINDS, LOOKING, Routing
from trichrome.domain.wording import paths

MOST_CHARS: Final = 2_000
"""How much of a request each task quotes: the plan is in the conversation of the lead, once a task."""

_ORDERS: Final[Mapping[str, str]] = {
    "search": "Find what this asks for. Report each finding with file and line, and what you looked for in vain",
    "analyze": "Analyse this. Report the conclusion first, then the evidence with file and line",
    "implement": "Implement this, as the results you build on have it, with tests. Prove it and say how",
    "fix": "Find the cause of this and mend it, with a test that fails before. Prove it and say how",
    "refactor": "Change the structure as asked, and nothing of what it does. Prove it with the tests there are",
    "test": "Write the tests that this wants, and run them. Report what they show",
    "document": "Write the documentation that this asks for, checked against the code",
    "review": "Review critically, with evidence by file and line, and end with a verdict",
}
_OTHER: Final = "Do this. Report what was done, and how it was proved"
_FIRST: Final = (
    "Before anything is changed: find out where and how. Report the places with file and line, and the risks"
)
_TESTS: Final = "Write and run the tests for what the tasks before you changed, also at the edges and on errors"
_JUDGE: Final = "Judge critically what the tasks before you found or changed: what is wrong, missing, unproven"


@dataclass(frozen=True, slots=True)
class Planned:
    """One task to create.

    Attributes:
        ref: what siblings call it.
        depends_on: refs of what must be completed first.
        review: the role that judges its result.
        files: paths that it will change, as far as the request names them.
    """

    ref: str
    kind: str
    role: str
    instructions: str
    depends_on: tuple[str, ...] = ()
    review: str | None = None
    files: tuple[str, ...] = ()

    def draft(self) -> dict[str, Any]:
        """The task as `create_task` takes it, without what says nothing."""
        draft: dict[str, Any] = {
            "ref": self.ref,
            "kind": self.kind,
            "role": self.role,
            "instructions": self.instructions,
        }
        if self.depends_on:
            draft["depends_on"] = list(self.depends_on)
        if self.review is not None:
            draft["review"] = self.review
        if self.files:
            draft["files"] = list(self.files)
        return draft


def plan(request: Request, routing: Routing, *, kinds: Mapping[str, str] = KINDS) -> tuple[Planned, ...]:
    """The tasks to begin with; none for one agent alone.

    Args:
        request: what somebody wants.
        routing: what it deserves.
        kinds: the role of each kind.
    """
    if routing.mode == "single":
        return ()
    planner = _Planner(request, routing, kinds)
    made = tuple(planner.looking() if routing.kind in LOOKING else planner.changing())
    made += tuple(planner.named(made))
    return tuple(_chained(made)) if request.flags.order == "sequential" else made


@dataclass(frozen=True, slots=True)
class _Planner:
    request: Request
    routing: Routing
    kinds: Mapping[str, str]

    def looking(self) -> Iterator[Planned]:
        """Each part is looked at, and one judge looks at all of it."""
        parts = [*self._each(self.routing.kind, "a", self._orders(self.routing.kind), ())]
        yield from parts
        judge = next((role for role in self.routing.roles if role != parts[0].role), None)
        if judge is not None:
            kind = "review" if judge == self.kinds.get("review", "red") else "analyze"
            yield self._task("z1", kind, judge, _JUDGE, "", tuple(each.ref for each in parts))

    def changing(self) -> Iterator[Planned]:
        """Somebody looks, then each part is changed; tests and a judgement follow where they are asked for."""
        flags, kind = self.request.flags, self.routing.kind
        look, judge = self.kinds.get("search", "blue"), self.kinds.get("review", "red")
        first: list[Planned] = []
        if flags.comprehensive or self.routing.roles.get(look, 0):
            many = max(1, self.routing.roles.get(look, 1))
            first = [*self._each("search", "s", _FIRST, (), most=many)]
        is_judged = judge in self.routing.roles
        review = judge if is_judged and not flags.comprehensive else None
        before = tuple(each.ref for each in first)
        changes = [*self._each(kind, "c", self._orders(kind), before, review=review)]
        yield from (*first, *changes)
        if flags.comprehensive:
            refs = tuple(each.ref for each in changes)
            yield self._task("t1", "test", self.kinds.get("test", "green"), _TESTS, "", refs)
            yield self._task("r1", "review", judge, _JUDGE, "", (*refs, "t1"))

    def named(self, made: Sequence[Planned]) -> Iterator[Planned]:
        """A task for each role that was asked for by name and has none: a kind of its own, on what the others did."""
        busy = {each.role for each in made} | {each.review for each in made}
        for number, role in enumerate((each for each in self.routing.roles if each not in busy), 1):
            kind = next((kind for kind, taker in self.kinds.items() if taker == role), "analyze")
            yield self._task(f"n{number}", kind, role, self._orders(kind), "", tuple(each.ref for each in made))

    def _each(
        self,
        kind: str,
        letter: str,
        orders: str,
        depends_on: tuple[str, ...],
        *,
        review: str | None = None,
        most: int | None = None,
    ) -> Iterator[Planned]:
        parts: Sequence[str] = self.routing.parts[:most]
        role = self.kinds.get(kind) or next(iter(self.routing.roles))
        for number, part in enumerate(parts, 1):
            shown = part if len(self.routing.parts) > 1 and len(parts) > 1 else ""
            task = self._task(f"{letter}{number}", kind, role, orders, shown, depends_on, review)
            yield task if kind in LOOKING else replace(task, files=self._files(shown))

    def _files(self, part: str) -> tuple[str, ...]:
        """The paths that a part consists of; none where it is more than paths, since tests and others may change."""
        names = [each for each in part.split(", ") if each]
        return tuple(names) if set(names) <= set(paths(part)) else ()

    @staticmethod
    def _orders(kind: str) -> str:
        return _ORDERS.get(kind, _OTHER)

    def _task(
        self,
        ref: str,
        kind: str,
        role: str,
        orders: str,
        part: str,
        depends_on: tuple[str, ...],
        review: str | None = None,
    ) -> Planned:
        text = self.request.text
        quoted = text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS]} [... shortened]"
        yours = f"\nYour part of it: {part[:MOST_CHARS]}" if part else ""
        focus = f"\nAbove all: {self.request.flags.focus}" if self.request.flags.focus else ""
        return Planned(ref, kind, role, f"{orders}.\nThe request: {quoted}{yours}{focus}", depends_on, review)


def _chained(tasks: Sequence[Planned]) -> Iterator[Planned]:
    """The same tasks one after another, each after the one before it."""
    before: tuple[str, ...] = ()
    for task in tasks:
        needed = tuple(dict.fromkeys((*task.depends_on, *before)))
        yield replace(task, depends_on=needed)
        before = (task.ref,)
