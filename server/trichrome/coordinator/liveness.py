"""Whether the worker behind a running attempt is still there, and what to do when it is not.

A live client is never rescued by lease. What ends an attempt here: its client's exit, seen on this machine; the lapse
of a lease, only where the client cannot be seen (another machine, boot or pid namespace, or a named worker that nobody
supervises); and the ceiling of the attempt. While a supervisor lives, it alone knows why a client of it ended, so only
the ceiling holds for those. Any live server or command may sweep; a rescue names the principal that it saw dead, so two
sweeps, or a sweep and an adoption, cannot both win.

Looking costs next to nothing while there is nothing to see: a `Lookout` reads the log again only when that, a process
or the time says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Self

from trichrome.coordinator import consequences, runs
from trichrome.coordinator.context import Coordinator
from trichrome.coordinator.principals import (
    disconnect_gone,
    introduce_again,
    is_here,
    is_lease_asked,
    supervisor_of,
)
from trichrome.domain import decisions
from trichrome.domain.ids import AttemptId
from trichrome.domain.tasks import Task
from trichrome.store.port import LiveAttempt, Principal, Reading

LOOK_SECONDS: Final = 5.0
"""How often a lookout looks though nothing calls for it: a lease that ran out calls for nothing."""
TIDY_SECONDS: Final = 20.0
"""How often a keeper notes who is gone. It keeps lists short: whoever decides by it asks the processes."""
_TIDY_TOGETHER: Final = 10
"""How many keepers tidy that often; of more, each does so the more rarely, or a hundred would look at each other all
the time."""
_RENEWALS: Final = 3
"""How often a lease is renewed in its length."""
_LONGEST_PAUSE_SECONDS: Final = 60.0
"""The longest a keeper that is refused pauses, and never longer than until a lease is to be renewed; at first it is a
second, which doubles from time to time."""


def why_gone(c: Coordinator, live: LiveAttempt) -> str | None:
    """Why an attempt's worker counts as gone; None while it does not."""
    principal = live.principal
    if principal is not None and supervisor_of(c, principal) is not None:
        return None
    if principal is not None and not is_lease_decisive(c, principal):
        return why_client_gone(c, principal)
    if not live.lapsed:
        return None
    if principal is None:
        return "nobody knows its worker any more"
    if principal.name is not None:
        return f"worker {principal.name} has not been heard of for {principal.lease_seconds:g} s"
    return "its lease ran out, and its client cannot be seen from here"


def is_lease_decisive(c: Coordinator, principal: Principal) -> bool:
    """Whether a principal's leases end its attempts: where its client cannot be seen, or may leave a named worker.

    The client of a supervised worker is its session, and nobody else goes on with it once both are gone.
    """
    may_leave = principal.name is not None and principal.supervisor is None
    return may_leave or principal.client is None or not is_here(c, principal)


def why_client_gone(c: Coordinator, principal: Principal) -> str | None:
    """Why a client that can be seen from here counts as gone; None while it does not."""
    assert principal.client is not None
    return None if c.is_alive(principal.client) else f"its client (process {principal.client[0]}) is gone"


def sweep(c: Coordinator) -> list[AttemptId]:
    """End attempts whose worker is gone or whose time is over, and let in what is due; answers which ended.

    With nothing to do it writes nothing.
    """
    return _swept(c)[0]


def _swept(c: Coordinator) -> tuple[list[AttemptId], float | None]:
    """Sweep; answers which attempts ended, and in how many seconds the next due time or ceiling comes."""
    with c.store.reading() as view:
        moment = view.next_moment()
        is_quiet = moment != 0.0 and not _over(c, view)
    ended: list[AttemptId] = []
    if not is_quiet:
        with c.store.writing(actor="trichrome", causation="sweep") as tx:
            tx.bring_forward_due()
            for live, why in _over(c, tx):  # looked at again: one may have been heard of, or adopted, since
                task = tx.task(live.attempt.task)
                assert task is not None
                if task is not consequences.decide(c, tx, task, _ending(c, task, live, why)):
                    ended.append(live.attempt)
    runs.pause_leaderless(c)
    return ended, moment


def _over(c: Coordinator, view: Reading) -> list[tuple[LiveAttempt, str | None]]:
    """Attempts to be ended, with why their worker counts as gone, or None for those over their ceiling."""
    return [(live, why) for live in view.live_attempts() if (why := why_gone(c, live)) or live.over_ceiling]


def _ending(c: Coordinator, task: Task, live: LiveAttempt, why: str | None) -> decisions.Rescue | decisions.Expire:
    if why is None:
        return decisions.Expire(attempt=live.attempt.number, delay_seconds=delay(c, task))
    assert task.attempt is not None
    return decisions.Rescue(
        attempt=live.attempt.number, principal=task.attempt.principal, reason=why, delay_seconds=delay(c, task)
    )


def delay(c: Coordinator, task: Task) -> float:
    """How long a task waits before its next try, in seconds."""
    return decisions.backoff(
        task.tries,
        base_seconds=c.settings.backoff_seconds,
        cap_seconds=c.settings.backoff_cap_seconds,
        jitter=c.draw(),
    )


