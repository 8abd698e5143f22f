"""What callers asked and were told, held against the log: what was acknowledged happened, what was refused did not."""

from __future__ import annotations

from typing import Any, Final, Literal

from tests.simulation.truth import Call, Truth

from trichrome.coordinator import messages
from trichrome.coordinator.attempts import NOTHING
from trichrome.domain import events as facts
from trichrome.errors import TrichromeError
from trichrome.store.port import Principal

MISSED: Final = "a claim finds what there is"
ACKNOWLEDGED: Final = "what was acknowledged happened"
REFUSED: Final = "what was refused did not happen"
UNREAD: Final = "what nobody read is given back at once"
SAME_ANSWER: Final = "the same call gets the same answer"

Outcome = Literal["answered", "refused", "lost", "cancelled"]


class Answers:
    """Every call, from its beginning to what came of it."""

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.keys: dict[str, str] = {}

    def begin(
        self, tool: str, principal: Principal | None, agent: str | None, handle: str | None, asked: dict[str, Any]
    ) -> Call:
        """A call begins."""
        self.truth.world.note("calls", (tool, handle, asked))
        call = Call(tool, principal, agent, handle, asked, self.truth.judge.position, self.truth.now)
        self.truth.calls[self.truth.world.current] = call
        return call

    def end(self, call: Call, outcome: Outcome, answer: Any) -> None:
        """A call is over: hold what its caller was told against the log."""
        self.truth.calls.pop(self.truth.world.current, None)
        self.truth.world.note(outcome, (call.tool, call.handle, answer))
        if outcome == "refused":
            assert isinstance(answer, TrichromeError)
            did = [each for each in call.events if not isinstance(each.event, facts.ResultSuperseded)]
            kinds = [type(each.event).__name__ for each in did]
            self.truth.check(
                not did, REFUSED, did[0].stream if did else "", f"{call.tool} ({answer.code}) wrote {kinds}"
            )
            if (call.handle, call.asked.get("summary")) in self.truth.reports:
                self._refused_again(call, answer)
        if outcome != "answered":
            return
        carried = call.handle
        match call.tool:
            case "claim":
                carried = answer["attempt"]
                self._answered_claim(call, answer)
            case "report":
                assert call.handle is not None
                self.truth.check(
                    (call.handle, call.asked["summary"]) in self.truth.reports,
                    ACKNOWLEDGED,
                    call.handle.partition(".")[0],
                    f"the report of {call.handle}",
                )
                carried = answer.get("claimed", {}).get("attempt")
            case "create":
                self._answered_create(call, answer)
            case "progress" | "reserve" | "send" | "share":
                is_told = bool(call.events) or "orders" in answer
                self.truth.check(is_told, ACKNOWLEDGED, call.handle or "", call.tool)
            case _:
                pass
        if carried is not None and call.committed is not None and carried in self.truth.owners:
            self.truth.heard[carried] = max(self.truth.heard[carried], call.committed)

    def _refused_again(self, call: Call, error: TrichromeError) -> None:
        """A report that counted was refused when it was repeated: only because the next attempt has begun."""
        handle, _, number = str(call.handle).partition(".")
        is_newest = self.truth.judge.tasks[handle].number == int(number)
        self.truth.check(error.retryable or not is_newest, SAME_ANSWER, handle, f"{call.handle} got {error.code}")

    def _answered_claim(self, call: Call, answer: Any) -> None:
        handle = answer["attempt"]
        assert call.principal is not None
        if handle is not None:
            mine = self.truth.servers[call.principal.id].identity
            owner = self.truth.owners.get(handle, ("nobody", None))[0]
            self.truth.check(mine == owner, ACKNOWLEDGED, handle, f"{mine} was given what is {owner}'s")
        elif (
            answer["next"] == NOTHING
            and self.truth.judge.position == call.length
            and self.truth.world.plan.on_lead_gone == "continue"
        ):
            me = self.truth.servers[call.principal.id].identity
            missed = [  # but for any review of its own agents' work: which agent is the author, it may not know itself
                task.id
                for task in self.truth.surely(call.asked.get("roles"), "", call.at)
                if task.made.reviews is None or self.truth.owners[str(task.made.reviews)][0] != me
            ]
            self.truth.check(not missed, MISSED, missed[0] if missed else "", f"{me} was told that there is nothing")

    def _answered_create(self, call: Call, answer: Any) -> None:
        for key, made in zip(call.asked["keys"], answer["tasks"], strict=True):
            self.truth.check(made["id"] in self.truth.judge.tasks, ACKNOWLEDGED, made["id"], "it was never created")
            if key is not None:
                first = self.keys.setdefault(key, made["id"])
                self.truth.check(first == made["id"], SAME_ANSWER, first, f"{key} answered {made['id']} later")

    def unread(self, call: Call, answer: Any) -> None:
        """What a call took was given back, as nobody read its answer."""
        taken = answer.get("claimed", answer)
        if call.principal is None or not taken.get("attempt") or taken.get("resumed"):
            return
        handle, _, number = taken["attempt"].partition(".")
        task = self.truth.judge.tasks[handle]
        is_held = task.live and (task.number, task.principal) == (int(number), call.principal.id)
        self.truth.check(not is_held, UNREAD, handle, f"{call.principal.id} still holds {taken['attempt']}")

    def read(self, inbox: messages.Inbox) -> None:
        """An answer with messages was read."""
        self.truth.has.update((message, inbox.worker) for message in inbox.messages)
