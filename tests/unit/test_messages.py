"""A message is delivered to each of its receivers once."""

from __future__ import annotations

from trichrome.domain import messages
from trichrome.domain.events import MessageDelivered, MessageSent
from trichrome.domain.ids import MessageId

SENT = messages.evolve(None, MessageSent(message=MessageId("m1"), sender="a", to=("c", "b"), text="hi"))


def test_it_waits_for_each_of_its_receivers() -> None:
    assert SENT.undelivered == ("b", "c")


def test_delivery_to_one_leaves_the_others_waiting() -> None:
    (event,) = messages.deliver(SENT, "b")

    assert event == MessageDelivered(worker="b")
    assert messages.evolve(SENT, event).undelivered == ("c",)


def test_it_is_delivered_once_and_to_nobody_else() -> None:
    delivered = messages.evolve(SENT, MessageDelivered(worker="b"))

    assert messages.deliver(delivered, "b") == []
    assert messages.deliver(SENT, "a") == []
