"""What a session has used, and whether it can pay for another reply."""

from __future__ import annotations

from dataclasses import asdict

from anthropic.types.beta import BetaMessage

from trichrome.coordinator import costs
from trichrome.runners.port import Usage


class Purse:
    """Counts a session's replies against what it may cost, by list prices.

    Guarantee: where the models' prices are known, the limit is passed by no more than a last reply costs above what was
    expected of it.
    """

    def __init__(self, most_usd: float | None) -> None:
        self._most_usd = most_usd
        self._spent_usd: float | None = 0.0
        self._next_usd: float | None = 0.0

    def pay(self, message: BetaMessage) -> Usage:
        """Count a reply; answers what it used."""
        told = message.usage
        used = Usage(
            input=told.input_tokens,
            output=told.output_tokens,
            cache_read=told.cache_read_input_tokens or 0,
            cache_write=told.cache_creation_input_tokens or 0,
        )
        if self._most_usd is not None:
            price = costs.price({message.model: asdict(used)})
            self._spent_usd = None if price is None or self._spent_usd is None else self._spent_usd + price
            # The next one reads from the cache what this one read and said, and writes as much.
            read = used.input + used.cache_read + used.cache_write + used.output
            self._next_usd = costs.price({message.model: asdict(Usage(cache_read=read, output=used.output))})
        return used

    def refusal(self) -> str | None:
        """Why no further reply can be paid; None while one can, or where there is no limit or no known price."""
        if self._most_usd is None or self._spent_usd is None or self._next_usd is None:
            return None
        if self._spent_usd + self._next_usd <= self._most_usd:
            return None
        return (
            f"The session may cost ${self._most_usd:.4f}. It has used ${self._spent_usd:.4f}, and another reply would "
            "take it over that."
        )
