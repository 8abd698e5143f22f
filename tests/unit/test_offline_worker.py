"""The loop of an offline worker, against answers as the server gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import pytest

from trichrome.errors import Code, TrichromeError
from trichrome.runners.offline import worker as module
from trichrome.runners.offline.work import Result
from trichrome.runners.offline.worker import Worker

pytestmark = pytest.mark.anyio

Answer = dict[str, Any] | Exception
DONE = Result("completed", "Done.", {"n": 1})
NOTHING: Answer = {"attempt": None, "next": "End your turn."}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.0, 0.0, 0.0))


class Script:
    """A connection that answers from a script and keeps what was called; past its end there is nothing to do."""

    def __init__(self, *answers: Answer, then: Callable[[str], object] = lambda _tool: None) -> None:
        self.answers = list(answers)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.then = then

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        self.calls.append((tool, dict(arguments)))
        answer = self.answers.pop(0) if self.answers else NOTHING
        self.then(tool)
        await anyio.lowlevel.checkpoint()
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def reports(self) -> list[tuple[str, str]]:
        return [(sent["attempt"], sent["outcome"]) for tool, sent in self.calls if tool == "report_result"]


def claimed(attempt: str, **more: Any) -> dict[str, Any]:
    task = {"id": attempt.partition(".")[0], "kind": "search", "role": "blue", "instructions": "Find it"}
    return {"attempt": attempt, "task": task, "dependencies": [], **more}


def accepted(following: Answer = NOTHING) -> dict[str, Any]:
    return {"task": "t1", "state": "completed", "claimed": following}


def refused(code: Code, *, retryable: bool = False) -> TrichromeError:
    error = TrichromeError(f"refused: {code}", code=code)
    error.retryable = retryable
    return error


async def done(_claimed: Mapping[str, Any]) -> Result:
    return DONE


def worker(work: Any = done, until_idle: int | None = 1, task: str | None = None) -> Worker:
    return Worker(role="blue", work=work, wait_seconds=7, until_idle=until_idle, task=task)


async def run(tools: Script, **more: Any) -> Script:
    with anyio.fail_after(5):
        await worker(**more).run(tools)
    return tools


async def test_worker_claims_works_reports_and_takes_the_next_from_the_answer() -> None:
    tools = await run(Script(claimed("t1.1"), accepted(claimed("t2.1")), accepted()))

    assert tools.calls[0] == ("claim_task", {"role": "blue", "wait_seconds": 7})
    assert tools.calls[1] == (
        "report_result",
        {"attempt": "t1.1", "outcome": "completed", "summary": "Done.", "data": {"n": 1}, "claim_next": True},
    )
    assert tools.reports == [("t1.1", "completed"), ("t2.1", "completed")]
    assert [tool for tool, _ in tools.calls] == ["claim_task", "report_result", "report_result", "claim_task"]


async def test_idle_worker_leaves_after_as_many_empty_waits_as_told() -> None:
    tools = await run(Script(NOTHING, claimed("t1.1"), accepted(), NOTHING, NOTHING), until_idle=2)

    assert len(tools.calls) == 5


@pytest.mark.parametrize("code", ["stale_attempt", "already_reported", "not_owner"])
async def test_work_that_is_no_longer_ours_is_dropped_without_a_second_report(code: Code) -> None:
    tools = await run(Script(claimed("t1.1"), refused(code), claimed("t2.1"), accepted()))

    assert tools.reports == [("t1.1", "completed"), ("t2.1", "completed")]


async def test_failure_of_the_work_fails_the_attempt_with_its_reason_and_not_the_worker() -> None:
    async def broken(_claimed: Mapping[str, Any]) -> Result:
        raise ZeroDivisionError("no\nparts")

    tools = await run(Script(claimed("t1.1"), accepted()), work=broken)

    (_, report) = tools.calls[1]
    assert report["outcome"] == "failed"
    assert report["summary"] == "The work ended with ZeroDivisionError: no parts"
    assert report["retry"] is True


async def test_result_that_the_server_refuses_becomes_a_failure_that_says_so() -> None:
    tools = await run(Script(claimed("t1.1"), refused("too_large"), accepted()))

    assert tools.reports == [("t1.1", "completed"), ("t1.1", "failed")]
    assert tools.calls[2][1]["summary"] == "The server refused the result: refused: too_large"


async def test_failure_that_the_server_refuses_too_ends_the_worker() -> None:
    tools = Script(claimed("t1.1"), refused("too_large"), refused("invalid"))

    with pytest.raises(TrichromeError, match="refused: invalid"):
        await run(tools)


async def test_call_that_may_be_repeated_is() -> None:
    busy = refused("store_unavailable", retryable=True)

    tools = await run(Script(busy, claimed("t1.1"), busy, busy, accepted()))

    assert tools.reports == [("t1.1", "completed")] * 3


async def test_refusal_that_stays_ends_the_worker() -> None:
    busy = refused("store_unavailable", retryable=True)
    tools = Script(busy, busy, busy, busy)

    with pytest.raises(TrichromeError, match="store_unavailable"):
        await run(tools)

    assert len(tools.calls) == 4


async def test_claim_that_is_refused_ends_the_worker() -> None:
    with pytest.raises(TrichromeError, match="unknown_role"):
        await run(Script(refused("unknown_role")))


async def test_result_is_reported_over_the_next_connection_when_the_first_is_lost() -> None:
    times = 0

    async def counted(_claimed: Mapping[str, Any]) -> Result:
        nonlocal times
        times += 1
        return DONE

    one = worker(counted)
    lost, found = Script(claimed("t1.1"), ConnectionError("gone")), Script(accepted())

    with anyio.fail_after(5):
        with pytest.raises(ConnectionError):
            await one.run(lost)
        await one.run(found)

    assert times == 1
    assert found.reports == [("t1.1", "completed")]


async def test_stopped_worker_gives_back_what_it_works_on() -> None:
    began = anyio.Event()

    async def endless(_claimed: Mapping[str, Any]) -> Result:
        began.set()
        await anyio.sleep_forever()
        raise AssertionError

    one = worker(endless)
    tools = Script(claimed("t1.1"))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, tools)
            await began.wait()
            stopped = one.stop()

    assert stopped
    assert tools.reports == [("t1.1", "released")]


async def test_stop_during_a_report_lets_it_finish_and_gives_back_the_next_task() -> None:
    one = worker(until_idle=None)
    tools = Script(claimed("t1.1"), accepted(claimed("t2.1")), then=lambda tool: tool == "report_result" and one.stop())

    with anyio.fail_after(5):
        await one.run(tools)

    assert tools.reports == [("t1.1", "completed"), ("t2.1", "released")]


async def test_stop_while_waiting_for_work_has_nothing_to_give_back() -> None:
    one = worker(until_idle=None)
    tools = Script(NOTHING, then=lambda _tool: one.stop())

    with anyio.fail_after(5):
        await one.run(tools)

    assert tools.reports == []


async def test_stop_with_a_lost_connection_leaves_the_attempt_to_the_rescue() -> None:
    async def stopped(_claimed: Mapping[str, Any]) -> Result:
        one.stop()
        await anyio.lowlevel.checkpoint()
        raise AssertionError

    one = worker(stopped)
    tools = Script(claimed("t1.1"), ConnectionError("gone"))
    with anyio.fail_after(5):
        await one.run(tools)

    assert tools.reports == [("t1.1", "released")]


async def test_stop_during_a_report_that_is_lost_gives_back_over_the_next_connection() -> None:
    one = worker(until_idle=None)
    lost = Script(claimed("t1.1"), ConnectionError("gone"), then=lambda tool: tool == "report_result" and one.stop())
    found = Script()

    with anyio.fail_after(5):
        with pytest.raises(ConnectionError):
            await one.run(lost)
        await one.run(found)

    assert found.reports == [("t1.1", "released")]


async def test_worker_between_connections_has_nobody_to_tell_of_a_stop() -> None:
    one = worker()
    with anyio.fail_after(5):
        await one.run(Script(NOTHING))

    assert one.stop() is False


async def test_only_the_first_stop_of_a_running_worker_is_taken() -> None:
    one = worker(until_idle=None)
    before = one.stop()
    answers: list[bool] = []

    def stop_twice(_tool: str) -> None:
        answers.extend([one.stop(), one.stop()])

    with anyio.fail_after(5):
        await one.run(Script(NOTHING, then=stop_twice))

    assert (before, answers, one.stop()) == (False, [True, False], False)


async def test_data_that_an_answer_had_no_room_for_is_fetched() -> None:
    seen: list[Mapping[str, Any]] = []

    async def look(claim: Mapping[str, Any]) -> Result:
        seen.append(claim)
        return DONE

    dependencies = [
        {"id": "t1", "summary": "a", "data": {"n": 1}},
        {"id": "t2", "summary": "b", "data": "left out for length; get_task('t2') shows it"},
        {"id": "t3", "summary": "c"},
    ]
    fetched = {"id": "t2", "result": {"summary": "b", "data": {"n": 2}}}

    tools = await run(Script(claimed("t4.1", dependencies=dependencies), fetched, accepted()), work=look)

    assert [sent for tool, sent in tools.calls if tool == "get_task"] == [{"task": "t2"}]
    assert [dependency.get("data") for dependency in seen[0]["dependencies"]] == [{"n": 1}, {"n": 2}, None]


async def test_named_task_is_done_and_nothing_after_it() -> None:
    tools = await run(Script(claimed("t1.1"), accepted()), task="t1", until_idle=None)

    assert tools.calls[0] == ("claim_task", {"task": "t1"})
    assert tools.calls[1][1]["claim_next"] is False
    assert len(tools.calls) == 2


@pytest.mark.parametrize(
    "answer", [NOTHING, refused("already_claimed"), refused("files_conflict"), refused("invalid"), refused("not_found")]
)
async def test_named_task_that_is_not_to_be_had_ends_the_worker_in_good_order(answer: Answer) -> None:
    tools = await run(Script(answer), task="t1", until_idle=None)

    assert len(tools.calls) == 1


async def test_named_task_that_is_no_longer_ours_ends_the_worker() -> None:
    tools = await run(Script(claimed("t1.1"), refused("stale_attempt")), task="t1", until_idle=None)

    assert len(tools.calls) == 2


async def test_named_claim_that_is_refused_for_another_reason_ends_the_worker_with_it() -> None:
    with pytest.raises(TrichromeError, match="worker_in_use"):
        await run(Script(refused("worker_in_use")), task="t1")
