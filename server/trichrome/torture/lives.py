"""Whose attempts were ended by others: of the dead in time, of the living never.

A client is known as the owner of an attempt by the answer of its claim, and through that as the one behind the
principal that the log names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from trichrome.domain.events import AttemptExpired, AttemptRescued, TaskClaimed
from trichrome.torture.histories import Call, Evidence, Fact, Window
from trichrome.torture.promises import Verdict


def judge(verdict: Verdict, evidence: Evidence) -> None:
    """Check each attempt that was ended because its worker was gone, or its time over."""
    claims = _claims(evidence)
    clients = {event.principal: call.client for call, event in claims.values()}
    for fact in evidence.facts:
        match fact.event:
            case AttemptRescued(principal=principal) if principal in clients:
                _rescued(verdict, evidence, fact, clients[principal])
            case AttemptExpired(attempt=number, limit_seconds=limit) if (fact.stream, number) in claims:
                seconds = fact.seen - claims[fact.stream, number][0].asked
                what = f"{fact.stream}.{number} was over after {seconds:.2f} of its {limit:g} s"
                verdict.check("the living are left alone", seconds >= limit, what, task=fact.stream, at=fact.seen)
            case _:
                pass


def _claims(evidence: Evidence) -> dict[tuple[str, int], tuple[Call, TaskClaimed]]:
    """Attempts with the call that began them; one that was lost and given out again is nobody's for sure."""
    begun: dict[tuple[str, int], list[TaskClaimed]] = defaultdict(list)
    for fact in evidence.facts:
        if isinstance(fact.event, TaskClaimed):
            begun[fact.stream, fact.event.attempt].append(fact.event)
    found = {}
    for call in evidence.calls:
        if (claim := call.claimed) is not None and not claim.get("resumed"):
            task, _, number = claim["attempt"].partition(".")
            events = begun.get((task, int(number)), ())
            if len(events) == 1:
                found[task, int(number)] = (call, events[0])
    return found


def _rescued(verdict: Verdict, evidence: Evidence, fact: Fact, client: str) -> None:
    died = evidence.deaths.get(client)
    was_dead = died is not None and died <= fact.seen
    what = f"{fact.stream} was taken from client {client}, which lived"
    verdict.check("the living are left alone", was_dead, what, task=fact.stream, at=fact.seen)
    if died is None or not was_dead:
        return
    # A damage may bring an attempt back to life that had ended long before its client did.
    since = max([died, *(damage.at for damage in evidence.damages if damage.at <= fact.seen)])
    seconds = max(0.0, fact.seen - since - _disturbed(evidence.windows, since, fact.seen))
    verdict.rescues.append(seconds)
    what = f"{fact.stream} was free {seconds:.1f} s after client {client} died"
    in_time = seconds <= evidence.rescue_bound_seconds
    verdict.check("the dead are rescued", in_time, what, task=fact.stream, at=fact.seen)


def _disturbed(windows: Iterable[Window], began: float, ended: float) -> float:
    """How long, between two moments, faults gave the whole log a reason to refuse."""
    seconds, until = 0.0, began
    for window in sorted(windows, key=lambda each: each.began):
        if window.worker is None and window.ended > until and window.began < ended:
            seconds += min(window.ended, ended) - max(window.began, until)
            until = max(until, window.ended)
    return seconds
