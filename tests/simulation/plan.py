"""What a history is made of: who takes part, what goes wrong, and how often they interrupt each other."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from typing import Final, Literal

from trichrome.domain.events import OnLeadGone

Kind = Literal["seen", "session", "unseen", "named", "elsewhere"]
KINDS: Final[tuple[Kind, ...]] = ("seen", "seen", "session", "session", "unseen", "named", "elsewhere")
"""How a client looks to a server: its process can be seen; it is a Claude Code session too, so that nothing tells its
agents apart but a hook; it cannot be seen; its server is a named worker; it lives in another pid namespace."""
FAULTS: Final = (
    "die between transactions",
    "die in a transaction",
    "die after a commit",
    "refuse",
    "cancel",
    "repeat",
    "forget",
    "kill",
    "stop",
    "wall",
    "reboot",
    "operator",
    "salvage",
)
"""What may go wrong, each by its name."""


@dataclass(frozen=True)
class Plan:
    """One history, before it happens.

    Attributes:
        seed: of everything that chance decides in it.
        clients: how many work.
        batches: how often the lead asks for tasks.
        steps: how often the director does something to them.
        restless: how likely it is that somebody else goes on after a transaction.
        harsh: how likely a process dies at a point where it can.
        faults: what may go wrong.
        kinds: how the clients look.
    """

    seed: int
    clients: int
    batches: int
    steps: int
    restless: float
    harsh: float
    faults: frozenset[str]
    kinds: tuple[Kind, ...] = KINDS
    on_lead_gone: OnLeadGone = "continue"

    def as_argument(self) -> str:
        """How `--plan` is told of it."""
        return json.dumps({**asdict(self), "faults": sorted(self.faults)})

    @classmethod
    def from_argument(cls, said: str) -> Plan:
        """The plan that was told so."""
        fields = json.loads(said)
        return cls(**{**fields, "faults": frozenset(fields["faults"]), "kinds": tuple(fields["kinds"])})


def drawn(seed: int) -> Plan:
    """The plan that belongs to a seed."""
    draw = random.Random(f"plan {seed}")
    faults = frozenset(fault for fault in FAULTS if draw.random() < 0.7)
    return Plan(
        seed=seed,
        clients=draw.choice((1, 2, 2, 3, 3, 4)),
        batches=draw.choice((1, 1, 2, 3)),
        steps=draw.choice((4, 8, 12, 20)),
        restless=draw.choice((0.1, 0.3, 0.5, 0.9)),
        harsh=draw.choice((0.0, 0.01, 0.03)),
        faults=faults,
        kinds=draw.choice((KINDS, KINDS, tuple(draw.sample(KINDS, 2)))),
        on_lead_gone=draw.choice(("continue", "continue", "pause")),
    )
