"""Which promises held: what clients asked and were told beside what the log says.

Pure: evidence in, verdict out. It trusts no view and no fold of the product; `fold` reads the log by itself, and here
each answer that a client was given is held against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trichrome.domain.events import (
    AttemptFailed,
    AttemptReleased,
    ContextShared,
    FilesReserved,
    ProgressReported,
    ResultSuperseded,
    ReviewRequested,
    TaskCancelled,
    TaskClaimed,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
)
from trichrome.torture import lives
from trichrome.torture.fold import Log, walk
from trichrome.torture.histories import Call, Evidence, Fact
from trichrome.torture.promises import Broken, Verdict

_UNDECIDED: Final = frozenset({"store_unavailable", "worker_in_use", "internal", "protocol"})
"""Refusals that do not say that nothing happened: a commit that a failing disk refused may yet be on it."""
_TEXTS: Final = {
    "create_task": "instructions",
    "report_result": "summary",
    "report_progress": "note",
    "cancel_task": "reason",
    "share_context": "text",
}
"""By tool, the argument that carries words which nobody else says."""


def check(evidence: Evidence) -> Verdict:
    """Judge everything that was promised."""
    return _Checker(evidence).verdict


class _Checker:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.verdict = Verdict()
        self.end = max((fact.seen for fact in evidence.facts), default=0.0)
        self.log: Log = walk(self.verdict, evidence.facts, evidence.damages)
        self.log.ends(self.end)
        self.said: dict[str, list[Fact]] = defaultdict(list)
        for fact in evidence.facts:
            for text in _texts(fact):
                self.said[text].append(fact)
        self.lost = {fact for damage in evidence.damages for fact in damage.lost}
        self.known = {
            (fact.stream, fact.event.attempt) for fact in evidence.facts if isinstance(fact.event, TaskClaimed)
        }
        self.asked: dict[str, list[Call]] = defaultdict(list)
        for call in evidence.calls:
            for text in _words(call):
                self.asked[text].append(call)
        for call in evidence.calls:
            self._answered(call)
            if call.is_acknowledged:
                self._acknowledged(call)
        for text, calls in self.asked.items():
            self._once(text, calls)
        self._keys()
        lives.judge(self.verdict, evidence)
        self._itself()
        self.verdict.broken.sort(key=lambda broken: broken.at)

    # --- each answer --------------------------------------------------------------------------------------------------

    def _answered(self, call: Call) -> None:
        where, at = f"client {call.client} #{call.number} {call.tool}", call.told or call.asked
        is_sound = not call.hung and call.code not in {"internal", "protocol"}
        task = _task(call)
        said = call.answer["error"].get("message", "") if call.code is not None and call.answer is not None else ""
        what = f"{where}: {said or call.code or 'no answer'}"
        self.verdict.check("every call is answered", is_sound, what, task=task, at=at)
        if call.code == "store_unavailable":
            is_caused = any(window.excuses(call) for window in self.evidence.windows)
            self.verdict.check("no refusal without a cause", is_caused, what, task=task, at=at)
        elif call.answer is not None:
            self.verdict.checked["no refusal without a cause"] += 1

    def _acknowledged(self, call: Call) -> None:
        assert call.answer is not None
        for task, kept in self._promised(call, call.answer):
            what = f"client {call.client} was told #{call.number} {call.tool} of {task}, and the log does not have it"
            self.verdict.check("nothing acknowledged is lost", kept, what, task=task, at=call.told or call.asked)

    def _promised(self, call: Call, answer: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
        """What an acknowledged call should have left: whose it is, and whether it did."""
        if (claim := call.claimed) is not None:
            task, _, number = claim["attempt"].partition(".")
            yield task, (task, int(number)) in self.known
        match call.tool:
            case "create_task":
                for line, draft in zip(answer["tasks"], _drafts(call), strict=True):
                    yield line["id"], self._is_created(line["id"], draft)
            case "report_result":
                task, _, number = call.arguments["attempt"].partition(".")
                effects = self._effects(call.arguments["summary"])
                yield task, any((fact.stream, _attempt(fact)) == (task, int(number)) for fact in effects)
            case "report_progress" if "orders" not in answer:
                task = answer["task"]
                yield task, any(fact.stream == task for fact in self._effects(call.arguments["note"]))
            case "reserve_files":
                task, _, number = call.arguments["attempt"].partition(".")
                yield task, self._is_reserved(task, int(number), call.arguments["paths"])
            case "cancel_task":
                for task in answer["cancelled"]:
                    yield task, self._is_cancelled(task)
            case "share_context":
                yield call.arguments["name"], self._effects(call.arguments["text"])
            case _:
                pass

    def _is_created(self, task: str, draft: Mapping[str, Any]) -> bool:
        facts = [fact for fact in self.said[draft["instructions"]] if fact.stream == task]
        return any(
            isinstance(event := fact.event, TaskCreated)
            and (event.kind, event.priority, event.key) == (draft["kind"], draft["priority"], draft.get("key"))
            for fact in facts
        )

    def _is_reserved(self, task: str, attempt: int, paths: list[str]) -> bool:
        return any(
            isinstance(event := fact.event, FilesReserved)
            and (event.attempt, list(event.paths)) == (attempt, paths)
            and fact.stream == task
            for fact in self.evidence.facts
        )

    def _is_cancelled(self, task: str) -> bool:
        return any(isinstance(fact.event, TaskCancelled) and fact.stream == task for fact in self.evidence.facts)

    def _effects(self, text: str) -> list[Fact]:
        """What words brought about, whatever became of it; a result that was put aside brought nothing about."""
        return [fact for fact in self.said[text] if not isinstance(fact.event, ResultSuperseded)]

    # --- the same, and something else, asked again --------------------------------------------------------------------

    def _once(self, text: str, calls: list[Call]) -> None:
        task, at = _task(calls[-1]), calls[-1].told or calls[-1].asked
        effects = [fact for fact in self._effects(text) if fact not in self.lost]
        if calls[0].tool == "report_result":
            what = f"{text!r} counted {len(effects)} times"
            self.verdict.check("same report, same answer", len(effects) <= 1, what, task=task, at=at)
            self._repeated(text, calls)
        if all(call.code is not None and call.code not in _UNDECIDED for call in calls):
            what = f"{text!r} was refused ({calls[-1].code}), and happened"
            self.verdict.check("nothing stale counts", not effects, what, task=task, at=at)

    def _repeated(self, text: str, calls: list[Call]) -> None:
        """Once acknowledged, a report is acknowledged again, unless the next attempt began since."""
        since = min((call.told for call in calls if call.is_acknowledged and call.told is not None), default=None)
        if since is None:
            return
        for call in calls:
            if call.asked <= since or call.answer is None or call.code in _UNDECIDED:
                continue
            held = call.code is None or (
                call.code in {"stale_attempt", "not_found", "not_owner"} and self._moved_on(call.arguments["attempt"])
            )
            what = f"{text!r} was acknowledged, then refused ({call.code})"
            at = call.told or call.asked
            self.verdict.check("same report, same answer", held, what, task=_task(call), at=at)

    def _moved_on(self, attempt: str) -> bool:
        """Whether a later attempt began, or the task lost a part of its history."""
        task, _, number = attempt.partition(".")
        return self.log.given.get(task, 0) > int(number) or any(fact.stream == task for fact in self.lost)

    def _keys(self) -> None:
        made: dict[str, dict[str, Call]] = defaultdict(dict)
        for call in self.evidence.calls:
            key = call.arguments.get("key")
            if call.tool == "create_task" and key is not None and call.is_acknowledged and call.answer is not None:
                made[key].setdefault(call.answer["tasks"][0]["id"], call)
        for key, tasks in made.items():
            left = [task for task in tasks if not any(fact.stream == task for fact in self.lost)]
            last = list(tasks.values())[-1]
            what = f"the key {key!r} made {', '.join(tasks)}"
            at = last.told or last.asked
            self.verdict.check("same key, same task", len(left) <= 1, what, task=left[-1] if left else None, at=at)

    # --- what the log says about itself -------------------------------------------------------------------------------

    def _itself(self) -> None:
        chain = [each for each in self.evidence.differences if each.startswith("events:")]
        views = [each for each in self.evidence.differences if not each.startswith("events:")]
        self.verdict.checked["the chain is whole"] += 1
        self.verdict.checked["views are the fold"] += 1
        self.verdict.checked["nothing is left behind"] += 1
        self.verdict.broken += [Broken("the chain is whole", each, None, self.end) for each in chain]
        self.verdict.broken += [Broken("views are the fold", each, None, self.end) for each in views]
        self.verdict.broken += [
            Broken("nothing is left behind", each, None, self.end) for each in self.evidence.left_behind
        ]


def _drafts(call: Call) -> list[Mapping[str, Any]]:
    """The tasks that a call asked for."""
    return list(call.arguments.get("tasks", [call.arguments]))


def _words(call: Call) -> list[str]:
    """The words of a call that nobody else says."""
    name = _TEXTS.get(call.tool)
    if name is None:
        return []
    if call.tool == "create_task":
        return [draft[name] for draft in _drafts(call)]
    return [call.arguments[name]] if name in call.arguments else []


def _texts(fact: Fact) -> list[str]:
    """The words of clients that an event carries."""
    match fact.event:
        case TaskCreated(instructions=text) | ContextShared(text=text):
            return [text]
        case ProgressReported(note=text) if text is not None:
            return [text]
        case AttemptReleased(reason=text) | TaskCancelled(reason=text):
            return [text]
        case (
            TaskCompleted(report=report)
            | TaskFailed(report=report)
            | ReviewRequested(report=report)
            | AttemptFailed(report=report)
            | ResultSuperseded(report=report)
        ) if report is not None:
            return [report.summary]
        case _:
            return []


def _attempt(fact: Fact) -> int | None:
    found: int | None = getattr(fact.event, "attempt", None)
    return found


def _task(call: Call) -> str | None:
    """The task that a call is about, as far as it says."""
    if "attempt" in call.arguments:
        return str(call.arguments["attempt"]).partition(".")[0]
    if call.claimed is not None:
        return str(call.claimed["attempt"]).partition(".")[0]
    return call.arguments.get("task")
