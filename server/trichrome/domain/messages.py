"""A message: one text to the workers that its address meant; each gets it once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from trichrome.domain.events import MessageDelivered, MessageEvent, MessageSent
from trichrome.domain.ids import MessageId
from trichrome.domain.values import replace


@dataclass(frozen=True)
class Message:
    """A message, and who has not been seen to receive it yet."""

    id: MessageId
    sender: str
    text: str
    undelivered: tuple[str, ...]


def deliver(message: Message, worker: str) -> list[MessageEvent]:
    """Note that a worker has it; nothing the second time."""
    return [MessageDelivered(worker=worker)] if worker in message.undelivered else []


def evolve(message: Message | None, event: MessageEvent) -> Message:
    """The message after an event."""
    match event:
        case MessageSent():
            return Message(id=event.message, sender=event.sender, text=event.text, undelivered=tuple(sorted(event.to)))
        case MessageDelivered():
            assert message is not None
            left = tuple(worker for worker in message.undelivered if worker != event.worker)
            return replace(message, undelivered=left)
        case _:
            assert_never(event)