class Lookout:
    """Looks at the log again and again, at the cost of a look only when it may find something else than before.

    What a look finds depends on the log, on which processes live, and on the time. So while the change mark is the
    same, every process that the last look asked about answers as it did, and no moment has come, another is spared.
    It belongs to one thread.

    Attributes:
        coordinator: for looking; through it the lookout learns which processes a look asked about.
    """

    def __init__(self, c: Coordinator) -> None:
        self._watch = c.store.watch()
        self._clock = c.clock
        self._is_alive = c.is_alive
        self._answers: dict[tuple[int, int], bool] = {}
        self._mark: object = None
        self._again = 0.0
        self.coordinator = replace(c, is_alive=self._asked)

    def _asked(self, process: tuple[int, int]) -> bool:
        answer = self._answers[process] = self._is_alive(process)
        return answer

    def has_news(self) -> bool:
        """Whether a look may find something new."""
        return (
            self._clock.now().monotonic >= self._again
            or self._watch.mark() != self._mark
            or any(self._is_alive(process) is not was for process, was in self._answers.items())
        )

    def begin(self) -> None:
        """Begin a look: what changes from here on is news, and so is everything unless a sweep ends it."""
        self._mark, self._answers, self._again = self._watch.mark(), {}, 0.0

    def sweep(self) -> list[AttemptId]:
        """End a look with a sweep, whose own changes are news again; answers which attempts ended."""
        ended, moment = _swept(self.coordinator)
        self._again = self._clock.now().monotonic + min(moment or LOOK_SECONDS, LOOK_SECONDS)
        return ended

    def sleep(self, *, at_most_seconds: float) -> None:
        """Sleep until the log changes, a moment comes, or the time is over; nothing wakes it when a process ends."""
        self._watch.sleep(self._mark, at_most_seconds=min(at_most_seconds, self._again - self._clock.now().monotonic))

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Keeper:
    """What a live server does beside its calls: renew its own leases, rescue, note who is gone, and further duties.

    Guarantee: what keeps attempts comes first, and no part that fails keeps another from being done.

    Args:
        c: the project.
        principal: the server.
        duties: what else is done at each turn, after the rest.
    """

    def __init__(self, c: Coordinator, principal: Principal, *, duties: Sequence[Callable[[], None]] = ()) -> None:
        self._c = c
        self._principal = principal
        self._parts = (self._renew, self._sweep, self._tidy, *duties)
        self._lookout = Lookout(c)
        self._renew_at = c.clock.now().monotonic
        self._tidy_at = self._renew_at + TIDY_SECONDS
        self._ended: list[AttemptId] = []
        self._refusal: str | None = None
        self._longest_pause_seconds = min(_LONGEST_PAUSE_SECONDS, principal.lease_seconds / _RENEWALS)
        self._pause_seconds = 0.0
        self._keep_at = self._renew_at

    def keep(self) -> list[AttemptId]:
        """Do what there is to do now, or after a refusal ever more rarely; answers which attempts ended.

        Raises:
            Exception: the first that a part raised; a refusal of the log once for each message, until all works again.
        """
        now = self._c.clock.now().monotonic
        if now < self._keep_at:
            return []
        failed = self._failed()
        if failed is None:
            self._refusal, self._pause_seconds = None, 0.0
        else:
            self._pause_seconds = min(self._pause_seconds * 2 or 1.0, self._longest_pause_seconds)
            self._keep_at = now + self._pause_seconds
            known, self._refusal = self._refusal, str(failed)
            if self._refusal != known:
                raise failed
        ended, self._ended = self._ended, []
        return ended

    def _failed(self) -> Exception | None:
        """Do all parts; answers the first failure."""
        first: Exception | None = None
        for part in self._parts:
            try:
                part()
            except Exception as error:  # noqa: BLE001 - a defect of one part must not cost the others
                first = first or error
        return first

    def _renew(self) -> None:
        now = self._c.clock.now().monotonic
        if now >= self._renew_at:
            renew(self._c, self._principal)
            self._renew_at = now + self._principal.lease_seconds / _RENEWALS

    def _sweep(self) -> None:
        if self._lookout.has_news():
            self._lookout.begin()
            introduce_again(self._c, self._principal)
            self._ended += self._lookout.sweep()

    def _tidy(self) -> None:
        now = self._c.clock.now().monotonic
        if now >= self._tidy_at:
            known = disconnect_gone(self._c)
            self._c.store.back_up_if_due()
            self._tidy_at = now + TIDY_SECONDS * max(1.0, known / _TIDY_TOGETHER)


def renew(c: Coordinator, principal: Principal) -> None:
    """Renew the leases of a principal's attempts, and let those who cannot see its processes know that it is there.

    Nothing is written where nobody asks a lease: an idle server that everybody connected can see.
    """
    with c.store.reading() as view:
        is_asked = is_lease_asked(view.principals(), principal) or _holds_attempt(view, principal)
    if is_asked:
        with c.store.writing(actor=principal.id, causation="renew") as tx:
            tx.renew_leases(principal.id, lease_seconds=principal.lease_seconds)


def _holds_attempt(view: Reading, principal: Principal) -> bool:
    """Whether a lease shows how an attempt of a principal fares."""
    return any(live.principal is not None and live.principal.id == principal.id for live in view.live_attempts())
