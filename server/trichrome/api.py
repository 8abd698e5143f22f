"""Trichrome from Python: create tasks, wait for them, read what they brought.

    from trichrome import MultiClaudeOrchestrator

    with MultiClaudeOrchestrator() as o:
        found = o.create_task("search", "Find authentication patterns")
        o.create_task("document", "Write down what was found", depends_on=[found], review="red")
        print(o.wait(found)[found]["summary"])

The work is done by workers: Claude Code sessions, or others, that are connected to the same project. What a method
acknowledged is in the log, whatever happens to this program.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Required, Self, TypedDict, Unpack

from trichrome.bootstrap import open_project
from trichrome.coordinator import OPERATOR, liveness, queries, tasks, waiting
from trichrome.coordinator.answers import Created, NeedsHelp, Result, Status, TaskDetail, TaskPage
from trichrome.domain.drafts import Draft
from trichrome.domain.tasks import State
from trichrome.errors import InvalidError, NotFoundError, TrichromeError

__all__ = ["MultiClaudeOrchestrator", "NewTask", "NotCompletedError", "TaskOptions"]


class TaskOptions(TypedDict, total=False):
    """What may be said about a new task beside its kind and instructions.

    Attributes:
        role: who does it; by default the role that takes this kind.
        acceptance: when it counts as done.
        priority: 0 (urgent) to 9; 5 by default.
        depends_on: tasks to wait for; in `create_tasks` also the `ref` of a sibling.
        files: paths that it will change.
        review: the role that reviews the result.
        key: create it once: the same key again answers the same task.
        max_attempts: how many tries it gets.
        not_before_seconds: how long it waits first.
        time_limit_seconds: how long one try may take.
    """

    role: str
    acceptance: str
    priority: int
    depends_on: Sequence[str]
    files: Sequence[str]
    review: str
    key: str
    max_attempts: int
    not_before_seconds: float
    time_limit_seconds: float


class NewTask(TaskOptions, total=False):
    """One task of `create_tasks`; `ref` is a name for it within the call."""

    kind: Required[str]
    instructions: Required[str]
    ref: str


_TASK_KEYS: Final = NewTask.__required_keys__ | NewTask.__optional_keys__


class NotCompletedError(Exception):
    """What was waited for did not complete, or cannot move without somebody.

    Attributes:
        states: the tasks that are over without being completed, with how they ended.
        stuck: what cannot move, why, and what would help.
    """

    def __init__(self, states: Mapping[str, State], stuck: Sequence[NeedsHelp]) -> None:
        told = [f"{task} {state}" for task, state in states.items()]
        told += [f"{each['id']} is stuck: {each['why']} (what helps: {each['help']})" for each in stuck]
        super().__init__("; ".join(told))
        self.states = dict(states)
        self.stuck = list(stuck)


class MultiClaudeOrchestrator:
    """One project's tasks, for a program. Each thread may use it; closing it, or leaving `with`, lets go of the log.

    Every method raises `TrichromeError` for a refusal; its `code` is stable.
    """

    def __init__(self, project: str | os.PathLike[str] | None = None) -> None:
        """Open a project, making its log at the first time.

        Args:
            project: the folder whose `.trichrome` holds the log; None finds it as the command line does, from
                `TRICHROME_HOME`, the git repository, or the current folder.

        Raises:
            TrichromeError: `invalid`, `not_permitted`, `store_unavailable`, `store_too_new`.
        """
        folder = None if project is None else Path(project).resolve()
        if folder is not None and not folder.is_dir():
            raise NotFoundError(f"{folder} is no folder. Name an existing one.", field="project")
        self._project = open_project(folder)
        self._coordinator = self._project.coordinator

    @property
    def folder(self) -> Path:
        """The project folder."""
        return self._project.folder

    def create_task(
        self, kind: str, instructions: str, *, run: str | None = None, **options: Unpack[TaskOptions]
    ) -> str:
        """Create one task and answer its handle.

            o.create_task("search", "Find authentication patterns")  # "t1"

        Args:
            kind: what sort of work: search, analyze, implement, fix, refactor, test, document, review, or any
                lower-case word with a `role`.
            instructions: what to do, in words.
            run: the run it joins; None begins one.
            **options: see `TaskOptions`.

        Raises:
            TrichromeError: `invalid`, `too_large`, `cycle`, `unknown_role`, `not_found`, `key_reused`.
        """
        draft = _draft({"kind": kind, "instructions": instructions, **options})
        return tasks.create(self._coordinator, OPERATOR, [draft], run=run)["tasks"][0]["id"]

    def create_tasks(self, wanted: Sequence[NewTask], *, run: str | None = None) -> Created:
        """Create several tasks of one run: all of them, or none.

            o.create_tasks([
                {"ref": "find", "kind": "search", "instructions": "Find every SQL query"},
                {"kind": "document", "instructions": "List them", "depends_on": ["find"]},
            ])  # {"run": "r1", "tasks": [{"id": "t1", "ref": "find", ...}, ...]}

        Raises:
            TrichromeError: `invalid`, `too_large`, `cycle`, `unknown_role`, `not_found`, `key_reused`.
        """
        return tasks.create(self._coordinator, OPERATOR, [_draft(each) for each in wanted], run=run)

    def wait(self, *handles: str, timeout: float | None = None) -> dict[str, Result]:
        """Wait until tasks, or all tasks of one run, are completed, and answer their results by task.

            o.wait("t1", "t2", timeout=600)["t1"]["summary"]
            o.wait("r1")

        Args:
            handles: tasks, or one run; none means the run created last.
            timeout: seconds; None waits as long as it takes.

        Raises:
            NotCompletedError: something failed, was cancelled, or is stuck; the others go on.
            TimeoutError: the time is over; nothing else changed.
            TrichromeError: `not_found`, `invalid`.
        """
        run, named = waiting.meant(self._coordinator, OPERATOR.principal, handles, field="handles")
        over = waiting.until_over(
            self._coordinator, OPERATOR, run=run, tasks=named, seconds=math.inf if timeout is None else timeout
        )
        if over.stuck or (over.done and over.failed):
            raise NotCompletedError(over.failed, over.stuck)
        if not over.done:
            raise TimeoutError(f"{', '.join(handles) or run} is not over after {timeout:g} s.")
        details = {name: queries.task_detail(self._coordinator, name) for name in over.ended}
        return {name: each["result"] for name, each in details.items() if "result" in each}

    def result(self, task: str) -> Result | None:
        """What a task brought: summary, data, artifacts, files; None while it has no result.

        Raises:
            TrichromeError: `not_found`, `invalid`.
        """
        return self.get(task).get("result")

    def get(self, task: str) -> TaskDetail:
        """One task whole: instructions, attempts, result, history.

        Raises:
            TrichromeError: `not_found`, `invalid`.
        """
        return queries.task_detail(self._coordinator, task)

    def list(
        self,
        *,
        run: str | None = None,
        state: State | None = None,
        role: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> TaskPage:
        """A page of tasks, oldest first; `after` in the answer fetches the next.

        Raises:
            TrichromeError: `not_found`, `invalid`, `unknown_role`.
        """
        return queries.page(self._coordinator, run=run, state=state, role=role, limit=limit, after=after)

    def cancel(self, handle: str, *, reason: str | None = None) -> Sequence[str]:
        """Cancel a task, or what is left of a run; answers the tasks that were cancelled.

        Raises:
            TrichromeError: `not_found`, `invalid`.
        """
        named = {"run": handle} if handle.startswith("r") else {"task": handle}
        return tasks.cancel(self._coordinator, OPERATOR, reason=reason, **named)["cancelled"]

    def status(self) -> Status:
        """Tasks by state, workers, and what needs a human, once what dead workers held is rescued."""
        with suppress(TrichromeError):  # a log that takes no writes answers, too
            liveness.sweep(self._coordinator)
        return queries.status(self._coordinator)

    def close(self) -> None:
        """Let go of the log. What was created goes on without this program."""
        self._project.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _draft(wanted: Mapping[str, Any]) -> Draft:
    unknown = wanted.keys() - _TASK_KEYS
    if unknown:
        raise InvalidError(
            f"A task has no {min(unknown)!r}. It has: {', '.join(sorted(_TASK_KEYS))}.", code="unknown_argument"
        )
    for field in ("kind", "instructions"):
        if field not in wanted:
            raise InvalidError(f"A task needs {field}.", field=field)
    lists = {name: tuple(wanted[name]) for name in ("depends_on", "files") if name in wanted}
    return Draft(**{**wanted, **lists})
