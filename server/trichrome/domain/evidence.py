"""What a worker is doing, judged from what is seen of it.

The judgement is for show: it ends no attempt, whatever it says. Every state comes with why it is shown, in words, and
with how old the sign is that it rests on. Ages are seconds and come from clocks that a sleeping machine or a changed
wall clock cannot turn into anybody's death: the worst that a wrong one does is to look odd.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, assert_never

WorkerState = Literal["working", "tool_running", "waiting_for_human", "idle", "detached", "suspect", "gone"]

Sight = Literal["alive", "stopped", "dead", "unseen"]
"""How a process looks from here; `stopped` is what Ctrl-Z, a debugger or SIGSTOP does."""

SignKind = Literal["tool_started", "tool_ended", "prompt_opened", "turn_began", "turn_ended"]
"""What a hook of the client tells of one of its agents."""

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One process of a worker, as seen from here."""

    sight: Sight
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One sign of life: a hook's, or a call.

    Attributes:
        agent: which agent of the worker gave it; empty for the main one.
        ago: its age in seconds.
        what: the tool that it is about.
    """

    kind: SignKind | Literal["called"]
    agent: str
    ago: float
    what: str = ""


@dataclass(frozen=True, slots=True)
class Child:
    """A process that a client started for its work, and its age in seconds."""

    name: str
    ago: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is seen of a worker.

    Attributes:
        attempt: the handle that it holds.
        gone: why it counts as gone, in words; None while it does not. Only what decides about attempts fills this in.
        client: the process of its client.
        server: the process that serves it; `dead` also when it said that it stops.
        lapsed: the lease of its attempt ran out.
        free_in: seconds until its lease frees the attempt; None where no lease decides.
        silent: seconds since its server was last heard of, where it has to be heard.
        signs: what its hooks told, and its last call that left a trace.
        transcript: seconds since the file grew that its client writes the conversation to; None when not known.
        children: what its client started for its work, as far as that can be told from servers and launchers.
        supervisor: the process that looks after it; None without one that lives.
    """

    attempt: str | None = None
    gone: str | None = None
    client: Glimpse = Glimpse("alive")
    server: Glimpse = Glimpse("alive")
    lapsed: bool = False
    free_in: float | None = None
    silent: float | None = None
    signs: tuple[Seen, ...] = ()
    transcript: float | None = None
    children: tuple[Child, ...] = ()
    supervisor: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a worker is doing.

    Attributes:
        why: what shows it, in words.
        since: the age in seconds of the sign that shows it; None where nothing tells.
        help: what would let it go on; empty where nothing is amiss.
    """

    state: WorkerState
    why: str
    since: float | None = None
    help: str = ""


def judge(seen: Evidence) -> Judgement:
    """What the evidence says, the gravest first: whoever is stopped cannot wait for anybody."""
    if seen.gone is not None:
        return Judgement("gone", seen.gone)
    for what, process in (("client", seen.client), ("server", seen.server)):
        if process.sight == "stopped":
            why = f"its {what} (process {process.pid}) is stopped{_and_holds(seen)}"
            return Judgement("suspect", why, help=f"`kill -CONT {process.pid}` lets it go on")
    if seen.server.sight == "dead":
        return _detached(seen)
    if seen.attempt is not None and seen.lapsed:
        why = f"nothing renews its lease, but its client lives, so it keeps {seen.attempt}"
        return Judgement("suspect", why, help=f"restart that session, which goes on with {seen.attempt}")
    return _doing(seen)


def _and_holds(seen: Evidence) -> str:
    """What becomes of the attempt of whoever is stopped: a lease that decides lapses unless its server renews it."""
    if seen.attempt is None:
        return ""
    if seen.free_in is not None and seen.server.sight in ("stopped", "dead"):
        return f"; {seen.attempt} is free in {lasting(seen.free_in)} unless it goes on"
    return f", and keeps {seen.attempt}"


def _detached(seen: Evidence) -> Judgement:
    if seen.supervisor is not None:
        looks = f"its supervisor (process {seen.supervisor}) looks after it"
        if seen.attempt is None:
            return Judgement("idle", looks)
        help_ = "`trichrome logs` tells what became of its session"
        return Judgement("detached", f"its server is gone; {looks}", seen.silent, help_)
    why, help_ = "its server is gone", ""
    if seen.attempt is not None and seen.free_in is not None:
        why += f"; {seen.attempt} is free in {lasting(seen.free_in)} unless it comes back"
        help_ = f"start its server again: it goes on with {seen.attempt}"
    elif seen.attempt is not None:
        why += ", its client lives"
        help_ = f"the next call of that session goes on with {seen.attempt}"
    return Judgement("detached", why, seen.silent, help_)


def _doing(seen: Evidence) -> Judgement:
    """What somebody does who is there."""
    newest = latest(seen.signs)
    if prompts := [sign for sign in newest if sign.kind == "prompt_opened"]:
        first = max(prompts, key=lambda sign: sign.ago)
        why = f"a permission prompt{f' for {first.what}' if first.what else ''} is open for {lasting(first.ago)}"
        return Judgement("waiting_for_human", why, first.ago, "answer it in that session")
    if seen.attempt is None:
        return Judgement("idle", "it holds no attempt")
    if tools := [sign for sign in newest if sign.kind == "tool_started"]:
        first = max(tools, key=lambda sign: sign.ago)
        return Judgement("tool_running", f"{first.what or 'a tool'} runs for {lasting(first.ago)}", first.ago)
    is_told = any(sign.kind != "called" for sign in newest)
    if seen.children and not is_told:  # where hooks tell, a child is at most what a tool left running
        oldest = max(seen.children, key=lambda child: child.ago)
        return Judgement("tool_running", f"its client runs {oldest.name} for {lasting(oldest.ago)}", oldest.ago)
    if newest and all(sign.kind == "turn_ended" for sign in newest):
        last = min(newest, key=lambda sign: sign.ago)
        why = f"its turn ended {lasting(last.ago)} ago without a report on {seen.attempt}"
        return Judgement("idle", why, last.ago, f"tell it to go on, or to report {seen.attempt}")
    return _working(newest, seen.transcript)


def _working(newest: Iterable[Seen], transcript: float | None) -> Judgement:
    last = min(newest, key=lambda sign: sign.ago, default=None)
    if transcript is not None and (last is None or transcript < last.ago):
        return Judgement("working", f"its transcript grew {lasting(transcript)} ago", transcript)
    if last is None:
        return Judgement("working", "its client lives")
    return Judgement("working", f"{_told(last)} {lasting(last.ago)} ago", last.ago)


def _told(sign: Seen) -> str:
    match sign.kind:
        case "called":
            return "it called"
        case "tool_started":
            return f"{sign.what or 'a tool'} started"
        case "tool_ended":
            return f"{sign.what or 'a tool'} ended"
        case "prompt_opened":
            return "a permission prompt opened"
        case "turn_began":
            return "its turn began"
        case "turn_ended":
            return "its turn ended"
        case _:
            assert_never(sign.kind)


def told(sign: Seen) -> str:
    """A sign in words, with its age."""
    of = f" (agent {sign.agent})" if sign.agent else ""
    return f"{_told(sign)} {lasting(sign.ago)} ago{of}"


def latest(signs: Iterable[Seen]) -> tuple[Seen, ...]:
    """The newest sign of each agent; what an agent told before means nothing any more."""
    newest: dict[str, Seen] = {}
    for sign in signs:
        known = newest.get(sign.agent)
        if known is None or sign.ago < known.ago:
            newest[sign.agent] = sign
    return tuple(newest.values())


def lasting(seconds: float) -> str:
    """A length of time in words, in its two largest units: `7 min 40 s`."""
    left = max(0, round(seconds))
    parts: list[tuple[int, str]] = []
    for size, name in _UNITS:
        count, left = divmod(left, size)
        parts.append((count, name))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count) or "0 s"
