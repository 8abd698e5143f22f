"""Creating tasks, and what their creator or the operator does to them later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trichrome.coordinator import consequences, losses
from trichrome.coordinator.answers import Cancelled, Created, CreatedTask
from trichrome.coordinator.context import Caller, Coordinator
from trichrome.coordinator.principals import worker_for
from trichrome.domain import decisions, drafts, ids, text
from trichrome.domain.drafts import Draft
from trichrome.domain.events import RunCreated, TaskCancelled, TaskCreated
from trichrome.domain.ids import RunId, TaskId
from trichrome.domain.tasks import Task
from trichrome.domain.values import maker
from trichrome.errors import ConflictError, InvalidError, NotFoundError
from trichrome.store.port import Reading, TaskFilter, Writing

_task_created = maker(TaskCreated)


def create(c: Coordinator, caller: Caller, wanted: Sequence[Draft], *, run: str | None = None) -> Created:
    """Create one task, or many at once: all or none.

    Args:
        c: the project.
        caller: becomes the lead of a new run.
        wanted: the tasks; `depends_on` may name siblings by `ref`.
        run: the run they join; None is that of the tasks which their keys find, else a new one.

    Raises:
        TrichromeError: `invalid`, `too_large`, `cycle`, `unknown_role`, `not_found`, `key_reused`.
    """
    checked = drafts.checked(wanted, roles=c.roles, role_for_kind=c.role_for_kind)
    with c.store.writing(actor=caller.principal, causation="create_task") as tx:
        worker = worker_for(c, tx, caller)
        given = None if run is None else existing_run(tx, run)
        joined = _run_of(tx, [draft for _, draft in checked], given) or _new_run(c, tx, worker.name)
        made = _Making(c, tx, worker.name, joined)
        made_as = {place: made.one(draft) for place, draft in checked}
        answer: Created = {"run": joined, "tasks": [made_as[place] for place in sorted(made_as)]}
    answer["next"] = (
        f"Have workers claim them. Then end your turn: with a shell, run `trichrome wait {answer['run']}` there in the "
        "background (run_in_background, timeout 7200000) and you are woken once; without one, call "
        f"wait(run={answer['run']!r})."
    )
    return answer


def _run_of(tx: Reading, wanted: Sequence[Draft], run: RunId | None) -> RunId | None:
    """The one run of a call: the given one, else that of the tasks which keys find; None where neither is.

    Raises:
        ConflictError: `key_reused`, when a key made a task of another run.
    """
    for draft in wanted:
        known = tx.task_by_key(draft.key) if draft.key is not None else None
        if known is None:
            continue
        made = existing(tx, known[0])
        if made.run != (run := run or made.run):
            raise ConflictError(
                f"The key {draft.key!r} already made {made.id} of run {made.run}, and this call is for {run}. Call "
                f"with run={made.run!r} for that task, or use another key for another one.",
                code="key_reused",
                field="key",
            )
    return run


def _new_run(c: Coordinator, tx: Writing, lead: str) -> RunId:
    run = tx.new_run()
    tx.append(run, [RunCreated(run=run, lead=lead, on_lead_gone=c.settings.on_lead_gone)])
    return run


class _Making:
    """Creating the drafts of one call, each after those it waits for."""

    def __init__(self, c: Coordinator, tx: Writing, lead: str, run: RunId) -> None:
        self._c = c
        self._tx = tx
        self._lead = lead
        self._run = run
        self._refs: dict[str, TaskId] = {}

    def one(self, draft: Draft) -> CreatedTask:
        """Create one draft, or find what its key made."""
        named = [self._dependency(name) for name in draft.depends_on]
        depends_on = list({on.id: on for on in named}.values())  # a key may have given one task two names
        digest = None
        if draft.key is not None:
            digest = replace(draft, depends_on=tuple(on.id for on in depends_on)).digest()
        task = self._found(draft, digest) or self._made(draft, depends_on, digest)
        if draft.ref is not None:
            self._refs[draft.ref] = task.id
        line: CreatedTask = {"id": task.id, "state": task.state, "role": task.role}
        if draft.ref is not None:
            line["ref"] = draft.ref
        return line

    def _found(self, draft: Draft, digest: str | None) -> Task | None:
        known = self._tx.task_by_key(draft.key) if draft.key is not None else None
        if known is None:
            return None
        task, made_from = known
        if made_from != digest:
            raise ConflictError(
                f"The key {draft.key!r} already made {task} with other content. Use another key for another task.",
                code="key_reused",
                field="key",
            )
        return self._tx.task(task)

    def _made(self, draft: Draft, depends_on: Sequence[Task], digest: str | None) -> Task:
        c, tx = self._c, self._tx
        task = tx.new_task()
        assert draft.role is not None
        event = _task_created(
            task=task,
            run=self._run,
            kind=draft.kind,
            role=draft.role,
            instructions=draft.instructions,
            created_by=self._lead,
            acceptance=draft.acceptance,
            priority=draft.priority,
            depends_on=tuple(on.id for on in depends_on),
            waiting_on=sum(on.state != "completed" for on in depends_on),
            files=draft.files,
            review=draft.review,
            key=draft.key,
            key_digest=digest,
            max_attempts=draft.max_attempts or c.settings.max_attempts,
            max_review_rounds=c.settings.max_review_rounds,
            not_before_seconds=draft.not_before_seconds,
            time_limit_seconds=draft.time_limit_seconds or c.settings.time_limit_seconds,
        )
        tx.append(task, [event])
        made = tx.task(task)
        assert made is not None
        return made

    def _dependency(self, name: str) -> Task:
        if name in self._refs:
            return existing(self._tx, self._refs[name], field="depends_on")
        try:
            handle = ids.task_id(name, field="depends_on")
        except InvalidError:
            raise NotFoundError(
                f"depends_on names {name[:40]!r}, which is neither a task nor the ref of one in this call.",
                field="depends_on",
            ) from None
        return existing(self._tx, handle, field="depends_on")


def existing(tx: Reading, task: str, *, field: str = "task") -> Task:
    """A task that must exist.

    Raises:
        NotFoundError: it does not.
        InvalidError: that is no task handle.
    """
    found = tx.task(ids.task_id(task, field=field))
    if found is None:
        raise losses.unknown(tx, f"task {task}", shown="list_tasks shows those there are.", field=field)
    return found


def existing_run(tx: Reading, run: str, *, field: str = "run") -> RunId:
    """A run that must exist.

    Raises:
        NotFoundError: it does not.
        InvalidError: that is no run handle.
    """
    handle = ids.run_id(run, field=field)
    if tx.run(handle) is None:
        raise losses.unknown(tx, f"run {run}", shown="list_tasks shows the runs of all tasks.", field=field)
    return handle


def cancel(
    c: Coordinator, caller: Caller, *, task: str | None = None, run: str | None = None, reason: str | None = None
) -> Cancelled:
    """Cancel a task, or every task of a run that is not over; answers those and the reviews that went with them.

    Workers at them learn it at their next call.

    Raises:
        TrichromeError: `invalid` unless exactly one of task and run is given; `not_found`.
    """
    if (task is None) == (run is None):
        raise InvalidError("Say which task, or which run: one of the two.", field="task")
    why = text.optional(reason, field="reason", limit=text.SUMMARY_BYTES) or "no longer wanted"
    with c.store.writing(actor=caller.principal, causation="cancel_task") as tx:
        by = worker_for(c, tx, caller).name
        if task is not None:
            chosen = [existing(tx, task)]
        else:
            assert run is not None
            whole = TaskFilter(run=existing_run(tx, run), limit=10**9)
            chosen = [line.task for line in tx.list_tasks(whole)]
        before = tx.position()
        for each in chosen:
            now = tx.task(each.id)
            assert now is not None
            consequences.decide(c, tx, now, decisions.Cancel(reason=why, by=by))
        news = tx.events(after=before, limit=10**9)
        cancelled = [each.stream for each in news if isinstance(each.event, TaskCancelled)]
    return {"cancelled": cancelled}


def retry(c: Coordinator, caller: Caller, task: str) -> Task:
    """Put a failed or cancelled task back, with all its tries.

    Raises:
        TrichromeError: `not_found`; `invalid` for a task that is neither failed nor cancelled.
    """
    with c.store.writing(actor=caller.principal, causation="retry") as tx:
        by = worker_for(c, tx, caller).name
        return consequences.decide(c, tx, existing(tx, task), decisions.Retry(by=by))


def amend(
    c: Coordinator,
    caller: Caller,
    task: str,
    *,
    priority: int | None = None,
    instructions: str | None = None,
) -> Task:
    """Change a task's priority, or its instructions while nobody works on it.

    Raises:
        TrichromeError: `not_found`; `invalid` when it is too late, or nothing is to change.
    """
    if priority is None and instructions is None:
        raise InvalidError("Say what to change: priority or instructions.", field="priority")
    if priority is not None:
        drafts.check_priority(priority)
    if instructions is not None:
        instructions = text.required(instructions, field="instructions", limit=text.INSTRUCTIONS_BYTES)
    with c.store.writing(actor=caller.principal, causation="amend") as tx:
        by = worker_for(c, tx, caller).name
        command = decisions.Amend(by=by, priority=priority, instructions=instructions)
        return consequences.decide(c, tx, existing(tx, task), command)
