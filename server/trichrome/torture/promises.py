"""What is promised, each promise by a name that reports use, and what is known of it at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Promise = Literal[
    "one live attempt",
    "completed once",
    "numbers rise",
    "nothing acknowledged is lost",
    "nothing stale counts",
    "same report, same answer",
    "same key, same task",
    "dependencies first",
    "every task ends",
    "views are the fold",
    "the chain is whole",
    "the dead are rescued",
    "the living are left alone",
    "no refusal without a cause",
    "every call is answered",
    "repair names what is lost",
    "nothing is left behind",
]

PROMISES: Final[Mapping[Promise, str]] = {
    "one live attempt": "At no position of the log has a task two live attempts.",
    "completed once": "A task is completed once, and nothing begins at a task that is over.",
    "numbers rise": "The numbers of tasks and of attempts are never given out twice, whatever was lost.",
    "nothing acknowledged is lost": "What a client was told that it did is in the log as it was told.",
    "nothing stale counts": "A call with an attempt that is over changes nothing, and what was refused did not happen.",
    "same report, same answer": "A report that is sent again counts once, and gets the same answer.",
    "same key, same task": "A task that is created again with its key is the same task.",
    "dependencies first": "A task is claimed only when what it depends on is completed.",
    "every task ends": "Once the faults are over, every task comes to an end.",
    "views are the fold": "The tables that answers are read from equal a fold of the log.",
    "the chain is whole": "Every stream's events carry unbroken versions and digests.",
    "the dead are rescued": "What a dead client held is free again within the bound.",
    "the living are left alone": "No attempt ends because its worker stood still, or its server or clock failed.",
    "no refusal without a cause": "The log refuses calls only while a fault gives it a reason to.",
    "every call is answered": "A call that reached a living server is answered, and never with a defect.",
    "repair names what is lost": "What a repair of a damaged log does not give back, it names.",
    "nothing is left behind": "Servers whose client is gone leave, and nothing of them stays.",
}
"""Each promise in a sentence."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that did not hold.

    Attributes:
        what: what was seen instead.
        task: whose history shows it, where it is one task's.
        at: when it was seen.
    """

    promise: Promise
    what: str
    task: str | None
    at: float


@dataclass(slots=True)
class Verdict:
    """What came of checking.

    Attributes:
        checked: how often each promise was put to the test.
        broken: those that did not hold, in the order of time once `Verdict` is complete.
        rescues: how long tasks of dead clients were held, in seconds.
    """

    checked: Counter[Promise] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    rescues: list[float] = field(default_factory=list)

    def check(self, promise: Promise, held: object, what: str, *, task: str | None, at: float) -> None:
        """Count one test of a promise; `what` says what was seen where it did not hold."""
        self.checked[promise] += 1
        if not held:
            self.broken.append(Broken(promise, what, task, at))
