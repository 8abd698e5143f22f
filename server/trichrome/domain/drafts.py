"""A task as somebody asks for it, checked before anything is decided."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from trichrome.domain import dependencies, reservations, text
from trichrome.domain.values import replace
from trichrome.errors import InvalidError

MAX_SECONDS: Final = 30 * 24 * 3600.0
"""The longest delay or time limit: thirty days."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A task that does not exist yet; `depends_on` names tasks, or siblings of the same call by their `ref`.

    Attributes:
        role: None chooses by kind.
        priority: 0 (urgent) to 9.
        not_before_seconds: how long from now nobody may claim it.
        time_limit_seconds: how long one attempt may take; None for the project's default.
    """

    kind: str
    instructions: str
    role: str | None = None
    acceptance: str | None = None
    priority: int = 5
    depends_on: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    review: str | None = None
    key: str | None = None
    max_attempts: int | None = None
    not_before_seconds: float = 0.0
    time_limit_seconds: float | None = None
    ref: str | None = None

    def digest(self) -> str:
        """What a key stands for: the content, without the names used within one call.

        `depends_on` must name tasks by then: a ref means another task in each call.
        """
        content = asdict(replace(self, ref=None, key=None))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def checked(
    drafts: Sequence[Draft], *, roles: Collection[str], role_for_kind: Callable[[str], str | None]
) -> list[tuple[int, Draft]]:
    """The drafts cleaned, each with its role and its place in the call; siblings come after what they wait for.

    Raises:
        InvalidError: naming the field, and the draft where there are several.
    """
    if not drafts:
        raise InvalidError("tasks is empty. Give at least one task.", field="tasks")
    if len(drafts) > text.TASKS_A_CALL:
        raise InvalidError(
            f"{len(drafts)} tasks in one call; the most is {text.TASKS_A_CALL}. Split them into several calls with the "
            "same run.",
            code="too_large",
            field="tasks",
        )
    cleaned = []
    for number, draft in enumerate(drafts):
        where = f"tasks[{number}]." if len(drafts) > 1 else ""
        cleaned.append(_checked(draft, where=where, roles=roles, role_for_kind=role_for_kind))
    return _ordered(cleaned)


def _ordered(drafts: list[Draft]) -> list[tuple[int, Draft]]:
    if all(draft.ref is None for draft in drafts):
        return list(enumerate(drafts))  # nobody can wait for a sibling without a name
    names = [draft.ref if draft.ref is not None else f"\0{number}" for number, draft in enumerate(drafts)]
    by_name = dict(zip(names, enumerate(drafts), strict=True))
    if len(by_name) < len(drafts):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidError(f"Two tasks have the ref {twice!r}. Give each its own.", field="ref")
    waits_for = {name: [on for on in draft.depends_on if on in by_name] for name, (_, draft) in by_name.items()}
    return [by_name[name] for name in dependencies.in_order(waits_for)]


def _checked(draft: Draft, *, where: str, roles: Collection[str], role_for_kind: Callable[[str], str | None]) -> Draft:
    kind = text.word(draft.kind, field=f"{where}kind")
    role = _role(draft.role, kind, where=where, roles=roles, role_for_kind=role_for_kind)
    if draft.review is not None:
        _known(draft.review, field=f"{where}review", roles=roles)
        if kind == "review":
            raise InvalidError(
                "A review takes no review itself. Leave review out, or choose another kind.", field=f"{where}review"
            )
    check_priority(draft.priority, field=f"{where}priority")
    _between(draft.not_before_seconds, 0, MAX_SECONDS, field=f"{where}not_before_seconds")
    if draft.max_attempts is not None:
        _between(draft.max_attempts, 1, 1_000_000, field=f"{where}max_attempts")
    if draft.time_limit_seconds is not None:
        _between(draft.time_limit_seconds, 1, MAX_SECONDS, field=f"{where}time_limit_seconds")
    return replace(
        draft,
        kind=kind,
        role=role,
        instructions=text.required(draft.instructions, field=f"{where}instructions", limit=text.INSTRUCTIONS_BYTES),
        acceptance=text.optional(draft.acceptance, field=f"{where}acceptance", limit=text.INSTRUCTIONS_BYTES),
        depends_on=tuple(dict.fromkeys(text.clean(name) for name in draft.depends_on)),
        files=reservations.paths(draft.files, field=f"{where}files"),
        key=_name(draft.key, field=f"{where}key"),
        ref=_name(draft.ref, field=f"{where}ref"),
    )


def _role(
    role: str | None,
    kind: str,
    *,
    where: str,
    roles: Collection[str],
    role_for_kind: Callable[[str], str | None],
) -> str:
    if role is not None:
        return _known(role, field=f"{where}role", roles=roles)
    chosen = role_for_kind(kind)
    if chosen is None:
        raise InvalidError(
            f"No role takes tasks of kind {kind!r} by itself. Say which role: {', '.join(sorted(roles))}.",
            code="unknown_role",
            field=f"{where}role",
        )
    return chosen


def _known(role: str, *, field: str, roles: Collection[str]) -> str:
    if role not in roles:
        raise InvalidError(
            f"There is no role {role[:40]!r}. Choose one of: {', '.join(sorted(roles))}.{meant(role, roles)}",
            code="unknown_role",
            field=field,
        )
    return role


def meant(word: str, known: Collection[str]) -> str:
    """A sentence, after a space, with the known word that another is likely a misspelling of; nothing where none is."""
    close = difflib.get_close_matches(word[:40].lower(), sorted(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def check_priority(priority: int, *, field: str = "priority") -> None:
    """Refuse what is no priority.

    Raises:
        InvalidError: not 0 (urgent) to 9.
    """
    _between(priority, 0, 9, field=field)


def _between(value: float, low: float, high: float, *, field: str) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidError(f"{field} is {value:,.15g}; it goes from {low:,.15g} to {high:,.15g}.", field=field)


def _name(name: str | None, *, field: str) -> str | None:
    return None if name is None else text.name(name, field=field, most=text.NAME_CHARS * 2)
