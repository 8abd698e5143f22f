"""Work in threads: answered, refused, cancelled, and more of it than there are threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from trichrome.mcp_server.threads import MOST, Threads

BOUND_SECONDS = 5


def within_bound(work: Callable[[], object]) -> None:
    async def bounded() -> None:
        with anyio.fail_after(BOUND_SECONDS):
            await work()  # type: ignore[misc]

    anyio.run(bounded)


def test_work_that_comes_one_after_the_other_is_answered_from_one_other_thread() -> None:
    threads, answers = Threads(), set[int]()

    async def work() -> None:
        for _ in range(5):
            answers.add(await threads.run(threading.get_ident))

    within_bound(work)

    assert len(answers) == 1
    assert threading.get_ident() not in answers


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration(), SystemExit(1)], ids=repr)
def test_what_work_raises_reaches_whoever_asked_for_it_and_the_thread_goes_on(error: BaseException) -> None:
    threads, answers = Threads(), list[object]()

    def fail() -> None:
        raise error

    async def work() -> None:
        try:
            await threads.run(fail)
        except (ValueError, RuntimeError, SystemExit) as raised:
            answers.append(raised if not isinstance(error, StopIteration) else raised.__cause__)
        answers.append(await threads.run(lambda: "on"))

    within_bound(work)

    assert answers == [error, "on"]


def test_whoever_is_cancelled_goes_on_while_the_work_ends_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    threads, may_end, ended = Threads(), threading.Event(), threading.Event()

    def slow() -> None:
        may_end.wait(BOUND_SECONDS)
        ended.set()

    async def work() -> None:
        with anyio.move_on_after(0.01) as scope:
            await threads.run(slow)
        assert scope.cancelled_caught
        assert not ended.is_set()
        may_end.set()
        assert await threads.run(lambda: ended.wait(BOUND_SECONDS))

    within_bound(work)

    assert caplog.messages == []


def test_work_beyond_the_most_threads_waits_for_one_and_all_of_it_is_done() -> None:
    threads, at_work = Threads(), threading.Semaphore(0)
    may_end, answers = threading.Event(), list[int]()
    others = threading.active_count()
    most = 0

    def hold(number: int) -> int:
        at_work.release()
        may_end.wait(BOUND_SECONDS)
        return number

    async def ask(number: int) -> None:
        answers.append(await threads.run(lambda: hold(number)))

    async def work() -> None:
        nonlocal most
        async with anyio.create_task_group() as group:
            for number in range(MOST + 3):
                group.start_soon(ask, number)
            await anyio.to_thread.run_sync(lambda: [at_work.acquire(timeout=BOUND_SECONDS) for _ in range(MOST)])
            most = threading.active_count() - others
            may_end.set()

    within_bound(work)

    assert sorted(answers) == list(range(MOST + 3))
    assert most <= MOST + 1  # the one that waited above


def test_work_whose_thread_cannot_begin_is_refused_and_the_next_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, answers = Threads(), list[int]()

    def begin(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    async def work() -> None:
        with monkeypatch.context() as at_the_limit:
            at_the_limit.setattr(threading.Thread, "start", begin)
            with pytest.raises(RuntimeError, match="new thread"):
                await threads.run(lambda: 1)
        answers.append(await threads.run(lambda: 2))

    within_bound(work)

    assert answers == [2]
