"""What a client does to itself and to its servers when it is ordered to, each at an exact moment of a call.

A deed says that it takes place through `Client.did`; one that cannot be done now answers False, and is asked again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from trichrome.torture.pipes import Answer, GoneError, line

if TYPE_CHECKING:
    from trichrome.torture.client import Client

LATE_SECONDS: Final = 1.0
"""The time limit of a task that is going to be reported late: the shortest there is."""


def _next_call(client: Client) -> tuple[str, Answer]:
    """A call that changes something; a report stays on its way until it is answered."""
    if client.held is None and client.reporting is None:
        return "claim_task", {"wait_seconds": 0}
    if client.held is not None and client.happens(30):
        return "report_progress", {"attempt": client.held, "note": client.token("note")}
    if client.reporting is None:
        assert client.held is not None
        client.reporting = client.said(client.held)
    return "report_result", client.reporting


def _begin(client: Client, order: Answer) -> int:
    """Send a call, wait for some moment of it, and say that the fault comes now; answers the call's number."""
    number = client.calls.ask(client.own, *_next_call(client))
    time.sleep(client.chance.choice((0.0, client.chance.uniform(0, 0.004), client.chance.uniform(0, 0.02))))
    client.did(order)
    return number


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives this")


def die_unread(client: Client, order: Answer) -> bool:
    """Ask, and die before the answer is read."""
    _begin(client, order)
    _die()


def die_halfway(client: Client, order: Answer) -> bool:
    """Write half a message, and die."""
    _, message = client.calls.prepare(client.own, *_next_call(client))
    client.own.send(message[: client.chance.randrange(1, len(message))])
    client.did(order)
    _die()


def kill_server(client: Client, order: Answer) -> bool:
    """Ask, and kill the server; what it wrote before it died counts."""
    number = _begin(client, order)
    client.own.process.kill()
    client.calls.answer(client.own, number)
    raise GoneError


def close_pipes(client: Client, order: Answer) -> bool:
    """Ask, and close both pipes."""
    _begin(client, order)
    client.own.end(kill=False)
    raise GoneError


def close_input(client: Client, order: Answer) -> bool:
    """Ask, end the input, and read what still comes."""
    number = _begin(client, order)
    client.own.into.close()
    client.calls.answer(client.own, number)
    client.own.leave()
    raise GoneError


def refuse_answers(client: Client, order: Answer) -> bool:
    """Close the pipe of the answers, and ask."""
    client.own.out.close()
    _begin(client, order)
    client.own.leave()
    raise GoneError


def cancel(client: Client, order: Answer) -> bool:
    """Ask, and cancel the request."""
    number = _begin(client, order)
    params = {"requestId": number, "reason": "nobody wants it any more"}
    client.own.send(line({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
    client.calls.history.note(cancelled=number)
    return True


def repeat(client: Client, order: Answer) -> bool:
    """Report again what was reported and acknowledged."""
    if client.reported is None:
        return False
    client.did(order)
    report = {name: value for name, value in client.reported.items() if name != "claim_next"}
    for _ in range(client.chance.randint(1, 3)):
        client.call("report_result", **report)
    return True


def change(client: Client, order: Answer) -> bool:
    """Report something else than was reported and acknowledged."""
    if client.reported is None:
        return False
    client.did(order)
    outcome = client.chance.choice(("completed", "failed", "released"))
    summary = client.token("something else")
    client.call("report_result", attempt=client.reported["attempt"], outcome=outcome, summary=summary)
    return True


def report_late(client: Client, order: Answer) -> bool:
    """Let an attempt's time run out, give others the time to begin the next one, and report then."""
    if client.held is not None or client.reporting is not None:
        return False
    wanted: dict[str, Any] = {**client.draft(0), "time_limit_seconds": LATE_SECONDS, "priority": 0}
    wanted.pop("not_before_seconds", None)
    wanted.pop("files", None)
    created = client.call("create_task", **wanted)
    if "error" in created:
        return False
    claimed = client.call("claim_task", task=created["tasks"][0]["id"])
    client.take(claimed)
    if "error" in claimed or client.held is None:
        return False
    time.sleep(LATE_SECONDS + client.chance.uniform(0.2, 1.6))
    client.did(order)
    if client.happens(30):
        client.call("report_progress", attempt=client.held, note=client.token("late note"))
    client.report({"attempt": client.held, "outcome": "completed", "summary": client.token(f"late {client.held}")})
    return True


def two_servers(client: Client, order: Answer) -> bool:
    """Work through a second server while the first one lives: somebody else to the log."""
    client.did(order)
    second = client.connect()
    try:
        if client.held is not None:
            client.call("report_progress", by=second, attempt=client.held, note=client.token("through the other"))
        claimed = client.call("claim_task", by=second)
        if claimed.get("attempt") is not None:
            outcome = "approved" if "reviews" in claimed["task"] else "completed"
            summary = client.token(f"did {claimed['attempt']}")
            client.call("report_result", by=second, attempt=claimed["attempt"], outcome=outcome, summary=summary)
    finally:
        second.end(kill=client.happens(50))
    return True


DEEDS: Final[Mapping[str, Callable[[Client, Answer], bool]]] = {
    "server killed within a call": kill_server,
    "pipes closed": close_pipes,
    "input half-closed": close_input,
    "answers refused": refuse_answers,
    "half a message, then death": die_halfway,
    "client died before it read": die_unread,
    "call cancelled": cancel,
    "report repeated": repeat,
    "report changed": change,
    "report late": report_late,
    "two servers of one client": two_servers,
}
"""By the name of the fault."""
